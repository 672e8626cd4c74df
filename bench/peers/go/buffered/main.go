// SPDX-License-Identifier: MIT

// One producer, one consumer, a channel of capacity 128: one item.
package main

import "bench/b"

func main() {
	b.Workers()
	b.PerOp("buffered", b.Arg(2, 10000000), 1, func(n int) {
		c := make(chan int, 128)
		go func() {
			for i := 0; i < n; i++ {
				c <- i
			}
			close(c)
		}()
		sum := 0
		for v := range c {
			sum += v
		}
		if sum != n*(n-1)/2 {
			panic("wrong sum")
		}
	})
}
