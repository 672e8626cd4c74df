// SPDX-License-Identifier: MIT

// Go's side of the lab spawn.
package main

import (
	"lab/part"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

func churn(n int) {
	var wg sync.WaitGroup
	start := time.Now()
	wg.Add(n)
	for i := 0; i < n; i++ {
		go wg.Done()
	}
	wg.Wait()
	part.Print("start_ns", float64(time.Since(start).Nanoseconds())/float64(n))
}

func alive(n int) {
	gate := make(chan byte)
	var started atomic.Int64
	before := part.Memory()
	start := time.Now()
	for i := 0; i < n; i++ {
		go func() {
			started.Add(1)
			<-gate
		}()
	}
	for started.Load() < int64(n) {
		runtime.Gosched()
	}
	spent := float64(time.Since(start).Nanoseconds())
	part.Print("alive", float64(runtime.NumGoroutine()-1))
	part.Print("alive_ns", spent/float64(n))
	part.Print("bytes", (part.Memory()-before)/float64(n))
	part.Print("threads", part.Status("Threads:"))
}

func main() {
	part.Run(map[string]func(n int){"churn": churn, "alive": alive})
}
