// SPDX-License-Identifier: MIT

//! One producer, one consumer, a channel of capacity 128: one item.
use bench::*;

fn main() {
    run(per_op("buffered", arg(2, 10_000_000), 1, |n| async move {
        let (tx, mut rx) = tokio::sync::mpsc::channel::<usize>(128);
        tokio::spawn(async move {
            for i in 0..n {
                tx.send(i).await.unwrap();
            }
        });
        let mut sum = 0;
        while let Some(v) = rx.recv().await {
            sum += v;
        }
        assert_eq!(sum, n * (n - 1) / 2);
    }));
}
