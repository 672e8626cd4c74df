// SPDX-License-Identifier: MIT

// Lock for reading, look, unlock: argument 3 goroutines share the work; every 1000th time one
// locks for writing and adds one.
package main

import (
	"bench/b"
	"sync"
)

func main() {
	b.Workers()
	goroutines := b.Arg(3, 1)
	b.PerOp("rwmutex", b.Arg(2, 20000000), 1, func(n int) {
		var rw sync.RWMutex
		var wg sync.WaitGroup
		counter, share := 0, n/goroutines
		wg.Add(goroutines)
		for g := 0; g < goroutines; g++ {
			go func() {
				seen := 0
				for i := 1; i <= share; i++ {
					if i%1000 == 0 {
						rw.Lock()
						counter++
						rw.Unlock()
					}
					rw.RLock()
					seen = counter
					rw.RUnlock()
				}
				if share >= 1000 && seen == 0 {
					panic("nothing was seen")
				}
				wg.Done()
			}()
		}
		wg.Wait()
		if counter != share/1000*goroutines {
			panic("lost an addition")
		}
	})
}
