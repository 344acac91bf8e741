// Radial functions of levels on any irreps, and the columns that share one; for filtered_sum.cpp.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "simd.h"

typedef FEATURE T;
typedef Simd<T>::vec vec;
constexpr int V = Simd<T>::lanes;
constexpr int FILTERS = 2 * CHANNELS, OUT = 2 * FILTERS;  // radial factors of a pair, and their parts
constexpr size_t ROWS = 6, STRIP = 64, BLOCK = ROWS * STRIP;

inline size_t whole(size_t count) { return (count + V - 1) / V * V; }
inline vec load(const T* x) { return Simd<T>::load(x); }
inline void add(T* x, vec value) { Simd<T>::store(x, load(x) + value); }

// The radial functions f_o(x) = beta_o + sum_k W_ok (a_k + b_k / (1 + c_k^2 x)), from what a module holds: offsets a,
// amplitudes b, inverse widths c, mixture W (OUT, bells) and biases beta.
struct Radial {
    enum { offset, amplitude, width, mixture, bias };
    size_t bells;
    const T* const* from;
    std::vector<T> squared_width, weight, constant;  // folded: c^2, W b as (bells, OUT), beta + W a

    Radial(const T* const* from, size_t bells)
        : bells(bells), from(from), squared_width(bells), weight(bells * OUT), constant(from[bias], from[bias] + OUT) {
        for (size_t k = 0; k < bells; ++k) {
            squared_width[k] = from[width][k] * from[width][k];
            for (int o = 0; o < OUT; ++o) {
                const T share = from[mixture][o * bells + k];
                constant[o] += share * from[offset][k];
                weight[k * OUT + o] = share * from[amplitude][k];
            }
        }
    }

    size_t parameters() const { return bells * (OUT + 1) + 2 * OUT; }

    // From the gradients of squared widths, weights, constants and of the biases where there are no bells.
    void gradients(const T* grad, T* const* out) const {
        const T *to_weight = grad + bells, *to_constant = to_weight + bells * OUT, *to_masked = to_constant + OUT;
        for (size_t k = 0; k < bells; ++k) {
            T to_offset = 0, to_amplitude = 0;
            for (int o = 0; o < OUT; ++o) {
                const T share = from[mixture][o * bells + k], up = to_weight[k * OUT + o];
                to_offset += to_constant[o] * share;
                to_amplitude += up * share;
                out[mixture][o * bells + k] = up * from[amplitude][k] + to_constant[o] * from[offset][k];
            }
            out[offset][k] = to_offset;
            out[amplitude][k] = to_amplitude;
            out[width][k] = 2 * from[width][k] * grad[k];
        }
        for (int o = 0; o < OUT; ++o) out[bias][o] = to_constant[o] + to_masked[o];
    }
};

// Where the columns of each filter begin, in real numbers: packed in a row of a tensor, and in a row of our own, in which
// each filter begins with a register.
struct Columns {
    size_t packed[FILTERS + 1] = {}, padded[FILTERS + 1] = {};
    explicit Columns(const int64_t* counts) {
        for (int o = 0; o < FILTERS; ++o) {
            packed[o + 1] = packed[o] + 2 * size_t(counts[o]);
            padded[o + 1] = padded[o] + whole(2 * size_t(counts[o]));
        }
    }
    size_t width() const { return packed[FILTERS]; }
    size_t row() const { return padded[FILTERS]; }

    void read(const T* from, size_t rows, T* to) const {
        for (; rows > 0; --rows, from += width(), to += row())
            for (int o = 0; o < FILTERS; ++o) {
                size_t size = packed[o + 1] - packed[o];
                std::memcpy(to + padded[o], from + packed[o], size * sizeof(T));
                std::fill(to + padded[o] + size, to + padded[o + 1], T(0));
            }
    }
    void write(const T* from, size_t rows, T* to) const {
        for (; rows > 0; --rows, from += row(), to += width())
            for (int o = 0; o < FILTERS; ++o)
                std::memcpy(to + packed[o], from + padded[o], (packed[o + 1] - packed[o]) * sizeof(T));
    }
    // Columns (k, part) as rows over the nodes.
    void turn(const T* from, size_t rows, T* to, size_t stride) const {
        for (size_t k = 0; k < width(); ++k) {
            for (size_t i = 0; i < rows; ++i) to[k * stride + i] = from[i * width() + k];
            std::fill(to + k * stride + rows, to + (k + 1) * stride, T(0));
        }
    }
};
