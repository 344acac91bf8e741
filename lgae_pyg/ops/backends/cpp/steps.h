// Products of two numbers of a node and sums of such products, on a block of nodes; see lgae_pyg/ops/steps.py.
//
// Numbers, pairs and sums lie behind one another. A term of a sum is real or imaginary, so it takes one multiplication for
// each part of the sum, of one or the other part of a pair.
#pragma once
#include "node_blocks.h"

struct Steps {
    int64_t numbers, reals, pairs, linear, sums, terms, outputs;
    // `pair` (pairs, 2): the factors of each, the left ones of the first `reals` are real. `begin` (sums + 1): where the
    // terms of a sum begin; `place` (terms, 2): the registers that they multiply. The same for the pairs and the numbers
    // that are terms by themselves, `single`, from the gradients of the sums. `output`: where each is found; none is -1.
    const int32_t *pair, *begin, *place, *back_begin, *back_place, *single, *output;
    const double *value, *back_value, *factor;  // (terms, 2) and complex, of the outputs

    Steps(const int64_t* sizes, const int32_t* index, const double* values)
        : numbers(sizes[0]), reals(sizes[1]), pairs(sizes[2]), linear(sizes[3]), sums(sizes[4]), terms(sizes[5]),
          outputs(sizes[6]), pair(index), begin(pair + 2 * pairs), place(begin + sums + 1),
          back_begin(place + 2 * terms), back_place(back_begin + pairs + linear + 1), single(back_place + 2 * terms),
          output(single + linear), value(values), back_value(values + 2 * terms), factor(values + 4 * terms) {}

    int64_t first_sum() const { return numbers + pairs; }
    int64_t all() const { return numbers + pairs + sums; }

    // Whether everything that is named is there.
    bool fits() const {
        return within(pair, 2 * pairs, 0, numbers) && rising(begin, sums) && within(place, 2 * terms, 0, 2 * first_sum()) &&
               rising(back_begin, pairs + linear) && within(back_place, 2 * terms, 0, 2 * sums) &&
               within(single, linear, 0, numbers) && within(output, outputs, -1, all()) && none_is_a_pair();
    }

    // Fills pairs and sums in, behind the numbers.
    void run(vec* at) const {
        vec* to = at + 2 * numbers;
        for (int64_t k = 0; k < pairs; ++k, to += 2) {
            const vec *a = at + 2 * pair[2 * k], *b = at + 2 * pair[2 * k + 1];
            to[0] = a[0] * b[0];
            to[1] = a[0] * b[1];
            if (k < reals) continue;
            to[0] -= a[1] * b[1];
            to[1] += a[1] * b[0];
        }
        for (int64_t u = 0; u < sums; ++u, to += 2) sum(at, begin[u], begin[u + 1], place, value, to);
    }

    // From the gradients of the sums, adds to those of the numbers; of real factors where they are wanted.
    void back(const vec* at, const vec* up, vec* to, bool real_too) const {
        vec g[2];
        for (int64_t k = 0; k < pairs; ++k) {
            sum(up, back_begin[k], back_begin[k + 1], back_place, back_value, g);
            const int64_t left = 2 * pair[2 * k], right = 2 * pair[2 * k + 1];
            const vec *a = at + left, *b = at + right;
            if (k < reals) {
                to[right] += a[0] * g[0];
                to[right + 1] += a[0] * g[1];
                if (real_too) to[left] += b[0] * g[0] + b[1] * g[1];
                continue;
            }
            add_conjugate(to + left, g, b);
            add_conjugate(to + right, g, a);
        }
        for (int64_t k = 0; k < linear; ++k) {
            sum(up, back_begin[pairs + k], back_begin[pairs + k + 1], back_place, back_value, g);
            to[2 * single[k]] += g[0];
            to[2 * single[k] + 1] += g[1];
        }
    }

    // The outputs themselves, and from their gradients those of the numbers, which are added to, and of the sums, which are set.
    void read(const vec* at, vec* to) const {
        for (int64_t k = 0; k < outputs; ++k, to += 2) {
            to[0] = to[1] = vec{};
            if (output[k] < 0) continue;
            const vec* from = at + 2 * output[k];
            const T re = T(factor[2 * k]), im = T(factor[2 * k + 1]);
            to[0] = re * from[0] - im * from[1];
            to[1] = re * from[1] + im * from[0];
        }
    }
    void read_back(const vec* up, vec* to, vec* to_sums) const {
        std::fill_n(to_sums, 2 * sums, vec{});
        for (int64_t k = 0; k < outputs; ++k, up += 2) {
            if (output[k] < 0) continue;
            vec* there = output[k] < numbers ? to + 2 * output[k] : to_sums + 2 * (output[k] - first_sum());
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
    bool none_is_a_pair() const {
        bool fits = true;
        for (int64_t k = 0; k < outputs; ++k) fits &= output[k] < numbers || output[k] >= first_sum();
        return fits;
    }
    static void sum(const vec* from, int64_t term, int64_t end, const int32_t* place, const double* value, vec* to) {
        vec re{}, im{};
        for (; term < end; ++term) {
            re += T(value[2 * term]) * from[place[2 * term]];
            im += T(value[2 * term + 1]) * from[place[2 * term + 1]];
        }
        to[0] = re;
        to[1] = im;
    }
    // to += g conj(b)
    static void add_conjugate(vec* to, const vec* g, const vec* b) {
        to[0] += g[0] * b[0] + g[1] * b[1];
        to[1] += g[1] * b[0] - g[0] * b[1];
    }
};
