// SPDX-License-Identifier: MIT

// Go's side of the lab churn.
package main

import (
	"lab/part"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

const batch = 100

func chanDeferred(c chan int) { defer close(c) }

func chanExplicit(c chan int) { close(c) }

func fileDeferred(chan int) {
	file, err := os.Open("/dev/null")
	if err != nil {
		panic(err)
	}
	defer file.Close()
}

func fileExplicit(chan int) {
	file, err := os.Open("/dev/null")
	if err != nil {
		panic(err)
	}
	file.Close()
}

func measure(work func(c chan int)) func(n int) {
	return func(n int) {
		var before, after runtime.MemStats
		took := make([]time.Duration, n)
		var wg sync.WaitGroup
		runtime.ReadMemStats(&before)
		start := time.Now()
		for i := 0; i < n; i++ {
			if i%batch == 0 {
				time.Sleep(time.Until(start.Add(time.Duration(i/batch) * time.Millisecond)))
			}
			wg.Add(1)
			go func(c chan int, i int, start time.Time) {
				work(c)
				took[i] = time.Since(start)
				wg.Done()
			}(make(chan int, 1), i, time.Now())
		}
		wg.Wait()
		seconds := time.Since(start).Seconds()
		runtime.ReadMemStats(&after)
		sum := time.Duration(0)
		for _, t := range took {
			sum += t
		}
		slices.Sort(took)
		part.Print("mean_us", float64(sum.Nanoseconds())/float64(n)/1e3)
		part.Print("p99_us", float64(took[n*99/100].Nanoseconds())/1e3)
		part.Print("rate", float64(n)/seconds)
		part.Print("pauses", float64(after.NumGC-before.NumGC))
	}
}

func main() {
	part.Run(map[string]func(n int){
		"chan-deferred": measure(chanDeferred), "chan-explicit": measure(chanExplicit),
		"file-deferred": measure(fileDeferred), "file-explicit": measure(fileExplicit)})
}
