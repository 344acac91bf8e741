// Products of two numbers of a node out of a table, mixing of their channels irrep by irrep, and the gradients of both;
// see lgae_pyg/ops/backends/compiled_tensors.py for the formulas.
//
// Nodes are the lanes: a block of them is turned around once, and goes through table and mixing in the cache.
#include <algorithm>
#include <cstring>

#include "tasks.h"

namespace {

typedef FEATURE T;
typedef Simd<T>::vec vec;
constexpr int64_t V = Simd<T>::lanes, VECTORS = 1, LANES = VECTORS * V;  // one: what a block needs is to stay in the cache

// One complex number of each lane.
struct Number {
    vec re[VECTORS], im[VECTORS];
};
inline void add_product(Number& sum, const Number& a, const Number& b) {
    for (int k = 0; k < VECTORS; ++k) {
        sum.re[k] += a.re[k] * b.re[k];
        sum.re[k] -= a.im[k] * b.im[k];
        sum.im[k] += a.re[k] * b.im[k];
        sum.im[k] += a.im[k] * b.re[k];
    }
}
// sum += a conj(b)
inline void add_conjugate(Number& sum, const Number& a, const Number& b) {
    for (int k = 0; k < VECTORS; ++k) {
        sum.re[k] += a.re[k] * b.re[k];
        sum.re[k] += a.im[k] * b.im[k];
        sum.im[k] += a.im[k] * b.re[k];
        sum.im[k] -= a.re[k] * b.im[k];
    }
}
inline void add_scaled(Number& sum, T re, T im, const Number& a) {
    for (int k = 0; k < VECTORS; ++k) {
        sum.re[k] += re * a.re[k];
        sum.re[k] -= im * a.im[k];
        sum.im[k] += re * a.im[k];
        sum.im[k] += im * a.re[k];
    }
}

// An irrep that is mixed: where its channels begin among the products and in the output, and the weights (out, in); as in
// mix.cpp.
struct Block {
    int64_t in_begin, in, out_begin, out, dim;
    const T* weight;
};

struct Inputs {
    const T* x;
    int64_t nodes, columns;    // of x; the number behind the last is one
    const int64_t* table;      // entries (product, left, right)
    const T* coefficients;     // complex
    int64_t entries, products;
    const Block* blocks;       // none: the products themselves are the output
    int64_t irreps, out;

    // Whether every entry of the table names numbers that are there.
    bool fits() const {
        bool within = true;
        for (const int64_t *at = table, *end = table + 3 * entries; at < end; at += 3)
            within &= at[0] >= 0 && at[0] < products && at[1] >= 0 && at[1] <= columns && at[2] >= 0 && at[2] <= columns;
        return within;
    }

    int64_t weights() const {
        int64_t count = 0;
        for (int64_t b = 0; b < irreps; ++b) count += 2 * blocks[b].in * blocks[b].out;
        return count;
    }
};

void turn(const T* rows, int64_t columns, int64_t count, Number* to) {
    T* numbers = reinterpret_cast<T*>(to);
    for (int64_t lane = 0; lane < count; ++lane)
        for (int64_t k = 0; k < 2 * columns; ++k) numbers[k * LANES + lane] = rows[lane * 2 * columns + k];
    for (int64_t k = 0; k < 2 * columns && count < LANES; ++k)
        std::fill(numbers + k * LANES + count, numbers + (k + 1) * LANES, T(0));
}
void turn_back(const Number* from, int64_t columns, int64_t count, T* rows) {
    const T* numbers = reinterpret_cast<const T*>(from);
    for (int64_t lane = 0; lane < count; ++lane)
        for (int64_t k = 0; k < 2 * columns; ++k) rows[lane * 2 * columns + k] = numbers[k * LANES + lane];
}

class Worker {
  public:
    explicit Worker(const Inputs& in) : in_(in) {}

    void forward(int64_t begin, int64_t count, T* out) {
        multiply(begin, count);
        if (!in_.blocks) return turn_back(z_, in_.products, count, out + 2 * begin * in_.out);
        Number* y = mixed_.reserve(in_.out);
        for (int64_t b = 0; b < in_.irreps; ++b) mix(in_.blocks[b], y);
        turn_back(y, in_.out, count, out + 2 * begin * in_.out);
    }

    // Gradients of the rows, and those of the weights added to `grad_weights`.
    void backward(int64_t begin, int64_t count, const T* upstream, T* grad, T* grad_weights) {
        Number* g = grad_products_.reserve(in_.products);
        if (in_.blocks) {
            multiply(begin, count);
            Number* up = mixed_.reserve(in_.out);
            turn(upstream + 2 * begin * in_.out, in_.out, count, up);
            std::fill(g, g + in_.products, Number{});
            for (int64_t b = 0; b < in_.irreps; ++b) {
                unmix(in_.blocks[b], up, g, grad_weights);
                grad_weights += 2 * in_.blocks[b].in * in_.blocks[b].out;
            }
        } else {
            read(begin, count);
            turn(upstream + 2 * begin * in_.out, in_.products, count, g);
        }
        Number* to = grad_.reserve(in_.columns + 1);
        std::fill(to, to + in_.columns + 1, Number{});
        for (int64_t e = 0; e < in_.entries; ++e) {
            const int64_t* at = in_.table + 3 * e;
            Number scaled{};
            add_scaled(scaled, in_.coefficients[2 * e], -in_.coefficients[2 * e + 1], g[at[0]]);
            add_conjugate(to[at[1]], scaled, x_[at[2]]);
            add_conjugate(to[at[2]], scaled, x_[at[1]]);
        }
        turn_back(to, in_.columns, count, grad + 2 * begin * in_.columns);
    }

  private:
    void read(int64_t begin, int64_t count) {
        x_ = rows_.reserve(in_.columns + 1);
        turn(in_.x + 2 * begin * in_.columns, in_.columns, count, x_);
        x_[in_.columns] = Number{};
        for (int k = 0; k < VECTORS; ++k) x_[in_.columns].re[k] += T(1);
    }

    void multiply(int64_t begin, int64_t count) {
        read(begin, count);
        z_ = products_.reserve(in_.products);
        std::fill(z_, z_ + in_.products, Number{});
        for (int64_t e = 0; e < in_.entries;) {
            const int64_t here = in_.table[3 * e];
            Number total{};
            for (; e < in_.entries && in_.table[3 * e] == here; ++e) {
                Number product{};
                add_product(product, x_[in_.table[3 * e + 1]], x_[in_.table[3 * e + 2]]);
                add_scaled(total, in_.coefficients[2 * e], in_.coefficients[2 * e + 1], product);
            }
            add_scaled(z_[here], 1, 0, total);
        }
    }

    // Up to four outputs at a time, so that each product is read once.
    void mix(const Block& k, Number* y) const {
        for (int64_t o = 0; o < k.out; o += 4) switch (std::min<int64_t>(4, k.out - o)) {
            case 4: mix<4>(k, o, y); break;
            case 3: mix<3>(k, o, y); break;
            case 2: mix<2>(k, o, y); break;
            default: mix<1>(k, o, y);
        }
    }
    template <int OUTPUTS>
    void mix(const Block& k, int64_t o, Number* y) const {
        for (int64_t m = 0; m < k.dim; ++m) {
            Number total[OUTPUTS] = {};
            const T* w = k.weight + 2 * o * k.in;
            for (int64_t c = 0; c < k.in; ++c, w += 2) {
                const Number& z = z_[k.in_begin + c * k.dim + m];
                for (int t = 0; t < OUTPUTS; ++t) add_scaled(total[t], w[2 * t * k.in], w[2 * t * k.in + 1], z);
            }
            for (int t = 0; t < OUTPUTS; ++t) y[k.out_begin + (o + t) * k.dim + m] = total[t];
        }
    }

    // Gradients of the products from those of the mixed features, and of the weights.
    void unmix(const Block& k, const Number* up, Number* g, T* grad_weights) const {
        for (int64_t o = 0; o < k.out; o += 4) switch (std::min<int64_t>(4, k.out - o)) {
            case 4: unmix<4>(k, o, up, g, grad_weights); break;
            case 3: unmix<3>(k, o, up, g, grad_weights); break;
            case 2: unmix<2>(k, o, up, g, grad_weights); break;
            default: unmix<1>(k, o, up, g, grad_weights);
        }
    }
    template <int OUTPUTS>
    void unmix(const Block& k, int64_t o, const Number* up, Number* g, T* grad_weights) const {
        for (int64_t c = 0; c < k.in; ++c) {
            const T* w = k.weight + 2 * (o * k.in + c);
            vec re[OUTPUTS] = {}, im[OUTPUTS] = {};
            for (int64_t m = 0; m < k.dim; ++m) {
                const int64_t at = k.in_begin + c * k.dim + m;
                const Number z = z_[at];
                Number total = g[at];
                for (int t = 0; t < OUTPUTS; ++t) {
                    const Number& from = up[k.out_begin + (o + t) * k.dim + m];
                    add_scaled(total, w[2 * t * k.in], -w[2 * t * k.in + 1], from);
                    for (int v = 0; v < VECTORS; ++v) {
                        re[t] += from.re[v] * z.re[v];
                        re[t] += from.im[v] * z.im[v];
                        im[t] += from.im[v] * z.re[v];
                        im[t] -= from.re[v] * z.im[v];
                    }
                }
                g[at] = total;
            }
            for (int t = 0; t < OUTPUTS; ++t) {
                grad_weights[2 * ((o + t) * k.in + c)] += Simd<T>::sum(re[t]);
                grad_weights[2 * ((o + t) * k.in + c) + 1] += Simd<T>::sum(im[t]);
            }
        }
    }

    Inputs in_;
    Number *x_ = nullptr, *z_ = nullptr;
    Buffer<Number> rows_, products_, mixed_, grad_, grad_products_;
};

// Calls work(worker, begin, count, task) for blocks of nodes, in groups that do not depend on the number of threads.
template <class Work>
void over_blocks(const Inputs& in, int64_t tasks, Threads threads, Work work) {
    const int64_t blocks = (in.nodes + LANES - 1) / LANES;
    run_tasks(tasks, threads, [&] {
        return [&, worker = Worker(in)](int64_t task) mutable {
            for (int64_t b = blocks * task / tasks; b < blocks * (task + 1) / tasks; ++b)
                work(worker, b * LANES, std::min(LANES, in.nodes - b * LANES), task);
        };
    });
}
int64_t task_count(int64_t nodes) { return std::clamp<int64_t>(nodes / 128, 1, 64); }

}  // namespace

// Both return whether the table fits, and do nothing where it does not.
extern "C" int products_forward(const T* x, int64_t nodes, int64_t columns, const int64_t* table, const T* coefficients,
                                 int64_t entries, int64_t products, const Block* blocks, int64_t irreps, int64_t width,
                                 T* out, int threads, Parallel parallel) {
    Inputs in{x, nodes, columns, table, coefficients, entries, products, blocks, irreps, width};
    if (!in.fits()) return 0;
    over_blocks(in, task_count(nodes), {threads, parallel},
                [&](Worker& worker, int64_t begin, int64_t count, int64_t) { worker.forward(begin, count, out); });
    return 1;
}

extern "C" int products_backward(const T* x, int64_t nodes, int64_t columns, const int64_t* table, const T* coefficients,
                                  int64_t entries, int64_t products, const Block* blocks, int64_t irreps, int64_t width,
                                  const T* upstream, T* grad, T* const* grad_weights, int count, Parallel parallel) {
    Inputs in{x, nodes, columns, table, coefficients, entries, products, blocks, irreps, width};
    if (!in.fits()) return 0;
    const int64_t tasks = task_count(nodes), weights = in.weights();
    static thread_local Buffer<T> memory;  // kept for the next call
    GroupSums<T> sums(memory, tasks, weights);
    for (int64_t task = 0; task < tasks; ++task) std::fill_n(sums.row(task), weights, T(0));
    over_blocks(in, tasks, {count, parallel}, [&](Worker& worker, int64_t begin, int64_t size, int64_t task) {
        worker.backward(begin, size, upstream, grad, sums.row(task));
    });
    const T* total = sums.sum({count, parallel});
    for (int64_t b = 0; b < irreps; ++b) {
        const int64_t size = 2 * blocks[b].in * blocks[b].out;
        std::memcpy(grad_weights[b], total, size * sizeof(T));
        total += size;
    }
    return 1;
}
