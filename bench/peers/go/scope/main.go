// SPDX-License-Identifier: MIT

// A group of 10 goroutines that end at once: begin, start them, wait for all.
// The group is golang.org/x/sync/errgroup's, with a context and without a limit.
package main

import (
	"bench/b"
	"context"
	"sync"
)

type group struct {
	cancel  func(error)
	wg      sync.WaitGroup
	errOnce sync.Once
	err     error
}

func withContext(ctx context.Context) (*group, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	return &group{cancel: cancel}, ctx
}

func (g *group) Wait() error {
	g.wg.Wait()
	if g.cancel != nil {
		g.cancel(g.err)
	}
	return g.err
}

func (g *group) Go(f func() error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		if err := f(); err != nil {
			g.errOnce.Do(func() {
				g.err = err
				if g.cancel != nil {
					g.cancel(g.err)
				}
			})
		}
	}()
}

func child(ctx context.Context, counter *int) error {
	*counter++
	return nil
}

func main() {
	b.Workers()
	b.PerOp("scope", b.Arg(2, 300000), 1, func(n int) {
		for i := 0; i < n; i++ {
			var counters [10]int
			g, ctx := withContext(context.Background())
			for k := range counters {
				k := k
				g.Go(func() error { return child(ctx, &counters[k]) })
			}
			if g.Wait() != nil {
				panic("failed")
			}
			sum := 0
			for _, c := range counters {
				sum += c
			}
			if sum != 10 {
				panic("lost a child")
			}
		}
	})
}
