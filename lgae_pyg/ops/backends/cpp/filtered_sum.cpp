// Sums over the neighbours of complex columns, each weighted with a radial factor of the pair, and their gradients; see
// lgae_pyg/ops/backends/compiled_tensors.py for the formulas.
//
// Some rows i meet a strip of neighbours j at a time. The radial factors of such a block stay in the cache, and what is
// left are products of small matrices, f (i, j) with the columns (j, k), filter by filter.
#include "filters.h"
#include "tasks.h"

namespace {

struct Inputs {
    const T *columns, *momenta;
    const Radial& radial;
    Columns layout;
    bool loops, masked;  // whether j = i counts, and whether pairs with p_ij^2 = 0 have no bells
};

// out_r += sum_j f_rj x_j, or with the conjugate of f, for R rows and N registers of the columns.
template <size_t R, size_t N, bool CONJUGATE>
void product(const T* re, const T* im, const T* x, size_t step, size_t count, T* out, size_t stride) {
    vec straight[R][N] = {}, turned[R][N] = {};
    for (size_t j = 0; j < count; ++j, x += step) {
        vec value[N];
        for (size_t k = 0; k < N; ++k) value[k] = load(x + k * V);
        for (size_t r = 0; r < R; ++r)
            for (size_t k = 0; k < N; ++k) {
                straight[r][k] += re[r * STRIP + j] * value[k];
                turned[r][k] += im[r * STRIP + j] * value[k];
            }
    }
    for (size_t r = 0; r < R; ++r, out += stride) {
        alignas(64) T a[N * V], b[N * V];
        for (size_t k = 0; k < N; ++k) {
            Simd<T>::store(a + k * V, straight[r][k]);
            Simd<T>::store(b + k * V, CONJUGATE ? -turned[r][k] : turned[r][k]);
        }
        for (size_t k = 0; k < N * V; k += 2) {
            out[k] += a[k] - b[k + 1];
            out[k + 1] += a[k + 1] + b[k];
        }
    }
}

template <size_t R, bool CONJUGATE>
void product(const T* re, const T* im, const T* x, size_t step, size_t count, size_t width, T* out, size_t stride) {
    size_t k = 0;
    for (; k + 4 * V <= width; k += 4 * V) product<R, 4, CONJUGATE>(re, im, x + k, step, count, out + k, stride);
    if (k + 2 * V <= width) {
        product<R, 2, CONJUGATE>(re, im, x + k, step, count, out + k, stride);
        k += 2 * V;
    }
    if (k < width) product<R, 1, CONJUGATE>(re, im, x + k, step, count, out + k, stride);
}

// Gradients of the factors of R rows and two registers of neighbours, sum_k g_rk conj(x_jk); x as turned columns.
template <size_t R>
void factor_gradients(const T* g, size_t row, const T* x, size_t stride, size_t columns, T* re, T* im) {
    vec real[R][2] = {}, imaginary[R][2] = {};
    for (size_t k = 0; k < columns; ++k, x += 2 * stride)
        for (size_t half = 0; half < 2; ++half) {
            vec a = load(x + half * V), b = load(x + stride + half * V);
            for (size_t r = 0; r < R; ++r) {
                const T* up = g + r * row + 2 * k;
                real[r][half] += up[0] * a;
                real[r][half] += up[1] * b;
                imaginary[r][half] += up[1] * a;
                imaginary[r][half] -= up[0] * b;
            }
        }
    for (size_t r = 0; r < R; ++r)
        for (size_t half = 0; half < 2; ++half) {
            Simd<T>::store(re + r * STRIP + half * V, real[r][half]);
            Simd<T>::store(im + r * STRIP + half * V, imaginary[r][half]);
        }
}

class Worker {
  public:
    explicit Worker(const Inputs& in) : in_(in) {}

    void forward(size_t begin, size_t n, T* out) {
        start(begin, n);
        const Columns& c = in_.layout;
        T* sums = sums_.reserve(ROWS * c.row());
        for (size_t i = 0; i < n; i += ROWS) {
            size_t rows = std::min(ROWS, n - i);
            std::fill(sums, sums + ROWS * c.row(), T(0));
            for (size_t j = 0; j < n; j += STRIP) {
                factors<false>(i, rows, j);
                spread<false>(rows, j, x_, sums);
            }
            c.write(sums, rows, out + (begin + i) * c.width());
        }
    }

    void begin_group() {
        size_t count = in_.radial.parameters() * V;
        std::fill_n(parameters_.reserve(count), count, T(0));
    }

    // Gradients of what the radial parameters were folded into.
    void end_group(T* out) {
        const T* from = parameters_.reserve(0);
        for (size_t k = 0; k < in_.radial.parameters(); ++k) out[k] = Simd<T>::sum(load(from + k * V));
    }

    // The radial factor of a pair is that of the opposite pair, so the gradients of the columns are sums over the
    // neighbours too.
    void backward(size_t begin, size_t n, const T* upstream, T* grad_columns, T* grad_momenta) {
        start(begin, n);
        const Columns& c = in_.layout;
        T *g = upstream_.reserve(n * c.row()), *turned = turned_.reserve(c.width() * row_), *sums = sums_.reserve(ROWS * c.row());
        c.read(upstream + begin * c.width(), n, g);
        c.turn(in_.columns + begin * c.width(), n, turned, row_);
        T* moved = moved_.reserve(4 * row_);
        std::fill_n(moved, 4 * row_, T(0));
        for (size_t i = 0; i < n; i += ROWS) {
            size_t rows = std::min(ROWS, n - i);
            std::fill(sums, sums + ROWS * c.row(), T(0));
            for (size_t j = 0; j < n; j += STRIP) {
                factors<true>(i, rows, j);
                spread<true>(rows, j, g, sums);
                pair_gradients(i, rows, j, g + i * c.row(), turned + j);
                mask(rows, j);
                bell_gradients(rows, j);
                if (grad_momenta) move(i, rows, j, moved);
            }
            c.write(sums, rows, grad_columns + (begin + i) * c.width());
        }
        for (size_t i = 0; grad_momenta && i < n; ++i)
            for (size_t mu = 0; mu < 4; ++mu) grad_momenta[(begin + i) * 4 + mu] = moved[mu * row_ + i];
    }

  private:
    void start(size_t begin, size_t n) {
        n_ = n;
        row_ = (n + STRIP - 1) / STRIP * STRIP;
        p_ = momenta_.reserve(4 * row_);
        for (size_t mu = 0; mu < 4; ++mu) {
            for (size_t i = 0; i < n; ++i) p_[mu * row_ + i] = in_.momenta[(begin + i) * 4 + mu];
            std::fill(p_ + mu * row_ + n, p_ + (mu + 1) * row_, T(0));
        }
        x_ = columns_.reserve(n * in_.layout.row());
        in_.layout.read(in_.columns + begin * in_.layout.width(), n, x_);
        f_ = factors_.reserve(OUT * BLOCK);
        q_ = squares_.reserve(BLOCK);
    }
    size_t strip(size_t j) const { return std::min(STRIP, n_ - j); }

    vec apart(size_t mu, size_t i, size_t j) const { return p_[mu * row_ + i] - load(p_ + mu * row_ + j); }

    // p_ij^2 and the radial factors of a block, and with KEEP the bells.
    template <bool KEEP>
    void factors(size_t i, size_t rows, size_t j) {
        const Radial& radial = in_.radial;
        T* bells = KEEP ? bells_.reserve(radial.bells * BLOCK) : nullptr;
        for (size_t r = 0; r < rows; ++r)
            for (size_t at = 0; at < strip(j); at += V) {
                vec square = apart(0, i + r, j + at), mixed[OUT];
                square *= square;
                for (size_t mu = 1; mu < 4; ++mu) {
                    vec d = apart(mu, i + r, j + at);
                    square -= d * d;
                }
                Simd<T>::store(q_ + r * STRIP + at, square);
                const vec size = square < 0 ? -square : square;
                for (int o = 0; o < OUT; ++o) mixed[o] = radial.constant[o] - vec{};
                for (size_t b = 0; b < radial.bells; ++b) {
                    const vec bell = T(1) / (T(1) + radial.squared_width[b] * size);
                    if (KEEP) Simd<T>::store(bells + b * BLOCK + r * STRIP + at, bell);
                    for (int o = 0; o < OUT; ++o) mixed[o] += radial.weight[b * OUT + o] * bell;
                }
                for (int o = 0; o < OUT; ++o) {
                    if (in_.masked) mixed[o] = square == 0 ? radial.from[Radial::bias][o] - vec{} : mixed[o];
                    Simd<T>::store(f_ + o * BLOCK + r * STRIP + at, mixed[o]);
                }
            }
        if (!in_.loops) clear_loops(i, rows, j, f_);
    }

    void clear_loops(size_t i, size_t rows, size_t j, T* f) const {
        for (size_t r = 0; r < rows; ++r)
            if (i + r >= j && i + r < j + STRIP)
                for (int o = 0; o < OUT; ++o) f[o * BLOCK + r * STRIP + i + r - j] = 0;
    }

    // Adds the columns x of a strip, weighted, to the sums of the rows.
    template <bool CONJUGATE>
    void spread(size_t rows, size_t j, const T* x, T* sums) const {
        const Columns& c = in_.layout;
        for (int o = 0; o < FILTERS; ++o) {
            size_t width = c.padded[o + 1] - c.padded[o], r = 0;
            const T *re = f_ + 2 * o * BLOCK, *im = re + BLOCK, *from = x + j * c.row() + c.padded[o];
            T* to = sums + c.padded[o];
            for (; r + 3 <= rows; r += 3)
                product<3, CONJUGATE>(re + r * STRIP, im + r * STRIP, from, c.row(), strip(j), width, to + r * c.row(), c.row());
            for (; r < rows; ++r)
                product<1, CONJUGATE>(re + r * STRIP, im + r * STRIP, from, c.row(), strip(j), width, to + r * c.row(), c.row());
        }
    }

    // The gradients of the factors of a block; zero behind the last neighbour.
    void pair_gradients(size_t i, size_t rows, size_t j, const T* g, const T* turned) {
        const Columns& c = in_.layout;
        T* grad = grad_factors_.reserve(OUT * BLOCK);
        for (int o = 0; o < FILTERS; ++o) {
            size_t count = (c.packed[o + 1] - c.packed[o]) / 2;
            for (size_t at = 0; at < strip(j); at += 2 * V) {
                const T *up = g + c.padded[o], *x = turned + c.packed[o] * row_ + at;
                T *re = grad + 2 * o * BLOCK + at, *im = re + BLOCK;
                size_t r = 0;
                for (; r + 3 <= rows; r += 3)
                    factor_gradients<3>(up + r * c.row(), c.row(), x, row_, count, re + r * STRIP, im + r * STRIP);
                for (; r < rows; ++r)
                    factor_gradients<1>(up + r * c.row(), c.row(), x, row_, count, re + r * STRIP, im + r * STRIP);
            }
        }
        if (!in_.loops) clear_loops(i, rows, j, grad);
    }

    // Gives the gradients of masked pairs to what these pairs have in place of bells.
    void mask(size_t rows, size_t j) {
        T *grad = grad_factors_.reserve(0), *to = parameters_.reserve(0) + (in_.radial.bells * (OUT + 1) + OUT) * V;
        if (!in_.masked) return;
        for (size_t r = 0; r < rows; ++r)
            for (size_t at = 0; at < strip(j); at += V) {
                const vec square = load(q_ + r * STRIP + at);
                for (int o = 0; o < OUT; ++o) {
                    T* here = grad + o * BLOCK + r * STRIP + at;
                    const vec value = load(here);
                    add(to + o * V, square == 0 ? value : vec{});
                    Simd<T>::store(here, square == 0 ? vec{} : value);
                }
            }
    }

    // From the gradients of the factors to those of widths, mixture and biases and, in place of p_ij^2, to its own.
    void bell_gradients(size_t rows, size_t j) {
        const Radial& radial = in_.radial;
        const T *grad = grad_factors_.reserve(0), *bells = bells_.reserve(0);
        T *widths = parameters_.reserve(0), *biases = widths + radial.bells * (OUT + 1) * V;
        for (size_t r = 0; r < rows; ++r)
            for (size_t at = r * STRIP; at < r * STRIP + strip(j); at += V) {
                const vec square = load(q_ + at), sign = square > 0 ? T(1) - vec{} : (square < 0 ? T(-1) - vec{} : vec{});
                vec up[OUT], total{};
                for (int o = 0; o < OUT; ++o) {
                    up[o] = load(grad + o * BLOCK + at);
                    add(biases + o * V, up[o]);
                }
                for (size_t b = 0; b < radial.bells; ++b) {
                    const vec bell = load(bells + b * BLOCK + at);
                    vec even{}, odd{};
                    for (int o = 0; o < OUT; o += 2) {
                        even += radial.weight[b * OUT + o] * up[o];
                        odd += radial.weight[b * OUT + o + 1] * up[o + 1];
                    }
                    const vec slope = (even + odd) * bell * bell;
                    total -= radial.squared_width[b] * slope;
                    add(widths + b * V, -slope * square * sign);
                }
                Simd<T>::store(q_ + at, total * sign);
            }
        size_t b = 0;
        for (; b + 5 <= radial.bells; b += 5) mixture<5>(rows, j, b);
        for (; b < radial.bells; ++b) mixture<1>(rows, j, b);
    }

    template <size_t BELLS>
    void mixture(size_t rows, size_t j, size_t b) {
        const T *grad = grad_factors_.reserve(0), *bells = bells_.reserve(0) + b * BLOCK;
        T* to = parameters_.reserve(0) + (in_.radial.bells + b * OUT) * V;
        for (int o = 0; o < OUT; o += 4) {
            vec total[4][BELLS] = {};
            for (size_t r = 0; r < rows; ++r)
                for (size_t at = r * STRIP; at < r * STRIP + strip(j); at += V) {
                    vec up[4];
                    for (int t = 0; t < 4; ++t) up[t] = load(grad + (o + t) * BLOCK + at);
                    for (size_t k = 0; k < BELLS; ++k) {
                        const vec bell = load(bells + k * BLOCK + at);
                        for (int t = 0; t < 4; ++t) total[t][k] += up[t] * bell;
                    }
                }
            for (size_t k = 0; k < BELLS; ++k)
                for (int t = 0; t < 4; ++t) add(to + (k * OUT + o + t) * V, total[t][k]);
        }
    }

    // Gradients of the momenta from those of p_ij^2.
    void move(size_t i, size_t rows, size_t j, T* moved) const {
        for (size_t r = 0; r < rows; ++r)
            for (size_t mu = 0; mu < 4; ++mu) {
                vec total{};
                for (size_t at = 0; at < strip(j); at += V) {
                    vec step = (mu ? T(-2) : T(2)) * load(q_ + r * STRIP + at) * apart(mu, i + r, j + at);
                    total += step;
                    add(moved + mu * row_ + j + at, -step);
                }
                moved[mu * row_ + i + r] += Simd<T>::sum(total);
            }
    }

    Inputs in_;
    size_t n_ = 0, row_ = 0;  // nodes of the jet, and those rounded up
    T *p_ = nullptr, *x_ = nullptr, *f_ = nullptr, *q_ = nullptr;
    Buffer<T> momenta_, columns_, factors_, squares_, sums_, upstream_, turned_, moved_, bells_, grad_factors_, parameters_;
};

}  // namespace

extern "C" void filtered_sum_forward(const T* columns, const T* momenta, const int64_t* ptr, int64_t jets,
                                     const T* const* parameters, int64_t bells, const int64_t* counts, int loops,
                                     int masked, T* out, int threads, Parallel parallel) {
    const Radial radial(parameters, bells);
    Inputs in{columns, momenta, radial, Columns(counts), bool(loops), bool(masked)};
    auto bounds = groups(ptr, jets);
    run_tasks(int64_t(bounds.size()) - 1, {threads, parallel}, [&] {
        return [worker = Worker(in), &bounds, ptr, out](int64_t task) mutable {
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                worker.forward(ptr[jet], ptr[jet + 1] - ptr[jet], out);
        };
    });
}

extern "C" void filtered_sum_backward(const T* columns, const T* momenta, const int64_t* ptr, int64_t jets,
                                      const T* const* parameters, int64_t bells, const int64_t* counts, int loops,
                                      int masked, const T* upstream, T* grad_columns, T* grad_momenta,
                                      T* const* grad_parameters, int threads, Parallel parallel) {
    const Radial radial(parameters, bells);
    Inputs in{columns, momenta, radial, Columns(counts), bool(loops), bool(masked)};
    auto bounds = groups(ptr, jets);
    const int64_t tasks = int64_t(bounds.size()) - 1;
    static thread_local Buffer<T> memory;  // kept for the next call
    GroupSums<T> sums(memory, tasks, radial.parameters());
    run_tasks(tasks, {threads, parallel}, [&] {
        return [&, worker = Worker(in)](int64_t task) mutable {
            worker.begin_group();
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                worker.backward(ptr[jet], ptr[jet + 1] - ptr[jet], upstream, grad_columns, grad_momenta);
            worker.end_group(sums.row(task));
        };
    });
    radial.gradients(sums.sum({threads, parallel}), grad_parameters);
}
