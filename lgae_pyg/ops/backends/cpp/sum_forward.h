// The forward walk over the pairs of a jet; see lgae_pyg/ops/messages.py for the formulas.
#pragma once
#include "pairs.h"

struct SumInputs {
    const T *features, *momenta;
    Radial radial;
};


constexpr size_t FORWARD_BYTES = 1 << 17;  // of radial factors kept at once: half of a small second-level cache


// Adds the messages of one source to the sums of a channel.
INLINE void collect(Complex sums[10], Factors f, const T* x, size_t stride, const Difference& d) {
    Complex s = load(x, stride), product{};
    add(sums[0], f.zero, s);
    for (int mu = 0; mu < 4; ++mu) {
        Complex v = load(x + (2 + 2 * mu) * stride, stride);
        add(sums[1 + mu], f.zero, v);
        if (mu == 0) add(product, v, d.mu[mu]);
        else subtract(product, v, d.mu[mu]);
    }
    add(sums[5], f.one, product);
    Complex weighted = f.one * s;
    for (int mu = 0; mu < 4; ++mu) add(sums[6 + mu], weighted, d.mu[mu]);
}

class SumForward {
  public:
    SumForward(const SumInputs& in, T* out) : in_(in), out_(out) {}

    void jet(size_t begin, size_t n) {
        Shape shape(n);
        T* p = momenta_.reserve(COORDS * shape.stride);
        T* x = features_.reserve(TAU * IN * shape.stride);
        T* sums = sums_.reserve(TAU * SUMS * shape.row);
        read_nodes(in_.momenta + begin * COORDS, in_.features + begin * FEATURES, shape, p, x);
        for (size_t i = 0; i < TAU * SUMS * shape.row; ++i) sums[i] = 0;
        size_t chunk = FORWARD_BYTES / (OUT * shape.stride * sizeof(R));
        if (chunk < 1) chunk = 1;
        for (size_t k = 1; 2 * k <= n; k += chunk) {
            size_t end = k + chunk < n / 2 + 1 ? k + chunk : n / 2 + 1;
            walk(shape, p, x, sums, k, end);
        }
        write(shape, sums, begin);
    }

  private:
    void walk(const Shape& shape, const T* p, const T* x, T* sums, size_t first, size_t end) {
        R* f = factors_.reserve((end - first) * OUT * shape.stride);
        R* argument = arguments_.reserve(PARTS * shape.row);
        for (size_t k = first; k < end; ++k) {
            R* const parts[2] = {argument, argument + (PARTS - 1) * shape.row};
            arguments(p, shape, k, parts);
            for (int part = 0; part < PARTS; ++part)
                radial_factors<false>(in_.radial, parts[part], part, shape, k, f + (k - first) * OUT * shape.stride, nullptr, 0);
        }
        for (int c = 0; c < TAU; ++c)
            for (size_t i = 0; i < shape.n; i += V) {
                T* at = sums + c * SUMS * shape.row + i;
                const T* sources = x + c * IN * shape.stride;
                Complex total[10];
                for (int o = 0; o < 10; ++o) total[o] = load(at + 2 * o * shape.row, shape.row);
                for (size_t k = first; k < end; ++k) {
                    const R* rows = f + (k - first) * OUT * shape.stride;
                    size_t j = i + k;
                    collect(total, factors(rows + i, shape.stride, c), sources + j, shape.stride,
                            difference(p, shape.stride, i, j));
                    if (2 * k == shape.n) continue;
                    j = i + shape.n - k;
                    collect(total, factors(rows + j, shape.stride, c), sources + j, shape.stride,
                            difference(p, shape.stride, i, j));
                }
                for (int o = 0; o < 10; ++o) store(at + 2 * o * shape.row, shape.row, total[o]);
            }
    }

    void write(const Shape& shape, const T* sums, size_t begin) {
        for (int c = 0; c < TAU; ++c)
            for (int o = 0; o < SUMS; ++o) {
                const T* row = sums + (c * SUMS + o) * shape.row;
                T* column = out_ + begin * PACKED_SUMS + sum_column(c, o);
                for (size_t i = 0; i < shape.n; ++i) column[i * PACKED_SUMS] = row[i];
            }
    }

    SumInputs in_;
    T* out_;
    Buffer<T> momenta_, features_, sums_;
    Buffer<R> factors_, arguments_;
};
