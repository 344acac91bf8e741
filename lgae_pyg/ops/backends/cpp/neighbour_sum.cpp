// The neighbour sum of complete graphs and its gradients.
#include "sum_backward.h"
#include "tasks.h"

extern "C" void neighbour_sum_forward(const T* features, const T* momenta, const int64_t* ptr, int64_t jets,
                                      const R* radial, int64_t bells, T* out, int threads, Parallel parallel) {
    SumInputs in{features, momenta, Radial(radial, bells)};
    auto bounds = groups(ptr, jets);
    run_tasks(int64_t(bounds.size()) - 1, {threads, parallel}, [&] {
        return [worker = SumForward(in, out), &bounds, ptr](int64_t task) mutable {
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                worker.jet(ptr[jet], ptr[jet + 1] - ptr[jet]);
        };
    });
}

extern "C" void neighbour_sum_backward(const T* features, const T* momenta, const int64_t* ptr, int64_t jets,
                                       const R* radial, int64_t bells, const T* upstream, T* grad_features,
                                       T* grad_momenta, R* grad_radial, int count, Parallel parallel) {
    SumInputs in{features, momenta, Radial(radial, bells)};
    SumGradients out{grad_features, grad_momenta};
    Threads threads{count, parallel};
    auto bounds = groups(ptr, jets);
    int64_t tasks = int64_t(bounds.size()) - 1;
    static thread_local Buffer<R> memory;  // kept for the next call
    GroupSums<R> radials(memory, tasks, in.radial.parameters());
    run_tasks(tasks, threads, [&] {
        return [&, worker = SumBackward(in, out)](int64_t task) mutable {
            worker.begin_group();
            for (int64_t jet = bounds[task]; jet < bounds[task + 1]; ++jet)
                worker.jet(ptr[jet], ptr[jet + 1] - ptr[jet], upstream + ptr[jet] * PACKED_SUMS);
            worker.end_group(radials.row(task));
        };
    });
    radials.sum(grad_radial, threads);
}
