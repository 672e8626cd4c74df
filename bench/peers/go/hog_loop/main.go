// SPDX-License-Identifier: MIT

// A 1 ms ticker beside two endless loops for every worker.
package main

import "bench/b"

func main() {
	for i := 2 * b.Workers(); i > 0; i-- {
		go func() {
			for {
			}
		}()
	}
	b.Gaps("hog_loop")
}
