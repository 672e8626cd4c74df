// SPDX-License-Identifier: MIT

//! A token goes round 503 tasks linked by channels of capacity 1: one hop.
use bench::*;
use tokio::sync::mpsc::{channel, Receiver, Sender};

const MEMBERS: usize = 503;

async fn member(mut rx: Receiver<usize>, tx: Sender<usize>, done: Sender<()>) {
    while let Some(v) = rx.recv().await {
        if v == 0 {
            done.send(()).await.unwrap();
        } else {
            tx.send(v - 1).await.unwrap();
        }
    }
}

fn main() {
    run(async {
        let (first, mut rx) = channel(1);
        let (done, mut over) = channel(1);
        for i in 0..MEMBERS {
            let last = i == MEMBERS - 1;
            let (tx, next) = if last { (first.clone(), channel(1).1) } else { channel(1) };
            tokio::spawn(member(rx, tx, done.clone()));
            rx = next;
        }
        let n = arg(2, 3_000_000);
        for (warm, hops) in [(true, n / 10), (false, n)] {
            let start = std::time::Instant::now();
            first.send(hops).await.unwrap();
            over.recv().await.unwrap();
            if !warm {
                report("ring", start.elapsed().as_nanos() as f64 / n as f64, "ns");
            }
        }
    });
}
