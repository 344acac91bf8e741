// Numbers of nodes with the nodes as lanes: a block of V nodes holds each complex number as a register of its real and one
// of its imaginary parts, one number after another.
#pragma once
#include <algorithm>
#include <cstring>

#include "simd.h"

typedef FEATURE T;
typedef Simd<T>::vec vec;
constexpr size_t V = Simd<T>::lanes;

inline size_t blocks_of(size_t nodes) { return (nodes + V - 1) / V; }
inline vec load(const T* x) { return Simd<T>::load(x); }

// Numbers of some blocks of nodes, each so many registers behind the one before.
template <class Vec>
struct Blocks {
    Vec* at;
    size_t stride;

    Vec* operator()(int block, int64_t number) const { return at + block * stride + 2 * number; }
};

// Sums that begin with zero, one by one, so that compilers keep them in registers.
template <size_t A, size_t B>
inline __attribute__((always_inline)) void clear(vec (&sums)[A][B]) {
    for (size_t a = 0; a < A; ++a)
        for (size_t b = 0; b < B; ++b) sums[a][b] = vec{};
}

// The rows of `count` nodes, of so many real numbers each, as registers; zero in the other lanes.
inline void turn(const T* rows, size_t numbers, size_t count, vec* to) {
    T* lanes = reinterpret_cast<T*>(to);
    for (size_t lane = 0; lane < count; ++lane)
        for (size_t k = 0; k < numbers; ++k) lanes[k * V + lane] = rows[lane * numbers + k];
    for (size_t k = 0; k < numbers && count < V; ++k) std::fill(lanes + k * V + count, lanes + (k + 1) * V, T(0));
}
inline void turn_back(const vec* from, size_t numbers, size_t count, T* rows) {
    const T* lanes = reinterpret_cast<const T*>(from);
    for (size_t lane = 0; lane < count; ++lane)
        for (size_t k = 0; k < numbers; ++k) rows[lane * numbers + k] = lanes[k * V + lane];
}
