// SPDX-License-Identifier: MIT

//! A tree of tasks, ten children each, 1,000,000 leaves, sums their numbers. The channels have
//! capacity 10, so a child never waits to report.
use bench::*;
use std::{future::Future, pin::Pin, time::Instant};
use tokio::sync::mpsc::{channel, Sender};

fn skynet(up: Sender<usize>, num: usize, size: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if size == 1 {
            up.send(num).await.unwrap();
            return;
        }
        let (tx, mut rx) = channel(10);
        for i in 0..10 {
            tokio::spawn(skynet(tx.clone(), num + i * (size / 10), size / 10));
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += rx.recv().await.unwrap();
        }
        up.send(sum).await.unwrap();
    })
}

fn main() {
    run(async {
        let size = arg(2, 1_000_000);
        let start = Instant::now();
        let (tx, mut rx) = channel(1);
        tokio::spawn(skynet(tx, 0, size));
        assert_eq!(rx.recv().await, Some(size * (size - 1) / 2));
        report("skynet", start.elapsed().as_secs_f64() * 1e3, "ms");
    });
}
