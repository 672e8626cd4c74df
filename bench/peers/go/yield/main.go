// SPDX-License-Identifier: MIT

// Two goroutines yield to each other: cost of one switch.
package main

import (
	"bench/b"
	"runtime"
	"sync"
)

func main() {
	b.Workers()
	b.PerOp("yield", b.Arg(2, 5000000), 2, func(n int) {
		var wg sync.WaitGroup
		wg.Add(2)
		for g := 0; g < 2; g++ {
			go func() {
				for i := 0; i < n; i++ {
					runtime.Gosched()
				}
				wg.Done()
			}()
		}
		wg.Wait()
	})
}
