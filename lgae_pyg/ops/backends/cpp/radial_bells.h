// Radial functions of levels on any irreps, on lists of pairs.
#pragma once
#include <vector>

#include "node_blocks.h"

typedef PARAMETER P;
constexpr int FILTERS = 2 * CHANNELS, OUT = 2 * FILTERS;  // radial factors of a pair, and their parts

inline void add(T* x, vec value) { Simd<T>::store(x, load(x) + value); }
inline size_t whole(size_t count) { return blocks_of(count) * V; }

// The radial functions f_o(x) = beta_o + sum_k W_ok (a_k + b_k / (1 + c_k^2 x)), from what a module holds: offsets a,
// amplitudes b, inverse widths c, mixture W (OUT, bells) and biases beta.
struct Radial {
    enum { offset, amplitude, width, mixture, bias };
    size_t bells;
    const P* const* from;
    std::vector<T> squared_width, weight, constant, masked;  // folded: c^2, W b as (bells, OUT), beta + W a, and beta

    Radial(const P* const* from, size_t bells)
        : bells(bells), from(from), squared_width(bells), weight(bells * OUT), constant(from[bias], from[bias] + OUT),
          masked(constant) {
        for (size_t k = 0; k < bells; ++k) {
            squared_width[k] = T(from[width][k]) * T(from[width][k]);
            for (int o = 0; o < OUT; ++o) {
                const T share = from[mixture][o * bells + k];
                constant[o] += share * T(from[offset][k]);
                weight[k * OUT + o] = share * T(from[amplitude][k]);
            }
        }
    }

    size_t parameters() const { return bells * (OUT + 1) + 2 * OUT; }

    // From the gradients of squared widths, weights, constants and of the biases where there are no bells.
    void gradients(const T* grad, P* const* out) const {
        const T *to_weight = grad + bells, *to_constant = to_weight + bells * OUT, *to_masked = to_constant + OUT;
        for (size_t k = 0; k < bells; ++k) {
            T to_offset = 0, to_amplitude = 0;
            for (int o = 0; o < OUT; ++o) {
                const T share = from[mixture][o * bells + k], up = to_weight[k * OUT + o];
                to_offset += to_constant[o] * share;
                to_amplitude += up * share;
                out[mixture][o * bells + k] = P(up * T(from[amplitude][k]) + to_constant[o] * T(from[offset][k]));
            }
            out[offset][k] = P(to_offset);
            out[amplitude][k] = P(to_amplitude);
            out[width][k] = P(2 * T(from[width][k]) * grad[k]);
        }
        for (int o = 0; o < OUT; ++o) out[bias][o] = P(to_constant[o] + to_masked[o]);
    }
};

// The factors of a list of pairs, their bells and, on the way back, gradients. A list is filled up to whole registers.
class RadialList {
  public:
    RadialList(const Radial& radial, bool masked, size_t most) : radial_(radial), masked_(masked), stride_(whole(most) + V) {
        squares = squares_.reserve(stride_);
        factors = factors_.reserve(OUT * stride_);
    }
    T *squares, *factors;  // p_ij^2, and (OUT, stride): the factors of the pairs, or their gradients
    size_t stride() const { return stride_; }

    // The factors, and with KEEP the bells.
    template <bool KEEP>
    void run(size_t count) {
        T* bells = KEEP ? bells_.reserve(radial_.bells * stride_) : nullptr;
        kept_ = bells;
        std::fill(squares + count, squares + whole(count), T(0));
        for (size_t at = 0; at < count; at += V) {
            const vec square = load(squares + at), size = square < 0 ? -square : square;
            vec mixed[OUT];
            for (int o = 0; o < OUT; ++o) mixed[o] = radial_.constant[o] - vec{};
            for (size_t b = 0; b < radial_.bells; ++b) {
                const vec bell = T(1) / (T(1) + radial_.squared_width[b] * size);
                if (KEEP) Simd<T>::store(bells + b * stride_ + at, bell);
                for (int o = 0; o < OUT; ++o) mixed[o] += radial_.weight[b * OUT + o] * bell;
            }
            for (int o = 0; o < OUT; ++o) {
                if (masked_) mixed[o] = square == 0 ? radial_.masked[o] - vec{} : mixed[o];
                Simd<T>::store(factors + o * stride_ + at, mixed[o]);
            }
        }
    }

    // Gradients of widths, mixture, constants and, where there are no bells, biases are added to (parameters, V), from those
    // of the factors, which stand in their place; in place of p_ij^2 that of itself is left.
    void back(size_t count, T* to) {
        for (int o = 0; o < OUT; ++o) std::fill(factors + o * stride_ + count, factors + o * stride_ + whole(count), T(0));
        if (masked_) mask(count, to + (radial_.bells * (OUT + 1) + OUT) * V);
        T *widths = to, *mixture = widths + radial_.bells * V, *constants = mixture + radial_.bells * OUT * V;
        for (int o = 0; o < OUT; ++o) {
            vec total{};
            for (size_t at = 0; at < count; at += V) total += load(factors + o * stride_ + at);
            add(constants + o * V, total);
        }
        size_t b = 0;
        for (; b + 5 <= radial_.bells; b += 5) mix<5>(count, b, mixture);
        for (; b < radial_.bells; ++b) mix<1>(count, b, mixture);
        slopes(count, widths);
    }

  private:
    // Gives the gradients of masked pairs to what these pairs have in place of bells.
    void mask(size_t count, T* to) {
        for (size_t at = 0; at < count; at += V) {
            const vec square = load(squares + at);
            for (int o = 0; o < OUT; ++o) {
                T* here = factors + o * stride_ + at;
                const vec value = load(here);
                add(to + o * V, square == 0 ? value : vec{});
                Simd<T>::store(here, square == 0 ? vec{} : value);
            }
        }
    }

    template <size_t BELLS>
    void mix(size_t count, size_t b, T* to) const {
        const T* bells = kept_ + b * stride_;
        for (int o = 0; o < OUT; o += 4) {
            vec total[4][BELLS];
            clear(total);
            for (size_t at = 0; at < count; at += V) {
                vec up[4];
                for (int t = 0; t < 4; ++t) up[t] = load(factors + (o + t) * stride_ + at);
                for (size_t k = 0; k < BELLS; ++k) {
                    const vec bell = load(bells + k * stride_ + at);
                    for (int t = 0; t < 4; ++t) total[t][k] += up[t] * bell;
                }
            }
            for (size_t k = 0; k < BELLS; ++k)
                for (int t = 0; t < 4; ++t) add(to + ((b + k) * OUT + o + t) * V, total[t][k]);
        }
    }

    void slopes(size_t count, T* widths) {
        const T* bells = kept_;
        for (size_t at = 0; at < count; at += V) {
            const vec square = load(squares + at), sign = square > 0 ? T(1) - vec{} : (square < 0 ? T(-1) - vec{} : vec{});
            vec up[OUT], total{};
            for (int o = 0; o < OUT; ++o) up[o] = load(factors + o * stride_ + at);
            for (size_t b = 0; b < radial_.bells; ++b) {
                const vec bell = load(bells + b * stride_ + at);
                vec even{}, odd{};
                for (int o = 0; o < OUT; o += 2) {
                    even += radial_.weight[b * OUT + o] * up[o];
                    odd += radial_.weight[b * OUT + o + 1] * up[o + 1];
                }
                const vec slope = (even + odd) * bell * bell;
                total -= radial_.squared_width[b] * slope;
                add(widths + b * V, -slope * square * sign);
            }
            Simd<T>::store(squares + at, total * sign);
        }
    }

    const Radial& radial_;
    bool masked_;
    size_t stride_;
    const T* kept_ = nullptr;
    Buffer<T> squares_, factors_, bells_;
};
