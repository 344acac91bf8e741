// Batch normalisation and ReLU of rows of edges, y = max(0, scale (z - mean) + beta), between the layers of an edge
// convolution, with what begins and ends it: sums of the terms of both ends, and means over the edges of a target. Rows are
// read and written as few times as the statistics of all edges allow.
#include <algorithm>
#include <vector>

#include "tasks.h"

namespace {

typedef COMPUTE T;
constexpr int64_t ROWS = 64, COLUMNS = 64;  // that a thread takes at once

struct Shape {
    int64_t rows, columns;
    Threads threads;
};

// Calls work(first row, last row, block) for blocks of rows.
template <class Work>
void over_rows(const Shape& shape, Work work) {
    run_tasks((shape.rows + ROWS - 1) / ROWS, shape.threads, [&] {
        return [&](int64_t block) { work(block * ROWS, std::min(shape.rows, (block + 1) * ROWS), block); };
    });
}

// Calls work(first column, last column) for blocks of columns.
template <class Work>
void over_columns(const Shape& shape, Work work) {
    run_tasks((shape.columns + COLUMNS - 1) / COLUMNS, shape.threads, [&] {
        return [&](int64_t block) { work(block * COLUMNS, std::min(shape.columns, (block + 1) * COLUMNS)); };
    });
}

// Sums over all rows of two functions of them: add(row, two sums) for each row, in this precision within a block of rows
// and in double precision beyond.
template <class Add>
std::vector<double> sums(const Shape& shape, Add add) {
    int64_t two = 2 * shape.columns;
    std::vector<T> parts(std::max<int64_t>(1, (shape.rows + ROWS - 1) / ROWS) * two);
    over_rows(shape, [&](int64_t begin, int64_t end, int64_t block) {
        for (int64_t r = begin; r < end; ++r) add(r, &parts[block * two], &parts[block * two] + shape.columns);
    });
    std::vector<double> total(two);
    for (size_t k = 0; k < parts.size(); ++k) total[k % two] += double(parts[k]);
    return total;
}

}  // namespace

// Mean and variance of the columns, relative to the first row.
extern "C" void edge_moments(const T* z, int64_t rows, int64_t columns, T* mean, T* variance, int count,
                             Parallel parallel) {
    Shape shape{rows, columns, {count, parallel}};
    auto total = sums(shape, [=](int64_t r, T* __restrict first, T* __restrict second) {
        for (int64_t c = 0; c < columns; ++c) {
            T value = z[r * columns + c] - z[c];
            first[c] += value;
            second[c] += value * value;
        }
    });
    for (int64_t c = 0; c < columns; ++c) {
        double shift = total[c] / double(rows), square = total[columns + c] / double(rows) - shift * shift;
        mean[c] = T(double(z[c]) + shift);
        variance[c] = T(square < 0 ? 0 : square);
    }
}

// y = max(0, scale z + shift).
extern "C" void edge_activate(const T* z, const T* scale, const T* shift, int64_t rows, int64_t columns, T* out, int count,
                              Parallel parallel) {
    over_rows({rows, columns, {count, parallel}}, [=](int64_t begin, int64_t end, int64_t) {
        for (int64_t r = begin; r < end; ++r) {
            const T* row = z + r * columns;
            T* __restrict to = out + r * columns;
            for (int64_t c = 0; c < columns; ++c) to[c] = std::max(T(0), scale[c] * row[c] + shift[c]);
        }
    });
}

// The mean of y over the edges of each target, given one over their number.
extern "C" void edge_mean(const T* z, const T* scale, const T* shift, const int64_t* target, const T* share, int64_t rows,
                          int64_t columns, int64_t nodes, T* out, int count, Parallel parallel) {
    over_columns({rows, columns, {count, parallel}}, [=](int64_t begin, int64_t end) {
        for (int64_t i = 0; i < nodes; ++i) std::fill(out + i * columns + begin, out + i * columns + end, T(0));
        for (int64_t r = 0; r < rows; ++r) {
            const T *row = z + r * columns, part = share[target[r]];
            T* __restrict to = out + target[r] * columns;
            for (int64_t c = begin; c < end; ++c) to[c] += part * std::max(T(0), scale[c] * row[c] + shift[c]);
        }
    });
}

// From the gradient of y, or of its means (`target`), to those of scale (relative to the mean), shift and z. `batch`: mean
// and variance are those of these rows, 1 / root^2 the variance.
extern "C" void edge_norm_backward(const T* z, const T* scale, const T* shift, const T* mean, const T* root,
                                   const T* upstream, const int64_t* target, const T* share, int64_t rows,
                                   int64_t columns, int batch, T* grad_scale, T* grad_shift, T* out, int count,
                                   Parallel parallel) {
    Shape shape{rows, columns, {count, parallel}};
    auto from = [=](int64_t r) { return upstream + (target ? target[r] : r) * columns; };
    auto part = [=](int64_t r) { return target ? share[target[r]] : T(1); };
    auto total = sums(shape, [=](int64_t r, T* __restrict first, T* __restrict second) {
        const T *row = z + r * columns, *up = from(r), factor = part(r);
        for (int64_t c = 0; c < columns; ++c) {
            T grad = scale[c] * row[c] + shift[c] > 0 ? factor * up[c] : T(0);
            first[c] += grad * (row[c] - mean[c]);
            second[c] += grad;
        }
    });
    std::vector<T> slopes(columns), constants(columns);
    for (int64_t c = 0; c < columns; ++c) {
        grad_scale[c] = T(total[c]);
        grad_shift[c] = T(total[columns + c]);
        if (!batch) continue;
        slopes[c] = T(-double(scale[c]) * double(root[c]) * double(root[c]) * total[c] / double(rows));
        constants[c] = T(-double(scale[c]) * total[columns + c] / double(rows));
    }
    const T *slope = slopes.data(), *constant = constants.data();
    over_rows(shape, [=](int64_t begin, int64_t end, int64_t) {
        for (int64_t r = begin; r < end; ++r) {
            const T *row = z + r * columns, *up = from(r), factor = part(r);
            T* to = out + r * columns;  // may be the rows of the gradient
            #pragma GCC ivdep
            for (int64_t c = 0; c < columns; ++c) {
                T grad = scale[c] * row[c] + shift[c] > 0 ? factor * up[c] : T(0);
                to[c] = scale[c] * grad + slope[c] * (row[c] - mean[c]) + constant[c];
            }
        }
    });
}

// z = a of the target + b of the source.
extern "C" void edge_terms(const T* a, const T* b, const int64_t* target, const int64_t* source, int64_t rows,
                           int64_t columns, T* out, int count, Parallel parallel) {
    over_rows({rows, columns, {count, parallel}}, [=](int64_t begin, int64_t end, int64_t) {
        for (int64_t r = begin; r < end; ++r) {
            const T *here = a + target[r] * columns, *there = b + source[r] * columns;
            T* __restrict to = out + r * columns;
            for (int64_t c = 0; c < columns; ++c) to[c] = here[c] + there[c];
        }
    });
}

extern "C" void edge_terms_backward(const T* upstream, const int64_t* target, const int64_t* source, int64_t rows,
                                    int64_t columns, int64_t nodes, T* a, T* b, int count, Parallel parallel) {
    over_columns({rows, columns, {count, parallel}}, [=](int64_t begin, int64_t end) {
        for (T* to : {a, b})
            for (int64_t i = 0; i < nodes; ++i) std::fill(to + i * columns + begin, to + i * columns + end, T(0));
        for (int64_t r = 0; r < rows; ++r) {
            const T* row = upstream + r * columns;
            T *here = a + target[r] * columns, *there = b + source[r] * columns;
            #pragma GCC ivdep
            for (int64_t c = begin; c < end; ++c) {
                here[c] += row[c];
                there[c] += row[c];
            }
        }
    });
}
