// SPDX-License-Identifier: MIT
//
// Argument 2 fibers sleep for 0..1 s each, evenly random: milliseconds over the second
// that would be ideal.
#include "bench.hpp"
#include <atomic>
using namespace bench;

int main(int argc, char **argv) {
    run(argc, argv, [] {
        const long n = arg(2, 1000000);
        std::atomic<long> awake{0};
        uint64_t seed = 88172645463325252ull;
        auto start = clock::now();
        for (long i = 0; i < n; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            const std::chrono::nanoseconds wait(seed % 1000000000);
            fiber(std::allocator_arg, small_stack(), [&awake, wait] {
                boost::this_fiber::sleep_for(wait);
                awake++;
            }).detach();
        }
        while (awake < n)
            boost::this_fiber::sleep_for(std::chrono::milliseconds(1));
        report("sleepers", since_ns(start) / 1e6 - 1000, "ms");
    });
}
