// SPDX-License-Identifier: MIT

// Deferred call, panic and recover, timer start and stop.
package main

import (
	"bench/b"
	"time"
)

var counter int

func count() { counter++ }

//go:noinline
func deferred() {
	defer count()
	counter++
}

func recovered() {
	if recover() == nil {
		panic("nothing to recover")
	}
}

//go:noinline
func panics() {
	defer recovered()
	panic("boom")
}

func loop(n int, f func()) {
	for i := 0; i < n; i++ {
		f()
	}
}

func main() {
	b.Workers()
	count := b.Arg(2, 1000000)
	b.PerOp("defer", 10*count, 1, func(n int) { loop(n, deferred) })
	b.PerOp("panic_recover", count, 1, func(n int) { loop(n, panics) })
	b.PerOp("timer", count, 1, func(n int) {
		for i := 0; i < n; i++ {
			time.AfterFunc(time.Second, func() {}).Stop()
		}
	})
}
