// What begins and ends an edge convolution: sums of the terms of both ends, and means over the edges of a target of
// y = max(0, scale z + shift), with the statistics of z and the way back.
#include "edge_rows.h"

// Mean and variance of the columns.
extern "C" void edge_moments(const T* z, int64_t rows, int64_t columns, T* mean, T* variance, int count,
                             Parallel parallel) {
    Shape shape{rows, columns, {count, parallel}};
    Moments moments(shape);
    over_rows(shape, [&](int64_t begin, int64_t end, int64_t block) {
        moments.add(z + begin * columns, end - begin, block);
    });
    moments.finish(mean, variance);
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

// From the gradient of y, or of its means (`target`), to those of the scale of z - mean and of the shift.
extern "C" void edge_norm_sums(const T* z, const T* scale, const T* shift, const T* mean, const T* upstream,
                               const int64_t* target, const T* share, int64_t rows, int64_t columns, T* to_scale,
                               T* to_shift, int count, Parallel parallel) {
    Shape shape{rows, columns, {count, parallel}};
    NormSums sums(shape);
    Norm norm{z, scale, shift, mean, columns, upstream, target, share};
    over_rows(shape, [&](int64_t begin, int64_t end, int64_t block) { sums.add(norm, begin, end, block); });
    sums.finish(to_scale, to_shift);
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

// From the gradient of y and the sums of edge_norm_sums to those of z (which may be null), a and b. `batch`: mean and
// variance, 1 / root^2, are those of these rows.
extern "C" void edge_terms_backward(const T* z, const T* scale, const T* shift, const T* mean, const T* root,
                                    const T* to_scale, const T* to_shift, const T* upstream, const int64_t* target_of_mean,
                                    const T* share, int64_t rows, int64_t columns, int batch, const int64_t* target,
                                    const int64_t* source, int64_t nodes, T* a, T* b, T* to_z, int count,
                                    Parallel parallel) {
    Norm norm{z, scale, shift, mean, columns, upstream, target_of_mean, share};
    NormBackward back(norm, root, to_scale, to_shift, batch, rows);
    over_columns({rows, columns, {count, parallel}}, [&](int64_t begin, int64_t end) {
        for (T* to : {a, b})
            for (int64_t i = 0; i < nodes; ++i) std::fill(to + i * columns + begin, to + i * columns + end, T(0));
        for (int64_t r = 0; r < rows; ++r) {
            T *here = a + target[r] * columns, *there = b + source[r] * columns;
            each(begin, end, [&](auto lane, int64_t c) {
                auto grad = back.at(lane, r, c);
                lane.store(here + c, lane.load(here + c) + grad);
                lane.store(there + c, lane.load(there + c) + grad);
                if (to_z) lane.store(to_z + r * columns + c, grad);
            });
        }
    });
}
