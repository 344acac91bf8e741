// Vectors of the widest registers of this machine, through the vector extensions of GCC and Clang.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#if defined(__AVX512F__)
constexpr int REGISTER = 64;
#elif defined(__AVX__)
constexpr int REGISTER = 32;
#else
constexpr int REGISTER = 16;
#endif

template <class T>
struct Simd {
    static constexpr int lanes = REGISTER / sizeof(T);
    typedef T vec __attribute__((vector_size(REGISTER)));
    typedef T unaligned __attribute__((vector_size(REGISTER), aligned(alignof(T)), may_alias));

    static inline __attribute__((always_inline)) vec load(const T* from) {
        return *reinterpret_cast<const unaligned*>(from);
    }
    static inline __attribute__((always_inline)) void store(T* to, vec value) {
        *reinterpret_cast<unaligned*>(to) = value;
    }
    static inline __attribute__((always_inline)) vec root(vec value) {
        alignas(REGISTER) T lane[lanes];  // as an array, so that compilers find the instruction
        store(lane, value);
        for (int i = 0; i < lanes; ++i) lane[i] = std::sqrt(lane[i]);
        return load(lane);
    }
    static inline __attribute__((always_inline)) T sum(vec value) {
        T total = 0;
        for (int lane = 0; lane < lanes; ++lane) total += value[lane];
        return total;
    }
};

// A vector of `From` as wide as a register of `To`: the same number of lanes, converted.
template <class To, class From>
struct Convert {
    typedef From part __attribute__((vector_size(Simd<To>::lanes * sizeof(From))));
    typedef From unaligned
        __attribute__((vector_size(Simd<To>::lanes * sizeof(From)), aligned(alignof(From)), may_alias));

    static inline __attribute__((always_inline)) typename Simd<To>::vec load(const From* from) {
        return __builtin_convertvector(*reinterpret_cast<const unaligned*>(from), typename Simd<To>::vec);
    }
    static inline __attribute__((always_inline)) void store(From* to, typename Simd<To>::vec value) {
        *reinterpret_cast<unaligned*>(to) = __builtin_convertvector(value, part);
    }
};

template <class T>
struct Convert<T, T> : Simd<T> {};

// Aligned memory that only grows, reused from jet to jet.
template <class T>
class Buffer {
  public:
    T* reserve(size_t count) {
        if (count > size_) {
            size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
            data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
            size_ = data_ ? count : 0;
        }
        return data_.get();
    }

  private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T[], Free> data_;
    size_t size_ = 0;
};
