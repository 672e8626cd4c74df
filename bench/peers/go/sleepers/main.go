// SPDX-License-Identifier: MIT

// Argument 2 goroutines sleep for 0..1 s each, evenly random: milliseconds over the
// second that would be ideal.
package main

import (
	"bench/b"
	"sync"
	"time"
)

func main() {
	b.Workers()
	n := b.Arg(2, 1000000)
	seed := uint64(88172645463325252)
	var wg sync.WaitGroup
	wg.Add(n)
	start := time.Now()
	for i := 0; i < n; i++ {
		seed ^= seed << 13
		seed ^= seed >> 7
		seed ^= seed << 17
		wait := time.Duration(seed % 1000000000)
		go func() {
			time.Sleep(wait)
			wg.Done()
		}()
	}
	wg.Wait()
	b.Report("sleepers", time.Since(start).Seconds()*1e3-1000, "ms")
}
