// SPDX-License-Identifier: MIT

//! A 1 ms ticker beside two tasks for every worker that sleep 50 ms in the thread, as
//! libc's usleep does, without telling the runtime.
fn main() {
    bench::gaps_beside("hog_libc", || loop {
        std::thread::sleep(std::time::Duration::from_millis(50));
    });
}
