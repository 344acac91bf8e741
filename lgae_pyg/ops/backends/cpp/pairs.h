// Pairs of one jet: layout, geometry and radial factors.
//
// Unordered pairs {i, i + k mod n} are walked by their distance k = 1 ... n / 2 in the list, with SIMD lanes over i:
// each pair comes once (twice for 2 k = n, when one direction is taken each time), and whatever belongs to i + k or
// i - k is again contiguous, because every row is stored with its beginning repeated behind its end.
#pragma once
#include "simd.h"

typedef FEATURE T;  // momenta, features and sums
typedef RADIAL R;   // bells and their mixtures
constexpr int TAU = CHANNELS;
constexpr int PARTS = COMPLEX_MOMENTA ? 2 : 1;  // real numbers per momentum component, and arguments of the bells
constexpr int COORDS = 4 * PARTS;
constexpr int OUT = 4 * TAU;          // radial factors of a pair: degree, channel, real and imaginary part
constexpr int MIXED = OUT / PARTS;    // mixtures of the bells of one argument
constexpr int IN = 10;                // real numbers per node and channel: scalar and vector
constexpr int SUMS = 20;              // the four sums: scalar, vector, scalar, vector
constexpr int V = Simd<T>::lanes;
constexpr int VR = Simd<R>::lanes;
typedef Simd<T>::vec vec;
typedef Simd<R>::vec rvec;
#define INLINE inline __attribute__((always_inline))

struct Complex {
    vec re, im;
};
INLINE Complex load(const T* x, size_t stride) { return {Simd<T>::load(x), Simd<T>::load(x + stride)}; }
INLINE void store(T* x, size_t stride, Complex z) {
    Simd<T>::store(x, z.re);
    Simd<T>::store(x + stride, z.im);
}
INLINE Complex operator*(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
INLINE Complex conj(Complex a) { return {a.re, -a.im}; }
INLINE Complex operator*(vec a, Complex b) { return {a * b.re, a * b.im}; }
INLINE void operator+=(Complex& a, Complex b) {
    a.re += b.re;
    a.im += b.im;
}
INLINE void operator-=(Complex& a, Complex b) {
    a.re -= b.re;
    a.im -= b.im;
}
// a += b c and a += b conj(c), as multiply-adds.
INLINE void add(Complex& a, Complex b, Complex c) {
    a.re += b.re * c.re;
    a.re -= b.im * c.im;
    a.im += b.re * c.im;
    a.im += b.im * c.re;
}
INLINE void add_conj(Complex& a, Complex b, Complex c) {
    a.re += b.re * c.re;
    a.re += b.im * c.im;
    a.im += b.im * c.re;
    a.im -= b.re * c.im;
}

// A component of a momentum difference: real, or complex in decoders.
#if COMPLEX_MOMENTA
typedef Complex Coord;
INLINE Coord coordinate(const T* p, size_t stride, int mu) { return load(p + 2 * mu * stride, stride); }
INLINE Coord operator-(Coord a, Coord b) { return {a.re - b.re, a.im - b.im}; }
INLINE Coord operator-(Coord a) { return {-a.re, -a.im}; }
INLINE void subtract(Complex& a, Complex b, Complex c) {
    a.re -= b.re * c.re;
    a.re += b.im * c.im;
    a.im -= b.re * c.im;
    a.im -= b.im * c.re;
}
INLINE void subtract_conj(Complex& a, Complex b, Complex c) {
    a.re -= b.re * c.re;
    a.re -= b.im * c.im;
    a.im -= b.im * c.re;
    a.im += b.re * c.im;
}
#else
typedef vec Coord;
INLINE Coord coordinate(const T* p, size_t stride, int mu) { return Simd<T>::load(p + mu * stride); }
INLINE void add(Complex& a, Complex b, vec c) {
    a.re += b.re * c;
    a.im += b.im * c;
}
INLINE void subtract(Complex& a, Complex b, vec c) {
    a.re -= b.re * c;
    a.im -= b.im * c;
}
INLINE void add_conj(Complex& a, Complex b, vec c) { add(a, b, c); }
INLINE void subtract_conj(Complex& a, Complex b, vec c) { subtract(a, b, c); }
#endif

struct Difference {
    Coord mu[4];
};
INLINE Difference difference(const T* p, size_t stride, size_t i, size_t j) {
    Difference d;
    for (int mu = 0; mu < 4; ++mu) d.mu[mu] = coordinate(p + i, stride, mu) - coordinate(p + j, stride, mu);
    return d;
}
INLINE Difference operator-(Difference d) {
    for (int mu = 0; mu < 4; ++mu) d.mu[mu] = -d.mu[mu];
    return d;
}

// Sizes of the rows of one jet of n particles.
struct Shape {
    size_t n, row, stride;  // row: n rounded up to full registers; stride: of rows with repeated beginning
    explicit Shape(size_t n) : n(n), row((n + VR - 1) / VR * VR), stride((2 * n + VR + 7) / 8 * 8) {}
};

// Where the numbers of channel c stand in the packed features of a node (scalars, then vectors), and in its packed sums
// (scalar from scalar, scalar from vector, vector from vector, vector from scalar); inside, channels are apart, with
// the sums in the order scalar, vector from f^0 and scalar, vector from f^1.
constexpr int FEATURES = IN * TAU, PACKED_SUMS = SUMS * TAU;
INLINE int feature_column(int c, int i) { return i < 2 ? 2 * c + i : 2 * TAU + 8 * c + i - 2; }
INLINE int sum_column(int c, int i) {
    if (i < 2) return 2 * c + i;
    if (i < 10) return 4 * TAU + 8 * c + i - 2;
    if (i < 12) return 2 * TAU + 2 * c + i - 10;
    return 12 * TAU + 8 * c + i - 12;
}

// Transposes node-major data, `step` numbers apart, into rows: number column(r) of each node into row r.
template <class Column>
inline void transpose(T* rows, int count, const T* nodes, size_t step, const Shape& shape, Column column) {
    for (int r = 0; r < count; ++r) {
        T* row = rows + r * shape.stride;
        const T* from = nodes + column(r);
        for (size_t i = 0; i < shape.n; ++i) row[i] = from[i * step];
    }
}

// Repeats the beginning of each row behind its end. Nothing is read that was stored just before in other pieces, for
// which a processor waits long: rows are transposed before, and their last numbers come first.
inline void repeat(T* rows, int count, const Shape& shape) {
    const size_t n = shape.n;
    for (T* row = rows; row < rows + count * shape.stride; row += shape.stride) {
        size_t i = n;
        if (n >= size_t(V)) {
            const vec first = Simd<T>::load(row);
            for (size_t at = (n - 1) / V * V + V; at > 0; at -= V)
                Simd<T>::store(row + n + at - V, Simd<T>::load(row + at - V));
            Simd<T>::store(row + 2 * n, first);
            i = 2 * n + V;
        }
        for (; i < shape.stride; ++i) row[i] = row[i - n];
    }
}

// Momenta and features of the nodes of a jet as rows.
inline void read_nodes(const T* momenta, const T* features, const Shape& shape, T* p, T* x) {
    transpose(p, COORDS, momenta, COORDS, shape, [](int i) { return i; });
    transpose(x, TAU * IN, features, FEATURES, shape, [](int i) { return feature_column(i / IN, i % IN); });
    repeat(p, COORDS, shape);
    repeat(x, TAU * IN, shape);
}

struct Radial {
    size_t bells;
    const R *squared_width, *weight, *bias;  // weight: (bells, MIXED)

    // The three one after another.
    Radial(const R* from, size_t bells)
        : bells(bells), squared_width(from), weight(from + bells), bias(from + bells * (MIXED + 1)) {}
    size_t parameters() const { return bells * (MIXED + 1) + MIXED; }
};

// The arguments of the bells, |p_ij^2| or |Re p_ij^2| and |Im p_ij^2|, of the pairs {i, i + k}.
inline void arguments(const T* p, const Shape& shape, size_t k, R* const out[PARTS]) {
    for (size_t i = 0; i < shape.row; i += V) {
        Difference d = difference(p, shape.stride, i, i + k);
#if COMPLEX_MOMENTA
        vec re = d.mu[0].re * d.mu[0].re - d.mu[0].im * d.mu[0].im, im = d.mu[0].re * d.mu[0].im;
        for (int mu = 1; mu < 4; ++mu) {
            re -= d.mu[mu].re * d.mu[mu].re - d.mu[mu].im * d.mu[mu].im;
            im -= d.mu[mu].re * d.mu[mu].im;
        }
        im *= 2;
        Convert<T, R>::store(out[0] + i, re < 0 ? -re : re);
        Convert<T, R>::store(out[1] + i, im < 0 ? -im : im);
#else
        vec square = d.mu[0] * d.mu[0];
        for (int mu = 1; mu < 4; ++mu) square -= d.mu[mu] * d.mu[mu];
        Convert<T, R>::store(out[0] + i, square < 0 ? -square : square);
#endif
    }
}

// Radial factors of the pairs {i, i + k} from their arguments x, as rows whose first n - k numbers are
// repeated behind the last. With KEEP,
// the bells r = 1 / (1 + c^2 x) are kept, one row of stride `kept` per bell.
template <bool KEEP>
void radial_factors(const Radial& f, const R* x, int part, const Shape& shape, size_t k, R* out, R* keep, size_t kept) {
    for (size_t i = 0; i < shape.row; i += VR) {
        rvec argument = Simd<R>::load(x + i), mixed[MIXED];
        for (int o = 0; o < MIXED; ++o) mixed[o] = f.bias[o] - rvec{};
        for (size_t b = 0; b < f.bells; ++b) {
            rvec bell = R(1) / (R(1) + f.squared_width[b] * argument);
            if (KEEP) Simd<R>::store(keep + b * kept + i, bell);
            const R* weight = f.weight + b * MIXED;
            for (int o = 0; o < MIXED; ++o) mixed[o] += weight[o] * bell;
        }
        for (int o = 0; o < MIXED; ++o) Simd<R>::store(out + (o * PARTS + part) * shape.stride + i, mixed[o]);
    }
    for (int o = 0; o < MIXED; ++o) {
        R* row = out + (o * PARTS + part) * shape.stride;
        for (size_t i = 0; i + k < shape.n; i += VR) Simd<R>::store(row + shape.n + i, Simd<R>::load(row + i));
    }
}

// The factors f^0, f^1 of one channel.
struct Factors {
    Complex zero, one;
};
INLINE Complex factor(const R* rows, size_t stride, int which) {
    const R* at = rows + which * 2 * stride;
    return {Convert<T, R>::load(at), Convert<T, R>::load(at + stride)};
}
INLINE Factors factors(const R* rows, size_t stride, int channel) {
    return {factor(rows, stride, channel), factor(rows, stride, TAU + channel)};
}
