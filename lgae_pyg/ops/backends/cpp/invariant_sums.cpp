// Sums over the neighbours of the two invariants u, v of pairs and of their squares and product, (u, v, u^2, u v, v^2).
#include <cstring>
#include <memory>

#include "pair_invariants.h"
#include "tasks.h"

namespace {

constexpr int SUMS = 5;

// Calls work(pairs, jet's first particle) for all blocks of pairs.
template <class Work>
void over_jets(const double* x, const int64_t* ptr, int64_t jets, Threads threads, Work work) {
    auto bounds = groups(ptr, jets);
    run_tasks(int64_t(bounds.size()) - 1, threads, [&] {
        return [&, pairs = std::make_unique<PairBlock<double>>()](int64_t task) {
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet) {
                int64_t begin = ptr[jet], size = ptr[jet + 1] - begin;
                over_blocks(size, [&](int64_t first) {
                    pairs->read(x + 4 * begin, size, first);
                    work(*pairs, begin);
                });
            }
        };
    });
}

}  // namespace

extern "C" void invariant_sums_forward(const double* x, const int64_t* ptr, int64_t jets, double* out, int count,
                                       Parallel parallel) {
    std::memset(out, 0, SUMS * ptr[jets] * sizeof(double));
    over_jets(x, ptr, jets, {count, parallel}, [&](const PairBlock<double>& pairs, int64_t begin) {
        for (int r = 0; r < pairs.count; ++r) {
            double *sums = out + SUMS * (begin + pairs.target[r]), u = pairs.values[0][r], v = pairs.values[1][r];
            double terms[SUMS] = {u, v, u * u, u * v, v * v};
            for (int k = 0; k < SUMS; ++k) sums[k] += terms[k];
        }
    });
}

extern "C" void invariant_sums_backward(const double* x, const int64_t* ptr, int64_t jets, const double* upstream,
                                        double* grad_x, int count, Parallel parallel) {
    std::memset(grad_x, 0, 4 * ptr[jets] * sizeof(double));
    over_jets(x, ptr, jets, {count, parallel}, [&](const PairBlock<double>& pairs, int64_t begin) {
        double grads[2][PAIRS];
        for (int r = 0; r < pairs.count; ++r) {
            const double *up = upstream + SUMS * (begin + pairs.target[r]), u = pairs.values[0][r], v = pairs.values[1][r];
            grads[0][r] = up[0] + 2 * up[2] * u + up[3] * v;
            grads[1][r] = up[1] + up[3] * u + 2 * up[4] * v;
        }
        pairs.move(x + 4 * begin, grads, nullptr, grad_x + 4 * begin);
    });
}
