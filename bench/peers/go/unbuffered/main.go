// SPDX-License-Identifier: MIT

// Two goroutines, two unbuffered channels: one round trip.
package main

import "bench/b"

func main() {
	b.Workers()
	b.PerOp("unbuffered", b.Arg(2, 2000000), 1, func(n int) {
		ping, pong := make(chan int), make(chan int)
		go func() {
			for v := range ping {
				pong <- v
			}
		}()
		for i := 0; i < n; i++ {
			ping <- i
			if <-pong != i {
				panic("wrong value")
			}
		}
		close(ping)
	})
}
