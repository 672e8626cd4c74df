// SPDX-License-Identifier: MIT

//! Argument 2 tasks sleep for 0..1 s each, evenly random: milliseconds over the second
//! that would be ideal. tokio's clock has steps of 1 ms.
use bench::*;
use std::time::{Duration, Instant};

fn main() {
    run(async {
        let n = arg(2, 1_000_000);
        let mut seed: u64 = 88172645463325252;
        let (tx, mut rx) = tokio::sync::mpsc::channel::<()>(1);
        let start = Instant::now();
        for _ in 0..n {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let wait = Duration::from_nanos(seed % 1_000_000_000);
            let alive = tx.clone();
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                drop(alive);
            });
        }
        drop(tx);
        assert!(rx.recv().await.is_none());
        report("sleepers", start.elapsed().as_secs_f64() * 1e3 - 1000.0, "ms");
    });
}
