// Mean and variance over all pairs j != i of z_ij = a_i + b_j + D d_ij, where d_ij = d_ji are the two invariants of pairs or
// nothing, from sums over particles; see lgae_pyg/ops/lorentz_edges.py for the formulas. Sums are formed in double precision.
#include <memory>
#include <vector>

#include "pair_invariants.h"
#include "tasks.h"

namespace {

typedef COMPUTE T;
constexpr int SUMS = 5;  // of u, v, u^2, u v, v^2 over the neighbours

struct Inputs {
    const double* x;
    const T *target, *source, *pair;  // a, b, D
    int64_t hidden, features;
    const int64_t* ptr;
    int64_t jets;
    Threads threads;
};

// Calls work(pairs, the jet's first particle) for all blocks of pairs, each pair once.
template <class Work>
void over_jets(const Inputs& in, Work work) {
    typedef PairBlock<T, true> Block;
    auto bounds = groups(in.ptr, in.jets);
    run_tasks(int64_t(bounds.size()) - 1, in.threads, [&] {
        return [&, pairs = std::make_unique<Block>()](int64_t task) {
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet) {
                int64_t begin = in.ptr[jet], size = in.ptr[jet + 1] - begin;
                pairs->over(in.x + 4 * begin, size, [&] { work(*pairs, begin); });
            }
        };
    });
}

// The sums of the invariants and their products over the neighbours of each particle.
void measure(const Inputs& in, double* sums) {
    std::fill_n(sums, SUMS * in.ptr[in.jets], 0.0);
    over_jets(in, [&](const auto& block, int64_t begin) {
        for (int r = 0; r < block.count; ++r) {
            double *here = sums + SUMS * (begin + block.target[r]), *there = sums + SUMS * (begin + block.source[r]);
            double u = block.values[0][r], v = block.values[1][r], terms[SUMS] = {u, v, u * u, u * v, v * v};
            for (int k = 0; k < SUMS; ++k) {
                here[k] += terms[k];
                there[k] += terms[k];
            }
        }
    });
}

struct Moments {
    // `sums`: of the invariants, where there are some.
    Moments(const Inputs& in, const double* sums)
        : in(in), nodes(in.ptr[in.jets]), hidden(in.hidden), sums(sums), first(nodes * hidden),
          second(nodes * hidden), weights(2 * hidden), mean(hidden) {
        for (int64_t b = 0; b < in.jets; ++b) pairs += double(size(b) * (size(b) - 1));
        share = pairs > 0 ? 1 / pairs : 0;
        if (in.features) centre_invariants();
        for (int64_t k = 0; k < in.features * hidden; ++k) weights[k % 2 * hidden + k / 2] = in.pair[k];
        centre_terms(in.target, first.data());
        centre_terms(in.source, second.data());
        for (int64_t c = 0; c < hidden; ++c) mean[c] += centre[0] * weights[c] + centre[1] * weights[hidden + c];
    }

    int64_t size(int64_t b) const { return in.ptr[b + 1] - in.ptr[b]; }
    double degree(int64_t b) const { return double(size(b) - 1); }
    // Sum over the neighbours of an invariant relative to its mean.
    double alone(int64_t i, int64_t b, int k) const {
        return in.features ? sums[SUMS * i + k] - degree(b) * centre[k] : 0;
    }
    // A row of D times the covariance of the invariants.
    double spread_of(int64_t c, int k) const { return weights[c] * spread[k] + weights[hidden + c] * spread[k + 1]; }

    // The sums of some terms over a jet.
    void add_up(int64_t b, const std::vector<double>& terms, std::vector<double>& to) const {
        double* sum = to.data();
        std::fill_n(sum, hidden, 0.0);
        for (int64_t i = in.ptr[b]; i < in.ptr[b + 1]; ++i) {
            const double* row = &terms[i * hidden];
            for (int64_t c = 0; c < hidden; ++c) sum[c] += row[c];
        }
    }

    const Inputs& in;
    int64_t nodes, hidden;
    const double* sums;
    std::vector<double> first, second, weights, mean;  // a, b relative to their means; D by columns; mean of z
    double pairs = 0, share, centre[2] = {}, spread[3] = {};

  private:
    void centre_terms(const T* from, double* to) {
        std::vector<double> own(hidden);
        double* average = own.data();
        for (int64_t b = 0; b < in.jets; ++b) {
            double factor = share * degree(b);
            for (int64_t i = in.ptr[b]; i < in.ptr[b + 1]; ++i)
                for (int64_t c = 0; c < hidden; ++c) average[c] += factor * double(from[i * hidden + c]);
        }
        for (int64_t i = 0; i < nodes; ++i)
            for (int64_t c = 0; c < hidden; ++c) to[i * hidden + c] = double(from[i * hidden + c]) - average[c];
        for (int64_t c = 0; c < hidden; ++c) mean[c] += average[c];
    }

    void centre_invariants() {
        double all[SUMS] = {};
        for (int64_t i = 0; i < nodes; ++i)
            for (int k = 0; k < SUMS; ++k) all[k] += sums[SUMS * i + k];
        for (int k = 0; k < 2; ++k) centre[k] = all[k] * share;
        spread[0] = all[2] * share - centre[0] * centre[0];
        spread[1] = all[3] * share - centre[0] * centre[1];
        spread[2] = all[4] * share - centre[1] * centre[1];
    }
};

}  // namespace

extern "C" void split_moments_forward(const double* x, const T* target, const T* source, const T* pair, int64_t hidden,
                                      int64_t features, const int64_t* ptr, int64_t jets, T* mean, T* variance, double* sums,
                                      int count, Parallel parallel) {
    Inputs in{x, target, source, pair, hidden, features, ptr, jets, {count, parallel}};
    if (features) measure(in, sums);
    Moments m(in, sums);
    std::vector<double> totals(hidden), firsts(hidden), seconds(hidden);
    double *total = totals.data(), *weights = m.weights.data();
    for (int64_t b = 0; b < jets; ++b) {
        m.add_up(b, m.first, firsts);
        m.add_up(b, m.second, seconds);
        double degree = m.degree(b);
        for (int64_t i = ptr[b]; i < ptr[b + 1]; ++i) {
            double u = m.alone(i, b, 0), v = m.alone(i, b, 1);
            const double *first = &m.first[i * hidden], *second = &m.second[i * hidden];
            for (int64_t c = 0; c < hidden; ++c) {
                double turn = u * weights[c] + v * weights[hidden + c];
                total[c] += degree * (first[c] * first[c] + second[c] * second[c]) +
                            2 * (first[c] + second[c]) * turn - 2 * first[c] * second[c];
            }
        }
        for (int64_t c = 0; c < hidden; ++c) total[c] += 2 * firsts[c] * seconds[c];
    }
    for (int64_t c = 0; c < hidden; ++c) {
        double value = m.share * total[c];
        for (int k = 0; k < 2; ++k) value += weights[k * hidden + c] * m.spread_of(c, k);
        variance[c] = T(value < 0 ? 0 : value);
        mean[c] = T(m.mean[c]);
    }
}

// Adds to the gradients.
extern "C" void split_moments_backward(const double* x, const T* target, const T* source, const T* pair, int64_t hidden,
                                       int64_t features, const int64_t* ptr, int64_t jets, const double* sums,
                                       const T* grad_mean, const T* grad_variance, double* grad_x, T* grad_target,
                                       T* grad_source, T* grad_pair, int count, Parallel parallel) {
    Inputs in{x, target, source, pair, hidden, features, ptr, jets, {count, parallel}};
    Moments m(in, sums);
    std::vector<double> to_pair(2 * hidden), ends(2 * m.nodes);  // of D; of the invariants by their ends
    std::vector<double> ups(hidden), alls(hidden), firsts(hidden), seconds(hidden);
    double constant[2] = {}, square[3] = {};  // the gradient of d_ij is constant + ends + square d_ij
    double *up = ups.data(), *all = alls.data(), *weights = m.weights.data(), *to_u = to_pair.data();
    for (int64_t c = 0; c < hidden; ++c) {
        double u = weights[c], v = weights[hidden + c];
        up[c] = 2 * m.share * grad_variance[c];
        all[c] = m.share * grad_mean[c];
        for (int k = 0; k < 2; ++k) {
            constant[k] += all[c] * weights[k * hidden + c];
            to_u[k * hidden + c] = grad_mean[c] * m.centre[k] + 2 * grad_variance[c] * m.spread_of(c, k);
        }
        square[0] += up[c] * u * u;
        square[1] += up[c] * u * v;
        square[2] += up[c] * v * v;
    }
    for (int64_t b = 0; b < jets; ++b) {
        m.add_up(b, m.first, firsts);
        m.add_up(b, m.second, seconds);
        double degree = m.degree(b), *other_first = firsts.data(), *other_second = seconds.data();
        for (int64_t i = ptr[b]; i < ptr[b + 1]; ++i) {
            double u = m.alone(i, b, 0), v = m.alone(i, b, 1), *end = &ends[2 * i];
            const double *first = &m.first[i * hidden], *second = &m.second[i * hidden];
            T *to_first = grad_target + i * hidden, *to_second = grad_source + i * hidden;
            for (int64_t c = 0; c < hidden; ++c) {
                double turn = u * weights[c] + v * weights[hidden + c];
                to_first[c] += T(degree * all[c] + up[c] * (degree * first[c] + other_second[c] - second[c] + turn));
                to_second[c] += T(degree * all[c] + up[c] * (degree * second[c] + other_first[c] - first[c] + turn));
            }
            for (int64_t c = 0; features && c < hidden; ++c) {
                double both = up[c] * (first[c] + second[c]);
                to_u[c] += both * u;
                to_u[hidden + c] += both * v;
            }
            for (int64_t c = 0; features && c < hidden; ++c) {
                double both = up[c] * (first[c] + second[c]);
                end[0] += both * weights[c];
                end[1] += both * weights[hidden + c];
            }
        }
    }
    if (!features) return;
    for (int64_t k = 0; k < 2 * hidden; ++k) grad_pair[k] += T(to_pair[k % 2 * hidden + k / 2]);
    over_jets(in, [&](const auto& block, int64_t begin) {
        double grads[2][PAIRS];  // of both orders of a pair
        for (int r = 0; r < block.count; ++r) {
            const double *here = &ends[2 * (begin + block.target[r])], *there = &ends[2 * (begin + block.source[r])];
            double u = block.values[0][r] - m.centre[0], v = block.values[1][r] - m.centre[1];
            grads[0][r] = 2 * (constant[0] + square[0] * u + square[1] * v) + here[0] + there[0];
            grads[1][r] = 2 * (constant[1] + square[1] * u + square[2] * v) + here[1] + there[1];
        }
        block.move(x + 4 * begin, grads, nullptr, grad_x + 4 * begin);
    });
}
