// SPDX-License-Identifier: MIT

// Spawns one goroutine and waits for it, again and again.
package main

import (
	"bench/b"
	"sync"
)

func main() {
	b.Workers()
	b.PerOp("spawn_one", b.Arg(2, 2000000), 1, func(n int) {
		var wg sync.WaitGroup
		for i := 0; i < n; i++ {
			wg.Add(1)
			go wg.Done()
			wg.Wait()
		}
	})
}
