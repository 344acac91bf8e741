// Products of rows with a matrix that does not fit into the first-level cache: it is packed into panels of a few registers.
#pragma once
#include <type_traits>
#include <vector>

#include "tiles.h"

// The number of columns in full registers.
template <class T>
int64_t padded(int64_t columns) {
    return (columns + Simd<T>::lanes - 1) / Simd<T>::lanes * Simd<T>::lanes;
}

// Calls work(number of registers, first column) for panels of up to four registers, the number known to the compiler.
template <class T, class Work>
void over_panels(int64_t columns, Work work) {
    constexpr int V = Simd<T>::lanes;
    int64_t c = 0, end = padded<T>(columns);
    for (; c + 4 * V <= end; c += 4 * V) work(std::integral_constant<int, 4>(), c);
    if (c + 2 * V <= end) work(std::integral_constant<int, 2>(), c), c += 2 * V;
    if (c < end) work(std::integral_constant<int, 1>(), c);
}

template <class T>
class Panels {
  public:
    // B(k, c) = from[k * step + c * stride]; columns are filled up with zeros.
    Panels(const T* from, size_t step, size_t stride, int64_t depth, int64_t columns)
        : depth_(depth), columns_(columns), data_(depth * padded<T>(columns)) {
        over_panels<T>(columns, [&](auto vecs, int64_t first) {
            int64_t wide = vecs * Simd<T>::lanes, last = first + wide < columns ? first + wide : columns;
            for (int64_t c = first; c < last; ++c)
                for (int64_t k = 0; k < depth; ++k)
                    data_[first * depth + k * wide + c - first] = from[k * step + c * stride];
        });
    }

    // C = A B, with full registers.
    void multiply(T* to, size_t to_row, const T* a, size_t a_row, int64_t rows) const {
        over_panels<T>(columns_, [&](auto vecs, int64_t first) {
            constexpr int N = decltype(vecs)::value;
            const T* b = &data_[first * depth_];
            tiles::columns<tiles::SET, N, T>(to + first, to_row, a, a_row, 1, b, N * Simd<T>::lanes, rows, depth_, {});
        });
    }

    // C += A^T B of two blocks of rows with full registers, for so many columns of A.
    static void add_products(T* to, const T* a, size_t a_row, int64_t columns, const T* b, size_t b_row, int64_t rows) {
        over_panels<T>(b_row, [&](auto vecs, int64_t first) {
            constexpr int N = decltype(vecs)::value;
            tiles::columns<tiles::ADD, N, T>(to + first, b_row, a, 1, a_row, b + first, b_row, columns, rows, {});
        });
    }

  private:
    int64_t depth_, columns_;
    std::vector<T> data_;
};
