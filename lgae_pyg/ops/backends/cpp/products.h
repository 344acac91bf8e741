// Products of the features of a node with themselves, joined with the sums over its neighbours and mixed; see
// lgae_pyg/ops/levels.py for the formulas. One node at a time: the four complex components of a four-vector fill one
// vector of eight numbers.
#pragma once
#include <cstring>

#include "complex8.h"
#include "pairs.h"

constexpr int TAU_OUT = CHANNELS_OUT;
constexpr int SCALARS = 5 * TAU, VECTORS = 4 * TAU;  // columns that are mixed
constexpr int FEATURES_OUT = IN * TAU_OUT;
constexpr int WIDE = (2 * TAU_OUT + V - 1) / V * V;  // mixed scalars in full registers
constexpr int MIXING = 2 * TAU_OUT * (SCALARS + VECTORS);  // real numbers in both mixing matrices

// The columns of one node before mixing, and their i-fold.
struct Columns {
    T real[SCALARS], imag[SCALARS];
    vec8 vectors[VECTORS], rotated[VECTORS];

    // x: scalars, vectors; sums: scalar from scalar, scalar from vector, vector from vector, vector from scalar.
    void read(const T* x, const T* sums) {
        for (int c = 0; c < 2 * TAU; ++c) real[c] = sums[2 * c], imag[c] = sums[2 * c + 1];
        for (int c = 0; c < 2 * TAU; ++c) vectors[c] = load(sums + 4 * TAU + 8 * c);
        for (int c = 0; c < TAU; ++c) {
            T re = x[2 * c], im = x[2 * c + 1];
            const T* components = x + 2 * TAU + 8 * c;
            vec8 v = load(components);
            real[2 * TAU + c] = re, imag[2 * TAU + c] = im;
            real[3 * TAU + c] = re * re - im * im, imag[3 * TAU + c] = 2 * re * im;
            T length[2] = {};
            for (int mu = 0; mu < 4; ++mu) {
                T a = components[2 * mu], b = components[2 * mu + 1], sign = mu == 0 ? T(1) : T(-1);
                length[0] += sign * (a * a - b * b);
                length[1] += sign * (2 * a * b);
            }
            real[4 * TAU + c] = length[0], imag[4 * TAU + c] = length[1];
            vectors[2 * TAU + c] = v;
            vectors[3 * TAU + c] = times(re, im, v);
        }
        for (int c = 0; c < VECTORS; ++c) rotated[c] = times_i(vectors[c]);
    }
};

// Mixing matrices (out, in) of complex numbers, the scalar one in both orders.
struct MixingWeights {
    T by_column[2][SCALARS][WIDE];  // for the real and the imaginary part of a column: its share of the outputs
    T by_output[2][2 * TAU_OUT][SCALARS];
    T vectors[TAU_OUT][VECTORS][2];

    explicit MixingWeights(const T* scalar) {
        const T* vector = scalar + 2 * TAU_OUT * SCALARS;
        std::memset(by_column, 0, sizeof by_column);
        for (int o = 0; o < TAU_OUT; ++o)
            for (int c = 0; c < SCALARS; ++c) {
                T re = scalar[(o * SCALARS + c) * 2], im = scalar[(o * SCALARS + c) * 2 + 1];
                T share[2][2] = {{re, im}, {-im, re}};
                for (int part = 0; part < 2; ++part)
                    for (int out = 0; out < 2; ++out)
                        by_column[part][c][2 * o + out] = by_output[part][2 * o + out][c] = share[part][out];
            }
        std::memcpy(vectors, vector, sizeof vectors);
    }
};

void mix(const MixingWeights& w, const Columns& z, T* out) {
    T scalars[WIDE];
    for (int o = 0; o < WIDE; o += V) {
        vec real{}, imag{};
        for (int c = 0; c < SCALARS; ++c) {
            real += z.real[c] * Simd<T>::load(w.by_column[0][c] + o);
            imag += z.imag[c] * Simd<T>::load(w.by_column[1][c] + o);
        }
        Simd<T>::store(scalars + o, real + imag);
    }
    std::memcpy(out, scalars, 2 * TAU_OUT * sizeof(T));
    vec8 straight[TAU_OUT] = {}, turned[TAU_OUT] = {};
    for (int c = 0; c < VECTORS; ++c)
        for (int o = 0; o < TAU_OUT; ++o) {
            straight[o] += w.vectors[o][c][0] * z.vectors[c];
            turned[o] += w.vectors[o][c][1] * z.rotated[c];
        }
    for (int o = 0; o < TAU_OUT; ++o) store(out + 2 * TAU_OUT + 8 * o, straight[o] + turned[o]);
}

constexpr int BLOCK = 16;  // nodes whose columns are kept in the cache while gradients of the weights are summed

// Gradients of the mixing matrices, added up over blocks of nodes.
struct MixingGradients {
    T scalars[2][2 * TAU_OUT][SCALARS];
    vec8 vectors[2][TAU_OUT][VECTORS];

    void add(const Columns* z, const T* upstream, int nodes) {
        for (int o = 0; o < 2 * TAU_OUT; ++o) {
            T real[SCALARS] = {}, imag[SCALARS] = {};
            for (int i = 0; i < nodes; ++i)
                for (int c = 0; c < SCALARS; ++c) {
                    real[c] += upstream[i * FEATURES_OUT + o] * z[i].real[c];
                    imag[c] += upstream[i * FEATURES_OUT + o] * z[i].imag[c];
                }
            for (int c = 0; c < SCALARS; ++c) scalars[0][o][c] += real[c], scalars[1][o][c] += imag[c];
        }
        for (int c = 0; c < VECTORS; c += 2) {
            vec8 straight[TAU_OUT][2] = {}, turned[TAU_OUT][2] = {};
            for (int i = 0; i < nodes; ++i)
                for (int o = 0; o < TAU_OUT; ++o) {
                    vec8 g = load(upstream + i * FEATURES_OUT + 2 * TAU_OUT + 8 * o);
                    for (int j = 0; j < 2; ++j) {
                        straight[o][j] += g * z[i].vectors[c + j];
                        turned[o][j] += g * z[i].rotated[c + j];
                    }
                }
            for (int o = 0; o < TAU_OUT; ++o)
                for (int j = 0; j < 2; ++j) vectors[0][o][c + j] += straight[o][j], vectors[1][o][c + j] += turned[o][j];
        }
    }

    void write(T* scalar) const {
        T* vector = scalar + 2 * TAU_OUT * SCALARS;
        for (int o = 0; o < TAU_OUT; ++o) {
            for (int c = 0; c < SCALARS; ++c) {
                scalar[(o * SCALARS + c) * 2] = scalars[0][2 * o][c] + scalars[1][2 * o + 1][c];
                scalar[(o * SCALARS + c) * 2 + 1] = scalars[0][2 * o + 1][c] - scalars[1][2 * o][c];
            }
            for (int c = 0; c < VECTORS; ++c)
                for (int part = 0; part < 2; ++part) vector[(o * VECTORS + c) * 2 + part] = sum(vectors[part][o][c]);
        }
    }
};

// Gradients of x and of the sums of one node.
void back(const MixingWeights& w, const Columns& z, const T* upstream, T* grad_x, T* grad_sums) {
    T real[SCALARS] = {}, imag[SCALARS] = {};
    for (int o = 0; o < 2 * TAU_OUT; ++o)
        for (int c = 0; c < SCALARS; ++c) {
            real[c] += upstream[o] * w.by_output[0][o][c];
            imag[c] += upstream[o] * w.by_output[1][o][c];
        }
    vec8 vectors[VECTORS] = {};
    for (int o = 0; o < TAU_OUT; ++o) {
        vec8 g = load(upstream + 2 * TAU_OUT + 8 * o), turned = times_i(g);
        for (int c = 0; c < VECTORS; ++c) vectors[c] += w.vectors[o][c][0] * g - w.vectors[o][c][1] * turned;
    }
    for (int c = 0; c < 2 * TAU; ++c) grad_sums[2 * c] = real[c], grad_sums[2 * c + 1] = imag[c];
    for (int c = 0; c < 2 * TAU; ++c) store(grad_sums + 4 * TAU + 8 * c, vectors[c]);
    for (int c = 0; c < TAU; ++c) {
        T re = z.real[2 * TAU + c], im = z.imag[2 * TAU + c];
        T square_re = 2 * real[3 * TAU + c], square_im = 2 * imag[3 * TAU + c];
        T length_re = 2 * real[4 * TAU + c], length_im = 2 * imag[4 * TAU + c];
        vec8 v = z.vectors[2 * TAU + c], product = vectors[3 * TAU + c];
        vec8 conjugate = lower(v) * vec8{1, -1, 1, -1, 1, -1, 1, -1};
        grad_x[2 * c] = real[2 * TAU + c] + square_re * re + square_im * im + sum(product * v);
        grad_x[2 * c + 1] = imag[2 * TAU + c] + square_im * re - square_re * im + sum(product * times_i(v));
        store(grad_x + 2 * TAU + 8 * c,
              vectors[2 * TAU + c] + times(re, -im, product) + times(length_re, length_im, conjugate));
    }
}
