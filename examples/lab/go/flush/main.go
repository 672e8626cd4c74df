// SPDX-License-Identifier: MIT

// Go's side of the lab flush.
package main

import (
	"bufio"
	"context"
	"lab/part"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
)

const bytes = 1000

// The ways to end, as in flush.c; there is no ag_exit.
const (
	returns = iota
	panics
	agExits
	exits
	terminated
	askedToEnd
	killed
)

const pathVariable = "LAB_FLUSH_PATH"

func raise(sig syscall.Signal) { syscall.Kill(os.Getpid(), sig) }

// child writes into a buffer and ends.
func child(ending int) {
	file, err := os.OpenFile(os.Getenv(pathVariable), os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 4096)
	defer out.Flush()
	out.Write(make([]byte, bytes))
	switch ending {
	case panics:
		panic("the end")
	case exits:
		os.Exit(0)
	case terminated:
		raise(syscall.SIGTERM)
		select {}
	case askedToEnd:
		asked, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		raise(syscall.SIGTERM)
		<-asked.Done()
	case killed:
		raise(syscall.SIGKILL)
		select {}
	}
}

// deferred runs a child and looks at what it left.
func deferred(ending int) {
	if ending == agExits {
		part.Print("bytes", -1)
		return
	}
	file, err := os.CreateTemp("", "aglet-lab-flush-")
	if err != nil {
		panic(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	command := exec.Command("/proc/self/exe", "child", strconv.Itoa(ending))
	command.Env = append(os.Environ(), pathVariable+"="+file.Name())
	command.Run()
	info, err := file.Stat()
	if err != nil {
		panic(err)
	}
	part.Print("bytes", float64(info.Size()))
}

func main() {
	part.Run(map[string]func(n int){"child": child, "deferred": deferred})
}
