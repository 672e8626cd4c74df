// SPDX-License-Identifier: MIT
//
// Argument 2 fibers wait on one channel: memory and time for each of them. The process
// ends without waking them, as the programs of the other systems do.
#include "bench.hpp"
#include <atomic>
using namespace bench;

int main(int argc, char **argv) {
    run(argc, argv, [] {
        const long n = arg(2, 100000);
        static fibers::unbuffered_channel<long> gate;
        static std::atomic<long> started;
        const double before = memory();
        auto start = clock::now();
        for (long i = 0; i < n; i++)
            fiber(std::allocator_arg, small_stack(), [] {
                started++;
                long v;
                gate.pop(v);
            }).detach();
        while (started < n)
            boost::this_fiber::yield();
        const double spent = since_ns(start);
        report("parked_memory", (memory() - before) / n, "bytes");
        report("parked_time", spent / n, "ns");
        std::fflush(stdout);
        std::_Exit(0);
    });
}
