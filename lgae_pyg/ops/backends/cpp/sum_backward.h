// The backward walk over the pairs of a jet. The radial factors are computed again, so that nothing of the size of the
// pairs is kept between forward and backward.
#pragma once
#include <cstring>

#include "sum_forward.h"


constexpr size_t BACKWARD_BYTES = 1 << 18;  // of radial factors, bells and their gradients kept at once


struct SumGradients {
    T *features, *momenta;  // added to features; momenta may be null
};

// Gradient of the features of one node from its message to another: `g` are the gradients of that node's sums,
// d the momentum of the node minus that of the other.
INLINE void collect_back(Complex grad[5], Factors f, const T* g, size_t stride, const Difference& d) {
    Complex moment{};
    add_conj(grad[0], load(g, stride), f.zero);
    Complex product{};
    add_conj(product, load(g + 10 * stride, stride), f.one);
    for (int mu = 0; mu < 4; ++mu) {
        add_conj(grad[1 + mu], load(g + (2 + 2 * mu) * stride, stride), f.zero);
        if (mu == 0) subtract_conj(grad[1 + mu], product, d.mu[mu]);
        else add_conj(grad[1 + mu], product, d.mu[mu]);
        add_conj(moment, load(g + (12 + 2 * mu) * stride, stride), d.mu[mu]);
    }
    Complex through{};
    add_conj(through, moment, f.one);
    grad[0] -= through;
}

struct PairGradient {
    Complex zero, one;
    Coord momentum[4];
};

// Adds a component of a gradient to a momentum: its real part where momenta are real.
#if COMPLEX_MOMENTA
INLINE void add_part(Coord& sum, Complex a, Complex b) { add_conj(sum, a, b); }
#else
INLINE void add_part(Coord& sum, Complex a, Complex b) {
    sum += a.re * b.re;
    sum += a.im * b.im;
}
#endif

// Gradients with respect to the factors and the momentum difference of one message of a channel: x are the features
// of the source, g the gradients of the target's sums, d = p(target) - p(source).
template <bool MOMENTA>
INLINE void message_gradient(PairGradient& grad, Factors f, const T* x, const T* g, size_t stride, const Difference& d) {
    Complex s = load(x, stride), product{}, moment{};
    Complex to_product = load(g + 10 * stride, stride);
    add_conj(grad.zero, load(g, stride), s);
    Complex weighted = f.one * s, back{};
    if (MOMENTA) add_conj(back, to_product, f.one);
    for (int mu = 0; mu < 4; ++mu) {
        Complex v = load(x + (2 + 2 * mu) * stride, stride);
        Complex to_moment = load(g + (12 + 2 * mu) * stride, stride);
        add_conj(grad.zero, load(g + (2 + 2 * mu) * stride, stride), v);
        if (mu == 0) add(product, v, d.mu[mu]);
        else subtract(product, v, d.mu[mu]);
        add_conj(moment, to_moment, d.mu[mu]);
        if (MOMENTA) {
            add_part(grad.momentum[mu], to_moment, weighted);
            add_part(grad.momentum[mu], mu == 0 ? back : Complex{-back.re, -back.im}, v);
        }
    }
    add_conj(grad.one, to_product, product);
    add_conj(grad.one, moment, s);
}

class SumBackward {
  public:
    SumBackward(const SumInputs& in, const SumGradients& out) : in_(in), out_(out) {}

    // Begins a group of jets: the gradients of the radial parameters are kept as registers until it ends.
    void begin_group() {
        size_t count = (in_.radial.bells * (MIXED + 1) + MIXED) * VR;
        std::memset(parameters_.reserve(count), 0, count * sizeof(R));
    }

    // Gradients of squared widths, weights (bells, MIXED) and biases, one after another.
    void end_group(R* out) {
        size_t count = (in_.radial.bells * (MIXED + 1) + MIXED);
        const R* row = parameters_.reserve(0);
        for (size_t i = 0; i < count; ++i) out[i] = Simd<R>::sum(Simd<R>::load(row + i * VR));
    }

    // `upstream` are the gradients of the sums of this jet's nodes.
    void jet(size_t begin, size_t n, const T* upstream) {
        Shape shape(n);
        prepare(shape, begin, upstream);
        size_t per_distance = (OUT * (shape.stride + shape.row) + PARTS * (in_.radial.bells + 2) * shape.row) * sizeof(R);
        size_t chunk = BACKWARD_BYTES / per_distance;
        if (chunk < 1) chunk = 1;
        for (size_t k = 1; 2 * k <= n; k += chunk)
            walk(shape, k, k + chunk < n / 2 + 1 ? k + chunk : n / 2 + 1);
        write(shape, begin);
    }

  private:
    void prepare(const Shape& shape, size_t begin, const T* upstream) {
        size_t stride = shape.stride;
        p_ = momenta_.reserve(COORDS * stride);
        x_ = features_.reserve(TAU * IN * stride);
        g_ = upstream_.reserve(TAU * SUMS * stride);
        transpose(g_, TAU * SUMS, upstream, PACKED_SUMS, shape, [](int i) { return sum_column(i / SUMS, i % SUMS); });
        read_nodes(in_.momenta + begin * COORDS, in_.features + begin * FEATURES, shape, p_, x_);
        repeat(g_, TAU * SUMS, shape);
        grad_x_ = grad_features_.reserve(TAU * IN * shape.row);
        std::memset(grad_x_, 0, TAU * IN * shape.row * sizeof(T));
        if (!out_.momenta) return;
        grad_p_ = grad_momenta_.reserve(2 * COORDS * stride);
        std::memset(grad_p_, 0, 2 * COORDS * stride * sizeof(T));
    }

    void walk(const Shape& shape, size_t first, size_t end) {
        size_t distances = end - first, length = distances * shape.row;
        R* f = factors_.reserve(distances * OUT * shape.stride);
        R* argument = arguments_.reserve(PARTS * length);
        R* bells = bells_.reserve(PARTS * in_.radial.bells * length);
        R* grad_f = grad_factors_.reserve(OUT * length);
        for (size_t k = first; k < end; ++k) {
            size_t at = (k - first) * shape.row;
            R* const parts[2] = {argument + at, argument + (PARTS - 1) * length + at};
            arguments(p_, shape, k, parts);
            for (int part = 0; part < PARTS; ++part)
                radial_factors<true>(in_.radial, parts[part], part, shape, k, f + (k - first) * OUT * shape.stride,
                               bells + part * in_.radial.bells * length + at, length);
        }
        feature_gradients(shape, f, first, end);
        for (size_t k = first; k < end; ++k) {
            const R* rows = f + (k - first) * OUT * shape.stride;
            if (out_.momenta) pair_gradients<true>(shape, rows, k, grad_f + (k - first) * shape.row, length);
            else pair_gradients<false>(shape, rows, k, grad_f + (k - first) * shape.row, length);
        }
        for (int part = 0; part < PARTS; ++part) {
            const R* kept = bells + part * in_.radial.bells * length;
            bell_gradients(argument + part * length, kept, grad_f + part * length, length);
            mixture_gradients(kept, grad_f + part * length, length);
        }
        if (!out_.momenta) return;
        for (size_t k = first; k < end; ++k)
            square_gradients(shape, k, argument + (k - first) * shape.row, length);
    }

    void feature_gradients(const Shape& shape, const R* f, size_t first, size_t end) {
        size_t stride = shape.stride;
        for (int c = 0; c < TAU; ++c)
            for (size_t i = 0; i < shape.n; i += V) {
                T* at = grad_x_ + c * IN * shape.row + i;
                const T* g = g_ + c * SUMS * stride;
                Complex total[5];
                for (int o = 0; o < 5; ++o) total[o] = load(at + 2 * o * shape.row, shape.row);
                for (size_t k = first; k < end; ++k) {
                    const R* rows = f + (k - first) * OUT * stride;
                    size_t j = i + k;
                    if (2 * k != shape.n)
                        collect_back(total, factors(rows + i, stride, c), g + j, stride, difference(p_, stride, i, j));
                    j = i + shape.n - k;
                    collect_back(total, factors(rows + j, stride, c), g + j, stride, difference(p_, stride, i, j));
                }
                for (int o = 0; o < 5; ++o) store(at + 2 * o * shape.row, shape.row, total[o]);
            }
    }

    // Gradients of the factors of the pairs {i, i + k}, and of their momenta except through the invariants.
    template <bool MOMENTA>
    void pair_gradients(const Shape& shape, const R* rows, size_t k, R* grad_f, size_t length) {
        size_t stride = shape.stride, last = shape.n / V * V;
        bool both = 2 * k != shape.n;
        for (size_t i = 0; i < shape.n; i += V) {
            Difference d = difference(p_, stride, i, i + k), opposite = -d;
            Coord along[4] = {}, back[4] = {};
            for (int c = 0; c < TAU; ++c) {
                const T *x = x_ + c * IN * stride + i, *g = g_ + c * SUMS * stride + i;
                Factors f = factors(rows + i, stride, c);
                PairGradient grad{};
                message_gradient<MOMENTA>(grad, f, x + k, g, stride, d);
                if (MOMENTA) keep(along, grad.momentum);
                if (both) {
                    message_gradient<MOMENTA>(grad, f, x, g + k, stride, opposite);
                    if (MOMENTA) keep(back, grad.momentum);
                }
                store_factor(grad_f + i, c, length, grad.zero, i == last ? shape.n - last : size_t(V));
                store_factor(grad_f + i, TAU + c, length, grad.one, i == last ? shape.n - last : size_t(V));
            }
            if (MOMENTA) scatter(shape, i, k, along, back, i == last ? shape.n - last : size_t(V));
        }
        for (int o = 0; o < OUT; ++o)
            for (size_t i = (shape.n + V - 1) / V * V; i < shape.row; ++i) grad_f[o * length + i] = 0;
    }

    static INLINE void keep(Coord total[4], Coord grad[4]) {
        for (int mu = 0; mu < 4; ++mu) {
            total[mu] += grad[mu];
            grad[mu] = Coord{};
        }
    }

    // Lanes behind the last pair hold repetitions and must not count.
    static INLINE vec only(vec value, size_t lanes) {
        for (size_t lane = lanes; lane < size_t(V); ++lane) value[lane] = 0;
        return value;
    }

    static INLINE void store_factor(R* grad_f, int which, size_t length, Complex grad, size_t lanes) {
        if (lanes < size_t(V)) grad = {only(grad.re, lanes), only(grad.im, lanes)};
        Convert<T, R>::store(grad_f + 2 * which * length, grad.re);
        Convert<T, R>::store(grad_f + (2 * which + 1) * length, grad.im);
    }

    INLINE void scatter(const Shape& shape, size_t i, size_t k, const Coord along[4], const Coord back[4], size_t lanes) {
        for (int mu = 0; mu < 4; ++mu) {
#if COMPLEX_MOMENTA
            move(shape, 2 * mu, i, k, along[mu].re - back[mu].re, lanes);
            move(shape, 2 * mu + 1, i, k, along[mu].im - back[mu].im, lanes);
#else
            move(shape, mu, i, k, along[mu] - back[mu], lanes);
#endif
        }
    }

    // A gradient of p_i - p_{i + k}: added to the one and, in a row of its own, to what is taken from the other. In one
    // row, the next pairs would read across what these have just stored.
    INLINE void move(const Shape& shape, int coordinate, size_t i, size_t k, vec grad, size_t lanes) {
        if (lanes < size_t(V)) grad = only(grad, lanes);
        T *row = grad_p_ + coordinate * shape.stride, *other = row + COORDS * shape.stride + k;
        Simd<T>::store(row + i, Simd<T>::load(row + i) + grad);
        Simd<T>::store(other + i, Simd<T>::load(other + i) + grad);
    }

    // From the gradients of the mixtures to those of the widths and, in place of the arguments, of the arguments.
    void bell_gradients(R* argument, const R* bells, const R* grad_f, size_t length) {
        const Radial& f = in_.radial;
        R *grad_width = parameters_.reserve(0), *grad_bias = grad_width + f.bells * (MIXED + 1) * VR;
        for (size_t i = 0; i < length; i += VR) {
            rvec x = Simd<R>::load(argument + i), grad_x{}, grad[MIXED];
            for (int o = 0; o < MIXED; ++o) {
                grad[o] = Simd<R>::load(grad_f + o * PARTS * length + i);
                Simd<R>::store(grad_bias + o * VR, Simd<R>::load(grad_bias + o * VR) + grad[o]);
            }
            for (size_t b = 0; b < f.bells; ++b) {
                rvec bell = Simd<R>::load(bells + b * length + i), even{}, odd{};
                const R* weight = f.weight + b * MIXED;
                for (int o = 0; o < MIXED; o += 2) {
                    even += weight[o] * grad[o];
                    odd += weight[o + 1] * grad[o + 1];
                }
                rvec slope = (even + odd) * bell * bell;
                grad_x -= f.squared_width[b] * slope;
                Simd<R>::store(grad_width + b * VR, Simd<R>::load(grad_width + b * VR) - x * slope);
            }
            Simd<R>::store(argument + i, grad_x);
        }
    }

    void mixture_gradients(const R* bells, const R* grad_f, size_t length) {
        R* grad_weight = parameters_.reserve(0) + in_.radial.bells * VR;
        size_t b = 0, count = in_.radial.bells;
        for (int o = 0; o < MIXED; o += 2) {
            for (b = 0; b + 5 <= count; b += 5) mixture_block<5>(bells, grad_f, grad_weight, o, b, length);
            for (; b < count; ++b) mixture_block<1>(bells, grad_f, grad_weight, o, b, length);
        }
    }

    template <int BELLS>
    void mixture_block(const R* bells, const R* grad_f, R* grad_weight, int o, size_t b, size_t length) {
        rvec total[2][BELLS] = {};
        const R* row = grad_f + o * PARTS * length;
        for (size_t i = 0; i < length; i += VR) {
            rvec first = Simd<R>::load(row + i), second = Simd<R>::load(row + PARTS * length + i);
            for (int j = 0; j < BELLS; ++j) {
                rvec bell = Simd<R>::load(bells + (b + j) * length + i);
                total[0][j] += first * bell;
                total[1][j] += second * bell;
            }
        }
        for (int j = 0; j < BELLS; ++j)
            for (int t = 0; t < 2; ++t) {
                R* at = grad_weight + ((b + j) * MIXED + o + t) * VR;
                Simd<R>::store(at, Simd<R>::load(at) + total[t][j]);
            }
    }

    // Gradients of the momenta through the invariants p_ij^2.
    void square_gradients(const Shape& shape, size_t k, const R* grad_argument, size_t length) {
        size_t last = shape.n / V * V;
        for (size_t i = 0; i < shape.n; i += V) {
            Difference d = difference(p_, shape.stride, i, i + k);
            size_t lanes = i == last ? shape.n - last : size_t(V);
            vec along = 2 * Convert<T, R>::load(grad_argument + i);
#if COMPLEX_MOMENTA
            vec across = 2 * Convert<T, R>::load(grad_argument + length + i), re{}, im{};
            for (int mu = 0; mu < 4; ++mu) {
                vec square = d.mu[mu].re * d.mu[mu].re - d.mu[mu].im * d.mu[mu].im;
                vec product = d.mu[mu].re * d.mu[mu].im;
                re = mu == 0 ? square : re - square;
                im = mu == 0 ? product : im - product;
            }
            along *= sign(re);
            across *= sign(im);
            for (int mu = 0; mu < 4; ++mu) {
                vec first = along * d.mu[mu].re + across * d.mu[mu].im;
                vec second = across * d.mu[mu].re - along * d.mu[mu].im;
                move(shape, 2 * mu, i, k, mu == 0 ? first : -first, lanes);
                move(shape, 2 * mu + 1, i, k, mu == 0 ? second : -second, lanes);
            }
#else
            (void)length;
            vec square = d.mu[0] * d.mu[0];
            for (int mu = 1; mu < 4; ++mu) square -= d.mu[mu] * d.mu[mu];
            along *= sign(square);
            for (int mu = 0; mu < 4; ++mu) move(shape, mu, i, k, mu == 0 ? along * d.mu[mu] : -along * d.mu[mu], lanes);
#endif
        }
    }

    static INLINE vec sign(vec x) {
        vec one = vec{} + T(1);
        return x > 0 ? one : (x < 0 ? -one : vec{});
    }

    void write(const Shape& shape, size_t begin) {
        for (int c = 0; c < TAU; ++c)
            for (int o = 0; o < IN; ++o) {
                const T* row = grad_x_ + (c * IN + o) * shape.row;
                T* column = out_.features + begin * FEATURES + feature_column(c, o);
                for (size_t i = 0; i < shape.n; ++i) column[i * FEATURES] += row[i];
            }
        if (!out_.momenta) return;
        for (size_t i = 0; i < shape.n; ++i)
            for (int mu = 0; mu < COORDS; ++mu) {
                const T *row = grad_p_ + mu * shape.stride + i, *other = row + COORDS * shape.stride;
                out_.momenta[(begin + i) * COORDS + mu] = row[0] - (other[0] + other[shape.n]);
            }
    }

    SumInputs in_;
    SumGradients out_;
    T *p_, *x_, *g_, *grad_x_, *grad_p_;
    Buffer<T> momenta_, features_, upstream_, grad_features_, grad_momenta_;
    Buffer<R> factors_, arguments_, bells_, grad_factors_, parameters_;
};
