// Products of two numbers of a node and sums of such products, on a block of nodes; see lgae_pyg/ops/steps.py.
#pragma once
#include "node_blocks.h"

struct Steps {
    int64_t numbers, pairs, sums, groups, terms, outputs;
    // `group` (groups, 4): behind which pair with a real left factor, which pair, which number by itself and which sum a group
    // ends. `pair` (pairs, 2): the factors, or the number. `begin` (2 sums + 1): where the terms of a sum with real and those
    // with imaginary coefficients begin; `place` (terms): the products of the group that they multiply. The same for the pairs,
    // from the gradients of all sums. `output`: where each is found among numbers and sums behind them; none is -1.
    const int32_t *group, *pair, *begin, *place, *back_begin, *back_place, *output;
    const double *value, *back_value, *factor;  // (terms), and complex, of the outputs

    Steps(const int64_t* sizes, const int32_t* index, const double* values)
        : numbers(sizes[0]), pairs(sizes[1]), sums(sizes[2]), groups(sizes[3]), terms(sizes[4]), outputs(sizes[5]),
          group(index), pair(group + 4 * groups), begin(pair + 2 * pairs), place(begin + 2 * sums + 1),
          back_begin(place + terms), back_place(back_begin + 2 * pairs + 1), output(back_place + terms),
          value(values), back_value(values + terms), factor(values + 2 * terms) {}

    // Whether everything that is named is there.
    bool fits() const {
        return groups_fit() && within(pair, 2 * pairs, 0, numbers) && rising(begin, 2 * sums) &&
               within(place, terms, 0, pairs) && rising(back_begin, 2 * pairs) && within(back_place, terms, 0, sums) &&
               within(output, outputs, -1, numbers + sums);
    }

    // The sums of the products of the numbers of a block; `room` is for two registers a pair.
    void run(const vec* at, vec* to, vec* room) const {
        int64_t k = 0, u = 0;
        for (const int32_t *g = group, *end = group + 4 * groups; g < end; g += 4) {
            vec* product = room;
            for (; k < g[2]; ++k, product += 2) {
                const vec *a = at + 2 * pair[2 * k], *b = at + 2 * pair[2 * k + 1];
                if (k < g[0]) {
                    product[0] = a[0] * b[0];
                    product[1] = a[0] * b[1];
                } else if (k < g[1]) {
                    product[0] = a[0] * b[0] - a[1] * b[1];
                    product[1] = a[0] * b[1] + a[1] * b[0];
                } else {
                    product[0] = a[0];
                    product[1] = a[1];
                }
            }
            for (; u < g[3]; ++u) sum(room, begin + 2 * u, place, value, to[2 * u], to[2 * u + 1]);
        }
    }

    // From the gradients of the sums, adds to those of the numbers; of real factors where they are wanted.
    void back(const vec* at, const vec* up, vec* to, bool real_too) const {
        int64_t k = 0;
        for (const int32_t *g = group, *end = group + 4 * groups; g < end; g += 4)
            for (; k < g[2]; ++k) {
                vec re, im;
                sum(up, back_begin + 2 * k, back_place, back_value, re, im);
                const int64_t left = 2 * pair[2 * k], right = 2 * pair[2 * k + 1];
                const vec *a = at + left, *b = at + right;
                if (k < g[0]) {
                    to[right] += a[0] * re;
                    to[right + 1] += a[0] * im;
                    if (real_too) to[left] += b[0] * re + b[1] * im;
                } else if (k < g[1]) {
                    add_conjugate(to + left, re, im, b);
                    add_conjugate(to + right, re, im, a);
                } else {
                    to[left] += re;
                    to[left + 1] += im;
                }
            }
    }

    // The outputs themselves, and from their gradients those of the numbers, which are added to, and of the sums, which are set.
    void read(const vec* at, const vec* sums, vec* to) const {
        for (int64_t k = 0; k < outputs; ++k, to += 2) {
            to[0] = to[1] = vec{};
            if (output[k] < 0) continue;
            const vec* from = output[k] < numbers ? at + 2 * output[k] : sums + 2 * (output[k] - numbers);
            const T re = T(factor[2 * k]), im = T(factor[2 * k + 1]);
            to[0] = re * from[0] - im * from[1];
            to[1] = re * from[1] + im * from[0];
        }
    }
    void read_back(const vec* up, vec* to, vec* to_sums) const {
        std::fill_n(to_sums, 2 * sums, vec{});
        for (int64_t k = 0; k < outputs; ++k, up += 2) {
            if (output[k] < 0) continue;
            vec* there = output[k] < numbers ? to + 2 * output[k] : to_sums + 2 * (output[k] - numbers);
            const T re = T(factor[2 * k]), im = T(factor[2 * k + 1]);
            there[0] += re * up[0] + im * up[1];
            there[1] += re * up[1] - im * up[0];
        }
    }

  private:
    static bool within(const int32_t* list, int64_t count, int64_t least, int64_t end) {
        bool fits = true;
        for (int64_t k = 0; k < count; ++k) fits &= list[k] >= least && list[k] < end;
        return fits;
    }
    bool rising(const int32_t* list, int64_t count) const {
        bool fits = list[0] == 0 && list[count] == terms;
        for (int64_t k = 0; k < count; ++k) fits &= list[k] <= list[k + 1];
        return fits;
    }
    bool groups_fit() const {
        int64_t pair_end = 0, sum_end = 0;
        bool fits = true;
        for (const int32_t *g = group, *end = group + 4 * groups; g < end; g += 4) {
            fits &= g[0] >= pair_end && g[1] >= g[0] && g[2] >= g[1] && g[3] >= sum_end;
            pair_end = g[2];
            sum_end = g[3];
        }
        return fits && pair_end == pairs && sum_end == sums;
    }
    static void sum(const vec* from, const int32_t* bounds, const int32_t* place, const double* value, vec& re, vec& im) {
        vec real{}, imag{};
        int32_t t = bounds[0];
        for (; t < bounds[1]; ++t) {
            const vec* x = from + 2 * place[t];
            real += T(value[t]) * x[0];
            imag += T(value[t]) * x[1];
        }
        for (; t < bounds[2]; ++t) {
            const vec* x = from + 2 * place[t];
            real -= T(value[t]) * x[1];
            imag += T(value[t]) * x[0];
        }
        re = real;
        im = imag;
    }
    // to += g conj(b)
    static void add_conjugate(vec* to, vec re, vec im, const vec* b) {
        to[0] += re * b[0];
        to[0] += im * b[1];
        to[1] += im * b[0];
        to[1] -= re * b[1];
    }
};
