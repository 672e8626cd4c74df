// SPDX-License-Identifier: MIT

// A token goes round 503 goroutines linked by unbuffered channels: one hop.
package main

import "bench/b"

const members = 503

func member(in chan int, out chan int, done chan bool) {
	for v := range in {
		if v == 0 {
			done <- true
			continue
		}
		out <- v - 1
	}
}

func main() {
	b.Workers()
	first, done := make(chan int), make(chan bool)
	in := first
	for i := 0; i < members; i++ {
		out := first
		if i < members-1 {
			out = make(chan int)
		}
		go member(in, out, done)
		in = out
	}
	b.PerOp("ring", b.Arg(2, 3000000), 1, func(n int) {
		first <- n
		<-done
	})
}
