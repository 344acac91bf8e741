// Four complex numbers, the components of a four-vector, as one vector of eight: real and imaginary parts side by side.
#pragma once
#include <cstdint>
#include <type_traits>

#include "simd.h"

typedef FEATURE T;
typedef T vec8 __attribute__((vector_size(8 * sizeof(T))));
typedef T unaligned8 __attribute__((vector_size(8 * sizeof(T)), aligned(alignof(T)), may_alias));
#if defined(__clang__)
inline vec8 swapped(vec8 x) { return __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6); }
#else
typedef std::conditional<sizeof(T) == 8, int64_t, int32_t>::type lane_t;
typedef lane_t index8 __attribute__((vector_size(8 * sizeof(T))));
inline vec8 swapped(vec8 x) { return __builtin_shuffle(x, index8{1, 0, 3, 2, 5, 4, 7, 6}); }
#endif
inline vec8 load(const T* x) { return *reinterpret_cast<const unaligned8*>(x); }
inline void store(T* x, vec8 value) { *reinterpret_cast<unaligned8*>(x) = value; }
// i z
inline vec8 times_i(vec8 z) { return swapped(z) * vec8{-1, 1, -1, 1, -1, 1, -1, 1}; }
inline vec8 lower(vec8 v) { return v * vec8{1, 1, -1, -1, -1, -1, -1, -1}; }
inline vec8 times(T re, T im, vec8 z) { return re * z + im * times_i(z); }
inline T sum(vec8 v) { return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])); }
