// SPDX-License-Identifier: MIT
//
// A tree of fibers, ten children each, 1,000,000 leaves, sums their numbers. The channels hold
// all ten answers (capacity 16, a power of two is asked for).
#include "bench.hpp"
using namespace bench;

using channel = fibers::buffered_channel<long>;

static void skynet(std::shared_ptr<channel> up, long num, long size) {
    if (size == 1) {
        up->push(num);
        return;
    }
    auto c = std::make_shared<channel>(16);
    for (int i = 0; i < 10; i++)
        fiber(std::allocator_arg, small_stack(), skynet, c, num + i * (size / 10), size / 10)
            .detach();
    long sum = 0, v = 0;
    for (int i = 0; i < 10; i++) {
        c->pop(v);
        sum += v;
    }
    up->push(sum);
}

int main(int argc, char **argv) {
    run(argc, argv, [] {
        const long size = arg(2, 1000000);
        auto start = clock::now();
        auto c = std::make_shared<channel>(2);
        fiber(std::allocator_arg, small_stack(), skynet, c, 0, size).detach();
        long sum;
        c->pop(sum);
        must(sum == size * (size - 1) / 2);
        report("skynet", since_ns(start) / 1e6, "ms");
    });
}
