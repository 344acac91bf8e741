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

// Calls work(pairs, the jet's first particle) for all blocks of pairs.
template <class Work>
void over_jets(const Inputs& in, Work work) {
    auto bounds = groups(in.ptr, in.jets);
    run_tasks(int64_t(bounds.size()) - 1, in.threads, [&] {
        return [&, pairs = std::make_unique<PairBlock<double>>()](int64_t task) {
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet) {
                int64_t begin = in.ptr[jet], size = in.ptr[jet + 1] - begin;
                over_blocks(size, [&](int64_t first) {
                    pairs->read(in.x + 4 * begin, size, first);
                    work(*pairs, begin);
                });
            }
        };
    });
}

struct Moments {
    explicit Moments(const Inputs& in)
        : in(in), nodes(in.ptr[in.jets]), sums(SUMS * nodes), mean(2 * in.hidden), jet(2 * in.hidden) {
        for (int64_t b = 0; b < in.jets; ++b) pairs += double(size(b) * (size(b) - 1));
        share = pairs > 0 ? 1 / pairs : 0;
        if (in.features) measure();
        for (int64_t b = 0; b < in.jets; ++b)
            for (int64_t i = in.ptr[b]; i < in.ptr[b + 1]; ++i)
                for (int64_t c = 0; c < in.hidden; ++c) {
                    mean[c] += share * double(size(b) - 1) * in.target[i * in.hidden + c];
                    mean[in.hidden + c] += share * double(size(b) - 1) * in.source[i * in.hidden + c];
                }
    }

    int64_t size(int64_t b) const { return in.ptr[b + 1] - in.ptr[b]; }
    double a(int64_t i, int64_t c) const { return in.target[i * in.hidden + c] - mean[c]; }
    double b(int64_t i, int64_t c) const { return in.source[i * in.hidden + c] - mean[in.hidden + c]; }
    double weight(int64_t c, int k) const { return in.features ? in.pair[c * 2 + k] : 0; }
    // Sum over the neighbours of an invariant relative to its mean.
    double alone(int64_t i, int64_t b, int k) const { return sums[SUMS * i + k] - double(size(b) - 1) * centre[k]; }

    // Sums of a and b over a jet.
    void add_up(int64_t b) {
        std::fill(jet.begin(), jet.end(), 0.0);
        for (int64_t i = in.ptr[b]; i < in.ptr[b + 1]; ++i)
            for (int64_t c = 0; c < in.hidden; ++c) {
                jet[c] += a(i, c);
                jet[in.hidden + c] += this->b(i, c);
            }
    }

    // A row of D times the covariance of the invariants.
    double spread_of(int64_t c, int k) const { return weight(c, 0) * spread[k] + weight(c, 1) * spread[k + 1]; }

    const Inputs& in;
    int64_t nodes;
    std::vector<double> sums, mean, jet;
    double pairs = 0, share, centre[2] = {}, spread[3] = {};

  private:
    void measure() {
        over_jets(in, [&](const PairBlock<double>& block, int64_t begin) {
            for (int r = 0; r < block.count; ++r) {
                double *row = &sums[SUMS * (begin + block.target[r])], u = block.values[0][r], v = block.values[1][r];
                double terms[SUMS] = {u, v, u * u, u * v, v * v};
                for (int k = 0; k < SUMS; ++k) row[k] += terms[k];
            }
        });
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
                                      int64_t features, const int64_t* ptr, int64_t jets, T* mean, T* variance, int count,
                                      Parallel parallel) {
    Inputs in{x, target, source, pair, hidden, features, ptr, jets, {count, parallel}};
    Moments m(in);
    std::vector<double> total(hidden);
    for (int64_t b = 0; b < jets; ++b) {
        m.add_up(b);
        double degree = double(m.size(b) - 1);
        for (int64_t i = ptr[b]; i < ptr[b + 1]; ++i) {
            double u = m.alone(i, b, 0), v = m.alone(i, b, 1);
            for (int64_t c = 0; c < hidden; ++c) {
                double first = m.a(i, c), second = m.b(i, c), turn = u * m.weight(c, 0) + v * m.weight(c, 1);
                total[c] += degree * (first * first + second * second) + 2 * (first + second) * turn - 2 * first * second;
            }
        }
        for (int64_t c = 0; c < hidden; ++c) total[c] += 2 * m.jet[c] * m.jet[hidden + c];
    }
    for (int64_t c = 0; c < hidden; ++c) {
        double value = m.share * total[c];
        for (int k = 0; k < 2; ++k) value += m.weight(c, k) * m.spread_of(c, k);
        variance[c] = T(value > 0 ? value : value < 0 ? 0 : value);
        mean[c] = T(m.mean[c] + m.mean[hidden + c] + m.centre[0] * m.weight(c, 0) + m.centre[1] * m.weight(c, 1));
    }
}

extern "C" void split_moments_backward(const double* x, const T* target, const T* source, const T* pair, int64_t hidden,
                                       int64_t features, const int64_t* ptr, int64_t jets, const T* grad_mean,
                                       const T* grad_variance, double* grad_x, T* grad_target, T* grad_source,
                                       T* grad_pair, int count, Parallel parallel) {
    Inputs in{x, target, source, pair, hidden, features, ptr, jets, {count, parallel}};
    Moments m(in);
    std::fill(grad_x, grad_x + 4 * m.nodes, 0.0);
    std::vector<double> to_pair(2 * hidden), ends(4 * m.nodes);  // of D; of the invariants by either end
    double constant[2] = {}, square[3] = {};                    // the gradient of d_ij is constant + ends + square d_ij
    for (int64_t c = 0; c < hidden; ++c) {
        double up = 2 * m.share * grad_variance[c];
        for (int k = 0; k < 2; ++k) {
            constant[k] += m.share * grad_mean[c] * m.weight(c, k);
            to_pair[2 * c + k] = grad_mean[c] * m.centre[k] + 2 * grad_variance[c] * m.spread_of(c, k);
        }
        square[0] += up * m.weight(c, 0) * m.weight(c, 0);
        square[1] += up * m.weight(c, 0) * m.weight(c, 1);
        square[2] += up * m.weight(c, 1) * m.weight(c, 1);
    }
    for (int64_t b = 0; b < jets; ++b) {
        m.add_up(b);
        double degree = double(m.size(b) - 1);
        for (int64_t i = ptr[b]; i < ptr[b + 1]; ++i) {
            double u = m.alone(i, b, 0), v = m.alone(i, b, 1), end[4] = {};
            for (int64_t c = 0; c < hidden; ++c) {
                double up = 2 * m.share * grad_variance[c], all = m.share * degree * grad_mean[c];
                double first = m.a(i, c), second = m.b(i, c), turn = u * m.weight(c, 0) + v * m.weight(c, 1);
                grad_target[i * hidden + c] = T(all + up * (degree * first + m.jet[hidden + c] - second + turn));
                grad_source[i * hidden + c] = T(all + up * (degree * second + m.jet[c] - first + turn));
                to_pair[2 * c] += up * (first + second) * u;
                to_pair[2 * c + 1] += up * (first + second) * v;
                end[0] += up * first * m.weight(c, 0);
                end[1] += up * first * m.weight(c, 1);
                end[2] += up * second * m.weight(c, 0);
                end[3] += up * second * m.weight(c, 1);
            }
            std::copy_n(end, 4, &ends[4 * i]);
        }
    }
    if (!features) return;
    for (int64_t k = 0; k < 2 * hidden; ++k) grad_pair[k] = T(to_pair[k]);
    over_jets(in, [&](const PairBlock<double>& block, int64_t begin) {
        double grads[2][PAIRS];
        for (int r = 0; r < block.count; ++r) {
            const double *here = &ends[4 * (begin + block.target[r])], *there = &ends[4 * (begin + block.source[r])];
            double u = block.values[0][r] - m.centre[0], v = block.values[1][r] - m.centre[1];
            grads[0][r] = constant[0] + here[0] + there[2] + square[0] * u + square[1] * v;
            grads[1][r] = constant[1] + here[1] + there[3] + square[1] * u + square[2] * v;
        }
        block.move(x + 4 * begin, grads, nullptr, grad_x + 4 * begin);
    });
}
