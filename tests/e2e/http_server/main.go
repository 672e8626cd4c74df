// SPDX-License-Identifier: MIT

// A server of the standard library for clients to ask: `main [CERT KEY]`. Prints its URL.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	http.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from %s by %s\n", r.Host[:strings.LastIndex(r.Host, ":")], r.UserAgent())
	})
	http.HandleFunc("/proto", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Proto)
	})
	http.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		for i := 0; i < 1000; i++ {
			fmt.Fprintf(w, "line %d\n", i)
			if i%100 == 0 {
				w.(http.Flusher).Flush()
			}
		}
		w.Header().Set("X-Sum", "1000")
	})
	http.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	http.Handle("/away", http.RedirectHandler("/near/../hello", http.StatusFound))
	http.Handle("/loop", http.RedirectHandler("/loop", http.StatusTemporaryRedirect))
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	if len(os.Args) > 2 {
		err = http.ServeTLS(l, nil, os.Args[1], os.Args[2])
	} else {
		err = http.Serve(l, nil)
	}
	panic(err)
}
