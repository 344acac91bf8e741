// Mixing of the channels of packed complex features, irrep by irrep, and its gradients; see lgae_pyg/ops/mixing.py for
// the formulas.
#include <algorithm>
#include <cstring>

#include "complex8.h"
#include "tasks.h"

namespace {

constexpr int64_t ROWS = 16;  // rows whose gradients of the weights are summed in registers
constexpr int VECTOR = 4;     // dimension of a four-vector

// One irrep: where its channels begin in a row of the input and of the output (in complex numbers), how many there are,
// the dimension, and the weights (out, in).
struct Block {
    int64_t in_begin, in, out_begin, out, dim;
    const T* weight;
};

// y_o += sum_c w_oc x_c for `OUTPUTS` four-vectors, w at (o * row + c * step); with CONJUGATE, the conjugate of w.
template <int OUTPUTS, bool CONJUGATE>
void mix_vectors(const T* x, int64_t channels, const T* w, int64_t row, int64_t step, T* y) {
    vec8 straight[OUTPUTS] = {}, turned[OUTPUTS] = {};
    for (int64_t c = 0; c < channels; ++c) {
        const vec8 value = load(x + 8 * c);
        for (int o = 0; o < OUTPUTS; ++o) {
            const T* weight = w + 2 * (o * row + c * step);
            straight[o] += weight[0] * value;
            turned[o] += weight[1] * value;
        }
    }
    for (int o = 0; o < OUTPUTS; ++o)
        store(y + 8 * o, CONJUGATE ? straight[o] - times_i(turned[o]) : straight[o] + times_i(turned[o]));
}

template <bool CONJUGATE>
void mix_any(const T* x, int64_t channels, int64_t dim, const T* w, int64_t step, T* y) {
    std::fill(y, y + 2 * dim, T(0));
    for (int64_t c = 0; c < channels; ++c) {
        const T re = w[2 * c * step], im = CONJUGATE ? -w[2 * c * step + 1] : w[2 * c * step + 1];
        for (int64_t m = 0; m < dim; ++m, x += 2) {
            y[2 * m] += re * x[0] - im * x[1];
            y[2 * m + 1] += re * x[1] + im * x[0];
        }
    }
}

// One row: `outputs` channels from `channels`.
template <bool CONJUGATE>
void mix_row(const T* x, int64_t channels, int64_t dim, const T* w, int64_t row, int64_t step, int64_t outputs, T* y) {
    int64_t o = 0;
    if (dim == VECTOR) {
        for (; o + 4 <= outputs; o += 4)
            mix_vectors<4, CONJUGATE>(x, channels, w + 2 * o * row, row, step, y + 8 * o);
        for (; o < outputs; ++o) mix_vectors<1, CONJUGATE>(x, channels, w + 2 * o * row, row, step, y + 8 * o);
    }
    for (; o < outputs; ++o) mix_any<CONJUGATE>(x, channels, dim, w + 2 * o * row, step, y + 2 * dim * o);
}

struct Rows {
    const T* x;
    int64_t count, in, out;  // their number, and complex numbers of a row of the input and of the output
    const Block* blocks;
    int64_t irreps;
};

void forward(const Rows& rows, int64_t begin, int64_t end, T* out) {
    for (int64_t b = 0; b < rows.irreps; ++b) {
        const Block& k = rows.blocks[b];
        for (int64_t i = begin; i < end; ++i)
            mix_row<false>(rows.x + 2 * (i * rows.in + k.in_begin), k.in, k.dim, k.weight, k.in, 1, k.out,
                           out + 2 * (i * rows.out + k.out_begin));
    }
}

// Gradients of the input, of the irreps that take part in the output.
void backward(const Rows& rows, const T* upstream, int64_t begin, int64_t end, T* grad) {
    for (int64_t b = 0; b < rows.irreps; ++b) {
        const Block& k = rows.blocks[b];
        for (int64_t i = begin; i < end; ++i)
            mix_row<true>(upstream + 2 * (i * rows.out + k.out_begin), k.out, k.dim, k.weight, 1, k.in, k.in,
                          grad + 2 * (i * rows.in + k.in_begin));
    }
}

// Adds sum_i g_io conj(x_ic) over some rows to the gradient of each weight.
void add_weight_gradients(const Rows& rows, const Block& k, const T* upstream, int64_t begin, int64_t count, T* grad) {
    for (int64_t o = 0; o < k.out; ++o) {
        const T* g = upstream + 2 * (begin * rows.out + k.out_begin + o * k.dim);
        for (int64_t c = 0; c < k.in; ++c, grad += 2) {
            const T* x = rows.x + 2 * (begin * rows.in + k.in_begin + c * k.dim);
            if (k.dim == VECTOR) {
                vec8 re{}, im{};
                for (int64_t i = 0; i < count; ++i) {
                    const vec8 up = load(g + 2 * i * rows.out), value = load(x + 2 * i * rows.in);
                    re += up * value;
                    im += up * times_i(value);
                }
                grad[0] += sum(re), grad[1] += sum(im);
                continue;
            }
            for (int64_t i = 0; i < count; ++i)
                for (int64_t m = 0; m < k.dim; ++m) {
                    const T *up = g + 2 * (i * rows.out + m), *value = x + 2 * (i * rows.in + m);
                    grad[0] += up[0] * value[0] + up[1] * value[1];
                    grad[1] += up[1] * value[0] - up[0] * value[1];
                }
        }
    }
}

int64_t weight_count(const Rows& rows) {
    int64_t count = 0;
    for (int64_t b = 0; b < rows.irreps; ++b) count += 2 * rows.blocks[b].in * rows.blocks[b].out;
    return count;
}

// Calls work(begin, end, task) for groups of rows that do not depend on the number of threads.
template <class Work>
void over_rows(int64_t rows, int64_t tasks, Threads threads, Work work) {
    run_tasks(tasks, threads, [&] {
        return [&](int64_t task) { work(rows * task / tasks, rows * (task + 1) / tasks, task); };
    });
}
int64_t row_tasks(int64_t rows) { return std::clamp<int64_t>(rows / 64, 1, 64); }

}  // namespace

extern "C" void mix_forward(const T* x, int64_t count, int64_t in, int64_t out, const Block* blocks, int64_t irreps,
                            T* y, int threads, Parallel parallel) {
    Rows rows{x, count, in, out, blocks, irreps};
    over_rows(count, row_tasks(count), {threads, parallel}, [&](int64_t a, int64_t b, int64_t) { forward(rows, a, b, y); });
}

// grad_x holds zeros where an irrep of the input does not take part.
extern "C" void mix_backward(const T* x, int64_t count, int64_t in, int64_t out, const Block* blocks, int64_t irreps,
                             const T* upstream, T* grad_x, T* const* grad_weights, int threads, Parallel parallel) {
    Rows rows{x, count, in, out, blocks, irreps};
    const int64_t tasks = row_tasks(count), weights = weight_count(rows);
    static thread_local Buffer<T> memory;  // kept for the next call
    GroupSums<T> sums(memory, tasks, weights);
    over_rows(count, tasks, {threads, parallel}, [&](int64_t begin, int64_t end, int64_t task) {
        if (grad_x) backward(rows, upstream, begin, end, grad_x);
        std::fill(sums.row(task), sums.row(task) + weights, T(0));
        for (int64_t i = begin; i < end; i += ROWS) {
            T* grad = sums.row(task);
            for (int64_t b = 0; b < irreps; ++b) {
                add_weight_gradients(rows, blocks[b], upstream, i, std::min(ROWS, end - i), grad);
                grad += 2 * blocks[b].in * blocks[b].out;
            }
        }
    });
    const T* total = sums.sum({threads, parallel});
    for (int64_t b = 0; b < irreps; ++b) {
        const int64_t size = 2 * blocks[b].in * blocks[b].out;
        std::memcpy(grad_weights[b], total, size * sizeof(T));
        total += size;
    }
}
