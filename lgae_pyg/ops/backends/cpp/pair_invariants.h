// The two invariants of pairs of four-vectors, psi(|x_i - x_j|^2) and psi(<x_i, x_j>) with psi(q) = sgn(q) log(1 + |q|), and
// their derivatives. Squares of differences of hard collinear momenta cancel, so they are formed in double precision.
#pragma once
#include <algorithm>

#include "asinh.h"

constexpr int PAIRS = 64;  // that go through together

typedef double four __attribute__((vector_size(32), aligned(8), may_alias));

inline double minkowski(four a, four b) {
    four product = a * b;
    return product[0] - product[1] - product[2] - product[3];
}

// log(1 + |q|) = log(u) + (|q| - (u - 1)) / u with u = 1 + |q| rounded.
template <class T>
inline void psi(T* values, T* slopes) {
    typedef typename Simd<T>::vec vec;
    for (int r = 0; r < PAIRS; r += Simd<T>::lanes) {
        vec q = Simd<T>::load(values + r), size = q < 0 ? -q : q, u = 1 + size;
        vec result = logarithm<T>(u) + (size - (u - 1)) / u, slope = 1 / u;
        Simd<T>::store(values + r, q < 0 ? -result : result);
        Simd<T>::store(slopes + r, size > 0 ? slope : slope - slope);  // as PyTorch's sgn and abs have it
    }
}

// Pairs of one jet in blocks, sorted by target i: all j != i, or each pair once, j < i.
template <class T, bool ONCE = false>
struct PairBlock {
    int count;
    int64_t target[PAIRS], source[PAIRS];
    four apart[PAIRS];  // x_i - x_j
    alignas(64) T values[2][PAIRS], slopes[2][PAIRS];

    // Calls work() for every block.
    template <class Work>
    void over(const double* x, int64_t size, Work work) {
        i_ = ONCE;
        j_ = !ONCE;
        for (; i_ < size && size > 1; work()) read(x, size);
    }

    // Adds to the gradient of the four-vectors what the gradients of the invariants, and of x_i - x_j, are in them.
    template <class G>
    void move(const double* x, const G (*grads)[PAIRS], const four* grad_apart, double* grad_x) const {
        const four metric = {1, -1, -1, -1};
        for (int r = 0; r < count; ++r) {
            double square = double(grads[0][r] * slopes[0][r]), product = double(grads[1][r] * slopes[1][r]);
            four step = 2 * square * metric * apart[r], turn = product * metric;
            if (grad_apart) step += grad_apart[r];
            four &here = at(grad_x, target[r]), &there = at(grad_x, source[r]);
            here += step + turn * at(x, source[r]);
            there += turn * at(x, target[r]) - step;
        }
    }

    static const four& at(const double* x, int64_t i) { return reinterpret_cast<const four*>(x)[i]; }
    static four& at(double* x, int64_t i) { return reinterpret_cast<four*>(x)[i]; }

  private:
    void read(const double* x, int64_t size) {
        for (count = 0; count < PAIRS && i_ < size; ++count) {
            target[count] = i_;
            source[count] = j_;
            if (j_ += !ONCE && j_ + 1 == i_ ? 2 : 1; j_ >= (ONCE ? i_ : size)) {
                ++i_;
                j_ = !ONCE && i_ == 0;
            }
        }
        for (int r = 0; r < count; ++r) {
            four here = at(x, target[r]), there = at(x, source[r]);
            apart[r] = here - there;
            values[0][r] = T(minkowski(apart[r], apart[r]));
            values[1][r] = T(minkowski(here, there));
        }
        for (int k = 0; k < 2; ++k) {
            for (int r = count; r < PAIRS; ++r) values[k][r] = 0;
            psi(values[k], slopes[k]);
        }
    }

    int64_t i_, j_;  // the next pair
};
