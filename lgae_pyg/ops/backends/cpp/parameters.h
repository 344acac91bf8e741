// The parameters of a level: from what its module holds to what the kernels use, and the gradients back again.
#pragma once
#include <vector>

#include "products.h"
#if DEPTH > 0
#include "perceptron.h"
#endif

// Where they stand in the list of a level: offsets a, amplitudes b and inverse widths c of the bells, their mixture and
// its bias, both mixing matrices, then matrix and bias of each layer of the perceptron.
namespace place {
enum { offset, amplitude, width, mixture, bias, scalars, vectors, layers };
}

constexpr int SCALAR_PARTS = SCALARS / TAU, VECTOR_PARTS = VECTORS / TAU;  // blocks of columns with a scale of their own

// The radial functions f_o(x) = beta_o + sum_k W_ok (a_k + b_k / (1 + c_k^2 x)), written as `Radial` reads them.
inline void fold_radial(const T* const* from, size_t bells, R* out) {
    const T *a = from[place::offset], *b = from[place::amplitude], *c = from[place::width], *w = from[place::mixture];
    R *mixed = out + bells, *bias = mixed + bells * MIXED;
    for (size_t k = 0; k < bells; ++k) out[k] = R(c[k] * c[k]);
    for (int o = 0; o < MIXED; ++o) {
        T total = from[place::bias][o];
        for (size_t k = 0; k < bells; ++k) {
            total += w[o * bells + k] * a[k];
            mixed[k * MIXED + o] = R(w[o * bells + k] * b[k]);
        }
        bias[o] = R(total);
    }
}

// Gradients of the parameters from those of what they were folded into.
inline void unfold_radial(const T* const* from, size_t bells, const R* grad, T* const* out) {
    const T *a = from[place::offset], *b = from[place::amplitude], *c = from[place::width], *w = from[place::mixture];
    const R *mixed = grad + bells, *bias = mixed + bells * MIXED;
    for (size_t k = 0; k < bells; ++k) {
        T to_offset = 0, to_amplitude = 0;
        for (int o = 0; o < MIXED; ++o) {
            T to_mixed = T(mixed[k * MIXED + o]), to_bias = T(bias[o]), weight = w[o * bells + k];
            to_offset += to_bias * weight;
            to_amplitude += to_mixed * weight;
            out[place::mixture][o * bells + k] = to_mixed * b[k] + to_bias * a[k];
        }
        out[place::offset][k] = to_offset;
        out[place::amplitude][k] = to_amplitude;
        out[place::width][k] = 2 * c[k] * T(grad[k]);
    }
    for (int o = 0; o < MIXED; ++o) out[place::bias][o] = T(bias[o]);
}

// A mixing matrix (out, in) of complex numbers, each block of TAU columns times its scale.
inline void scale_columns(const T* from, int columns, const double* scales, T* to) {
    for (int o = 0; o < TAU_OUT; ++o)
        for (int c = 0; c < columns; ++c)
            for (int part = 0; part < 2; ++part) {
                int at = (o * columns + c) * 2 + part;
                to[at] = T(scales[c / TAU]) * from[at];
            }
}

struct LevelParameters {
    const T* const* from;
    size_t bells;
    const double* scales;  // of the blocks of scalar, then of vector columns
    std::vector<R> radial;
    std::vector<T> mixing;

    LevelParameters(const T* const* from, size_t bells, const double* scales)
        : from(from), bells(bells), scales(scales), radial(bells * (MIXED + 1) + MIXED), mixing(MIXING) {
        fold_radial(from, bells, radial.data());
        scale_columns(from[place::scalars], SCALARS, scales, mixing.data());
        scale_columns(from[place::vectors], VECTORS, scales + SCALAR_PARTS, mixing.data() + 2 * TAU_OUT * SCALARS);
    }

    // From the gradients of what is above to those of the parameters.
    void gradients(const R* grad_radial, const T* grad_mixing, T* const* out) const {
        unfold_radial(from, bells, grad_radial, out);
        scale_columns(grad_mixing, SCALARS, scales, out[place::scalars]);
        scale_columns(grad_mixing + 2 * TAU_OUT * SCALARS, VECTORS, scales + SCALAR_PARTS, out[place::vectors]);
    }
};
