// SPDX-License-Identifier: MIT

// Go's side of the lab panic.
package main

import (
	"fmt"
	"lab/part"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

func show(depth int, text string) {
	fmt.Printf("|%s%s\n", strings.Repeat("  ", depth), text)
}

func recoverAt(depth int) {
	what := "nothing"
	if v := recover(); v != nil {
		what = fmt.Sprint(v)
	}
	show(depth, "deferred: recovers "+what)
}

func panicAt(depth int, what string) {
	show(depth, "panics: "+what)
	panic(what)
}

func returns(int) {
	f := func() {
		defer show(1, "deferred 1")
		defer show(1, "deferred 2")
		show(1, "normal execution")
	}
	show(0, "main calls f")
	f()
	show(0, "main goes on")
}

func recovers(int) {
	g := func() {
		defer show(2, "deferred 1")
		defer recoverAt(2)
		defer show(2, "deferred 3")
		panicAt(2, "something went wrong")
	}
	f := func() {
		defer show(1, "deferred in f")
		show(1, "f calls g")
		g()
		show(1, "f goes on")
	}
	show(0, "main calls f")
	f()
	show(0, "main goes on")
}

func passes(int) {
	g := func() {
		defer show(2, "deferred in g")
		panicAt(2, "something went wrong")
	}
	f := func() {
		defer recoverAt(1)
		show(1, "f calls g")
		g()
		show(1, "f goes on")
	}
	show(0, "main calls f")
	f()
	show(0, "main goes on")
}

func dies(int) {
	defer show(0, "deferred 1")
	defer show(0, "deferred 2")
	panicAt(0, "something went wrong")
}

func nested(int) {
	f := func() {
		defer recoverAt(1)
		defer panicAt(1, "second")
		panicAt(1, "first")
	}
	show(0, "main calls f")
	f()
	show(0, "main goes on")
}

func nestedDies(int) {
	defer panicAt(0, "second")
	panicAt(0, "first")
}

func leaves(int) {
	g := func() {
		defer recoverAt(2)
		show(2, "g calls goexit")
		runtime.Goexit()
	}
	f := func() {
		defer show(1, "deferred in f")
		show(1, "f calls g")
		g()
		show(1, "f goes on")
	}
	var wg sync.WaitGroup
	show(0, "main starts a goroutine")
	wg.Add(1)
	go func() {
		defer wg.Done()
		f()
	}()
	wg.Wait()
	show(0, "main goes on")
}

func elsewhere(int) {
	defer recoverAt(0)
	show(0, "main starts a goroutine and waits")
	go func() {
		defer show(1, "deferred in the goroutine")
		panicAt(1, "in the goroutine")
	}()
	select {}
}

func exits(int) {
	defer show(0, "deferred")
	show(0, "main exits with 3")
	os.Exit(3)
}

func killed(int) {
	defer show(0, "deferred")
	show(0, "main is killed")
	syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	time.Sleep(time.Minute)
}

func main() {
	part.Run(map[string]func(n int){"returns": returns, "recovers": recovers, "passes": passes,
		"dies": dies, "nested": nested, "nested-dies": nestedDies, "leaves": leaves,
		"elsewhere": elsewhere, "exits": exits, "killed": killed})
}
