// SPDX-License-Identifier: MIT

// Select of 2 and of 4 receive cases. Ready: the same goroutine sends into one of the
// buffered channels, in turn, and selects. Blocked: another one sends on unbuffered
// channels in turn and the selecting goroutine waits for each item.
package main

import "bench/b"

func pick2(c []chan int) int {
	select {
	case v := <-c[0]:
		return v
	case v := <-c[1]:
		return v
	}
}

func pick4(c []chan int) int {
	select {
	case v := <-c[0]:
		return v
	case v := <-c[1]:
		return v
	case v := <-c[2]:
		return v
	case v := <-c[3]:
		return v
	}
}

func channels(n int, capacity int) []chan int {
	c := make([]chan int, n)
	for i := range c {
		c[i] = make(chan int, capacity)
	}
	return c
}

func ready(k int, n int, pick func([]chan int) int) {
	c := channels(k, 1)
	for i := 0; i < n; i++ {
		c[i&(k-1)] <- i
		if pick(c) != i {
			panic("wrong value")
		}
	}
}

func blocked(k int, n int, pick func([]chan int) int) {
	c := channels(k, 0)
	go func() {
		for i := 0; i < n; i++ {
			c[i&(k-1)] <- i
		}
	}()
	for i := 0; i < n; i++ {
		if pick(c) != i {
			panic("wrong value")
		}
	}
}

func main() {
	b.Workers()
	count := b.Arg(2, 3000000)
	b.PerOp("select2_ready", count, 1, func(n int) { ready(2, n, pick2) })
	b.PerOp("select2_blocked", count, 1, func(n int) { blocked(2, n, pick2) })
	b.PerOp("select4_ready", count, 1, func(n int) { ready(4, n, pick4) })
	b.PerOp("select4_blocked", count, 1, func(n int) { blocked(4, n, pick4) })
}
