// SPDX-License-Identifier: MIT

// Go's side of the lab restart: the same service, stopped as net/http's documentation shows it.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"

	"lab/part"
)

var owed, run atomic.Int64

func answer(w http.ResponseWriter, r *http.Request) {
	owed.Add(1)
	defer run.Add(1)
	io.WriteString(w, "ok\n")
}

// listen takes the socket that the process was given, if there is one.
func listen(port int) (net.Listener, error) {
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		return net.FileListener(os.NewFile(3, "socket"))
	}
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

func service(port int) {
	l, err := listen(port)
	if err != nil {
		panic(err)
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	server := &http.Server{Handler: http.HandlerFunc(answer)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	fmt.Printf("ready %d\n", os.Getpid())
	<-stop.Done()
	if err := server.Shutdown(context.Background()); err != nil {
		panic(err)
	}
	<-ended
	fmt.Printf("owed %d run %d\n", owed.Load(), run.Load())
}

func main() {
	part.Run(map[string]func(n int){"service": service})
}
