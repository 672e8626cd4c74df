// SPDX-License-Identifier: MIT

// A client of the standard library over TLS: `main URL ROOTS WORKERS REQUESTS VERSION` sends that
// many requests in all, bodies of many sizes, over kept connections, with this version (1.2, 1.3),
// and checks every answer. With REQUESTS 0 it goes on until the server refuses connections. Prints
// `N answered, N failed`.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

var answered, failed int64

func request(c *http.Client, url string, i int) error {
	body := bytes.Repeat([]byte{byte(i)}, i*977%200000)
	var res *http.Response
	var err error
	if i%3 == 0 {
		body = []byte("hello\n")
		res, err = c.Get(url + "/")
	} else {
		res, err = c.Post(url+"/back", "x/y", bytes.NewReader(body))
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil && !bytes.Equal(got, body) {
		err = fmt.Errorf("%d bytes instead of %d", len(got), len(body))
	}
	return err
}

func main() {
	roots := x509.NewCertPool()
	text, _ := os.ReadFile(os.Args[2])
	roots.AppendCertsFromPEM(text)
	workers, _ := strconv.Atoi(os.Args[3])
	total, _ := strconv.Atoi(os.Args[4])
	version := uint16(tls.VersionTLS13)
	if os.Args[5] == "1.2" {
		version = tls.VersionTLS12
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost: workers,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version,
			ClientSessionCache: tls.NewLRUClientSessionCache(8)},
	}
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	var next int64
	for w := 0; w < workers; w++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				i := int(atomic.AddInt64(&next, 1))
				if total > 0 && i > total {
					return
				}
				if i%50 == 0 {
					transport.CloseIdleConnections() // so that sessions are resumed
				}
				err := request(client, os.Args[1], i)
				if err == nil {
					atomic.AddInt64(&answered, 1)
				} else if total == 0 && errors.Is(err, syscall.ECONNREFUSED) {
					return
				} else {
					atomic.AddInt64(&failed, 1)
					fmt.Fprintln(os.Stderr, err)
				}
			}
		}()
	}
	all.Wait()
	fmt.Printf("%d answered, %d failed\n", answered, failed)
}
