// SPDX-License-Identifier: MIT

//! Select of 2 and of 4 receive cases. Ready: the same task sends into one of the channels,
//! in turn, and selects. Blocked: another one sends in turn and the selecting task waits for
//! each item. Channels have capacity 1 in both.
use bench::*;
use tokio::sync::mpsc::{channel, Receiver, Sender};

type Ends = (Vec<Sender<usize>>, Vec<Receiver<usize>>);

fn channels(k: usize) -> Ends {
    (0..k).map(|_| channel(1)).unzip()
}

async fn pick(rx: &mut [Receiver<usize>]) -> usize {
    match rx {
        [a, b] => tokio::select! {
            Some(v) = a.recv() => v,
            Some(v) = b.recv() => v,
            else => panic!("closed"),
        },
        [a, b, c, d] => tokio::select! {
            Some(v) = a.recv() => v,
            Some(v) = b.recv() => v,
            Some(v) = c.recv() => v,
            Some(v) = d.recv() => v,
            else => panic!("closed"),
        },
        _ => unreachable!(),
    }
}

async fn ready(k: usize, n: usize) {
    let (tx, mut rx) = channels(k);
    for i in 0..n {
        tx[i & (k - 1)].send(i).await.unwrap();
        assert_eq!(pick(&mut rx).await, i);
    }
}

async fn blocked(k: usize, n: usize) {
    let (tx, mut rx) = channels(k);
    // Capacity 1 lets two items lie ready at once, and either may be picked: check the sum.
    let sender = tokio::spawn(async move {
        for i in 0..n {
            tx[i & (k - 1)].send(i).await.unwrap();
        }
        tx
    });
    let mut sum = 0;
    for _ in 0..n {
        sum += pick(&mut rx).await;
    }
    assert_eq!(sum, n * (n - 1) / 2);
    sender.await.unwrap();
}

fn main() {
    run(async {
        let n = arg(2, 3_000_000);
        per_op("select2_ready", n, 1, |n| ready(2, n)).await;
        per_op("select2_blocked", n, 1, |n| blocked(2, n)).await;
        per_op("select4_ready", n, 1, |n| ready(4, n)).await;
        per_op("select4_blocked", n, 1, |n| blocked(4, n)).await;
    });
}
