// SPDX-License-Identifier: MIT

//! Argument 2 tasks wait on one semaphore (tokio's channels have one receiver): memory
//! and time for each of them.
use bench::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{sync::Arc, time::Instant};
use tokio::sync::Semaphore;

fn main() {
    run(async {
        let n = arg(2, 100_000);
        let gate = Arc::new(Semaphore::new(0));
        let started = Arc::new(AtomicUsize::new(0));
        let (before, start) = (memory(), Instant::now());
        for _ in 0..n {
            let (gate, started) = (gate.clone(), started.clone());
            tokio::spawn(async move {
                started.fetch_add(1, Ordering::Relaxed);
                let _permit = gate.acquire().await;
            });
        }
        while started.load(Ordering::Relaxed) < n {
            tokio::task::yield_now().await;
        }
        let spent = start.elapsed();
        report("parked_memory", (memory() - before) / n as f64, "bytes");
        report("parked_time", spent.as_nanos() as f64 / n as f64, "ns");
    });
}
