// SPDX-License-Identifier: MIT
//
// One producer, one consumer, a channel of capacity 128: one item.
#include "bench.hpp"
using namespace bench;

int main(int argc, char **argv) {
    run(argc, argv, [] {
        per_op("buffered", arg(2, 10000000), 1, [](long n) {
            fibers::buffered_channel<long> c(128);
            fiber producer([&] {
                for (long i = 0; i < n; i++)
                    c.push(i);
                c.close();
            });
            long sum = 0;
            for (long v : c)
                sum += v;
            producer.join();
            must(sum == n * (n - 1) / 2);
        });
    });
}
