// SPDX-License-Identifier: MIT

// Spawns 1000 goroutines, waits for all, again and again: cost of one.
package main

import (
	"bench/b"
	"sync"
)

func main() {
	b.Workers()
	b.PerOp("spawn_batch", b.Arg(2, 2000), 1000, func(n int) {
		var wg sync.WaitGroup
		for i := 0; i < n; i++ {
			wg.Add(1000)
			for j := 0; j < 1000; j++ {
				go wg.Done()
			}
			wg.Wait()
		}
	})
}
