// SPDX-License-Identifier: MIT

//! A 1 ms ticker beside two endless loops for every worker.
fn main() {
    bench::gaps_beside("hog_loop", || loop {
        std::hint::spin_loop();
    });
}
