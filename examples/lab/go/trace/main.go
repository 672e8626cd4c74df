// SPDX-License-Identifier: MIT

// Go's side of the lab trace.
package main

import (
	"lab/part"
	"os"
	"runtime"
	"runtime/trace"
	"sync"
	"time"
)

func yieldAll(n int) {
	var wg sync.WaitGroup
	for k := 0; k < 2; k++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < n/2; i++ {
				runtime.Gosched()
			}
		}()
	}
	wg.Wait()
}

func sendAll(n int) {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v
		}
		close(pong)
	}()
	for i := 0; i < n; i++ {
		ping <- i
		<-pong
	}
	close(ping)
	<-pong
}

func nothing() func() { return func() {} }

func tracing() func() {
	file, err := os.CreateTemp("", "aglet-lab-trace")
	if err == nil {
		err = trace.Start(file)
	}
	if err != nil {
		panic(err)
	}
	os.Remove(file.Name())
	return trace.Stop
}

func measure(f func(n int), watch func() func()) func(n int) {
	return func(n int) {
		runtime.GOMAXPROCS(1)
		f(n / 10)
		stop := watch()
		start := time.Now()
		f(n)
		took := time.Since(start)
		stop()
		part.Print("ns", float64(took.Nanoseconds())/float64(n))
	}
}

func main() {
	part.Run(map[string]func(n int){
		"yield-off":      measure(yieldAll, nothing),
		"yield-recorder": measure(yieldAll, recording),
		"yield-trace":    measure(yieldAll, tracing),
		"send-off":       measure(sendAll, nothing),
		"send-recorder":  measure(sendAll, recording),
		"send-trace":     measure(sendAll, tracing),
	})
}
