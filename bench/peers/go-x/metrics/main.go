// SPDX-License-Identifier: MIT

// A counter, a counter with two labels that is looked up each time, and a histogram of 12 buckets:
// argument 3 goroutines share the work.
package main

import (
	"bench/b"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	plain    = prometheus.NewCounter(prometheus.CounterOpts{Name: "bench_plain_total"})
	labelled = prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "bench_labelled_total"}, []string{"method", "code"})
	sizes = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "bench_sizes_seconds", Buckets: prometheus.ExponentialBuckets(0.001, 2, 12)})
)

func shared(n int, work func(n int)) {
	sharers := b.Arg(3, 1)
	var wg sync.WaitGroup
	wg.Add(sharers)
	for s := 0; s < sharers; s++ {
		go func() {
			work(n / sharers)
			wg.Done()
		}()
	}
	wg.Wait()
}

func main() {
	b.Workers()
	n := b.Arg(2, 20000000)
	b.PerOp("counter", n, 1, func(n int) {
		shared(n, func(n int) {
			for i := 0; i < n; i++ {
				plain.Inc()
			}
		})
	})
	b.PerOp("counter_with", n/4, 1, func(n int) {
		codes := [2]string{"404", "200"}
		shared(n, func(n int) {
			for i := 0; i < n; i++ {
				labelled.WithLabelValues("GET", codes[i&1]).Inc()
			}
		})
	})
	b.PerOp("histogram", n/2, 1, func(n int) {
		shared(n, func(n int) {
			for i := 0; i < n; i++ {
				sizes.Observe(0.001 * float64(i&1023))
			}
		})
	})
}
