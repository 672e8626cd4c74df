// SPDX-License-Identifier: MIT

// A tree of goroutines, ten children each, 1,000,000 leaves, sums their numbers.
package main

import (
	"bench/b"
	"time"
)

func skynet(up chan int, num int, size int) {
	if size == 1 {
		up <- num
		return
	}
	c := make(chan int)
	for i := 0; i < 10; i++ {
		go skynet(c, num+i*(size/10), size/10)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-c
	}
	up <- sum
}

func main() {
	b.Workers()
	size := b.Arg(2, 1000000)
	start := time.Now()
	c := make(chan int)
	go skynet(c, 0, size)
	if <-c != size*(size-1)/2 {
		panic("wrong sum")
	}
	b.Report("skynet", time.Since(start).Seconds()*1e3, "ms")
}
