// A perceptron with (leaky) ReLU on a block of nodes (node_blocks.h); see lgae_pyg/ops/levels.py for the formulas.
#pragma once
#include <vector>

#include "asinh.h"
#include "node_blocks.h"

typedef PARAMETER P;

class LanePerceptron {
  public:
    // Sizes of the input, the hidden layers and the output; matrix (out, in) and bias of each layer, one after another.
    LanePerceptron(const int64_t* sizes, int64_t layers, const P* const* from, double slope, bool residual, bool squash)
        : layers_(layers), slope_(slope), residual_(residual), squash_(squash), sizes_(sizes, sizes + layers + 1) {
        for (int64_t l = 0; l < layers; ++l) {
            begins_.push_back(parameters_.size());
            const int64_t in = sizes_[l], out = sizes_[l + 1];
            for (int64_t i = 0; i < in; ++i)
                for (int64_t o = 0; o < out; ++o) parameters_.push_back(T(from[2 * l][o * in + i]));
            for (int64_t o = 0; o < out; ++o) parameters_.push_back(T(from[2 * l + 1][o]));
        }
        for (int64_t size : sizes_) numbers_ += size, widest_ = std::max(widest_, size);
    }

    size_t parameters() const { return parameters_.size(); }
    int64_t hidden() const { return numbers_ + 2 * widest_; }  // registers of room

    // The output in place of the input x; the inputs of the layers are left in `room`.
    void run(vec* x, vec* room) const {
        for (int64_t k = 0; k < sizes_[0]; ++k) room[k] = squash_ ? inverse_sinh<T>(x[k]) : x[k];
        vec* in = room;
        for (int64_t l = 0; l < layers_; ++l) {
            vec* out = in + sizes_[l];
            const T* w = &parameters_[begins_[l]];
            for (int64_t o = 0; o < sizes_[l + 1]; o += 4) switch (std::min<int64_t>(4, sizes_[l + 1] - o)) {
                case 4: layer<4>(w + o, in, sizes_[l], sizes_[l + 1], out + o); break;
                case 3: layer<3>(w + o, in, sizes_[l], sizes_[l + 1], out + o); break;
                case 2: layer<2>(w + o, in, sizes_[l], sizes_[l + 1], out + o); break;
                default: layer<1>(w + o, in, sizes_[l], sizes_[l + 1], out + o);
            }
            for (int64_t o = 0; l + 1 < layers_ && o < sizes_[l + 1]; ++o) out[o] = out[o] > 0 ? out[o] : slope_ * out[o];
            in = out;
        }
        for (int64_t k = 0; k < sizes_[0]; ++k) x[k] = residual_ ? in[k] + room[k] : in[k];
    }

    // From the input x and what `run` left in `room`: the gradient of the input in place of that of the output, and those of
    // the parameters, (parameters,) registers, to which is added.
    void back(const vec* x, vec* up, vec* room, vec* grad) const {
        vec *g = room + numbers_, *next = g + widest_;
        std::copy_n(up, sizes_[layers_], g);
        const vec* in = room + numbers_ - sizes_[layers_];
        for (int64_t l = layers_ - 1; l >= 0; --l) {
            const int64_t fan_in = sizes_[l], out = sizes_[l + 1];
            in -= fan_in;
            vec* to = grad + begins_[l];
            const T* w = &parameters_[begins_[l]];
            for (int64_t i = 0; i < fan_in; ++i, w += out, to += out) {
                vec total{};
                const vec value = in[i];
                for (int64_t o = 0; o < out; ++o) {
                    to[o] += g[o] * value;
                    total += w[o] * g[o];
                }
                next[i] = l == 0 || value > 0 ? total : slope_ * total;
            }
            for (int64_t o = 0; o < out; ++o) to[o] += g[o];
            std::swap(g, next);
        }
        for (int64_t k = 0; k < sizes_[0]; ++k) {
            const vec total = residual_ ? g[k] + up[k] : g[k];
            up[k] = squash_ ? total / Simd<T>::root(1 + x[k] * x[k]) : total;
        }
    }

    void gradients(const T* grad, P* const* out) const {
        for (int64_t l = 0; l < layers_; ++l) {
            const int64_t in = sizes_[l], count = sizes_[l + 1];
            for (int64_t i = 0; i < in; ++i)
                for (int64_t o = 0; o < count; ++o) out[2 * l][o * in + i] = P(*grad++);
            for (int64_t o = 0; o < count; ++o) out[2 * l + 1][o] = P(*grad++);
        }
    }

  private:
    template <int O>
    static void layer(const T* w, const vec* in, int64_t fan_in, int64_t fan_out, vec* out) {
        vec sum[O];
        for (int o = 0; o < O; ++o) sum[o] = w[fan_in * fan_out + o] - vec{};
        for (int64_t i = 0; i < fan_in; ++i, w += fan_out)
            for (int o = 0; o < O; ++o) sum[o] += w[o] * in[i];
        for (int o = 0; o < O; ++o) out[o] = sum[o];
    }

    int64_t layers_, numbers_ = 0, widest_ = 0;
    T slope_;
    bool residual_, squash_;
    std::vector<int64_t> sizes_;
    std::vector<size_t> begins_;
    std::vector<T> parameters_;
};
