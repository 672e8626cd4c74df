// SPDX-License-Identifier: MIT

// Go's side of the lab defer-loop.
package main

import (
	"errors"
	"lab/part"
	"os"
	"syscall"
)

const descriptors = 256

var now, most int

func open() (*os.File, error) {
	file, err := os.Open("/proc/self/exe")
	if err == nil {
		now++
		most = max(most, now)
	}
	return file, err
}

func closeFile(file *os.File) {
	file.Close()
	now--
}

func report(opened int, err error) {
	var number syscall.Errno
	errors.As(err, &number)
	part.Print("opened", float64(opened))
	part.Print("most", float64(most))
	part.Print("error", float64(number))
}

func deferred(n int) {
	for i := 0; i < n; i++ {
		file, err := open()
		if err != nil {
			report(i, err)
			return
		}
		defer closeFile(file)
	}
	report(n, nil)
}

func local(n int) {
	for i := 0; i < n; i++ {
		err := func() error {
			file, err := open()
			if err != nil {
				return err
			}
			defer closeFile(file)
			return nil
		}()
		if err != nil {
			report(i, err)
			return
		}
	}
	report(n, nil)
}

func limited(f func(n int)) func(n int) {
	return func(n int) {
		limit := syscall.Rlimit{Cur: descriptors, Max: descriptors}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			panic(err)
		}
		f(n)
	}
}

func main() {
	part.Run(map[string]func(n int){"deferred": limited(deferred), "local": limited(local)})
}
