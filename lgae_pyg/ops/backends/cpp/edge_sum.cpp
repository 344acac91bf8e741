// The sum over the neighbours of an edge network; see lgae_pyg/ops/edge_networks.py for the formulas. The pairs of one
// particle with some others go through all layers while they are in the first-level cache; the backward pass computes
// the layers again.
#include <algorithm>
#include <cstring>
#include <memory>

#include "tasks.h"
#include "tiles.h"

namespace {

typedef COMPUTE T;
typedef Simd<T>::vec vec;
constexpr int V = Simd<T>::lanes;
constexpr int SIZES[] = {WIDTHS};  // outputs of the layers
constexpr int LAYERS = int(sizeof SIZES / sizeof *SIZES);
constexpr int FIRST = SIZES[0], LAST = SIZES[LAYERS - 1];
constexpr int PAIRS = 32;  // that go through together

constexpr int padded(int size) { return (size + V - 1) / V * V; }
constexpr int wide(int layer) { return padded(SIZES[layer]); }
constexpr int widest() {
    int most = 0;
    for (int size : SIZES) most = std::max(most, padded(size));
    return most;
}
// Numbers in the weights of the distance and in matrices and biases of the layers after the first.
constexpr int parameters() {
    int count = FIRST;
    for (int l = 1; l < LAYERS; ++l) count += SIZES[l] * (SIZES[l - 1] + 1);
    return count;
}

inline vec leaky(vec value, T slope) { return value > 0 ? value : slope * value; }

// Rows of `size` numbers, with zeros up to full registers.
void pad_rows(const T* from, int64_t rows, int size, T* to) {
    int width = padded(size);
    std::memset(to, 0, rows * width * sizeof(T));
    for (int64_t r = 0; r < rows; ++r) std::memcpy(to + r * width, from + r * size, size * sizeof(T));
}

// Weights with padded rows: `forward[l]` is (in, out), `backward[l]` (out, in).
class Weights {
  public:
    Weights(const T* from, T slope, bool norm) : slope(slope), norm(norm) {
        pad_rows(from, 1, FIRST, distance);
        from += FIRST;
        for (int l = 1; l < LAYERS; ++l) {
            int in = SIZES[l - 1], out = SIZES[l];
            T* there = forward_[l].reserve(in * wide(l));
            std::memset(there, 0, in * wide(l) * sizeof(T));
            for (int o = 0; o < out; ++o)
                for (int i = 0; i < in; ++i) there[i * wide(l) + o] = from[o * in + i];
            pad_rows(from, out, in, backward_[l].reserve(out * wide(l - 1)));
            from += out * in;
            pad_rows(from, 1, out, bias_[l].reserve(wide(l)));
            from += out;
        }
    }
    const T* forward(int l) { return forward_[l].reserve(0); }
    const T* backward(int l) { return backward_[l].reserve(0); }
    const T* bias(int l) { return bias_[l].reserve(0); }
    alignas(64) T distance[padded(FIRST)];
    const T slope;
    const bool norm;  // distances instead of their squares

  private:
    Buffer<T> forward_[LAYERS], backward_[LAYERS], bias_[LAYERS];
};

struct Inputs {
    const T *x, *target, *source;
    Weights& weights;
};

// One jet in the layout of the loops, and the layers of a block of pairs.
class Jet {
  public:
    explicit Jet(const Inputs& in) : in_(in) {
        for (int l = 0; l < LAYERS; ++l) layers_[l] = buffers_[l].reserve(PAIRS * wide(l));
    }

    void read(int64_t begin, int64_t count) {
        size = count;
        lanes = (count + V - 1) / V * V;
        x = columns_.reserve(FEATURES * lanes);
        std::memset(x, 0, FEATURES * lanes * sizeof(T));
        for (int64_t j = 0; j < count; ++j)
            for (int k = 0; k < FEATURES; ++k) x[k * lanes + j] = in_.x[(begin + j) * FEATURES + k];
        pad_rows(in_.target + begin * FIRST, count, FIRST, targets_.reserve(count * wide(0)));
        pad_rows(in_.source + begin * FIRST, count, FIRST, sources_.reserve(count * wide(0)));
        distances = distances_.reserve(lanes);
    }

    // Squared distances of all particles from particle i, or distances.
    void measure(int64_t i) {
        for (int64_t j = 0; j < lanes; j += V) {
            vec total{};
            for (int k = 0; k < FEATURES; ++k) {
                vec step = Simd<T>::load(x + k * lanes + j) - x[k * lanes + i];
                total += step * step;
            }
            Simd<T>::store(distances + j, in_.weights.norm ? Simd<T>::root(total + T(1e-12)) : total);
        }
    }

    // All layers of the pairs of i with `pairs` particles from j on.
    void walk(int64_t i, int64_t j, int pairs) {
        const T *target = targets_.reserve(0) + i * wide(0), *source = sources_.reserve(0) + j * wide(0);
        for (int r = 0; r < pairs; ++r)
            for (int c = 0; c < wide(0); c += V) {
                vec sum = Simd<T>::load(target + c) + Simd<T>::load(source + r * wide(0) + c);
                sum += distances[j + r] * Simd<T>::load(in_.weights.distance + c);
                Simd<T>::store(layers_[0] + r * wide(0) + c, leaky(sum, in_.weights.slope));
            }
        up<1>(pairs);
    }

    const T* layer(int l) const { return layers_[l]; }

    int64_t size, lanes;
    T *x, *distances;  // x by columns, each filled up with zeros to full registers

  private:
    template <int L>
    void up(int pairs) {
        if constexpr (L < LAYERS) {
            tiles::multiply<tiles::LAYER, wide(L)>(layers_[L], layers_[L - 1], wide(L - 1), 1, in_.weights.forward(L),
                                                   pairs, SIZES[L - 1], {in_.weights.bias(L), in_.weights.slope});
            up<L + 1>(pairs);
        }
    }

    Inputs in_;
    T* layers_[LAYERS];
    Buffer<T> buffers_[LAYERS], columns_, targets_, sources_, distances_;
};

// Calls work(j, pairs) for blocks of the particles of a jet.
template <class Work>
void over_blocks(int64_t size, Work work) {
    for (int64_t j = 0; j < size; j += PAIRS) work(j, int(std::min<int64_t>(PAIRS, size - j)));
}

class Forward {
  public:
    Forward(const Inputs& in, T* out) : jet_(in), out_(out) {}

    void jet(int64_t begin, int64_t count) {
        jet_.read(begin, count);
        for (int64_t i = 0; i < count; ++i) {
            alignas(64) T total[wide(LAYERS - 1)] = {};
            jet_.measure(i);
            over_blocks(count, [&](int64_t j, int pairs) {
                jet_.walk(i, j, pairs);
                const T* last = jet_.layer(LAYERS - 1);
                for (int c = 0; c < wide(LAYERS - 1); c += V) {
                    vec sum = Simd<T>::load(total + c);
                    for (int r = 0; r < pairs; ++r) sum += Simd<T>::load(last + r * wide(LAYERS - 1) + c);
                    Simd<T>::store(total + c, sum);
                }
            });
            std::memcpy(out_ + (begin + i) * LAST, total, LAST * sizeof(T));
        }
    }

  private:
    Jet jet_;
    T* out_;
};

struct Gradients {
    T *x, *target, *source;
};

class Backward {
  public:
    Backward(const Inputs& in, const T* upstream, const Gradients& out)
        : in_(in), jet_(in), upstream_(upstream), out_(out) {}

    void begin_group() {
        std::memset(distance_, 0, sizeof distance_);
        for (int l = 1; l < LAYERS; ++l) {
            std::memset(matrix_[l].reserve(SIZES[l] * wide(l - 1)), 0, SIZES[l] * wide(l - 1) * sizeof(T));
            std::memset(bias_[l].reserve(wide(l)), 0, wide(l) * sizeof(T));
        }
    }

    void jet(int64_t begin, int64_t count) {
        jet_.read(begin, count);
        T* sources = sources_.reserve(count * wide(0));
        std::memset(sources, 0, count * wide(0) * sizeof(T));
        T* x = columns_.reserve(FEATURES * jet_.lanes);
        std::memset(x, 0, FEATURES * jet_.lanes * sizeof(T));
        T* slopes = slopes_.reserve(jet_.lanes);
        std::memset(slopes, 0, jet_.lanes * sizeof(T));
        for (int64_t i = 0; i < count; ++i) {
            alignas(64) T upstream[wide(LAYERS - 1)], target[wide(0)] = {};
            pad_rows(upstream_ + (begin + i) * LAST, 1, LAST, upstream);
            jet_.measure(i);
            over_blocks(count, [&](int64_t j, int pairs) {
                jet_.walk(i, j, pairs);
                start(upstream, pairs);
                down<LAYERS - 1>(pairs);
                first(j, pairs, target, sources + j * wide(0), slopes + j);
            });
            std::memcpy(out_.target + (begin + i) * FIRST, target, FIRST * sizeof(T));
            move_apart(i, slopes, x);
        }
        for (int64_t j = 0; j < count; ++j) {
            std::memcpy(out_.source + (begin + j) * FIRST, sources + j * wide(0), FIRST * sizeof(T));
            for (int k = 0; k < FEATURES; ++k) out_.x[(begin + j) * FEATURES + k] = x[k * jet_.lanes + j];
        }
    }

    void end_group(T* out) {
        std::memcpy(out, distance_, FIRST * sizeof(T));
        out += FIRST;
        for (int l = 1; l < LAYERS; ++l) {
            for (int o = 0; o < SIZES[l]; ++o, out += SIZES[l - 1])
                std::memcpy(out, matrix_[l].reserve(0) + o * wide(l - 1), SIZES[l - 1] * sizeof(T));
            std::memcpy(out, bias_[l].reserve(0), SIZES[l] * sizeof(T));
            out += SIZES[l];
        }
    }

  private:
    // The gradient of the last layer's sums before the activation.
    void start(const T* upstream, int pairs) {
        const T* last = jet_.layer(LAYERS - 1);
        for (int r = 0; r < pairs; ++r)
            for (int c = 0; c < wide(LAYERS - 1); c += V) {
                vec up = Simd<T>::load(upstream + c);
                vec down = Simd<T>::load(last + r * wide(LAYERS - 1) + c) > 0 ? up : in_.weights.slope * up;
                Simd<T>::store(grad_ + r * wide(LAYERS - 1) + c, down);
            }
    }

    template <int L>
    void down(int pairs) {
        if constexpr (L > 0) {
            T* bias = bias_[L].reserve(0);
            for (int c = 0; c < wide(L); c += V) {
                vec total = Simd<T>::load(bias + c);
                for (int r = 0; r < pairs; ++r) total += Simd<T>::load(grad_ + r * wide(L) + c);
                Simd<T>::store(bias + c, total);
            }
            tiles::multiply<tiles::ADD, wide(L - 1)>(matrix_[L].reserve(0), grad_, 1, wide(L), jet_.layer(L - 1),
                                                     SIZES[L], pairs);
            tiles::multiply<tiles::BACK, wide(L - 1)>(next_, grad_, wide(L), 1, in_.weights.backward(L), pairs, SIZES[L],
                                                      {jet_.layer(L - 1), in_.weights.slope});
            std::swap(grad_, next_);
            down<L - 1>(pairs);
        }
    }

    // From the first layer to its parts: target, source and distance.
    void first(int64_t j, int pairs, T* target, T* source, T* slopes) {
        for (int r = 0; r < pairs; ++r) {
            vec slope{};
            for (int c = 0; c < wide(0); c += V) {
                vec grad = Simd<T>::load(grad_ + r * wide(0) + c);
                Simd<T>::store(target + c, Simd<T>::load(target + c) + grad);
                Simd<T>::store(source + r * wide(0) + c, Simd<T>::load(source + r * wide(0) + c) + grad);
                Simd<T>::store(distance_ + c, Simd<T>::load(distance_ + c) + jet_.distances[j + r] * grad);
                slope += grad * Simd<T>::load(in_.weights.distance + c);
            }
            slopes[r] = Simd<T>::sum(slope);
        }
    }

    // What the distances from particle i, with the given gradients, mean for all positions.
    void move_apart(int64_t i, const T* slopes, T* x) {
        for (int k = 0; k < FEATURES; ++k) {
            const T* position = jet_.x + k * jet_.lanes;
            T* grad = x + k * jet_.lanes;
            vec own{};
            for (int64_t j = 0; j < jet_.lanes; j += V) {
                vec factor = Simd<T>::load(slopes + j);
                if (in_.weights.norm) factor /= Simd<T>::load(jet_.distances + j);
                else factor *= 2;
                vec part = factor * (Simd<T>::load(position + j) - position[i]);
                Simd<T>::store(grad + j, Simd<T>::load(grad + j) + part);
                own += part;
            }
            grad[i] -= Simd<T>::sum(own);
        }
    }

    Inputs in_;
    Jet jet_;
    const T* upstream_;
    Gradients out_;
    alignas(64) T distance_[padded(FIRST)];
    alignas(64) T blocks_[2][PAIRS * widest()];
    T *grad_ = blocks_[0], *next_ = blocks_[1];
    Buffer<T> matrix_[LAYERS], bias_[LAYERS], sources_, columns_, slopes_;
};

}  // namespace

// `parameters` holds the weights of the distance, then matrix and bias of each layer after the first.
extern "C" void edge_sum_forward(const T* x, const T* target, const T* source, const T* parameters, double slope, int norm,
                                 const int64_t* ptr, int64_t jets, T* out, int threads, Parallel parallel) {
    Weights weights(parameters, T(slope), norm != 0);
    Inputs in{x, target, source, weights};
    auto bounds = groups(ptr, jets);
    run_tasks(int64_t(bounds.size()) - 1, {threads, parallel}, [&] {
        return [worker = std::make_unique<Forward>(in, out), &bounds, ptr](int64_t task) {
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                worker->jet(ptr[jet], ptr[jet + 1] - ptr[jet]);
        };
    });
}

extern "C" void edge_sum_backward(const T* x, const T* target, const T* source, const T* given, double slope, int norm,
                                  const int64_t* ptr, int64_t jets, const T* upstream, T* grad_x, T* grad_target,
                                  T* grad_source, T* grad_parameters, int count, Parallel parallel) {
    Weights weights(given, T(slope), norm != 0);
    Inputs in{x, target, source, weights};
    Gradients out{grad_x, grad_target, grad_source};
    Threads threads{count, parallel};
    auto bounds = groups(ptr, jets);
    int64_t tasks = int64_t(bounds.size()) - 1;
    static thread_local Buffer<T> memory;  // kept for the next call
    GroupSums<T> sums(memory, tasks, parameters());
    run_tasks(tasks, threads, [&] {
        return [&, worker = std::make_unique<Backward>(in, upstream, out)](int64_t task) {
            worker->begin_group();
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                worker->jet(ptr[jet], ptr[jet + 1] - ptr[jet]);
            worker->end_group(sums.row(task));
        };
    });
    sums.sum(grad_parameters, threads);
}
