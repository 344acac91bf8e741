// Groups of jets of about equal cost, worked off by threads.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "simd.h"

// Bounds of groups of consecutive jets, at most 64, cut where the cost of pairs and nodes reaches equal shares. They do
// not depend on the number of threads, so sums over groups come out the same for any.
inline std::vector<int64_t> groups(const int64_t* ptr, int64_t jets) {
    auto cost = [&](int64_t jet) {
        double size = double(ptr[jet + 1] - ptr[jet]);
        return size * size + 30 * size + 1;
    };
    const double most = jets < 512 ? double((jets + 7) / 8) : 64;
    double total = 0, done = 0;
    for (int64_t jet = 0; jet < jets; ++jet) total += cost(jet);
    std::vector<int64_t> bounds{0};
    for (int64_t jet = 0; jet < jets; ++jet) {
        done += cost(jet);
        if (done * most >= total * double(bounds.size()) || jet + 1 == jets) bounds.push_back(jet + 1);
    }
    return bounds;
}

// GOMP_parallel of the OpenMP runtime that PyTorch has already loaded, or null.
typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);

struct Threads {
    int count;
    Parallel parallel;
};

// Calls work(task) for every task; each thread begins with make(), which returns its own work. The threads are PyTorch's
// own where they can be had: its idle ones would otherwise spin beside ours.
template <class Make>
void run_tasks(int64_t tasks, Threads threads, Make make) {
    std::atomic<int64_t> next{0};
    auto loop = [&] {
        auto work = make();
        for (int64_t task = next++; task < tasks; task = next++) work(task);
    };
    int64_t count = threads.count < tasks ? threads.count : tasks;
    if (count <= 1) return loop();
    if (threads.parallel) {
        auto call = [](void* data) { (*static_cast<decltype(loop)*>(data))(); };
        return threads.parallel(call, &loop, unsigned(count), 0);
    }
    std::vector<std::thread> others;
    for (int64_t i = 1; i < count; ++i) others.emplace_back(loop);
    loop();
    for (auto& thread : others) thread.join();
}

// Gradients of parameters, a row for each group of jets, and their sum. The sum is taken in the order of the groups, so
// that it does not depend on which thread did which.
template <class T>
class GroupSums {
  public:
    GroupSums(Buffer<T>& memory, int64_t groups, size_t count)
        : groups_(groups), count_(count), rows_(memory.reserve((groups + 1) * count)) {}
    T* row(int64_t group) const { return rows_ + group * count_; }

    void sum(T* out, Threads threads) const {
        constexpr size_t columns = 1024;
        run_tasks(int64_t((count_ + columns - 1) / columns), threads, [&] {
            return [&](int64_t task) {
                size_t begin = task * columns, end = begin + columns < count_ ? begin + columns : count_;
                for (size_t i = begin; i < end; ++i) out[i] = 0;
                for (int64_t group = 0; group < groups_; ++group)
                    for (size_t i = begin; i < end; ++i) out[i] += row(group)[i];
            };
        });
    }

    // The sum in memory of its own.
    const T* sum(Threads threads) const {
        sum(row(groups_), threads);
        return row(groups_);
    }

  private:
    int64_t groups_;
    size_t count_;
    T* rows_;
};
