// The inverse hyperbolic sine on whole registers.
#pragma once
#include <type_traits>

#include "simd.h"

// log(x) for normal x > 0: x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh(t) with t = (m - 1) / (m + 1), whose
// series in t^2 <= 0.0295 ends below the last digit after 10 terms (5 in single precision).
template <class T>
inline typename Simd<T>::vec logarithm(typename Simd<T>::vec x) {
    typedef typename Simd<T>::vec vec;
    typedef typename std::conditional<sizeof(T) == 8, int64_t, int32_t>::type Int;
    typedef Int ivec __attribute__((vector_size(REGISTER)));
    constexpr int mantissa = sizeof(T) == 8 ? 52 : 23, terms = sizeof(T) == 8 ? 10 : 5;
    constexpr Int half_root = sizeof(T) == 8 ? Int(0x3FE6A09E667F3BCD) : Int(0x3F3504F3);  // sqrt(1/2)
    ivec bits = (ivec)x, exponent = (bits - half_root) >> mantissa;
    vec m = (vec)(bits - (exponent << mantissa));
    vec t = (m - T(1)) / (m + T(1)), square = t * t, sum = vec{} + T(1) / T(2 * terms + 1);
    for (int k = terms - 1; k >= 1; --k) sum = sum * square + T(1) / T(2 * k + 1);
    vec e = __builtin_convertvector(exponent, vec);
    return e * T(0.693147180559945309417232) + (2 * t + 2 * t * square * sum);
}

// asinh(x) = sign(x) log1p(y), y = |x| + x^2 / (1 + sqrt(1 + x^2)), where log1p(y) = log(u) + (y - (u - 1)) / u with u = 1 + y
// rounded; log(2 |x|) for large |x|, whose square might overflow. What is not finite becomes NaN.
template <class T>
inline typename Simd<T>::vec inverse_sinh(typename Simd<T>::vec x) {
    typedef typename Simd<T>::vec vec;
    const T limit = sizeof(T) == 8 ? T(1e9) : T(1e5);
    vec size = x < 0 ? -x : x, one = vec{} + T(1);
    vec small = size < limit ? size : one, square = small * small;
    vec y = small + square / (1 + Simd<T>::root(1 + square)), u = 1 + y;
    vec rest = (y - (u - 1)) / u;
    vec result = logarithm<T>(size < limit ? u : size + size) + (size < limit ? rest : vec{});
    return (x < 0 ? -result : result) + (x - x);
}
