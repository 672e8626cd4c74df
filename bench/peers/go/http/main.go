// SPDX-License-Identifier: MIT

// net/http: /ok answers 2 bytes, /json 1024 bytes. Argument 2 is the port.
package main

import (
	"bench/b"
	"fmt"
	"net/http"
	"strings"
)

func main() {
	b.Workers()
	head, tail := `{"message":"hello","padding":"`, `"}`
	json := []byte(head + strings.Repeat("x", 1024-len(head)-len(tail)) + tail)
	http.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write([]byte("ok"))
	})
	http.HandleFunc("/json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(json)
	})
	panic(http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", b.Arg(2, 8080)), nil))
}
