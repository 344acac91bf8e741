// A perceptron of equal hidden layers with (leaky) ReLU on the first columns of many rows; see
// lgae_pyg/ops/levels.py for the formulas. Blocks of rows go through all layers while they are in the first-level
// cache; the backward pass computes the hidden layers again.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

#include "asinh.h"
#include "simd.h"
#include "tiles.h"

namespace perceptron {

using namespace tiles;
typedef FEATURE F;  // rows
typedef COMPUTE T;  // weights and layers
constexpr int V = Simd<T>::lanes;
typedef Simd<T>::vec vec;
constexpr int INPUTS = 2 * CHANNELS_OUT;
constexpr int PARAMETERS = (2 * INPUTS + (DEPTH - 1) * WIDTH) * WIDTH + DEPTH * WIDTH + INPUTS;
constexpr int padded(int size) { return (size + V - 1) / V * V; }
constexpr int ENDS = padded(INPUTS);  // inputs and outputs
constexpr int HIDDEN = padded(WIDTH);
constexpr int LAYERS = DEPTH + 1;
constexpr int ROWS = 32;

constexpr int fan_in(int layer) { return layer == 0 ? INPUTS : WIDTH; }
constexpr int fan_out(int layer) { return layer == DEPTH ? INPUTS : WIDTH; }
constexpr int columns_in(int layer) { return layer == 0 ? ENDS : HIDDEN; }
constexpr int columns_out(int layer) { return layer == DEPTH ? ENDS : HIDDEN; }

// Weights with padded rows: `forward[l]` is (in, out), `backward[l]` (out, in).
class Weights {
  public:
    // `from`: matrix and bias of each layer, one after another.
    explicit Weights(const F* const* from) {
        for (int l = 0; l < LAYERS; ++l) {
            T* there = forward_[l].reserve(fan_in(l) * columns_out(l));
            T* back = backward_[l].reserve(fan_out(l) * columns_in(l));
            T* bias = biases_[l].reserve(columns_out(l));
            std::memset(there, 0, fan_in(l) * columns_out(l) * sizeof(T));
            std::memset(back, 0, fan_out(l) * columns_in(l) * sizeof(T));
            std::memset(bias, 0, columns_out(l) * sizeof(T));
            const F *weight = from[2 * l], *constant = from[2 * l + 1];
            for (int o = 0; o < fan_out(l); ++o) {
                for (int i = 0; i < fan_in(l); ++i)
                    there[i * columns_out(l) + o] = back[o * columns_in(l) + i] = T(weight[o * fan_in(l) + i]);
                bias[o] = T(constant[o]);
            }
        }
    }
    const T* forward(int l) { return forward_[l].reserve(0); }
    const T* backward(int l) { return backward_[l].reserve(0); }
    const T* bias(int l) { return biases_[l].reserve(0); }

  private:
    Buffer<T> forward_[LAYERS], backward_[LAYERS], biases_[LAYERS];
};

// Spreads the gradients of all layers, one after another, over their matrices and biases.
inline void spread(const T* from, F* const* out) {
    for (int l = 0; l < LAYERS; ++l)
        for (int bias = 0; bias < 2; ++bias) {
            int count = fan_out(l) * (bias ? 1 : fan_in(l));
            for (int i = 0; i < count; ++i) out[2 * l + bias][i] = F(*from++);
        }
}

struct Options {
    T slope;
    bool residual, squash;
};

class Worker {
  public:
    Worker(Weights& weights, Options options) : weights_(weights), options_(options) {
        for (int l = 0; l <= LAYERS; ++l) layers_[l] = buffers_[l].reserve(ROWS * (l == 0 || l == LAYERS ? ENDS : HIDDEN));
    }

    void forward(const F* x, int64_t row, int rows, F* out) {
        layers(x, row, rows);
        for (int r = 0; r < rows; ++r) {
            const F* from = x + r * row;
            F* to = out + r * row;
            for (int i = 0; i < INPUTS; ++i)
                to[i] = F(layers_[LAYERS][r * ENDS + i]) + (options_.residual ? flat_[r * INPUTS + i] : F(0));
            if (to != from) std::memcpy(to + INPUTS, from + INPUTS, (row - INPUTS) * sizeof(F));
        }
    }

    void begin_group() {
        for (int l = 0; l < LAYERS; ++l) {
            size_t weights = fan_out(l) * columns_in(l), bias = columns_out(l);
            std::memset(grad_weights_[l].reserve(weights), 0, weights * sizeof(T));
            std::memset(grad_biases_[l].reserve(bias), 0, bias * sizeof(T));
        }
    }

    // The gradients of a block of rows; those of the parameters are added up.
    void backward(const F* x, const F* upstream, int64_t row, int rows, F* out) {
        layers(x, row, rows);
        T *grad = grads_[0].reserve(ROWS * HIDDEN), *next = grads_[1].reserve(ROWS * HIDDEN);
        std::memset(grad, 0, ROWS * ENDS * sizeof(T));
        for (int r = 0; r < rows; ++r)
            for (int i = 0; i < INPUTS; ++i) grad[r * ENDS + i] = T(upstream[r * row + i]);
        for (int l = DEPTH; l >= 0; --l) {
            accumulate(l, grad);
            const T* w = weights_.backward(l);
            Finish<T> finish{layers_[l], options_.slope};
            if (l == 0) multiply<SET, ENDS>(next, grad, HIDDEN, 1, w, ROWS, WIDTH);
            else if (l == DEPTH) multiply<BACK, HIDDEN>(next, grad, ENDS, 1, w, ROWS, INPUTS, finish);
            else multiply<BACK, HIDDEN>(next, grad, HIDDEN, 1, w, ROWS, WIDTH, finish);
            std::swap(grad, next);
        }
        for (int r = 0; r < rows; ++r) {
            const F *from = x + r * row, *up = upstream + r * row;
            F* to = out + r * row;
            for (int i = 0; i < INPUTS; ++i) {
                F slope = options_.squash ? 1 / std::sqrt(1 + from[i] * from[i]) : F(1);
                to[i] = slope * (F(grad[r * ENDS + i]) + (options_.residual ? up[i] : F(0)));
            }
            std::memcpy(to + INPUTS, up + INPUTS, (row - INPUTS) * sizeof(F));
        }
    }

    void end_group(T* out) {
        for (int l = 0; l < LAYERS; ++l) {
            for (int o = 0; o < fan_out(l); ++o, out += fan_in(l))
                std::memcpy(out, grad_weights_[l].reserve(0) + o * columns_in(l), fan_in(l) * sizeof(T));
            std::memcpy(out, grad_biases_[l].reserve(0), fan_out(l) * sizeof(T));
            out += fan_out(l);
        }
    }

  private:
    void layers(const F* x, int64_t row, int rows) {
        std::memset(layers_[0], 0, ROWS * ENDS * sizeof(T));
        std::memset(flat_, 0, sizeof flat_);
        for (int r = 0; r < rows; ++r) std::memcpy(flat_ + r * INPUTS, x + r * row, INPUTS * sizeof(F));
        if (options_.squash)
            for (int i = 0; i < ROWS * INPUTS; i += Simd<F>::lanes)
                Simd<F>::store(flat_ + i, inverse_sinh<F>(Simd<F>::load(flat_ + i)));
        for (int r = 0; r < rows; ++r)
            for (int i = 0; i < INPUTS; ++i) layers_[0][r * ENDS + i] = T(flat_[r * INPUTS + i]);
        for (int l = 0; l < LAYERS; ++l) {
            T* out = layers_[l + 1];
            const T* w = weights_.forward(l);
            Finish<T> finish{weights_.bias(l), options_.slope};
            if (l == DEPTH) multiply<LINEAR, ENDS>(out, layers_[l], HIDDEN, 1, w, ROWS, WIDTH, finish);
            else if (l == 0) multiply<LAYER, HIDDEN>(out, layers_[l], ENDS, 1, w, ROWS, INPUTS, finish);
            else multiply<LAYER, HIDDEN>(out, layers_[l], HIDDEN, 1, w, ROWS, WIDTH, finish);
        }
    }

    void accumulate(int l, const T* grad) {
        T *weight = grad_weights_[l].reserve(0), *bias = grad_biases_[l].reserve(0);
        size_t row = columns_out(l);
        for (int i = 0; i < columns_out(l); i += V) {
            vec total[4] = {Simd<T>::load(bias + i)};  // sums that need not wait for each other
            for (int r = 0; r < ROWS; ++r) total[r % 4] += Simd<T>::load(grad + r * row + i);
            Simd<T>::store(bias + i, (total[0] + total[1]) + (total[2] + total[3]));
        }
        if (l == 0) multiply<ADD, ENDS>(weight, grad, 1, row, layers_[l], WIDTH, ROWS);
        else if (l == DEPTH) multiply<ADD, HIDDEN>(weight, grad, 1, row, layers_[l], INPUTS, ROWS);
        else multiply<ADD, HIDDEN>(weight, grad, 1, row, layers_[l], WIDTH, ROWS);
    }

    Weights& weights_;
    Options options_;
    F flat_[ROWS * INPUTS];
    T* layers_[LAYERS + 1];
    Buffer<T> buffers_[LAYERS + 1], grads_[2], grad_weights_[LAYERS], grad_biases_[LAYERS];
};

}  // namespace perceptron
