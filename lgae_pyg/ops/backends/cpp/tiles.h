// Products of small matrices in tiles that stay in registers, with what is done to a layer of a perceptron.
#pragma once
#include "simd.h"

namespace tiles {

constexpr int TILE_VECS = REGISTER == 64 ? 6 : 3;

// What is done to a product A B on its way into C.
enum Mode {
    ADD,     // C += A B
    SET,     // C = A B
    LINEAR,  // C = bias + A B
    LAYER,   // C = activation(bias + A B)
    BACK,    // C = A B, times the slope of the activation whose values are given
};

template <class T>
struct Finish {
    const T* values;  // biases, or activations in the layout of C
    T slope;
};

// A tile of C, held in registers: the sum over k of A(r, k) B[k][v].
template <Mode MODE, int R, int N, class T>
inline void tile(T* c, size_t c_row, const T* a, size_t a_row, size_t a_step, const T* b, size_t b_row, int depth,
                 Finish<T> finish) {
    typedef typename Simd<T>::vec vec;
    constexpr int V = Simd<T>::lanes;
    vec sum[R][N];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < N; ++v) {
            if (MODE == ADD) sum[r][v] = Simd<T>::load(c + r * c_row + v * V);
            else sum[r][v] = MODE == LINEAR || MODE == LAYER ? Simd<T>::load(finish.values + v * V) : vec{};
        }
    for (int k = 0; k < depth; ++k) {
        vec column[N];
        for (int v = 0; v < N; ++v) column[v] = Simd<T>::load(b + k * b_row + v * V);
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < N; ++v) sum[r][v] += a[r * a_row + k * a_step] * column[v];
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < N; ++v) {
            vec value = sum[r][v];
            if (MODE == LAYER) value = value > 0 ? value : finish.slope * value;
            if (MODE == BACK)
                value = Simd<T>::load(finish.values + r * c_row + v * V) > 0 ? value : finish.slope * value;
            Simd<T>::store(c + r * c_row + v * V, value);
        }
}

template <Mode MODE, int N, class T>
inline void columns(T* c, size_t c_row, const T* a, size_t a_row, size_t a_step, const T* b, size_t b_row, int rows,
                    int depth, Finish<T> finish) {
    constexpr int R = N >= 5 ? 4 : N >= 3 ? (REGISTER == 64 ? 6 : 4) : 8;
    auto at = [&](int r) { return Finish<T>{MODE == BACK ? finish.values + r * c_row : finish.values, finish.slope}; };
    int r = 0;
    for (; r + R <= rows; r += R)
        tile<MODE, R, N, T>(c + r * c_row, c_row, a + r * a_row, a_row, a_step, b, b_row, depth, at(r));
    for (; r + 2 <= rows; r += 2)
        tile<MODE, 2, N, T>(c + r * c_row, c_row, a + r * a_row, a_row, a_step, b, b_row, depth, at(r));
    for (; r < rows; ++r)
        tile<MODE, 1, N, T>(c + r * c_row, c_row, a + r * a_row, a_row, a_step, b, b_row, depth, at(r));
}

// C from A B with `WIDE` columns (full registers, the rows of B and C), A given by its two strides.
template <Mode MODE, int WIDE, class T>
void multiply(T* c, const T* a, size_t a_row, size_t a_step, const T* b, int rows, int depth, Finish<T> finish = {}) {
    constexpr int V = Simd<T>::lanes;
    constexpr int vecs = WIDE / V, whole = vecs / TILE_VECS, rest = vecs % TILE_VECS;
    auto at = [&](int column) { return Finish<T>{finish.values ? finish.values + column : nullptr, finish.slope}; };
    for (int i = 0; i < whole; ++i) {
        int column = i * TILE_VECS * V;
        columns<MODE, TILE_VECS, T>(c + column, WIDE, a, a_row, a_step, b + column, WIDE, rows, depth, at(column));
    }
    if constexpr (rest > 0) {
        constexpr int column = whole * TILE_VECS * V;
        columns<MODE, rest, T>(c + column, WIDE, a, a_row, a_step, b + column, WIDE, rows, depth, at(column));
    }
}

}  // namespace tiles
