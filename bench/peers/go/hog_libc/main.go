// SPDX-License-Identifier: MIT

// A 1 ms ticker beside two callers of libc's usleep(50 ms) for every worker.
package main

// #include <unistd.h>
import "C"
import "bench/b"

func main() {
	for i := 2 * b.Workers(); i > 0; i-- {
		go func() {
			for {
				C.usleep(50000)
			}
		}()
	}
	b.Gaps("hog_libc")
}
