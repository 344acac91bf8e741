// The particle of smallest or largest invariant of each jet, channel by channel; see lgae_pyg/ops/extremum.py for the
// formulas.
#include <algorithm>
#include <cstring>
#include <limits>

#include "tasks.h"

typedef FEATURE T;  // features, as pairs of real and imaginary part

namespace {

// Channels of one irrep of given dimension: 1, or 4 for four-vectors.
struct Block {
    int64_t channels, dim;
};

struct Layout {
    const Block* blocks;
    int64_t count, width, columns;  // reals of a node, and choices of a jet: the two parts of each channel

    Layout(const int64_t* sizes, int64_t count) : blocks(reinterpret_cast<const Block*>(sizes)), count(count), width(0), columns(0) {
        for (int64_t b = 0; b < count; ++b) {
            width += 2 * blocks[b].channels * blocks[b].dim;
            columns += 2 * blocks[b].channels;
        }
    }

    // Calls work(column, first real of it in a node, dim) for every choice; components are 2 reals apart.
    template <class Work>
    void each(Work work) const {
        int64_t begin = 0, column = 0;
        for (int64_t b = 0; b < count; ++b)
            for (int64_t c = 0; c < blocks[b].channels; ++c, begin += 2 * blocks[b].dim)
                for (int part = 0; part < 2; ++part, ++column) work(column, begin + part, blocks[b].dim);
    }
};

struct Choice {
    bool largest, by_square;  // by_square: scalars by their square
    T tie, rounding;          // of the key; of its terms, in jets of two
};

class Extremum {
  public:
    Extremum(const T* x, const int64_t* ptr, Layout layout, Choice choice, T* out, T* shares)
        : x_(x), ptr_(ptr), layout_(layout), choice_(choice), out_(out), shares_(shares) {}

    void jet(int64_t jet) {
        const int64_t begin = ptr_[jet], n = ptr_[jet + 1] - begin;
        const T* x = x_ + begin * layout_.width;
        T* share = shares_ + begin * layout_.columns;
        T* out = out_ + jet * layout_.width;
        T* keys = keys_.reserve(n);
        std::fill(out, out + layout_.width, T(0));
        layout_.each([&](int64_t column, int64_t at, int64_t dim) {
            T limit = choose(x + at, n, dim, keys), tied = 0;
            for (int64_t i = 0; i < n; ++i) tied += keys[i] <= limit;
            const T each = tied > 0 ? 1 / tied : T(0);
            for (int64_t i = 0; i < n; ++i) share[i * layout_.columns + column] = keys[i] <= limit ? each : T(0);
            for (int64_t i = 0; i < n; ++i)
                for (int64_t mu = 0; mu < dim; ++mu)  // whatever the share, so that what is not a number is seen
                    out[at + 2 * mu] += share[i * layout_.columns + column] * x[i * layout_.width + at + 2 * mu];
        });
    }

  private:
    // Fills the keys and returns the limit up to which they are chosen.
    T choose(const T* x, int64_t n, int64_t dim, T* keys) const {
        T first = std::numeric_limits<T>::infinity(), margin = 0;
        for (int64_t i = 0; i < n; ++i, x += layout_.width) {
            const T square = x[0] * x[0];
            T space = 0;
            for (int64_t mu = 1; mu < dim; ++mu) space += x[2 * mu] * x[2 * mu];
            T key = dim > 1 ? square - space : choice_.largest && choice_.by_square ? square : x[0];
            if (choice_.largest) key = -key;
            keys[i] = key;
            const T rounding = n == 2 ? choice_.rounding * (square + space) : T(0);
            first = key < first ? key : first;
            margin = std::max(margin, choice_.tie * std::abs(key) + rounding);
        }
        return first + margin;
    }

    const T* x_;
    const int64_t* ptr_;
    Layout layout_;
    Choice choice_;
    T *out_, *shares_;
    Buffer<T> keys_;
};

}  // namespace

extern "C" void extremum_forward(const T* x, const int64_t* ptr, int64_t jets, const int64_t* blocks, int64_t count,
                                 int largest, int by_square, double tie, double rounding, T* out, T* shares,
                                 int threads, Parallel parallel) {
    Layout layout(blocks, count);
    Choice choice{largest != 0, by_square != 0, T(tie), T(rounding)};
    auto bounds = groups(ptr, jets);
    run_tasks(int64_t(bounds.size()) - 1, {threads, parallel}, [&] {
        return [&, worker = Extremum(x, ptr, layout, choice, out, shares)](int64_t task) mutable {
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet) worker.jet(jet);
        };
    });
}

// The gradient of x: that of the jet's choice, shared out.
extern "C" void extremum_backward(const T* upstream, const T* shares, const int64_t* ptr, int64_t jets,
                                  const int64_t* blocks, int64_t count, T* grad, int threads, Parallel parallel) {
    Layout layout(blocks, count);
    auto bounds = groups(ptr, jets);
    run_tasks(int64_t(bounds.size()) - 1, {threads, parallel}, [&] {
        return [&](int64_t task) {
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                for (int64_t i = ptr[jet]; i < ptr[jet + 1]; ++i)
                    layout.each([&](int64_t column, int64_t at, int64_t dim) {
                        for (int64_t mu = 0; mu < dim; ++mu)
                            grad[i * layout.width + at + 2 * mu] =
                                shares[i * layout.columns + column] * upstream[jet * layout.width + at + 2 * mu];
                    });
        };
    });
}
