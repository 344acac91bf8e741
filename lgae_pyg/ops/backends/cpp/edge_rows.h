// Rows of edges in blocks, and what batch normalisation and ReLU, y = max(0, scale z + shift), do to them.
#pragma once
#include <algorithm>
#include <vector>

#include "tasks.h"

namespace {

typedef COMPUTE T;
typedef Simd<T>::vec vec;
constexpr int V = Simd<T>::lanes;
constexpr int64_t ROWS = 48, COLUMNS = 64;  // that a thread takes at once: rows, and columns at least

struct Shape {
    int64_t rows, columns;
    Threads threads;

    int64_t blocks() const { return (rows + ROWS - 1) / ROWS; }
};

// Calls work(first row, last row, block) for blocks of rows.
template <class Work>
void over_rows(const Shape& shape, Work work) {
    run_tasks(shape.blocks(), shape.threads, [&] {
        return [&](int64_t block) { work(block * ROWS, std::min(shape.rows, (block + 1) * ROWS), block); };
    });
}

// Calls work(first column, last column) for blocks of columns.
template <class Work>
void over_columns(const Shape& shape, Work work) {
    int64_t each = std::max(COLUMNS, (shape.columns / shape.threads.count + V - 1) / V * V);
    run_tasks((shape.columns + each - 1) / each, shape.threads, [&] {
        return [&](int64_t block) { work(block * each, std::min(shape.columns, (block + 1) * each)); };
    });
}

// A full register of numbers, or one where there are not as many.
struct Full {
    typedef vec type;
    static type load(const T* from) { return Simd<T>::load(from); }
    static void store(T* to, type value) { Simd<T>::store(to, value); }
};
struct Single {
    typedef T type;
    static type load(const T* from) { return *from; }
    static void store(T* to, type value) { *to = value; }
};

template <class Work>
inline void each(int64_t begin, int64_t end, Work work) {
    int64_t c = begin;
    for (; c + V <= end; c += V) work(Full(), c);
    for (; c < end; ++c) work(Single(), c);
}

// Mean and variance of columns, from those of blocks of rows in this precision, joined in double precision.
class Moments {
  public:
    explicit Moments(const Shape& shape) : shape_(shape), parts_(2 * shape.blocks() * shape.columns) {}

    void add(const T* z, int64_t rows, int64_t block) {
        int64_t columns = shape_.columns;
        T *mean = &parts_[2 * block * columns], *square = mean + columns;
        each(0, columns, [=](auto lane, int64_t c) {
            typedef decltype(lane) Lane;
            typename Lane::type origin = Lane::load(z + c), first{}, second{};
            for (int64_t r = 1; r < rows; ++r) {
                auto value = Lane::load(z + r * columns + c) - origin;
                first += value;
                second += value * value;
            }
            Lane::store(mean + c, origin + first / T(rows));
            Lane::store(square + c, second - first * first / T(rows));
        });
    }

    void finish(T* mean, T* variance) const {
        int64_t columns = shape_.columns;
        std::vector<double> centres(columns), squares(columns);
        auto walk = [&](auto work) {
            for (int64_t block = 0; block < shape_.blocks(); ++block) {
                double count = double(std::min(ROWS, shape_.rows - block * ROWS));
                const T* part = &parts_[2 * block * columns];
                for (int64_t c = 0; c < columns; ++c) work(c, count, double(part[c]), double(part[columns + c]));
            }
        };
        walk([&](int64_t c, double count, double centre, double) { centres[c] += count * centre / double(shape_.rows); });
        walk([&](int64_t c, double count, double centre, double square) {
            double apart = centre - centres[c];
            squares[c] += (square + count * apart * apart) / double(shape_.rows);
        });
        for (int64_t c = 0; c < columns; ++c) {
            mean[c] = T(centres[c]);
            variance[c] = T(squares[c] < 0 ? 0 : squares[c]);
        }
    }

  private:
    Shape shape_;
    std::vector<T> parts_;
};

// A normalised layer, and the gradient of y, or of its means over the edges of each target.
struct Norm {
    const T *z, *scale, *shift, *mean;
    int64_t columns;
    const T* upstream;
    const int64_t* target;  // or null
    const T* share;         // of an edge in the mean

    const T* row(int64_t r) const { return upstream + (target ? target[r] : r) * columns; }
    T factor(int64_t r) const { return target ? share[target[r]] : T(1); }

    // The gradient behind the activation.
    template <class Lane>
    typename Lane::type slope(Lane, int64_t r, int64_t c, typename Lane::type value) const {
        typename Lane::type grad = factor(r) * Lane::load(row(r) + c);
        return Lane::load(scale + c) * value + Lane::load(shift + c) > 0 ? grad : typename Lane::type{};
    }
};

// Sums over all rows of the gradients of the scale of z - mean and of the shift.
class NormSums {
  public:
    explicit NormSums(const Shape& shape) : columns_(shape.columns), parts_(2 * shape.blocks() * shape.columns) {}

    void add(const Norm& norm, int64_t begin, int64_t end, int64_t block) {
        T* to = &parts_[2 * block * columns_];
        each(0, columns_, [=](auto lane, int64_t c) {
            typedef decltype(lane) Lane;
            typename Lane::type mean = Lane::load(norm.mean + c), first{}, second{};
            for (int64_t r = begin; r < end; ++r) {
                auto value = Lane::load(norm.z + r * columns_ + c), grad = norm.slope(lane, r, c, value);
                first += grad * (value - mean);
                second += grad;
            }
            Lane::store(to + c, first);
            Lane::store(to + columns_ + c, second);
        });
    }

    void finish(T* to_scale, T* to_shift) const {
        std::vector<double> total(2 * columns_);
        for (size_t k = 0; k < parts_.size(); ++k) total[k % (2 * columns_)] += double(parts_[k]);
        for (int64_t c = 0; c < columns_; ++c) {
            to_scale[c] = T(total[c]);
            to_shift[c] = T(total[columns_ + c]);
        }
    }

  private:
    int64_t columns_;
    std::vector<T> parts_;
};

// From there to the gradient of z: also through mean and variance, where they are those of all rows.
class NormBackward {
  public:
    NormBackward(const Norm& norm, const T* root, const T* to_scale, const T* to_shift, bool batch, int64_t rows)
        : norm_(norm), slopes_(norm.columns), constants_(norm.columns) {
        for (int64_t c = 0; batch && c < norm.columns; ++c) {
            double factor = -double(norm.scale[c]) / double(rows);
            slopes_[c] = T(factor * double(root[c]) * double(root[c]) * double(to_scale[c]));
            constants_[c] = T(factor * double(to_shift[c]));
        }
    }

    template <class Lane>
    typename Lane::type at(Lane lane, int64_t r, int64_t c) const {
        typename Lane::type value = Lane::load(norm_.z + r * norm_.columns + c);
        typename Lane::type through = Lane::load(&slopes_[c]) * (value - Lane::load(norm_.mean + c));
        return Lane::load(norm_.scale + c) * norm_.slope(lane, r, c, value) + through + Lane::load(&constants_[c]);
    }

  private:
    Norm norm_;
    std::vector<T> slopes_, constants_;
};

}  // namespace
