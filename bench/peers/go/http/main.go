// SPDX-License-Identifier: MIT

// net/http: /ok answers 2 bytes, /json 1024 bytes; HTTP/1.1 and HTTP/2. Argument 2 is the port; 3
// and 4 are the certificate and its key, for TLS.
package main

import (
	"bench/b"
	"fmt"
	"net/http"
	"os"
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
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Addr:      fmt.Sprintf("127.0.0.1:%d", b.Arg(2, 8080)),
		Protocols: protocols,
	}
	if len(os.Args) > 4 {
		panic(server.ListenAndServeTLS(os.Args[3], os.Args[4]))
	}
	panic(server.ListenAndServe())
}
