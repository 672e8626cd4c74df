// SPDX-License-Identifier: MIT

// Go's side of the lab defer-cost.
package main

import (
	"lab/part"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

var counter int

//go:noinline
func count() { counter++ }

//go:noinline
func callNone() { count() }

//go:noinline
func callOne() { defer count() }

//go:noinline
func callTwo() {
	defer count()
	defer count()
}

//go:noinline
func callLoop(n int) {
	for i := 0; i < n; i++ {
		defer count()
	}
}

var mutex sync.Mutex

//go:noinline
func sectionPlain() {
	mutex.Lock()
	counter++
	mutex.Unlock()
}

//go:noinline
func sectionDeferred() {
	mutex.Lock()
	defer mutex.Unlock()
	counter++
}

// allocated is how many bytes f allocates for each of its n calls.
func allocated(name string, n int, f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	part.Print(name, float64(after.TotalAlloc-before.TotalAlloc)/float64(n))
}

func repeat(n int, f func()) func() {
	return func() {
		for i := 0; i < n; i++ {
			f()
		}
	}
}

func bytes(n int) {
	allocated("main_bytes", n, repeat(n, callOne))
	done := make(chan bool)
	go func() {
		allocated("goroutine_bytes", n, repeat(n, callOne))
		done <- true
	}()
	<-done
	allocated("loop_bytes", n, func() { callLoop(n) })
	allocated("section_bytes", n, repeat(n, sectionDeferred))
}

func perCall(name string, n int, f func()) {
	repeat(n/10, f)()
	start := time.Now()
	for i := 0; i < n; i++ {
		f()
	}
	part.Print(name, float64(time.Since(start).Nanoseconds())/float64(n))
}

func nanoseconds(n int) {
	perCall("plain_ns", n, callNone)
	perCall("one_ns", n, callOne)
	perCall("two_ns", n, callTwo)
	perCall("section_plain_ns", n, sectionPlain)
	perCall("section_deferred_ns", n, sectionDeferred)
}

const (
	calls  = 4
	rounds = 16
)

func stop(pid, tid uintptr) {
	syscall.RawSyscall(syscall.SYS_TGKILL, pid, tid, uintptr(syscall.SIGSTOP))
}

// stepped is single-stepped by the lab: see its C side. Gosched gives each
// round a time slice of its own, so that few are preempted.
func stepped(int) {
	kinds := []func(){repeat(calls, callNone), repeat(calls, callOne), repeat(calls, callTwo),
		func() { callLoop(calls) }}
	for _, f := range kinds {
		f()
	}
	pid, tid := uintptr(os.Getpid()), uintptr(syscall.Gettid())
	if _, _, e := syscall.RawSyscall(syscall.SYS_PTRACE, syscall.PTRACE_TRACEME, 0, 0); e != 0 {
		os.Exit(1)
	}
	for i := 0; i < rounds*len(kinds); i++ {
		runtime.Gosched()
		stop(pid, tid)
		kinds[i%len(kinds)]()
		stop(pid, tid)
	}
}

// The main goroutine stays on the thread that the lab traces.
func init() { runtime.LockOSThread() }

func main() {
	part.Run(map[string]func(n int){"bytes": bytes, "nanoseconds": nanoseconds,
		"stepped": stepped})
}
