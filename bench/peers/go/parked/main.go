// SPDX-License-Identifier: MIT

// Argument 2 goroutines wait on one channel: memory and time for each of them.
package main

import (
	"bench/b"
	"runtime"
	"sync/atomic"
	"time"
)

func main() {
	b.Workers()
	n := b.Arg(2, 100000)
	var started atomic.Int64
	gate := make(chan int)
	before, start := b.Memory(), time.Now()
	for i := 0; i < n; i++ {
		go func() {
			started.Add(1)
			<-gate
		}()
	}
	for started.Load() < int64(n) {
		runtime.Gosched()
	}
	spent := time.Since(start)
	b.Report("parked_memory", (b.Memory()-before)/float64(n), "bytes")
	b.Report("parked_time", float64(spent.Nanoseconds())/float64(n), "ns")
}
