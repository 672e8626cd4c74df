// SPDX-License-Identifier: MIT
//
// Two fibers, two unbuffered channels: one round trip.
#include "bench.hpp"
using namespace bench;

int main(int argc, char **argv) {
    run(argc, argv, [] {
        per_op("unbuffered", arg(2, 2000000), 1, [](long n) {
            fibers::unbuffered_channel<long> ping, pong;
            fiber echo([&] {
                for (long v : ping)
                    pong.push(v);
            });
            long back;
            for (long i = 0; i < n; i++) {
                ping.push(i);
                must(pong.pop(back) == fibers::channel_op_status::success && back == i);
            }
            ping.close();
            echo.join();
        });
    });
}
