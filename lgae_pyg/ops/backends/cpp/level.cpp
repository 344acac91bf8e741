// A whole level of message passing on scalars and four-vectors: neighbour sum, products, mixing, perceptron. A few jets
// at a time go through all of it, so that what lies between stays in the cache.
#include <algorithm>
#include <cstring>
#include <memory>

#include "parameters.h"
#include "sum_backward.h"
#include "tasks.h"

namespace {

#if DEPTH > 0
constexpr int LAYER_PARAMETERS = perceptron::PARAMETERS;
#else
constexpr int LAYER_PARAMETERS = 0;
#endif
constexpr int64_t SLICE = 512;  // nodes of the jets that go through together, unless one jet has more

struct Level {
    SumInputs in;
    const int64_t* ptr;
    const MixingWeights& mixing;
#if DEPTH > 0
    perceptron::Weights& layers;
    perceptron::Options options;
#endif
};

// Calls work(first jet, end jet) for slices of the jets of a group.
template <class Work>
void over_slices(const int64_t* ptr, int64_t first, int64_t end, Work work) {
    while (first < end) {
        int64_t stop = first + 1;
        while (stop < end && ptr[stop + 1] - ptr[first] <= SLICE) ++stop;
        work(first, stop);
        first = stop;
    }
}

#if DEPTH > 0
// Calls work(row, rows) for blocks of rows of the perceptron.
template <class Work>
void over_blocks(int64_t rows, Work work) {
    for (int64_t row = 0; row < rows; row += perceptron::ROWS)
        work(row, int(std::min<int64_t>(perceptron::ROWS, rows - row)));
}
#endif

// Products and mixing of the nodes of a slice.
void mix_slice(const Level& level, Columns& columns, const T* sums, int64_t begin, int64_t nodes, T* out) {
    for (int64_t i = 0; i < nodes; ++i) {
        columns.read(level.in.features + (begin + i) * FEATURES, sums + i * PACKED_SUMS);
        mix(level.mixing, columns, out + i * FEATURES_OUT);
    }
}

class LevelForward {
  public:
    LevelForward(const Level& level, T* sums, T* out)
        : level_(level), sums_(sums), out_(out), sum_(level.in, sums)
#if DEPTH > 0
        , perceptron_(level.layers, level.options)
#endif
    {}

    void slice(int64_t first, int64_t end) {
        const int64_t* ptr = level_.ptr;
        for (int64_t jet = first; jet < end; ++jet) sum_.jet(ptr[jet], ptr[jet + 1] - ptr[jet]);
        int64_t begin = ptr[first], nodes = ptr[end] - begin;
        T* out = out_ + begin * FEATURES_OUT;
        mix_slice(level_, columns_, sums_ + begin * PACKED_SUMS, begin, nodes, out);
#if DEPTH > 0
        over_blocks(nodes, [&](int64_t row, int rows) {
            perceptron_.forward(out + row * FEATURES_OUT, FEATURES_OUT, rows, out + row * FEATURES_OUT);
        });
#endif
    }

  private:
    Level level_;
    T *sums_, *out_;
    SumForward sum_;
    Columns columns_;
#if DEPTH > 0
    perceptron::Worker perceptron_;
#endif
};

struct ParameterGradients {
    R* radial;
    T* mixing;
    COMPUTE* layers;
};

class LevelBackward {
  public:
    LevelBackward(const Level& level, const T* sums, const T* upstream, const SumGradients& grads)
        : level_(level), sums_(sums), upstream_(upstream), grads_(grads), sum_(level.in, grads)
#if DEPTH > 0
        , perceptron_(level.layers, level.options)
#endif
    {}

    void begin_group() {
        sum_.begin_group();
        std::memset(&mixing_, 0, sizeof mixing_);
#if DEPTH > 0
        perceptron_.begin_group();
#endif
    }

    void slice(int64_t first, int64_t end) {
        const int64_t* ptr = level_.ptr;
        int64_t begin = ptr[first], nodes = ptr[end] - begin;
        const T* sums = sums_ + begin * PACKED_SUMS;
        const T* upstream = through_perceptron(sums, begin, nodes);
        T* grad_sums = sum_buffer_.reserve(nodes * PACKED_SUMS);
        for (int64_t i = 0; i < nodes; i += BLOCK) {
            int count = int(std::min<int64_t>(BLOCK, nodes - i));
            for (int j = 0; j < count; ++j) {
                columns_[j].read(level_.in.features + (begin + i + j) * FEATURES, sums + (i + j) * PACKED_SUMS);
                back(level_.mixing, columns_[j], upstream + (i + j) * FEATURES_OUT,
                     grads_.features + (begin + i + j) * FEATURES, grad_sums + (i + j) * PACKED_SUMS);
            }
            mixing_.add(columns_, upstream + i * FEATURES_OUT, count);
        }
        for (int64_t jet = first; jet < end; ++jet)
            sum_.jet(ptr[jet], ptr[jet + 1] - ptr[jet], grad_sums + (ptr[jet] - begin) * PACKED_SUMS);
    }

    void end_group(const ParameterGradients& out) {
        sum_.end_group(out.radial);
        mixing_.write(out.mixing);
#if DEPTH > 0
        perceptron_.end_group(out.layers);
#endif
    }

  private:
    // Gradients of what the perceptron was given.
    const T* through_perceptron(const T* sums, int64_t begin, int64_t nodes) {
        const T* upstream = upstream_ + begin * FEATURES_OUT;
#if DEPTH > 0
        T* mixed = mixed_buffer_.reserve(2 * nodes * FEATURES_OUT);
        T* grad = mixed + nodes * FEATURES_OUT;
        mix_slice(level_, columns_[0], sums, begin, nodes, mixed);
        over_blocks(nodes, [&](int64_t row, int rows) {
            int64_t at = row * FEATURES_OUT;
            perceptron_.backward(mixed + at, upstream + at, FEATURES_OUT, rows, grad + at);
        });
        return grad;
#else
        (void)sums, (void)nodes;
        return upstream;
#endif
    }

    Level level_;
    const T *sums_, *upstream_;
    SumGradients grads_;
    SumBackward sum_;
    MixingGradients mixing_;
    Columns columns_[BLOCK];
    Buffer<T> sum_buffer_, mixed_buffer_;
#if DEPTH > 0
    perceptron::Worker perceptron_;
#endif
};

}  // namespace

#if DEPTH > 0
#define MAKE_LEVEL                                                                                  \
    LevelParameters of_level(parameters, bells, scales);                                            \
    auto held = std::make_unique<MixingWeights>(of_level.mixing.data()); /* too large for the stack */ \
    const MixingWeights& mixing = *held; \
    perceptron::Weights layers(parameters + place::layers);                                         \
    Level level{{features, momenta, Radial(of_level.radial.data(), bells)}, ptr, mixing, layers,    \
                {COMPUTE(slope), residual != 0, squash != 0}};
#else
#define MAKE_LEVEL                                       \
    (void)slope, (void)residual, (void)squash;           \
    LevelParameters of_level(parameters, bells, scales); \
    auto held = std::make_unique<MixingWeights>(of_level.mixing.data()); /* too large for the stack */ \
    const MixingWeights& mixing = *held; \
    Level level{{features, momenta, Radial(of_level.radial.data(), bells)}, ptr, mixing};
#endif

extern "C" void level_forward(const T* features, const T* momenta, const int64_t* ptr, int64_t jets,
                              const T* const* parameters, int64_t bells, const double* scales, double slope,
                              int residual, int squash, T* sums, T* out, int threads, Parallel parallel) {
    MAKE_LEVEL
    auto bounds = groups(ptr, jets);
    run_tasks(int64_t(bounds.size()) - 1, {threads, parallel}, [&] {
        return [worker = std::make_unique<LevelForward>(level, sums, out), &bounds, ptr](int64_t task) {
            over_slices(ptr, bounds[task], bounds[task + 1], [&](int64_t a, int64_t b) { worker->slice(a, b); });
        };
    });
}

extern "C" void level_backward(const T* features, const T* momenta, const int64_t* ptr, int64_t jets,
                               const T* const* parameters, int64_t bells, const double* scales, double slope,
                               int residual, int squash, const T* sums, const T* upstream, T* grad_features,
                               T* grad_momenta, T* const* grad_parameters, int count, Parallel parallel) {
    MAKE_LEVEL
    SumGradients grads{grad_features, grad_momenta};
    Threads threads{count, parallel};
    auto bounds = groups(ptr, jets);
    int64_t tasks = int64_t(bounds.size()) - 1;
    static thread_local Buffer<R> radial_memory;  // kept for the next call
    static thread_local Buffer<T> mixing_memory;
    static thread_local Buffer<COMPUTE> layer_memory;
    GroupSums<R> radials(radial_memory, tasks, level.in.radial.parameters());
    GroupSums<T> mixings(mixing_memory, tasks, MIXING);
    GroupSums<COMPUTE> perceptrons(layer_memory, tasks, LAYER_PARAMETERS);
    run_tasks(tasks, threads, [&] {
        return [&, worker = std::make_unique<LevelBackward>(level, sums, upstream, grads)](int64_t task) {
            worker->begin_group();
            over_slices(ptr, bounds[task], bounds[task + 1], [&](int64_t a, int64_t b) { worker->slice(a, b); });
            worker->end_group({radials.row(task), mixings.row(task), perceptrons.row(task)});
        };
    });
    of_level.gradients(radials.sum(threads), mixings.sum(threads), grad_parameters);
#if DEPTH > 0
    perceptron::spread(perceptrons.sum(threads), grad_parameters + place::layers);
#endif
}
