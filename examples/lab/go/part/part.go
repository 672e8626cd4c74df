// SPDX-License-Identifier: MIT

// Package part runs one measurement of a lab, chosen by argument 1, with
// argument 2 as its number, and prints lines `name value`.
package part

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Run calls the part that argument 1 names.
func Run(parts map[string]func(n int)) {
	n, err := strconv.Atoi(os.Args[2])
	f := parts[os.Args[1]]
	if err != nil || f == nil {
		fmt.Fprintln(os.Stderr, "usage: PART NUMBER")
		os.Exit(2)
	}
	f(n)
}

// Print prints one value.
func Print(name string, value float64) {
	fmt.Printf("%s %.6f\n", name, value)
}

// Status is the sum of some fields of this process in /proc/self/status.
func Status(names ...string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	sum := 0
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) >= 2 && slices.Contains(names, f[0]) {
			value, _ := strconv.Atoi(f[1])
			sum += value
		}
	}
	return float64(sum)
}

// Memory is the resident set and the page tables of this process, in bytes.
func Memory() float64 { return 1024 * Status("VmRSS:", "VmPTE:") }
