// SPDX-License-Identifier: MIT
//
// A token goes round 503 fibers linked by unbuffered channels: one hop.
#include "bench.hpp"
using namespace bench;

using channel = fibers::unbuffered_channel<long>;
constexpr int members = 503;

int main(int argc, char **argv) {
    run(argc, argv, [] {
        std::vector<std::unique_ptr<channel>> links;
        for (int i = 0; i < members; i++)
            links.push_back(std::make_unique<channel>());
        channel done;
        std::vector<fiber> all;
        for (int i = 0; i < members; i++)
            all.emplace_back([&, i] {
                channel &out = *links[(i + 1) % members];
                for (long v : *links[i]) {
                    if (v == 0)
                        done.push(0);
                    else
                        out.push(v - 1);
                }
            });
        per_op("ring", arg(2, 3000000), 1, [&](long n) {
            links[0]->push(n);
            long end;
            must(done.pop(end) == fibers::channel_op_status::success);
        });
        for (auto &l : links)
            l->close();
        for (auto &f : all)
            f.join();
    });
}
