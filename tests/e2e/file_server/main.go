// SPDX-License-Identifier: MIT

// Serves the tree at os.Args[1] by Go's FileServer, with the ETag of nginx, which FileServer has
// none of, on a free port that it prints.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

func main() {
	root := os.Args[1]
	files := http.FileServer(http.Dir(root))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if info, err := os.Stat(filepath.Join(root, r.URL.Path)); err == nil && !info.IsDir() {
			w.Header().Set("ETag", fmt.Sprintf("%q",
				fmt.Sprintf("%x-%x", info.ModTime().Unix(), info.Size())))
		}
		files.ServeHTTP(w, r)
	})))
}
