// A layer of an edge convolution, z' = W y with y = max(0, scale z + shift) of the layer before, in blocks of rows that stay
// in the cache: y is stored nowhere, and the sums that a batch normalisation needs are taken while the rows are at hand.
#include <memory>

#include "edge_rows.h"
#include "panels.h"

namespace {

// Rows of y, with zeros behind them.
void activate(const Norm& norm, int64_t begin, int64_t end, T* to, int64_t to_row) {
    for (int64_t r = begin; r < end; ++r, to += to_row)
        each(0, norm.columns, [=](auto lane, int64_t c) {
            typedef decltype(lane) Lane;
            auto value = Lane::load(norm.scale + c) * Lane::load(norm.z + r * norm.columns + c) + Lane::load(norm.shift + c);
            Lane::store(to + c, value > 0 ? value : typename Lane::type{});
        });
}

// Rows as long as in memory elsewhere, from padded ones.
void copy_rows(const T* from, int64_t from_row, int64_t rows, int64_t columns, T* to) {
    for (int64_t r = 0; r < rows; ++r) std::copy_n(from + r * from_row, columns, to + r * columns);
}

// A block of rows with zeros behind them.
struct Rows {
    explicit Rows(int64_t columns) : wide(padded<T>(columns)), data(ROWS * wide) {}
    int64_t wide;
    std::vector<T> data;

    T* begin() { return data.data(); }
};

// The product of rows with a matrix into rows of `columns` numbers, directly or by way of a padded block.
void multiply(const Panels<T>& matrix, Rows& rows, int64_t count, int64_t columns, Rows& block, T* to) {
    T* out = block.wide == columns ? to : block.begin();
    matrix.multiply(out, block.wide, rows.begin(), rows.wide, count);
    if (out != to) copy_rows(out, block.wide, count, columns, to);
}

}  // namespace

extern "C" void edge_layer_forward(const T* z, const T* scale, const T* shift, const T* weight, int64_t rows,
                                   int64_t columns, int64_t columns_out, T* out, T* mean, T* variance, int count,
                                   Parallel parallel) {
    Shape shape{rows, columns_out, {count, parallel}};
    Norm norm{z, scale, shift, nullptr, columns, nullptr, nullptr, nullptr};
    Panels<T> matrix(weight, 1, columns, columns, columns_out);
    Moments moments(shape);
    run_tasks(shape.blocks(), shape.threads, [&] {
        return [&, y = std::make_shared<Rows>(columns), next = std::make_shared<Rows>(columns_out)](int64_t block) {
            int64_t begin = block * ROWS, end = std::min(rows, begin + ROWS);
            T* to = out + begin * columns_out;
            activate(norm, begin, end, y->begin(), y->wide);
            multiply(matrix, *y, end - begin, columns_out, *next, to);
            moments.add(to, end - begin, block);
        };
    });
    moments.finish(mean, variance);
}

// From the gradient of the layer's own y (see edge_terms_backward, all up to `batch`) to those of W and of the y of the layer
// before, and to the sums of edge_norm_sums there.
extern "C" void edge_layer_backward(const T* z, const T* scale, const T* shift, const T* mean, const T* root,
                                    const T* to_scale, const T* to_shift, const T* upstream, const int64_t* target,
                                    const T* share, int64_t rows, int64_t columns, int batch, const T* weight,
                                    const T* z_before, const T* scale_before, const T* shift_before, const T* mean_before,
                                    int64_t columns_before, T* to_weight, T* to_before, T* to_scale_before,
                                    T* to_shift_before, int count, Parallel parallel) {
    Shape before{rows, columns_before, {count, parallel}};
    Norm own{z, scale, shift, mean, columns, upstream, target, share};
    Norm last{z_before, scale_before, shift_before, mean_before, columns_before, to_before, nullptr, nullptr};
    NormBackward back(own, root, to_scale, to_shift, batch, rows);
    Panels<T> matrix(weight, columns_before, 1, columns, columns_before);
    NormSums sums(before);
    int64_t wide = padded<T>(columns_before), blocks = before.blocks(), groups = std::min<int64_t>(64, (blocks + 15) / 16);
    static thread_local Buffer<T> memory;  // kept for the next call
    GroupSums<T> weights(memory, groups, columns * wide);
    run_tasks(groups, before.threads, [&] {
        return [&, grad = std::make_shared<Rows>(columns), y = std::make_shared<Rows>(columns_before),
                next = std::make_shared<Rows>(columns_before)](int64_t group) {
            T* to = weights.row(group);
            std::fill_n(to, columns * wide, T(0));
            for (int64_t block = group * blocks / groups; block < (group + 1) * blocks / groups; ++block) {
                int64_t begin = block * ROWS, end = std::min(rows, begin + ROWS);
                for (int64_t r = begin; r < end; ++r)
                    each(0, columns, [&, row = grad->begin() + (r - begin) * grad->wide](auto lane, int64_t c) {
                        lane.store(row + c, back.at(lane, r, c));
                    });
                activate(last, begin, end, y->begin(), y->wide);
                Panels<T>::add_products(to, grad->begin(), grad->wide, columns, y->begin(), y->wide, end - begin);
                multiply(matrix, *grad, end - begin, columns_before, *next, to_before + begin * columns_before);
                sums.add(last, begin, end, block);
            }
        };
    });
    copy_rows(weights.sum(before.threads), wide, columns, columns_before, to_weight);
    sums.finish(to_scale_before, to_shift_before);
}
