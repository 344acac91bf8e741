// A level of message passing on features of any irreps, and its gradients; see lgae_pyg/ops/tensor_levels.py for the
// formulas. Jets go through it one by one, while they are in the cache.
#include "irrep_mixing.h"
#include "lane_perceptron.h"
#include "neighbours.h"
#include "tasks.h"

namespace {

// As compiled_tensors.py has it.
struct Arguments {
    const int64_t* column_sizes;
    const int32_t* column_index;
    const double* column_values;
    const int64_t* update_sizes;
    const int32_t* update_index;
    const double* update_values;
    const int64_t* counts;
    const Irrep* irreps;
    const int64_t* layer_sizes;
    const P* const* parameters;                        // of radial functions, mixing, perceptron
    int64_t irrep_count, bells, layers, scalars;       // layers of the perceptron, and where the scalars begin in the output
    double slope;
    int64_t residual, squash, loops, masked;
};

struct Level {
    Arguments args;
    Steps columns, update;
    Radial radial;
    Mixing mixing;
    LanePerceptron perceptron;

    explicit Level(const Arguments& a)
        : args(a), columns(a.column_sizes, a.column_index, a.column_values),
          update(a.update_sizes, a.update_index, a.update_values), radial(a.parameters, a.bells),
          mixing(update, a.irreps, a.irrep_count, a.parameters + 5),
          perceptron(a.layer_sizes, a.layers, a.parameters + 5 + a.irrep_count, a.slope, a.residual, a.squash) {}

    static bool fits(const Arguments& a) {
        const Steps columns(a.column_sizes, a.column_index, a.column_values),
            update(a.update_sizes, a.update_index, a.update_values);
        return columns.fits() && update.fits() && Mixing::fits(update, a.irreps, a.irrep_count);
    }

    size_t features() const { return columns.numbers - 4; }
    size_t sums() const { return update.numbers - columns.numbers; }
    size_t parameters() const { return radial.parameters() + mixing.parameters() + perceptron.parameters(); }
    // Room for the numbers of the nodes of a jet begins here, in blocks.
    size_t kept(const int64_t* ptr, int64_t jet) const { return (ptr[jet] / V + jet) * 2 * update.numbers; }

    void gradients(const T* grad, P* const* out) const {
        radial.gradients(grad, out);
        mixing.gradients(grad += radial.parameters(), out + 5);
        if (args.layers) perceptron.gradients(grad + mixing.parameters(), out + 5 + args.irrep_count);
    }
};

class Worker {
  public:
    explicit Worker(const Level& level)
        : level_(level), neighbours_(level.radial, level.args.counts, level.args.loops, level.args.masked) {}

    // The numbers of the nodes (sums, features, momenta) are left in `kept`, if there is room.
    void forward(const T* x, const T* momenta, size_t n, T* out, T* kept) {
        const size_t stride = 2 * level_.update.numbers, width = level_.mixing.width();
        const bool direct = kept && reinterpret_cast<uintptr_t>(kept) % sizeof(vec) == 0;
        vec* numbers = direct ? reinterpret_cast<vec*>(kept) : numbers_.reserve(blocks_of(n) * stride);
        for (size_t b = 0; b < blocks_of(n); ++b) read(x, momenta, n, b, numbers + b * stride);
        make_columns(n, numbers);
        neighbours_.start(momenta, n);
        neighbours_.forward(columns_of(), {numbers, stride});
        vec* y = mixed_.reserve(2 * width);
        for (size_t b = 0; b < blocks_of(n); ++b) {
            level_.mixing.mix(numbers + b * stride, run(level_.update, numbers + b * stride), y);
            if (level_.args.layers) level_.perceptron.run(scalars(y), hidden_.reserve(level_.perceptron.hidden()));
            turn_back(y, 2 * width, std::min(V, n - b * V), out + b * V * 2 * width);
        }
        if (kept && !direct) std::memcpy(kept, numbers, blocks_of(n) * stride * sizeof(vec));
    }

    void begin_group() { std::fill_n(grads_.reserve(level_.parameters()), level_.parameters(), vec{}); }
    void end_group(T* out) {
        const vec* from = grads_.reserve(0);
        for (size_t k = 0; k < level_.parameters(); ++k) out[k] = Simd<T>::sum(from[k]);
    }

    void backward(const T* momenta, size_t n, const T* kept, const T* upstream, T* grad, T* grad_momenta) {
        const size_t stride = 2 * level_.update.numbers, features = 2 * level_.features(), sums = 2 * level_.sums();
        const bool direct = reinterpret_cast<uintptr_t>(kept) % sizeof(vec) == 0;
        const vec* numbers = reinterpret_cast<const vec*>(kept);
        if (!direct) {
            vec* copy = numbers_.reserve(blocks_of(n) * stride);
            std::memcpy(copy, kept, blocks_of(n) * stride * sizeof(vec));
            numbers = copy;
        }
        vec* to = to_numbers_.reserve(blocks_of(n) * stride);
        make_columns(n, numbers);
        update_back(n, upstream, numbers, to, grad_momenta);
        vec* to_columns = to_columns_.reserve(blocks_of(n) * sums);
        neighbours_.start(momenta, n);
        T* to_radial = reinterpret_cast<T*>(grads_.reserve(0));
        neighbours_.backward(columns_of(), {to, stride}, {to_columns, sums}, grad_momenta, to_radial);
        for (size_t b = 0; b < blocks_of(n); ++b) {
            columns_back(numbers + b * stride + sums, to_columns + b * sums, to + b * stride + sums, grad_momenta);
            turn_back(to + b * stride + sums, features, std::min(V, n - b * V), grad + b * V * features);
            for (size_t k = 0; grad_momenta && k < 4; ++k)
                for (size_t lane = 0; b * V + lane < n && lane < V; ++lane)
                    grad_momenta[4 * (b * V + lane) + k] += to[b * stride + sums + features + 2 * k][lane];
        }
    }

  private:
    // The features and momenta of a block.
    void read(const T* x, const T* momenta, size_t n, size_t b, vec* to) const {
        const size_t features = 2 * level_.features(), count = std::min(V, n - b * V);
        to += 2 * level_.sums();
        turn(x + b * V * features, features, count, to);
        vec p[4];
        turn(momenta + b * V * 4, 4, count, p);
        for (size_t mu = 0; mu < 4; ++mu) {
            to[features + 2 * mu] = p[mu];
            to[features + 2 * mu + 1] = vec{};
        }
    }

    // The sums of some steps in a block, until the next call.
    const vec* run(const Steps& steps, const vec* numbers) {
        vec* sums = room_.reserve(2 * (steps.sums + steps.pairs));
        steps.run(numbers, sums, sums + 2 * steps.sums);
        return sums;
    }

    void make_columns(size_t n, const vec* numbers) {
        const size_t stride = 2 * level_.update.numbers, sums = 2 * level_.sums();
        columns_ = columns_buffer_.reserve(blocks_of(n) * sums);
        for (size_t b = 0; b < blocks_of(n); ++b) {
            const vec* own = numbers + b * stride + sums;
            level_.columns.read(own, run(level_.columns, own), columns_ + b * sums);
        }
    }
    Blocks<const vec> columns_of() const { return {columns_, 2 * level_.sums()}; }

    vec* scalars(vec* y) const { return y + 2 * level_.args.scalars; }

    // From the gradients of the output of a block to those of its numbers and of the products.
    void mixing_back(size_t b, size_t n, const T* upstream, const vec* numbers, const vec* sums, vec* to, vec* to_sums) {
        const size_t width = 2 * level_.mixing.width();
        vec *y = mixed_.reserve(2 * width), *up = y + width, *grads = grads_.reserve(0) + level_.radial.parameters();
        turn(upstream + b * V * width, width, std::min(V, n - b * V), up);
        if (level_.args.layers) {
            level_.mixing.mix(numbers, sums, y);
            const int64_t size = level_.args.layer_sizes[0];
            vec *x = input_.reserve(size), *hidden = hidden_.reserve(level_.perceptron.hidden());
            std::copy_n(scalars(y), size, x);
            level_.perceptron.run(scalars(y), hidden);
            level_.perceptron.back(x, scalars(up), hidden, grads + level_.mixing.parameters());
        }
        level_.mixing.back(numbers, sums, up, to, to_sums, grads);
    }

    void update_back(size_t n, const T* upstream, const vec* numbers, vec* to, bool momenta_too) {
        const size_t stride = 2 * level_.update.numbers, size = 2 * level_.update.sums;
        vec* to_sums = to_sums_.reserve(size);
        for (size_t b = 0; b < blocks_of(n); ++b, numbers += stride, to += stride) {
            mixing_back(b, n, upstream, numbers, run(level_.update, numbers), to, to_sums);
            level_.update.back(numbers, to_sums, to, momenta_too);
        }
    }

    void columns_back(const vec* numbers, const vec* up, vec* to, bool momenta_too) {
        vec* to_sums = to_sums_.reserve(2 * level_.columns.sums);
        level_.columns.read_back(up, to, to_sums);
        level_.columns.back(numbers, to_sums, to, momenta_too);
    }

    const Level& level_;
    Neighbours neighbours_;
    vec* columns_ = nullptr;
    Buffer<vec> numbers_, columns_buffer_, mixed_, hidden_, input_, room_, to_numbers_, to_columns_, to_sums_, grads_;
};

}  // namespace

// Both return whether the tables fit, and do nothing where they do not.
extern "C" int tensor_level_forward(const Arguments* arguments, const T* x, const T* momenta, const int64_t* ptr,
                                    int64_t jets, T* out, T* kept, int threads, Parallel parallel) {
    if (!Level::fits(*arguments)) return 0;
    const Level level(*arguments);
    const size_t in = 2 * level.features(), width = 2 * level.mixing.width();
    auto bounds = groups(ptr, jets);
    run_tasks(int64_t(bounds.size()) - 1, {threads, parallel}, [&] {
        return [&, worker = Worker(level)](int64_t task) mutable {
            for (int64_t j = bounds[task]; j < bounds[task + 1]; ++j)
                worker.forward(x + ptr[j] * in, momenta + ptr[j] * 4, ptr[j + 1] - ptr[j], out + ptr[j] * width,
                               kept ? kept + level.kept(ptr, j) * V : nullptr);
        };
    });
    return 1;
}

extern "C" int tensor_level_backward(const Arguments* arguments, const T* momenta, const int64_t* ptr, int64_t jets,
                                     const T* kept, const T* upstream, T* grad, T* grad_momenta, P* const* grads,
                                     int threads, Parallel parallel) {
    if (!Level::fits(*arguments)) return 0;
    const Level level(*arguments);
    const size_t in = 2 * level.features(), width = 2 * level.mixing.width();
    auto bounds = groups(ptr, jets);
    const int64_t tasks = int64_t(bounds.size()) - 1;
    static thread_local Buffer<T> memory;  // kept for the next call
    GroupSums<T> total(memory, tasks, level.parameters());
    run_tasks(tasks, {threads, parallel}, [&] {
        return [&, worker = Worker(level)](int64_t task) mutable {
            worker.begin_group();
            for (int64_t j = bounds[task]; j < bounds[task + 1]; ++j)
                worker.backward(momenta + ptr[j] * 4, ptr[j + 1] - ptr[j], kept + level.kept(ptr, j) * V,
                                upstream + ptr[j] * width, grad + ptr[j] * in,
                                grad_momenta ? grad_momenta + ptr[j] * 4 : nullptr);
            worker.end_group(total.row(task));
        };
    });
    level.gradients(total.sum({threads, parallel}), grads);
    return 1;
}
