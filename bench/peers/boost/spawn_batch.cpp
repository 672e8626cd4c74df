// SPDX-License-Identifier: MIT
//
// Spawns 1000 fibers, waits for all, again and again: cost of one.
#include "bench.hpp"
using namespace bench;

int main(int argc, char **argv) {
    run(argc, argv, [] {
        per_op("spawn_batch", arg(2, 200), 1000, [](long n) {
            std::vector<fiber> all;
            all.reserve(1000);
            for (long i = 0; i < n; i++) {
                for (int j = 0; j < 1000; j++)
                    all.emplace_back([] {});
                for (auto &f : all)
                    f.join();
                all.clear();
            }
        });
    });
}
