// The layers of the edge network in a block of LorentzNet, on blocks of pairs that stay in the cache; see
// lgae_pyg/ops/lorentz_edges.py for the formulas.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "pair_invariants.h"
#include "tiles.h"

namespace {

typedef COMPUTE T;
typedef Simd<T>::vec vec;
constexpr int V = Simd<T>::lanes, H = HIDDEN, WIDE = (H + V - 1) / V * V;
constexpr int FEATURES = INVARIANTS ? 2 : 0;

// Numbers of the parameters: weights of the invariants, the second layer, the gate, and what moves the coordinates.
constexpr int parameters(bool moves) { return FEATURES * H + H * (H + 1) + H + 1 + (moves ? H * (H + 2) : 0); }

// The sum of the lanes of a vector, by halves.
template <int LANES>
struct Lanes {
    typedef T type __attribute__((vector_size(LANES * sizeof(T))));

    static inline __attribute__((always_inline)) T total(type value) {
        if constexpr (LANES == 2) {
            T lane[2];
            std::memcpy(lane, &value, sizeof lane);
            return lane[0] + lane[1];
        } else {
            typename Lanes<LANES / 2>::type low, high;
            std::memcpy(&low, &value, sizeof low);
            std::memcpy(&high, reinterpret_cast<const char*>(&value) + sizeof low, sizeof high);
            return Lanes<LANES / 2>::total(low + high);
        }
    }
};

inline T total(vec value) { return Lanes<V>::total(value); }

inline T dot(const T* a, const T* b) {
    vec sum{};
    for (int c = 0; c < WIDE; c += V) sum += Simd<T>::load(a + c) * Simd<T>::load(b + c);
    return total(sum);
}

inline void add(T* to, const T* from) {
    for (int c = 0; c < WIDE; c += V) Simd<T>::store(to + c, Simd<T>::load(to + c) + Simd<T>::load(from + c));
}

// Adds up `rows` rows.
inline void add_rows(T* to, const T* from, int rows) {
    vec sum[WIDE / V];
    for (int v = 0; v < WIDE / V; ++v) sum[v] = Simd<T>::load(to + v * V);
    for (int r = 0; r < rows; ++r)
        for (int v = 0; v < WIDE / V; ++v) sum[v] += Simd<T>::load(from + r * WIDE + v * V);
    for (int v = 0; v < WIDE / V; ++v) Simd<T>::store(to + v * V, sum[v]);
}

void pad_rows(const T* from, int64_t rows, T* to) {
    std::memset(to, 0, rows * WIDE * sizeof(T));
    for (int64_t r = 0; r < rows; ++r) std::memcpy(to + r * WIDE, from + r * H, H * sizeof(T));
}

// Calls work(i, first, rows) for the pairs of a block with the same target.
template <class Work>
void over_targets(const PairBlock<T>& pairs, Work work) {
    for (int r = 0, end; r < pairs.count; r = end) {
        for (end = r; end < pairs.count && pairs.target[end] == pairs.target[r];) ++end;
        work(pairs.target[r], r, end - r);
    }
}

// A linear layer, or its gradient, with rows of full registers.
struct Layer {
    alignas(64) T forward[H * WIDE], backward[H * WIDE], bias[WIDE];  // (in, out) and (out, in)

    const T* read(const T* from) {
        std::memset(forward, 0, sizeof forward);
        for (int o = 0; o < H; ++o)
            for (int i = 0; i < H; ++i) forward[i * WIDE + o] = from[o * H + i];
        pad_rows(from, H, backward);
        pad_rows(from + H * H, 1, bias);
        return from + H * (H + 1);
    }
};

struct LayerGradient {
    alignas(64) T matrix[H * WIDE], bias[WIDE];

    void add(const T* grad, const T* input, int rows) {
        add_rows(bias, grad, rows);
        tiles::multiply<tiles::ADD, WIDE>(matrix, grad, 1, WIDE, input, H, rows);
    }
    T* write(T* to) const {
        for (int o = 0; o < H; ++o) to = std::copy_n(matrix + o * WIDE, H, to);
        return std::copy_n(bias, H, to);
    }
};

struct Weights {
    alignas(64) T invariants[2][WIDE] = {}, gate[WIDE], shift[WIDE] = {};
    T gate_bias;
    Layer message, mover;

    Weights(const T* from, bool moves) {
        for (int o = 0; o < H; ++o)
            for (int k = 0; k < FEATURES; ++k) invariants[k][o] = *from++;
        from = message.read(from);
        pad_rows(from, 1, gate);
        gate_bias = from[H];
        if (!moves) return;
        pad_rows(mover.read(from + H + 1), 1, shift);
        for (int o = 0; o < H; ++o)  // from where the layer is linear, back to its input
            for (int i = 0; i < H; ++i) mover.backward[o * WIDE + i] *= shift[o];
    }
};

struct Inputs {
    const double* x;
    const T *target, *source;
    const Weights& weights;
    double clamp;
};

// What moves the coordinates, phi_x = w . max(0, A m + b) of the pairs of a block: its values, and the signs of A m + b,
// in which it is linear. Kept from the forward pass for the backward one, they spare the latter a layer.
struct Mover {
    typedef decltype(vec{} > vec{}) bits;
    static constexpr int VECS = WIDE / V, SHARE = std::max(1, int(8 * sizeof(T)) / VECS);  // pairs in a register of bits

    static bits bit(int r, int v) {
        typedef std::make_unsigned_t<std::remove_reference_t<decltype(bits{}[0])>> Word;
        return bits{} + std::make_signed_t<Word>(Word(1) << (r % SHARE * VECS + v));
    }

    T values[PAIRS];
    bits positive[(PAIRS + SHARE - 1) / SHARE];
};

// One jet, and the layers of a block of its pairs.
template <bool MOVES>
class Jet {
  public:
    explicit Jet(const Inputs& in) : in_(in) {}

    void read(int64_t begin, int64_t count) {
        size = count;
        x = in_.x + 4 * begin;
        pad_rows(in_.target + begin * H, count, targets_.reserve(count * WIDE));
        pad_rows(in_.source + begin * H, count, sources_.reserve(count * WIDE));
    }

    // The layers up to the message.
    void walk() {
        const Weights& w = in_.weights;
        const T *targets = targets_.reserve(0), *sources = sources_.reserve(0);
        for (int r = 0; r < pairs.count; ++r) {
            const T *target = targets + pairs.target[r] * WIDE, *source = sources + pairs.source[r] * WIDE;
            for (int c = 0; c < WIDE; c += V) {
                vec sum = Simd<T>::load(target + c) + Simd<T>::load(source + c);
                for (int k = 0; k < FEATURES; ++k) sum += pairs.values[k][r] * Simd<T>::load(w.invariants[k] + c);
                Simd<T>::store(first + r * WIDE + c, sum > 0 ? sum : T(0) * sum);
            }
        }
        layer(w.message, first, second);
        for (int r = 0; r < pairs.count; ++r) gate[r] = -(dot(second + r * WIDE, w.gate) + w.gate_bias);
        for (int r = 0; r < pairs.count; ++r) gate[r] = 1 / (1 + std::exp(gate[r]));
        for (int r = 0; r < pairs.count; ++r)
            for (int c = r * WIDE; c < (r + 1) * WIDE; c += V)
                Simd<T>::store(message + c, gate[r] * Simd<T>::load(second + c));
    }

    // The last layers, which move the coordinates.
    void walk_on() {
        const Weights& w = in_.weights;
        layer(w.mover, message, third);
        std::memset(mover.positive, 0, sizeof mover.positive);
        for (int r = 0; r < pairs.count; ++r) {
            vec sum{};
            for (int v = 0; v < WIDE / V; ++v) {
                vec value = Simd<T>::load(third + r * WIDE + v * V);
                sum += value * Simd<T>::load(w.shift + v * V);
                mover.positive[r / Mover::SHARE] |= (value > 0) & Mover::bit(r, v);
            }
            mover.values[r] = total(sum);
        }
    }

    // The step of pair r, limited, and whether each of its components is within the limits.
    four step(int r, four* within) const {
        four product = pairs.apart[r] * double(mover.values[r]), limit = in_.clamp + four{}, one = four{} + 1.0;
        four limited = product > limit ? limit : product < -limit ? -limit : product;
        *within = limited == product ? one : four{};
        return limited;
    }

    PairBlock<T> pairs;
    int64_t size;
    const double* x;
    alignas(64) T first[PAIRS * WIDE], second[PAIRS * WIDE], message[PAIRS * WIDE], third[MOVES ? PAIRS * WIDE : 1];
    T gate[PAIRS];
    Mover mover;

  private:
    void layer(const Layer& layer, const T* from, T* to) {
        tiles::multiply<tiles::LAYER, WIDE>(to, from, WIDE, 1, layer.forward, pairs.count, H, {layer.bias, T(0)});
    }

    Inputs in_;
    Buffer<T> targets_, sources_;
};

}  // namespace
