// SPDX-License-Identifier: MIT

//! Spawns 1000 tasks, waits for all, again and again: cost of one.
use bench::*;

fn main() {
    run(per_op("spawn_batch", arg(2, 2000), 1000, |n| async move {
        let mut handles = Vec::with_capacity(1000);
        for _ in 0..n {
            handles.extend((0..1000).map(|_| tokio::spawn(async {})));
            for h in handles.drain(..) {
                h.await.unwrap();
            }
        }
    }));
}
