// The sum of the messages and the mean of the steps over the neighbours in a block of LorentzNet; see lgae_pyg/ops/lorentz_edges.py for the formulas. A block of pairs
// goes through all layers while it is in the cache; the backward pass computes the layers again.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "pair_invariants.h"
#include "tasks.h"
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
        if (moves) pad_rows(mover.read(from + H + 1), 1, shift);
    }
};

struct Inputs {
    const double* x;
    const T *target, *source;
    const Weights& weights;
    double clamp;
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

    void walk(int64_t at) {
        const Weights& w = in_.weights;
        pairs.read(x, size, at);
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
        if (!MOVES) return;
        layer(w.mover, message, third);
        for (int r = 0; r < pairs.count; ++r) shift[r] = dot(third + r * WIDE, w.shift);
    }

    // The step of pair r, limited, and whether each of its components is within the limits.
    four step(int r, four* within) const {
        four product = pairs.apart[r] * double(shift[r]), limit = in_.clamp + four{}, one = four{} + 1.0;
        four limited = product > limit ? limit : product < -limit ? -limit : product;
        *within = limited == product ? one : four{};
        return limited;
    }

    PairBlock<T> pairs;
    int64_t size;
    const double* x;
    alignas(64) T first[PAIRS * WIDE], second[PAIRS * WIDE], message[PAIRS * WIDE], third[MOVES ? PAIRS * WIDE : 1];
    T gate[PAIRS], shift[PAIRS];

  private:
    void layer(const Layer& layer, const T* from, T* to) {
        tiles::multiply<tiles::LAYER, WIDE>(to, from, WIDE, 1, layer.forward, pairs.count, H, {layer.bias, T(0)});
    }

    Inputs in_;
    Buffer<T> targets_, sources_;
};

template <bool MOVES>
class Forward {
  public:
    Forward(const Inputs& in, T* out, double* moved) : jet_(in), out_(out), moved_(moved) {}

    void jet(int64_t begin, int64_t count) {
        jet_.read(begin, count);
        T* sums = sums_.reserve(count * WIDE);
        std::memset(sums, 0, count * WIDE * sizeof(T));
        double* moved = moved_ + 4 * begin;
        if (MOVES) std::memset(moved, 0, 4 * count * sizeof(double));
        over_blocks(count, [&](int64_t first) {
            jet_.walk(first);
            over_targets(jet_.pairs, [&](int64_t i, int from, int rows) {
                add_rows(sums + i * WIDE, jet_.message + from * WIDE, rows);
                four total{}, within;
                for (int r = from; MOVES && r < from + rows; ++r) total += jet_.step(r, &within);
                if (MOVES) PairBlock<T>::at(moved, i) += total;
            });
        });
        for (int64_t i = 0; i < count; ++i) std::copy_n(sums + i * WIDE, H, out_ + (begin + i) * H);
        for (int64_t k = 0; MOVES && count > 1 && k < 4 * count; ++k) moved[k] /= double(count - 1);
    }

  private:
    Jet<MOVES> jet_;
    T* out_;
    double* moved_;
    Buffer<T> sums_;
};

struct Gradients {
    double* x;
    T *target, *source;
};

template <bool MOVES>
class Backward {
  public:
    Backward(const Inputs& in, const T* upstream, const double* moved, const Gradients& out)
        : in_(in), jet_(in), upstream_(upstream), moved_(moved), out_(out) {}

    void begin_group() { std::memset(&parameters_, 0, sizeof parameters_); }

    void jet(int64_t begin, int64_t count) {
        jet_.read(begin, count);
        T *upstream = ups_.reserve(count * WIDE), *target = targets_.reserve(count * WIDE);
        T* source = sources_.reserve(count * WIDE);
        pad_rows(upstream_ + begin * H, count, upstream);
        for (T* sums : {target, source}) std::memset(sums, 0, count * WIDE * sizeof(T));
        double* x = out_.x + 4 * begin;
        std::memset(x, 0, 4 * count * sizeof(double));
        over_blocks(count, [&](int64_t first) {
            jet_.walk(first);
            if (MOVES) mover(moved_ + 4 * begin);
            gate(upstream);
            layers(target, source);
            if (FEATURES || MOVES) jet_.pairs.move(jet_.x, invariants_, MOVES ? apart_ : nullptr, x);
        });
        for (int64_t i = 0; i < count; ++i) {
            std::copy_n(target + i * WIDE, H, out_.target + (begin + i) * H);
            std::copy_n(source + i * WIDE, H, out_.source + (begin + i) * H);
        }
    }

    void end_group(T* to) const {
        const Sums& sums = parameters_;
        for (int o = 0; o < H; ++o)
            for (int k = 0; k < FEATURES; ++k) *to++ = sums.invariants[k][o];
        to = std::copy_n(sums.gate, H, sums.message.write(to));
        *to++ = sums.gate_bias;
        if (MOVES) std::copy_n(sums.shift, H, sums.mover.write(to));
    }

  private:
    // From the steps of the coordinates to the message.
    void mover(const double* moved) {
        const Weights& w = in_.weights;
        for (int r = 0; r < jet_.pairs.count; ++r) {
            four within;
            jet_.step(r, &within);
            four grad = within * PairBlock<T>::at(moved, jet_.pairs.target[r]) / double(jet_.size - 1);
            apart_[r] = grad * double(jet_.shift[r]);
            four product = grad * jet_.pairs.apart[r];
            T slope = T(product[0] + product[1] + product[2] + product[3]);
            const T* third = jet_.third + r * WIDE;
            slopes_[r] = slope;
            for (int c = 0; c < WIDE; c += V) {
                vec up = slope * Simd<T>::load(w.shift + c);
                Simd<T>::store(grad_ + r * WIDE + c, Simd<T>::load(third + c) > 0 ? up : vec{});
            }
        }
        add_product(parameters_.shift, slopes_, 1, jet_.third);
        parameters_.mover.add(grad_, jet_.message, jet_.pairs.count);
        tiles::multiply<tiles::SET, WIDE>(next_, grad_, WIDE, 1, w.mover.backward, jet_.pairs.count, H);
    }

    // From the message to the second layer before its activation.
    void gate(const T* upstream) {
        const Weights& w = in_.weights;
        for (int r = 0; r < jet_.pairs.count; ++r) {
            const T *up = upstream + jet_.pairs.target[r] * WIDE, *second = jet_.second + r * WIDE;
            vec sum{}, ups[WIDE / V];
            for (int v = 0; v < WIDE / V; ++v) {
                ups[v] = Simd<T>::load(up + v * V);
                if (MOVES) ups[v] += Simd<T>::load(next_ + r * WIDE + v * V);
                sum += ups[v] * Simd<T>::load(second + v * V);
            }
            T gate = jet_.gate[r], slope = total(sum) * gate * (1 - gate);
            parameters_.gate_bias += slope;
            slopes_[r] = slope;
            for (int v = 0; v < WIDE / V; ++v) {
                vec value = Simd<T>::load(second + v * V);
                vec grad = gate * ups[v] + slope * Simd<T>::load(w.gate + v * V);
                Simd<T>::store(grad_ + r * WIDE + v * V, value > 0 ? grad : vec{});
            }
        }
        add_product(parameters_.gate, slopes_, 1, jet_.second);
    }

    // From there to the terms of the first layer.
    void layers(T* target, T* source) {
        const Weights& w = in_.weights;
        const PairBlock<T>& pairs = jet_.pairs;
        parameters_.message.add(grad_, jet_.first, pairs.count);
        tiles::multiply<tiles::BACK, WIDE>(next_, grad_, WIDE, 1, w.message.backward, pairs.count, H, {jet_.first, T(0)});
        over_targets(pairs, [&](int64_t i, int r, int rows) { add_rows(target + i * WIDE, next_ + r * WIDE, rows); });
        for (int r = 0; r < pairs.count; ++r) {
            const T* grad = next_ + r * WIDE;
            add(source + pairs.source[r] * WIDE, grad);
            for (int k = 0; k < FEATURES; ++k) invariants_[k][r] = dot(grad, w.invariants[k]);
        }
        add_product(parameters_.invariants[0], pairs.values[0], FEATURES, next_);
    }

    // Adds the sums over the pairs of `rows` factors times the rows of a layer.
    void add_product(T* to, const T* factors, int rows, const T* layer) {
        tiles::multiply<tiles::ADD, WIDE>(to, factors, PAIRS, 1, layer, rows, jet_.pairs.count);
    }

    struct Sums {
        alignas(64) T invariants[2][WIDE], gate[WIDE], shift[WIDE];
        LayerGradient message, mover;
        T gate_bias;
    };

    Inputs in_;
    Jet<MOVES> jet_;
    const T* upstream_;
    const double* moved_;
    Gradients out_;
    Sums parameters_;
    four apart_[PAIRS];
    T slopes_[PAIRS];
    alignas(64) T grad_[PAIRS * WIDE], next_[PAIRS * WIDE], invariants_[2][PAIRS] = {};
    Buffer<T> ups_, targets_, sources_;
};

template <bool MOVES>
void forward(const Inputs& in, const int64_t* ptr, int64_t jets, T* out, double* moved, Threads threads) {
    auto bounds = groups(ptr, jets);
    run_tasks(int64_t(bounds.size()) - 1, threads, [&] {
        return [worker = std::make_unique<Forward<MOVES>>(in, out, moved), &bounds, ptr](int64_t task) {
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                worker->jet(ptr[jet], ptr[jet + 1] - ptr[jet]);
        };
    });
}

template <bool MOVES>
void backward(const Inputs& in, const int64_t* ptr, int64_t jets, const T* upstream, const double* moved,
              const Gradients& out, T* grad_parameters, Threads threads) {
    auto bounds = groups(ptr, jets);
    int64_t tasks = int64_t(bounds.size()) - 1;
    static thread_local Buffer<T> memory;  // kept for the next call
    GroupSums<T> sums(memory, tasks, parameters(MOVES));
    run_tasks(tasks, threads, [&] {
        return [&, worker = std::make_unique<Backward<MOVES>>(in, upstream, moved, out)](int64_t task) {
            worker->begin_group();
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                worker->jet(ptr[jet], ptr[jet + 1] - ptr[jet]);
            worker->end_group(sums.row(task));
        };
    });
    sums.sum(grad_parameters, threads);
}

}  // namespace

extern "C" void lorentz_sum_forward(const double* x, const T* target, const T* source, const T* given, int moves,
                                    double clamp, const int64_t* ptr, int64_t jets, T* out, double* moved, int count,
                                    Parallel parallel) {
    auto weights = std::make_unique<Weights>(given, moves != 0);
    (moves ? forward<true> : forward<false>)({x, target, source, *weights, clamp}, ptr, jets, out, moved,
                                             {count, parallel});
}

extern "C" void lorentz_sum_backward(const double* x, const T* target, const T* source, const T* given, int moves,
                                     double clamp, const int64_t* ptr, int64_t jets, const T* upstream,
                                     const double* moved, double* grad_x, T* grad_target, T* grad_source,
                                     T* grad_parameters, int count, Parallel parallel) {
    auto weights = std::make_unique<Weights>(given, moves != 0);
    (moves ? backward<true> : backward<false>)({x, target, source, *weights, clamp}, ptr, jets, upstream, moved,
                                               {grad_x, grad_target, grad_source}, grad_parameters, {count, parallel});
}
