// SPDX-License-Identifier: MIT

//! Lock, add one, unlock: argument 3 tasks share the work.
use bench::*;
use std::sync::Arc;
use tokio::sync::Mutex;

fn main() {
    let tasks = arg(3, 1);
    run(per_op("mutex", arg(2, 20_000_000), 1, move |n| async move {
        let counter = Arc::new(Mutex::new(0));
        let add = |c: Arc<Mutex<usize>>| async move {
            for _ in 0..n / tasks {
                *c.lock().await += 1;
            }
        };
        let all: Vec<_> = (0..tasks).map(|_| tokio::spawn(add(counter.clone()))).collect();
        for h in all {
            h.await.unwrap();
        }
        assert_eq!(*counter.lock().await, n / tasks * tasks);
    }));
}
