// SPDX-License-Identifier: MIT

//! Two tasks yield to each other: cost of one switch.
use bench::*;

async fn yields(n: usize) {
    for _ in 0..n {
        tokio::task::yield_now().await;
    }
}

fn main() {
    run(per_op("yield", arg(2, 5_000_000), 2, |n| async move {
        let (a, b) = (tokio::spawn(yields(n)), tokio::spawn(yields(n)));
        a.await.unwrap();
        b.await.unwrap();
    }));
}
