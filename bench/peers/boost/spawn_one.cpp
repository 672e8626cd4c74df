// SPDX-License-Identifier: MIT
//
// Spawns one fiber and waits for it, again and again.
#include "bench.hpp"
using namespace bench;

int main(int argc, char **argv) {
    run(argc, argv, [] {
        per_op("spawn_one", arg(2, 1000000), 1, [](long n) {
            for (long i = 0; i < n; i++)
                fiber([] {}).join();
        });
    });
}
