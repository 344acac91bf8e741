// Sums over the neighbours of complex columns, each weighted with a radial factor of the pair, and their gradients, for the
// nodes of one jet in blocks (node_blocks.h).
//
// Nodes meet nodes in tiles, each pair once: the factor of a pair is that of the opposite pair. The factors of a tile stay
// in the cache, and what is left are products of small matrices, filter by filter.
#pragma once
#include "radial_bells.h"
#include "steps.h"

class Neighbours {
  public:
    // counts: how many columns go with each filter; loops: whether j = i counts; masked: whether pairs with p_ij^2 = 0 have
    // no bells.
    Neighbours(const Radial& radial, const int64_t* counts, bool loops, bool masked)
        : loops_(loops), list_(radial, masked, SIDE * SIDE) {
        for (int o = 0; o < FILTERS; ++o) begin_[o + 1] = begin_[o] + counts[o];
        there_ = there_buffer_.reserve(SIDE * ROW);
        back_ = back_buffer_.reserve(SIDE * ROW);
    }
    size_t columns() const { return begin_[FILTERS]; }

    void start(const T* momenta, size_t nodes) {
        n_ = nodes;
        row_ = whole(nodes) + V;
        p_ = momenta_.reserve(4 * row_);
        for (size_t mu = 0; mu < 4; ++mu) {
            for (size_t i = 0; i < n_; ++i) p_[mu * row_ + i] = momenta[i * 4 + mu];
            std::fill(p_ + mu * row_ + n_, p_ + (mu + 1) * row_, T(0));
        }
    }

    void forward(Blocks<const vec> columns, Blocks<vec> sums) {
        over_tiles([&](const Tile& tile) {
            list_.run<false>(squares(tile));
            for (int o = 0; o < FILTERS; ++o) {
                scatter(tile, o);
                spread<false>(tile, o, columns, sums);
            }
        });
    }

    // Gradients of the columns and, if they are wanted, momenta; those of the radial functions are added to `parameters`.
    void backward(Blocks<const vec> columns, Blocks<const vec> up, Blocks<vec> grad, T* grad_momenta, T* parameters) {
        if (grad_momenta) std::fill_n(grad_momenta, 4 * n_, T(0));
        over_tiles([&](const Tile& tile) {
            const size_t count = squares(tile);
            list_.run<true>(count);
            for (int o = 0; o < FILTERS; ++o) {
                scatter(tile, o);
                spread<true>(tile, o, up, grad);
                factor_gradients(o, tile.i, tile.rows, tile.j, tile.lanes, columns, up, there_);
                if (tile.apart()) factor_gradients(o, tile.j, tile.lanes, tile.i, tile.rows, columns, up, back_);
                gather(tile, o);
            }
            list_.back(count, parameters);
            if (grad_momenta) move(tile, grad_momenta);
        });
    }

  private:
    static constexpr size_t SIDE = 32, ROW = 2 * SIDE;  // nodes of a tile, and numbers of a row: real parts first
    static constexpr size_t MOST = REGISTER == 64 ? 4 : 2;  // registers of nodes at a time

    // Rows i from here on and their neighbours j.
    struct Tile {
        size_t i, rows, j, lanes;
        bool apart() const { return i != j; }
    };

    template <class Work>
    void over_tiles(Work work) const {
        for (size_t i = 0; i < n_; i += SIDE)
            for (size_t j = i; j < n_; j += SIDE) work(Tile{i, std::min(SIDE, n_ - i), j, std::min(SIDE, n_ - j)});
    }

    // Calls work(row, its first neighbour, place in the list) for the rows of a tile; returns how many pairs there are.
    template <class Work>
    size_t over_rows(const Tile& tile, Work work) const {
        size_t place = 0;
        for (size_t r = 0; r < tile.rows; ++r) {
            const size_t first = tile.apart() ? 0 : r + !loops_;
            work(r, first, place);
            place += tile.lanes - std::min(first, tile.lanes);
        }
        return place;
    }

    // p_ij^2 of the pairs of a tile; returns how many these are.
    size_t squares(const Tile& tile) {
        return over_rows(tile, [&](size_t r, size_t first, size_t place) {
            for (size_t c = first; c < tile.lanes; c += V) {
                vec square{};
                for (size_t mu = 0; mu < 4; ++mu) {
                    const vec d = p_[mu * row_ + tile.i + r] - load(p_ + mu * row_ + tile.j + c);
                    square = mu ? square - d * d : d * d;
                }
                Simd<T>::store(list_.squares + place + c - first, square);
            }
        });
    }

    // The factors of a filter, as rows over the lanes: i over j, and j over i where these are others.
    void scatter(const Tile& tile, int o) {
        for (int part = 0; part < 2; ++part) {
            T *straight = there_ + part * SIDE, *turned = (tile.apart() ? back_ : there_) + part * SIDE;
            clear(tile, straight);
            if (tile.apart()) clear({tile.j, tile.lanes, tile.i, tile.rows}, turned);
            const T* from = list_.factors + (2 * o + part) * list_.stride();
            over_rows(tile, [&](size_t r, size_t first, size_t place) {
                if (first >= tile.lanes) return;
                std::memcpy(straight + r * ROW + first, from + place, (tile.lanes - first) * sizeof(T));
                for (size_t c = first; c < tile.lanes; ++c) turned[c * ROW + r] = from[place + c - first];
            });
        }
    }

    // Zero where there are no pairs: the lanes behind the last node, and the nodes themselves.
    static void clear(const Tile& tile, T* to) {
        for (size_t r = 0; r < tile.rows; ++r, to += ROW) {
            std::fill(to + tile.lanes, to + whole(tile.lanes), T(0));
            if (!tile.apart()) to[r] = 0;
        }
    }

    // Adds the columns of one side of a tile, weighted, to the sums of the other side; the first ones are set.
    template <bool CONJUGATE>
    void spread(const Tile& tile, int o, Blocks<const vec> x, Blocks<vec> sums) const {
        product<CONJUGATE>(o, there_, x, tile.i, tile.rows, sums, tile.j, tile.lanes, tile.i > 0);
        if (tile.apart()) product<CONJUGATE>(o, back_, x, tile.j, tile.lanes, sums, tile.i, tile.rows, true);
    }

    template <bool CONJUGATE>
    void product(int o, const T* f, Blocks<const vec> x, size_t from, size_t rows, Blocks<vec> sums, size_t to,
                 size_t lanes, bool add) const {
        for (size_t c = 0; c < lanes;) {
            const size_t left = blocks_of(lanes - c), take = std::min(left, MOST);
            auto run = [&](auto registers) {
                constexpr size_t N = decltype(registers)::value, R = N > 2 ? 2 : 4;
                size_t k = begin_[o];
                for (; k + R <= begin_[o + 1]; k += R)
                    product<N, R, CONJUGATE>(f + c, x(from / V, k), x.stride, rows, sums((to + c) / V, k), sums.stride, add);
                for (; k < begin_[o + 1]; ++k)
                    product<N, 1, CONJUGATE>(f + c, x(from / V, k), x.stride, rows, sums((to + c) / V, k), sums.stride, add);
            };
            with_registers(take, run);
            c += take * V;
        }
    }

    // Calls run with a number of registers that the compiler knows.
    template <class Run>
    static void with_registers(size_t count, Run run) {
        switch (count) {
            case 1: return run(std::integral_constant<size_t, 1>());
            case 2: return run(std::integral_constant<size_t, 2>());
            case 3: if constexpr (MOST > 2) return run(std::integral_constant<size_t, 3>()); break;
            default: if constexpr (MOST > 3) return run(std::integral_constant<size_t, 4>());
        }
    }

    // out_k (+)= sum_r f_r x_rk, or with the conjugate of f, for R numbers and N registers of nodes.
    template <size_t N, size_t R, bool CONJUGATE>
    static void product(const T* f, const vec* x, size_t x_stride, size_t rows, vec* out, size_t stride, bool add) {
        vec re[R][N], im[R][N];
        ::clear(re), ::clear(im);
        for (size_t r = 0; r < rows; ++r, f += ROW) {
            const T* from = reinterpret_cast<const T*>(x + r / V * x_stride) + r % V;
            vec a[N], b[N];
            for (size_t c = 0; c < N; ++c) {
                a[c] = load(f + c * V);
                b[c] = load(f + SIDE + c * V);
            }
            for (size_t k = 0; k < R; ++k) {
                const T real = from[2 * k * V], imaginary = from[(2 * k + 1) * V];
                for (size_t c = 0; c < N; ++c) {
                    re[k][c] += a[c] * real;
                    im[k][c] += a[c] * imaginary;
                    re[k][c] = CONJUGATE ? re[k][c] + b[c] * imaginary : re[k][c] - b[c] * imaginary;
                    im[k][c] = CONJUGATE ? im[k][c] - b[c] * real : im[k][c] + b[c] * real;
                }
            }
        }
        for (size_t k = 0; k < R; ++k)
            for (size_t c = 0; c < N; ++c) {
                vec* there = out + c * stride + 2 * k;
                there[0] = add ? there[0] + re[k][c] : re[k][c];
                there[1] = add ? there[1] + im[k][c] : im[k][c];
            }
    }

    // Gradients of the factors of a filter, sum_k g_ik conj(x_jk) for rows i and lanes j, in the place of the factors.
    void factor_gradients(int o, size_t i, size_t rows, size_t j, size_t lanes, Blocks<const vec> x,
                          Blocks<const vec> up, T* to) const {
        const size_t k = begin_[o], count = begin_[o + 1] - k;
        for (size_t c = 0; c < lanes;) {
            const size_t take = std::min(blocks_of(lanes - c), MOST);
            with_registers(take, [&](auto registers) {
                constexpr size_t N = decltype(registers)::value, R = N > 2 || V < 4 ? 2 : 4;
                auto lane = [&](size_t r) { return reinterpret_cast<const T*>(up((i + r) / V, k)) + r % V; };
                size_t r = 0;
                for (; r + R <= rows; r += R) factor_gradients<N, R>(lane(r), x((j + c) / V, k), x.stride, count, to + r * ROW + c);
                for (; r < rows; ++r) factor_gradients<N, 1>(lane(r), x((j + c) / V, k), x.stride, count, to + r * ROW + c);
            });
            c += take * V;
        }
    }

    // Of R rows, which lie in one block, and N registers.
    template <size_t N, size_t R>
    static void factor_gradients(const T* g, const vec* x, size_t stride, size_t count, T* to) {
        vec re[R][N], im[R][N];
        ::clear(re), ::clear(im);
        for (size_t k = 0; k < count; ++k, x += 2, g += 2 * V)
            for (size_t r = 0; r < R; ++r) {
                const T real = g[r], imaginary = g[V + r];
                for (size_t c = 0; c < N; ++c) {
                    const vec a = x[c * stride], b = x[c * stride + 1];
                    re[r][c] += a * real;
                    im[r][c] += a * imaginary;
                    re[r][c] += b * imaginary;
                    im[r][c] -= b * real;
                }
            }
        for (size_t r = 0; r < R; ++r, to += ROW)
            for (size_t c = 0; c < N; ++c) {
                Simd<T>::store(to + c * V, re[r][c]);
                Simd<T>::store(to + SIDE + c * V, im[r][c]);
            }
    }

    // Brings the gradients of the factors of both directions of each pair to the list.
    void gather(const Tile& tile, int o) {
        for (int part = 0; part < 2; ++part) {
            const T *straight = there_ + part * SIDE, *turned = (tile.apart() ? back_ : there_) + part * SIDE;
            T* to = list_.factors + (2 * o + part) * list_.stride();
            over_rows(tile, [&](size_t r, size_t first, size_t place) {
                size_t c = first;
                if (!tile.apart() && loops_) to[place] = straight[r * ROW + r], ++c;
                for (; c < tile.lanes; ++c) to[place + c - first] = straight[r * ROW + c] + turned[c * ROW + r];
            });
        }
    }

    // Gradients of the momenta from those of p_ij^2.
    void move(const Tile& tile, T* to) const {
        over_rows(tile, [&](size_t r, size_t first, size_t place) {
            for (size_t c = first; c < tile.lanes; ++c)
                for (size_t mu = 0; mu < 4; ++mu) {
                    const size_t i = tile.i + r, j = tile.j + c;
                    const T step = (mu ? T(-2) : T(2)) * list_.squares[place + c - first] * (p_[mu * row_ + i] - p_[mu * row_ + j]);
                    to[4 * i + mu] += step;
                    to[4 * j + mu] -= step;
                }
        });
    }

    bool loops_;
    RadialList list_;
    size_t begin_[FILTERS + 1] = {}, n_ = 0, row_ = 0;
    T *there_ = nullptr, *back_ = nullptr, *p_ = nullptr;
    Buffer<T> momenta_, there_buffer_, back_buffer_;
};
