// SPDX-License-Identifier: MIT

// A client of the standard library: `main URL WORKERS REQUESTS [h2]` sends that many requests in
// all, of several kinds, over kept connections, and checks every answer. Prints `N answered, N
// failed`. With h2 it speaks HTTP/2, without TLS by prior knowledge; certificates are not checked.
// With REQUESTS 0 it goes on until the server refuses connections, and counts what fails before.
package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

var answered, failed int64

type reader struct{ io.Reader } // hides the length: sent in chunks

func request(c *http.Client, url string, i int) error {
	body := bytes.Repeat([]byte("b"), i*37%70000)
	want := fmt.Sprintf("%d\n", len(body))
	var res *http.Response
	var err error
	switch i % 4 {
	case 0:
		res, err = c.Get(url + "/ok")
		want = "ok\n"
	case 1:
		res, err = c.Post(url+"/body", "x/y", bytes.NewReader(body))
	case 2:
		res, err = c.Post(url+"/body", "x/y", reader{bytes.NewReader(body)})
	default:
		res, err = c.Get(url + "/json")
		want = ""
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != 200 || want != "" && string(got) != want || want == "" && len(got) != 1024 {
		return fmt.Errorf("%s, %.60q instead of %q", res.Status, got, want)
	}
	return nil
}

func work(c *http.Client, url string, from, step, requests int) {
	for i := from; requests == 0 || i < requests; i += step {
		kind := i
		if requests == 0 {
			kind = i - i%4 // only what a client may send again by itself
		}
		err := request(c, url, kind)
		if errors.Is(err, syscall.ECONNREFUSED) && requests == 0 {
			return
		}
		if err != nil {
			atomic.AddInt64(&failed, 1)
			fmt.Fprintln(os.Stderr, err)
			if strings.Contains(err.Error(), "refused") {
				return
			}
			continue
		}
		atomic.AddInt64(&answered, 1)
	}
}

func main() {
	workers, _ := strconv.Atoi(os.Args[2])
	requests, _ := strconv.Atoi(os.Args[3])
	t := &http.Transport{MaxIdleConnsPerHost: workers}
	if len(os.Args) > 4 {
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP2(true)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	c := &http.Client{Transport: t}
	var wg sync.WaitGroup
	for i := 0; i < workers; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			work(c, os.Args[1], i, workers, requests)
		}(i)
	}
	wg.Wait()
	fmt.Printf("%d answered, %d failed\n", answered, failed)
}
