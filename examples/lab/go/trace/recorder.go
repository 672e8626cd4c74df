// SPDX-License-Identifier: MIT

//go:build go1.25

package main

import "runtime/trace"

func recording() func() {
	r := trace.NewFlightRecorder(trace.FlightRecorderConfig{})
	if err := r.Start(); err != nil {
		panic(err)
	}
	return r.Stop
}
