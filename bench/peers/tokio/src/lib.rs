// SPDX-License-Identifier: MIT

//! What the tokio benchmark programs share: arguments, the runtime, the clock around a
//! loop, and the memory of the process.

use std::future::Future;
use std::time::Instant;

/// Argument `i` as a number, or what to use without it.
pub fn arg(i: usize, otherwise: usize) -> usize {
    std::env::args().nth(i).map_or(otherwise, |s| s.parse().expect("a number"))
}

/// Runs `f` as a task on as many workers as argument 1 says.
pub fn run<F>(f: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let rt = runtime();
    rt.block_on(rt.spawn(f)).unwrap();
    std::process::exit(0);
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arg(1, 1))
        .enable_all()
        .build()
        .unwrap()
}

pub fn report(name: &str, value: f64, unit: &str) {
    println!("{name} {value:.3} {unit}");
}

/// Warms up with a tenth of the work, then times `f(n)` and reports the nanoseconds of one
/// of its `n` operations, each counted `each` times.
pub async fn per_op<F, R>(name: &str, n: usize, each: usize, f: F)
where
    F: Fn(usize) -> R,
    R: Future<Output = ()>,
{
    f(n / 10 + 1).await;
    let start = Instant::now();
    f(n).await;
    report(name, start.elapsed().as_nanos() as f64 / n as f64 / each as f64, "ns");
}

/// The resident set and the page tables of this process, in bytes.
pub fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = text.lines().filter(|l| l.starts_with("VmRSS:") || l.starts_with("VmPTE:"));
    kib.map(|l| l.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0).sum()
}

/// Reports how far apart the wake-ups were, in microseconds.
pub fn report_gaps(name: &str, gaps: &mut [f64]) {
    gaps.sort_by(|a, b| a.total_cmp(b));
    report(&format!("{name}_p50"), gaps[gaps.len() / 2], "us");
    report(&format!("{name}_p99"), gaps[gaps.len() * 99 / 100], "us");
    report(&format!("{name}_max"), gaps[gaps.len() - 1], "us");
}

/// A ticker task of 1 ms starts beside `hogs`, two for every worker. The thread of `main` is no
/// worker and looks at the result after argument 2 seconds, so a ticker that never
/// comes to run is seen, too: its last, open gap counts.
pub fn gaps_beside(name: &str, hog: fn()) {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    let rt = runtime();
    for _ in 0..2 * arg(1, 1) {
        rt.spawn(async move { hog() });
    }
    let begin = Instant::now();
    let state = Arc::new(Mutex::new((begin, Vec::<f64>::new())));
    let shared = state.clone();
    rt.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let now = Instant::now();
            let mut s = shared.lock().unwrap();
            let gap = (now - s.0).as_nanos() as f64 / 1e3;
            s.1.push(gap);
            s.0 = now;
        }
    });
    std::thread::sleep(Duration::from_secs(arg(2, 10) as u64));
    let mut s = state.lock().unwrap();
    let open = s.0.elapsed().as_nanos() as f64 / 1e3;
    s.1.push(open);
    report_gaps(name, &mut s.1);
    std::process::exit(0);
}

/// The 1024 bytes every peer answers at /json.
pub fn json_body() -> String {
    let (head, tail) = ("{\"message\":\"hello\",\"padding\":\"", "\"}");
    format!("{head}{}{tail}", "x".repeat(1024 - head.len() - tail.len()))
}
