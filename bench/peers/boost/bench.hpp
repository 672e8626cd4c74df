// SPDX-License-Identifier: MIT
//
// What the Boost.Fiber programs share: arguments, a pool of threads that steal work from
// each other, the clock around a loop, and the memory of the process.
#pragma once

#include <boost/fiber/all.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace bench {

namespace fibers = boost::fibers;
using fibers::fiber;
using clock = std::chrono::steady_clock;

inline int count;
inline char **values;

inline long arg(int i, long otherwise) {
    return i < count ? std::atol(values[i]) : otherwise;
}

inline void report(const char *name, double value, const char *unit) {
    std::printf("%s %.3f %s\n", name, value, unit);
}

inline double since_ns(clock::time_point start) {
    return std::chrono::duration<double, std::nano>(clock::now() - start).count();
}

// Runs f in this thread's main fiber. With more workers than one, the other threads wait in a
// fiber mutex, which lets their schedulers steal, until f is over.
template <class F> void run(int argc, char **argv, F f) {
    count = argc;
    values = argv;
    const unsigned workers = arg(1, 1);
    if (workers == 1)
        return f();
    fibers::mutex lock;
    fibers::condition_variable_any over;
    bool done = false;
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < workers; i++) {
        threads.emplace_back([&] {
            fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(workers);
            std::unique_lock<fibers::mutex> l(lock);
            over.wait(l, [&] { return done; });
        });
    }
    fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(workers);
    f();
    {
        std::unique_lock<fibers::mutex> l(lock);
        done = true;
    }
    over.notify_all();
    for (auto &t : threads)
        t.join();
}

// Warms up with a tenth of the work, then times f(n) and reports the nanoseconds of one of its n
// operations, each counted `each` times.
template <class F> void per_op(const char *name, long n, long each, F f) {
    f(n / 10 + 1);
    auto start = clock::now();
    f(n);
    report(name, since_ns(start) / n / each, "ns");
}

// The resident set and the page tables of this process, in bytes.
inline double memory() {
    std::FILE *f = std::fopen("/proc/self/status", "r");
    if (!f)
        std::abort();
    char line[256];
    long kib, sum = 0;
    while (std::fgets(line, sizeof line, f))
        if (std::sscanf(line, "VmRSS: %ld", &kib) == 1 ||
            std::sscanf(line, "VmPTE: %ld", &kib) == 1)
            sum += kib * 1024;
    std::fclose(f);
    return sum;
}

inline void must(bool truth) {
    if (!truth) {
        std::fprintf(stderr, "wrong result\n");
        std::abort();
    }
}

// The stack for programs with a million fibers: 16 KiB from malloc, no guard page.
inline fibers::fixedsize_stack small_stack() {
    return fibers::fixedsize_stack(16 * 1024);
}

} // namespace bench
