// The sum of the messages and the mean of the steps over the neighbours in a block of LorentzNet; see
// lgae_pyg/ops/lorentz_edges.py for the formulas. A block of pairs goes through all layers while it is in the cache; the
// backward pass computes the layers again, the last one only if nothing was kept of it.
#include <memory>

#include "lorentz_layers.h"
#include "tasks.h"

namespace {

template <bool MOVES>
class Forward {
  public:
    Forward(const Inputs& in, T* out, double* moved) : jet_(in), out_(out), moved_(moved) {}

    void jet(int64_t begin, int64_t count, char* kept) {
        jet_.read(begin, count);
        T* sums = sums_.reserve(count * WIDE);
        std::memset(sums, 0, count * WIDE * sizeof(T));
        double* moved = moved_ + 4 * begin;
        if (MOVES) std::memset(moved, 0, 4 * count * sizeof(double));
        jet_.pairs.over(jet_.x, count, [&] {
            jet_.walk();
            if (MOVES) jet_.walk_on();
            if (MOVES && kept) kept = std::copy_n(reinterpret_cast<const char*>(&jet_.mover), sizeof(Mover), kept);
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

    void jet(int64_t begin, int64_t count, const char* kept) {
        jet_.read(begin, count);
        T *upstream = ups_.reserve(count * WIDE), *target = targets_.reserve(count * WIDE);
        T* source = sources_.reserve(count * WIDE);
        pad_rows(upstream_ + begin * H, count, upstream);
        for (T* sums : {target, source}) std::memset(sums, 0, count * WIDE * sizeof(T));
        double* x = out_.x + 4 * begin;
        std::memset(x, 0, 4 * count * sizeof(double));
        jet_.pairs.over(jet_.x, count, [&] {
            jet_.walk();
            if (MOVES && kept) {
                std::memcpy(&jet_.mover, kept, sizeof(Mover));
                kept += sizeof(Mover);
            } else if (MOVES) {
                jet_.walk_on();
            }
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
        if (!MOVES) return;
        const Layer& layer = in_.weights.mover;
        const T* shift = in_.weights.shift;
        const LayerGradient& grad = sums.mover;  // of slope 1 behind the layer
        for (int o = 0; o < H; ++o)
            for (int i = 0; i < H; ++i) *to++ = shift[o] * grad.matrix[o * WIDE + i];
        for (int o = 0; o < H; ++o) *to++ = shift[o] * grad.bias[o];
        for (int o = 0; o < H; ++o) {  // phi_x is linear in what it is linear in, of which the sum was taken
            T total = layer.bias[o] * grad.bias[o];
            for (int i = 0; i < H; ++i) total += layer.forward[i * WIDE + o] * grad.matrix[o * WIDE + i];
            *to++ = total;
        }
    }

  private:
    // From the steps of the coordinates to the message.
    void mover(const double* moved) {
        const Weights& w = in_.weights;
        for (int r = 0; r < jet_.pairs.count; ++r) {
            four within;
            jet_.step(r, &within);
            four grad = within * PairBlock<T>::at(moved, jet_.pairs.target[r]) / double(jet_.size - 1);
            apart_[r] = grad * double(jet_.mover.values[r]);
            four product = grad * jet_.pairs.apart[r];
            vec slope = vec{} + T(product[0] + product[1] + product[2] + product[3]);
            for (int v = 0; v < WIDE / V; ++v) {
                auto positive = (jet_.mover.positive[r / Mover::SHARE] & Mover::bit(r, v)) != 0;
                Simd<T>::store(grad_ + r * WIDE + v * V, positive ? slope : vec{});
            }
        }
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
        alignas(64) T invariants[2][WIDE], gate[WIDE];
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

// Numbers of the first block of pairs of each jet, and of all blocks.
std::vector<int64_t> first_blocks(const int64_t* ptr, int64_t jets) {
    std::vector<int64_t> firsts{0};
    for (int64_t jet = 0; jet < jets; ++jet) {
        int64_t size = ptr[jet + 1] - ptr[jet];
        firsts.push_back(firsts.back() + (size * (size - 1) + PAIRS - 1) / PAIRS);
    }
    return firsts;
}

struct Batch {
    const int64_t* ptr;
    int64_t jets;
    char* kept;
    Threads threads;

    // Lets a worker do a jet.
    template <class Worker>
    void pass(Worker& worker, int64_t jet, const std::vector<int64_t>& firsts) const {
        worker.jet(ptr[jet], ptr[jet + 1] - ptr[jet], kept ? kept + firsts[jet] * int64_t(sizeof(Mover)) : nullptr);
    }
};

template <bool MOVES>
void forward(const Inputs& in, const Batch& batch, T* out, double* moved) {
    auto bounds = groups(batch.ptr, batch.jets), firsts = first_blocks(batch.ptr, batch.jets);
    run_tasks(int64_t(bounds.size()) - 1, batch.threads, [&] {
        return [&, worker = std::make_unique<Forward<MOVES>>(in, out, moved)](int64_t task) {
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                batch.pass(*worker, jet, firsts);
        };
    });
}

template <bool MOVES>
void backward(const Inputs& in, const Batch& batch, const T* upstream, const double* moved, const Gradients& out,
              T* grad_parameters) {
    auto bounds = groups(batch.ptr, batch.jets), firsts = first_blocks(batch.ptr, batch.jets);
    int64_t tasks = int64_t(bounds.size()) - 1;
    static thread_local Buffer<T> memory;  // kept for the next call
    GroupSums<T> sums(memory, tasks, parameters(MOVES));
    run_tasks(tasks, batch.threads, [&] {
        return [&, worker = std::make_unique<Backward<MOVES>>(in, upstream, moved, out)](int64_t task) {
            worker->begin_group();
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                batch.pass(*worker, jet, firsts);
            worker->end_group(sums.row(task));
        };
    });
    sums.sum(grad_parameters, batch.threads);
}

}  // namespace

// The numbers of bytes that the forward pass may keep for the backward one.
extern "C" int64_t lorentz_sum_kept(const int64_t* ptr, int64_t jets) {
    return first_blocks(ptr, jets).back() * int64_t(sizeof(Mover));
}

// `kept` is that memory, or null.
extern "C" void lorentz_sum_forward(const double* x, const T* target, const T* source, const T* given, int moves,
                                    double clamp, const int64_t* ptr, int64_t jets, char* kept, T* out, double* moved,
                                    int count, Parallel parallel) {
    auto weights = std::make_unique<Weights>(given, moves != 0);
    (moves ? forward<true> : forward<false>)({x, target, source, *weights, clamp},
                                             {ptr, jets, kept, {count, parallel}}, out, moved);
}

extern "C" void lorentz_sum_backward(const double* x, const T* target, const T* source, const T* given, int moves,
                                     double clamp, const int64_t* ptr, int64_t jets, char* kept, const T* upstream,
                                     const double* moved, double* grad_x, T* grad_target, T* grad_source,
                                     T* grad_parameters, int count, Parallel parallel) {
    auto weights = std::make_unique<Weights>(given, moves != 0);
    (moves ? backward<true> : backward<false>)({x, target, source, *weights, clamp},
                                               {ptr, jets, kept, {count, parallel}}, upstream, moved,
                                               {grad_x, grad_target, grad_source}, grad_parameters);
}
