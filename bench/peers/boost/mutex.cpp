// SPDX-License-Identifier: MIT
//
// Lock, add one, unlock: argument 3 fibers share the work.
#include "bench.hpp"
using namespace bench;

int main(int argc, char **argv) {
    run(argc, argv, [] {
        const long sharers = arg(3, 1);
        per_op("mutex", arg(2, 20000000), 1, [sharers](long n) {
            fibers::mutex m;
            long counter = 0, share = n / sharers;
            std::vector<fiber> all;
            for (long s = 0; s < sharers; s++)
                all.emplace_back([&] {
                    for (long i = 0; i < share; i++) {
                        m.lock();
                        counter++;
                        m.unlock();
                    }
                });
            for (auto &f : all)
                f.join();
            must(counter == share * sharers);
        });
    });
}
