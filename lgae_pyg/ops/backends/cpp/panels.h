// Products of rows with a matrix that does not fit into the first-level cache: it is packed into panels that do.
#pragma once
#include <vector>

#include "tiles.h"

template <class T>
class Panels {
  public:
    static constexpr int VECS = 2, WIDE = VECS * Simd<T>::lanes;

    // B(k, c) = from[k * step + c * stride]; columns are filled up with zeros.
    Panels(const T* from, size_t step, size_t stride, int64_t depth, int64_t columns)
        : depth_(depth), count_((columns + WIDE - 1) / WIDE), data_(depth * count_ * WIDE) {
        for (int64_t c = 0; c < columns; ++c)
            for (int64_t k = 0; k < depth; ++k)
                data_[(c / WIDE * depth + k) * WIDE + c % WIDE] = from[k * step + c * stride];
    }

    // C = A B, with all columns of the panels.
    void multiply(T* c, size_t c_row, const T* a, size_t a_row, int64_t rows) const {
        for (int64_t p = 0; p < count_; ++p)
            tiles::columns<tiles::SET, VECS, T>(c + p * WIDE, c_row, a, a_row, 1, &data_[p * depth_ * WIDE], WIDE, int(rows),
                                                int(depth_), {});
    }

    // C += A^T B of two blocks of rows, with so many columns of both; those of B in full panels.
    static void add_products(T* c, size_t c_row, const T* a, size_t a_row, int64_t columns, const T* b, size_t b_row,
                             int64_t rows) {
        for (size_t p = 0; p < b_row; p += WIDE)
            tiles::columns<tiles::ADD, VECS, T>(c + p, c_row, a, 1, a_row, b + p, b_row, int(columns), int(rows), {});
    }

  private:
    int64_t depth_, count_;
    std::vector<T> data_;
};
