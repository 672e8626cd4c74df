// SPDX-License-Identifier: MIT

//go:build !go1.25

package main

import (
	"fmt"
	"os"
)

func recording() func() {
	fmt.Fprintln(os.Stderr, "the flight recorder came with Go 1.25")
	os.Exit(1)
	return nil
}
