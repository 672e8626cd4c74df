// SPDX-License-Identifier: MIT

// Lock, add one, unlock: argument 3 goroutines share the work.
package main

import (
	"bench/b"
	"sync"
)

func main() {
	b.Workers()
	goroutines := b.Arg(3, 1)
	b.PerOp("mutex", b.Arg(2, 20000000), 1, func(n int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		counter, share := 0, n/goroutines
		wg.Add(goroutines)
		for g := 0; g < goroutines; g++ {
			go func() {
				for i := 0; i < share; i++ {
					mu.Lock()
					counter++
					mu.Unlock()
				}
				wg.Done()
			}()
		}
		wg.Wait()
		if counter != share*goroutines {
			panic("lost an addition")
		}
	})
}
