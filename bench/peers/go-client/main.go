// SPDX-License-Identifier: MIT

// Go's client for the comparisons of bench/client_curl.c and bench/client_h2.c: `main GOROUTINES
// REQUESTS URL`; run it with GOMAXPROCS=1. With HTTP2 in the environment it speaks that to http://
// servers, too.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func usage() (cpu, user float64, resident int64) {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	user = float64(u.Utime.Sec)*1e6 + float64(u.Utime.Usec)
	return user + float64(u.Stime.Sec)*1e6 + float64(u.Stime.Usec), user, u.Maxrss
}

func main() {
	goroutines, _ := strconv.Atoi(os.Args[1])
	requests, _ := strconv.ParseInt(os.Args[2], 10, 64)
	transport := &http.Transport{MaxIdleConnsPerHost: goroutines}
	if os.Getenv("HTTP2") != "" {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	client := &http.Client{Transport: transport}
	var begun, bytes int64
	var wg sync.WaitGroup
	cpu, user, resident := usage()
	start := time.Now()
	for i := 0; i < goroutines; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for atomic.AddInt64(&begun, 1) <= requests {
				res, err := client.Get(os.Args[3])
				if err != nil {
					panic(err)
				}
				n, _ := io.Copy(io.Discard, res.Body)
				res.Body.Close()
				atomic.AddInt64(&bytes, n)
			}
		}()
	}
	wg.Wait()
	cpu2, user2, resident2 := usage()
	n := float64(requests)
	fmt.Printf("go requests/s %.0f cpu_us/request %.2f user_us/request %.2f\n",
		n/time.Since(start).Seconds(), (cpu2-cpu)/n, (user2-user)/n)
	fmt.Printf("go peak_kib %d kib/transfer %.1f bytes %d\n", resident2,
		float64(resident2-resident)/float64(goroutines), bytes)
}
