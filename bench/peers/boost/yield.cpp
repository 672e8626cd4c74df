// SPDX-License-Identifier: MIT
//
// Two fibers yield to each other: cost of one switch.
#include "bench.hpp"
using namespace bench;

int main(int argc, char **argv) {
    run(argc, argv, [] {
        per_op("yield", arg(2, 5000000), 2, [](long n) {
            auto yields = [n] {
                for (long i = 0; i < n; i++)
                    boost::this_fiber::yield();
            };
            fiber a(yields), b(yields);
            a.join();
            b.join();
        });
    });
}
