// Products of two numbers of a node out of a table, and their gradients; see lgae_pyg/ops/tensor_levels.py for the formulas.
#include "steps.h"
#include "tasks.h"

namespace {

constexpr int64_t GROUP = 16;  // blocks of a task

// Calls work(block, nodes of it) with the worker that make() returns.
template <class Make>
void over_blocks(int64_t nodes, Threads threads, Make make) {
    const int64_t blocks = blocks_of(nodes);
    run_tasks((blocks + GROUP - 1) / GROUP, threads, [&] {
        return [&, work = make()](int64_t task) mutable {
            for (int64_t b = task * GROUP; b < std::min(blocks, (task + 1) * GROUP); ++b)
                work(b * V, std::min<int64_t>(V, nodes - b * V));
        };
    });
}

}  // namespace

// Both return whether the table fits, and do nothing where it does not.
extern "C" int products_forward(const T* x, int64_t nodes, const int64_t* sizes, const int32_t* index, const double* values,
                                T* out, int threads, Parallel parallel) {
    const Steps steps(sizes, index, values);
    if (!steps.fits()) return 0;
    over_blocks(nodes, {threads, parallel}, [&] {
        return [&, room = Buffer<vec>(), results = Buffer<vec>()](int64_t begin, int64_t count) mutable {
            vec *at = room.reserve(2 * (steps.numbers + steps.sums + steps.pairs)), *sums = at + 2 * steps.numbers;
            vec* z = results.reserve(2 * steps.outputs);
            turn(x + begin * 2 * steps.numbers, 2 * steps.numbers, count, at);
            steps.run(at, sums, sums + 2 * steps.sums);
            steps.read(at, sums, z);
            turn_back(z, 2 * steps.outputs, count, out + begin * 2 * steps.outputs);
        };
    });
    return 1;
}

extern "C" int products_backward(const T* x, int64_t nodes, const int64_t* sizes, const int32_t* index, const double* values,
                                 const T* upstream, T* grad, int threads, Parallel parallel) {
    const Steps steps(sizes, index, values);
    if (!steps.fits()) return 0;
    over_blocks(nodes, {threads, parallel}, [&] {
        return [&, room = Buffer<vec>()](int64_t begin, int64_t count) mutable {
            const size_t numbers = 2 * steps.numbers, sums = 2 * steps.sums, outputs = 2 * steps.outputs;
            vec *at = room.reserve(2 * numbers + sums + outputs), *to = at + numbers, *to_sums = to + numbers;
            vec* up = to_sums + sums;
            turn(x + begin * numbers, numbers, count, at);
            turn(upstream + begin * outputs, outputs, count, up);
            std::fill_n(to, numbers, vec{});
            steps.read_back(up, to, to_sums);
            steps.back(at, to_sums, to, true);
            turn_back(to, numbers, count, grad + begin * numbers);
        };
    });
    return 1;
}
