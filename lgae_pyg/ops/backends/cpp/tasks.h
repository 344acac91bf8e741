// Groups of jets of about equal cost, worked off by threads.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

// Bounds of groups of consecutive jets, at most 64, cut where the cost of pairs and nodes reaches equal shares. They do
// not depend on the number of threads, so sums over groups come out the same for any.
inline std::vector<int64_t> groups(const int64_t* ptr, int64_t jets) {
    auto cost = [&](int64_t jet) {
        double size = double(ptr[jet + 1] - ptr[jet]);
        return size * size + 30 * size + 1;
    };
    const double most = jets < 512 ? double(jets + 7) / 8 : 64;
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
