// SPDX-License-Identifier: MIT

// Go's side of the lab hog.
package main

import (
	"lab/part"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	yieldEvery     = 10000000
	deferred       = 10000
	deferredRounds = 20000
)

//go:noinline
func spin(n int) {
	for i := 0; i < n; i++ {
	}
}

func yielding(n int) {
	for left := n; left > 0; left -= yieldEvery {
		spin(min(left, yieldEvery))
		runtime.Gosched()
	}
}

func chain(int) {
	for i := 0; i < deferred; i++ {
		defer spin(deferredRounds)
	}
}

func idle(int) { time.Sleep(200 * time.Millisecond) }

// beside counts ticks until f has ended, and notes the longest time without one.
func beside(f func(n int)) func(n int) {
	return func(n int) {
		runtime.GOMAXPROCS(1)
		ticker := time.NewTicker(time.Millisecond)
		var running atomic.Bool
		var busy time.Duration
		var longest time.Duration
		ticks := 0
		<-ticker.C
		last := time.Now()
		running.Store(true)
		go func() {
			start := time.Now()
			f(n)
			busy = time.Since(start)
			running.Store(false)
		}()
		for running.Load() {
			<-ticker.C
			now := time.Now()
			longest = max(longest, now.Sub(last))
			last = now
			ticks++
		}
		ms := float64(busy.Nanoseconds()) / 1e6
		part.Print("longest_ms", float64(longest.Nanoseconds())/1e6)
		part.Print("busy_ms", ms)
		part.Print("ticks_percent", 100*float64(ticks)/max(ms, 1))
	}
}

func main() {
	part.Run(map[string]func(n int){"busy": beside(spin), "yield": beside(yielding),
		"chain": beside(chain), "idle": beside(idle)})
}
