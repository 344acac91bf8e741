// Mixing of the channels of each irrep on a block of nodes, and the perceptron on the scalars; for tensor_level.cpp.
#pragma once
#include <vector>

#include "asinh.h"
#include "steps.h"

typedef PARAMETER P;

inline void add_scaled(vec& re, vec& im, T w, T v, const vec* x) {
    re += w * x[0];
    im += w * x[1];
    re -= v * x[1];
    im += v * x[0];
}

// An irrep that is mixed: where its channels begin among the outputs of the steps, how many there are, how many come of them,
// and their dimension.
struct Irrep {
    int64_t begin, channels, dim, mixed;
};

class Mixing {
  public:
    // Weights (mixed, channels) complex of each irrep. Channels that are the same numbers up to a factor share a weight.
    Mixing(const Steps& steps, const Irrep* irreps, int64_t count, const P* const* weights) : steps_(steps) {
        std::vector<int64_t> known(steps.numbers + steps.sums, -1);
        for (int64_t i = 0; i < count; ++i) {
            Block block{irreps[i], int64_t(sources_.size()), 0, int64_t(weights_.size()), width_};
            const Irrep& irrep = block.irrep;
            for (int64_t c = 0; c < irrep.channels; ++c) {
                const int64_t place = steps.output[irrep.begin + c * irrep.dim];
                if (place >= 0 && known[place] < block.first) {
                    known[place] = block.first + block.count++;
                    sources_.push_back(place);
                }
                shared_.push_back(place < 0 ? -1 : known[place] - block.first);
            }
            weights_.resize(weights_.size() + 2 * block.count * irrep.mixed);
            over_channels(block, i, [&](int64_t o, int64_t c, T re, T im, int64_t at) {
                const P* w = weights[i] + 2 * (o * irrep.channels + c);
                weights_[at] += re * T(w[0]) - im * T(w[1]);
                weights_[at + 1] += re * T(w[1]) + im * T(w[0]);
            });
            width_ += irrep.mixed * irrep.dim;
            blocks_.push_back(block);
        }
    }

    int64_t width() const { return width_; }
    size_t parameters() const { return weights_.size(); }

    // Whether the components of each channel stand together among numbers or sums.
    static bool fits(const Steps& steps, const Irrep* irreps, int64_t count) {
        bool fits = true;
        for (int64_t i = 0; i < count; ++i)
            for (int64_t k = 0; k < irreps[i].channels * irreps[i].dim; ++k) {
                const int32_t* at = steps.output + irreps[i].begin + k;
                fits &= k % irreps[i].dim == 0 || (at[0] < 0 ? at[-1] < 0 : at[-1] >= 0 && at[0] == at[-1] + 1);
            }
        return fits;
    }

    void mix(const vec* at, const vec* sums, vec* y) const {
        for (const Block& block : blocks_)
            for (int64_t o = 0; o < block.irrep.mixed; o += 4) switch (std::min<int64_t>(4, block.irrep.mixed - o)) {
                case 4: mix<4>(block, o, at, sums, y); break;
                case 3: mix<3>(block, o, at, sums, y); break;
                case 2: mix<2>(block, o, at, sums, y); break;
                default: mix<1>(block, o, at, sums, y);
            }
    }

    // Gradients of numbers and sums, which are set, and of the shared weights, (parameters,) registers, to which is added.
    void back(const vec* at, const vec* sums, const vec* up, vec* to, vec* to_sums, vec* grad) const {
        std::fill_n(to, 2 * steps_.numbers, vec{});
        std::fill_n(to_sums, 2 * steps_.sums, vec{});
        for (const Block& block : blocks_)
            for (int64_t o = 0; o < block.irrep.mixed; o += 4) switch (std::min<int64_t>(4, block.irrep.mixed - o)) {
                case 4: back<4>(block, o, at, sums, up, to, to_sums, grad); break;
                case 3: back<3>(block, o, at, sums, up, to, to_sums, grad); break;
                case 2: back<2>(block, o, at, sums, up, to, to_sums, grad); break;
                default: back<1>(block, o, at, sums, up, to, to_sums, grad);
            }
    }

    // Gradients of the weights from those of the shared ones.
    void gradients(const T* grad, P* const* out) const {
        for (size_t i = 0; i < blocks_.size(); ++i) {
            const Irrep& irrep = blocks_[i].irrep;
            std::fill_n(out[i], 2 * irrep.mixed * irrep.channels, P(0));
            over_channels(blocks_[i], i, [&](int64_t o, int64_t c, T re, T im, int64_t at) {
                P* to = out[i] + 2 * (o * irrep.channels + c);
                to[0] = P(re * grad[at] + im * grad[at + 1]);
                to[1] = P(re * grad[at + 1] - im * grad[at]);
            });
        }
    }

  private:
    struct Block {
        Irrep irrep;
        int64_t first, count, weights, out;  // its sources, weights (source, mixed) and outputs
    };

    template <class Work>
    void over_channels(const Block& block, size_t number, Work work) const {
        int64_t before = 0;
        for (size_t i = 0; i < number; ++i) before += blocks_[i].irrep.channels;
        const Irrep& irrep = block.irrep;
        for (int64_t c = 0; c < irrep.channels; ++c) {
            const int64_t source = shared_[before + c];
            const double* factor = steps_.factor + 2 * (irrep.begin + c * irrep.dim);
            for (int64_t o = 0; source >= 0 && o < irrep.mixed; ++o)
                work(o, c, T(factor[0]), T(factor[1]), block.weights + 2 * (source * irrep.mixed + o));
        }
    }

    // The components of a source, among numbers or sums.
    template <class Vec>
    Vec* source(const Block& block, int64_t s, Vec* numbers, Vec* sums) const {
        const int64_t place = sources_[block.first + s];
        return place < steps_.numbers ? numbers + 2 * place : sums + 2 * (place - steps_.numbers);
    }

    // O outputs and M components at a time.
    template <int O>
    void mix(const Block& block, int64_t o, const vec* at, const vec* sums, vec* y) const {
        for (int64_t m = 0; m < block.irrep.dim;) switch (block.irrep.dim - m) {
            case 1: mix<O, 1>(block, o, m, at, sums, y), m += 1; break;
            case 2: case 4: mix<O, 2>(block, o, m, at, sums, y), m += 2; break;
            default: mix<O, 3>(block, o, m, at, sums, y), m += 3;
        }
    }
    template <int O, int M>
    void mix(const Block& block, int64_t o, int64_t m, const vec* at, const vec* sums, vec* y) const {
        vec re[O][M], im[O][M];
        clear(re), clear(im);
        const T* w = &weights_[block.weights + 2 * o];
        for (int64_t s = 0; s < block.count; ++s, w += 2 * block.irrep.mixed) {
            const vec* x = source(block, s, at, sums) + 2 * m;
            for (int t = 0; t < O; ++t)
                for (int k = 0; k < M; ++k) add_scaled(re[t][k], im[t][k], w[2 * t], w[2 * t + 1], x + 2 * k);
        }
        for (int t = 0; t < O; ++t)
            for (int k = 0; k < M; ++k) {
                vec* to = y + 2 * (block.out + (o + t) * block.irrep.dim + m + k);
                to[0] = re[t][k];
                to[1] = im[t][k];
            }
    }

    template <int O>
    void back(const Block& block, int64_t o, const vec* at, const vec* sums, const vec* up, vec* to, vec* to_sums,
              vec* grad) const {
        const int64_t dim = block.irrep.dim;
        const T* w = &weights_[block.weights + 2 * o];
        vec* to_weights = grad + block.weights + 2 * o;
        up += 2 * (block.out + o * dim);
        for (int64_t s = 0; s < block.count; ++s, w += 2 * block.irrep.mixed, to_weights += 2 * block.irrep.mixed) {
            const vec* x = source(block, s, at, sums);
            vec* there = source(block, s, to, to_sums);
            vec sum[2][O], *re = sum[0], *im = sum[1];
            clear(sum);
            for (int64_t m = 0; m < dim; ++m, x += 2, there += 2) {
                vec a = there[0], b = there[1];
                for (int t = 0; t < O; ++t) {
                    const vec* from = up + 2 * (t * dim + m);
                    add_scaled(a, b, w[2 * t], -w[2 * t + 1], from);
                    re[t] += from[0] * x[0];
                    im[t] += from[1] * x[0];
                    re[t] += from[1] * x[1];
                    im[t] -= from[0] * x[1];
                }
                there[0] = a;
                there[1] = b;
            }
            for (int t = 0; t < O; ++t) {
                to_weights[2 * t] += re[t];
                to_weights[2 * t + 1] += im[t];
            }
        }
    }

    const Steps& steps_;
    std::vector<Block> blocks_;
    std::vector<int64_t> sources_, shared_;  // places of the numbers that are mixed; which of them each channel is
    std::vector<T> weights_;
    int64_t width_ = 0;
};
