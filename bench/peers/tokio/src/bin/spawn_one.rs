// SPDX-License-Identifier: MIT

//! Spawns one task and waits for it, again and again.
use bench::*;

fn main() {
    run(per_op("spawn_one", arg(2, 2_000_000), 1, |n| async move {
        for _ in 0..n {
            tokio::spawn(async {}).await.unwrap();
        }
    }));
}
