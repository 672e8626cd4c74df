// SPDX-License-Identifier: MIT

// A tree of contexts: 1,000 below one, made, ended by a cancel of that, dropped;
// and a context with a timeout, made and dropped.
package main

import (
	"bench/b"
	"context"
	"time"
)

const children = 1000

func trees(n int) {
	for i := 0; i < n; i++ {
		var below [children]context.Context
		var drop [children]context.CancelFunc
		top, cancel := context.WithCancel(context.Background())
		for k := range below {
			below[k], drop[k] = context.WithCancel(top)
		}
		cancel()
		for k := range below {
			if below[k].Err() == nil {
				panic("not cancelled")
			}
			drop[k]()
		}
	}
}

func main() {
	b.Workers()
	n := b.Arg(2, 2000)
	b.PerOp("context_tree", n, children, trees)
	b.PerOp("within", 1000*n, 1, func(n int) {
		for i := 0; i < n; i++ {
			_, cancel := context.WithTimeout(context.Background(), time.Minute)
			cancel()
		}
	})
}
