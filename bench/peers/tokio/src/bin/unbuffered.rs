// SPDX-License-Identifier: MIT

//! Two tasks, two channels: one round trip. tokio has no unbuffered channel, so the
//! capacity is 1.
use bench::*;
use tokio::sync::mpsc::channel;

fn main() {
    run(per_op("unbuffered", arg(2, 2_000_000), 1, |n| async move {
        let (ping, mut ping_out) = channel::<usize>(1);
        let (pong, mut pong_out) = channel::<usize>(1);
        tokio::spawn(async move {
            while let Some(v) = ping_out.recv().await {
                pong.send(v).await.unwrap();
            }
        });
        for i in 0..n {
            ping.send(i).await.unwrap();
            assert_eq!(pong_out.recv().await, Some(i));
        }
    }));
}
