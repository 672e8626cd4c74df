// SPDX-License-Identifier: MIT

package b

import (
	"sort"
	"time"
)

// Gaps sleeps 1 ms again and again for argument 2 seconds and reports how far apart
// the wake-ups were.
func Gaps(name string) {
	length := time.Duration(Arg(2, 10)) * time.Second
	var gaps []float64
	start := time.Now()
	for last := start; last.Sub(start) < length; {
		time.Sleep(time.Millisecond)
		now := time.Now()
		gaps = append(gaps, float64(now.Sub(last).Nanoseconds())/1e3)
		last = now
	}
	sort.Float64s(gaps)
	Report(name+"_p50", gaps[len(gaps)/2], "us")
	Report(name+"_p99", gaps[len(gaps)*99/100], "us")
	Report(name+"_max", gaps[len(gaps)-1], "us")
}
