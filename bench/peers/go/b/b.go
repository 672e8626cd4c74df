// SPDX-License-Identifier: MIT

// Package b holds what the Go benchmark programs share: arguments, the clock
// around a loop, and the memory of the process.
package b

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Arg returns argument i as a number, or what to use without it.
func Arg(i int, otherwise int) int {
	if i >= len(os.Args) {
		return otherwise
	}
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		panic(err)
	}
	return n
}

// Workers applies argument 1 and returns it.
func Workers() int {
	w := Arg(1, 1)
	runtime.GOMAXPROCS(w)
	return w
}

// Report prints one result line.
func Report(name string, value float64, unit string) {
	fmt.Printf("%s %.3f %s\n", name, value, unit)
}

// PerOp warms up with a tenth of the work, then times f(n) and reports the
// nanoseconds of one of its n operations, each counted `each` times.
func PerOp(name string, n int, each int, f func(n int)) {
	f(n/10 + 1)
	start := time.Now()
	f(n)
	Report(name, float64(time.Since(start).Nanoseconds())/float64(n)/float64(each), "ns")
}

// Memory is the resident set and the page tables of this process, in bytes.
func Memory() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	sum := 0
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) >= 2 && (f[0] == "VmRSS:" || f[0] == "VmPTE:") {
			kib, _ := strconv.Atoi(f[1])
			sum += kib * 1024
		}
	}
	return float64(sum)
}
