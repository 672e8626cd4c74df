// SPDX-License-Identifier: MIT

// Semaphore, free and beside 100 goroutines; condition with 1,000 waiters; single flight of 1,000
// callers; pool.
package main

import (
	"bench/b"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

const (
	many    = 1000
	sharers = 100
	places  = 10
)

var sem = semaphore.NewWeighted(places)

func semFree(n int) {
	ctx := context.Background()
	for i := 0; i < n; i++ {
		sem.Acquire(ctx, 1)
		sem.Release(1)
	}
}

func semBusy(n int) {
	var wg sync.WaitGroup
	var held atomic.Int64
	ctx := context.Background()
	wg.Add(sharers)
	for i := 0; i < sharers; i++ {
		go func() {
			for j := 0; j < n/sharers; j++ {
				sem.Acquire(ctx, 1)
				if held.Add(1) > places {
					panic("too many inside")
				}
				runtime.Gosched()
				held.Add(-1)
				sem.Release(1)
			}
			wg.Done()
		}()
	}
	wg.Wait()
}

func broadcasts(n int) {
	var wg sync.WaitGroup
	var mutex sync.Mutex
	goOn, allWait := sync.NewCond(&mutex), sync.NewCond(&mutex)
	turn, waiting := 0, 0
	wg.Add(many)
	for i := 0; i < many; i++ {
		go func() {
			mutex.Lock()
			for seen := 0; seen < n; seen++ {
				if waiting++; waiting == many {
					allWait.Signal()
				}
				for turn == seen {
					goOn.Wait()
				}
			}
			mutex.Unlock()
			wg.Done()
		}()
	}
	mutex.Lock()
	for i := 0; i < n; i++ {
		for waiting < many {
			allWait.Wait()
		}
		waiting = 0
		turn++
		goOn.Broadcast()
	}
	mutex.Unlock()
	wg.Wait()
}

func flights(n int) {
	var flight singleflight.Group
	runs := 0
	for i := 0; i < n; i++ {
		var wg sync.WaitGroup
		wg.Add(many)
		for j := 0; j < many; j++ {
			go func() {
				flight.Do("key", func() (any, error) {
					time.Sleep(100 * time.Microsecond)
					runs++
					return &runs, nil
				})
				wg.Done()
			}()
		}
		wg.Wait()
	}
	if runs < n || runs >= n*many/10 {
		panic("not one flight")
	}
}

func pooled(n int) {
	pool := sync.Pool{New: func() any { return new([1024]byte) }}
	for i := 0; i < n; i++ {
		buffer := pool.Get().(*[1024]byte)
		buffer[0] = 1
		pool.Put(buffer)
	}
}

func main() {
	b.Workers()
	n := b.Arg(2, 1000000)
	b.PerOp("sem", 10*n, 1, semFree)
	b.PerOp("sem_busy", n, 1, semBusy)
	b.PerOp("cond", n/1000, many, broadcasts)
	b.PerOp("flight", n/2000, many, flights)
	b.PerOp("pool", 10*n, 1, pooled)
}
