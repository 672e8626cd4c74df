// SPDX-License-Identifier: MIT

// Sends every case of the corpus to a real net/http server on the loopback interface and compares
// what the server makes of it with the lines `go` of the data.
//
//	go run . [-write] ../*.txt
//
// With -write the lines are brought up to date instead. The handler reads the whole body; a body
// that cannot be read is answered with 400, so that refused bodies can be seen from outside.
// README.md beside the data has the format.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// corpusCase is one case: its name, the bytes, and the lines of the data by keyword.
type corpusCase struct {
	file, name string
	bytes      []byte
	lines      map[string]string
	at         int // the index of the line behind which `go` belongs
	observed   string
	seen       string
}

const atOnce = 40 // connections at a time

func main() {
	write := flag.Bool("write", false, "bring the lines `go` up to date")
	flag.Parse()
	addr := serve()
	bad := 0
	total := 0
	for _, file := range flag.Args() {
		text, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		cases := read(file, lines)
		total += len(cases)
		observe(addr, cases)
		if *write {
			update(file, lines, cases)
			continue
		}
		for _, c := range cases {
			bad += c.report()
		}
	}
	fmt.Printf("%d cases, %d wrong\n", total, bad)
	if bad > 0 {
		os.Exit(1)
	}
}

// report prints what is wrong with a case and returns 1, or 0 if nothing is.
func (c *corpusCase) report() int {
	if c.observed != c.lines["go"] {
		fmt.Printf("%s: %s: the server says %s, the data %s\n", c.file, c.name, c.observed, c.lines["go"])
		return 1
	}
	if sees := c.lines["sees"]; sees != "" && c.seen != "" && c.seen != sees && c.lines["why"] == "" {
		fmt.Printf("%s: %s: the server sees %s, the data %s\n", c.file, c.name, c.seen, sees)
		return 1
	}
	return 0
}

// serve starts the server and returns its address.
func serve() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		ErrorLog:                     log.New(io.Discard, "", 0),
		DisableGeneralOptionsHandler: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			path := r.URL.EscapedPath()
			if r.URL.RawQuery != "" || r.URL.ForceQuery {
				path += "?" + r.URL.RawQuery
			}
			w.Header().Set("X-Seen", r.Method+" "+r.Host+" "+path)
			w.Header().Set("X-Body", strconv.FormatInt(n, 10))
			w.Header().Set("Content-Length", "0")
			if err != nil {
				w.Header().Set("Connection", "close")
				w.WriteHeader(http.StatusBadRequest)
			}
		}),
	}
	go server.Serve(listener)
	return listener.Addr().String()
}

// observe fills in what the server makes of each case. A case that does not agree with the data is
// tried again with more patience, because "no answer" is told by time alone.
func observe(addr string, cases []*corpusCase) {
	var wait sync.WaitGroup
	slots := make(chan bool, atOnce)
	for _, c := range cases {
		wait.Add(1)
		slots <- true
		go func() {
			defer wait.Done()
			c.observed, c.seen = talk(addr, c.bytes, 300*time.Millisecond)
			if c.observed != c.lines["go"] {
				c.observed, c.seen = talk(addr, c.bytes, 2*time.Second)
			}
			<-slots
		}()
	}
	wait.Wait()
}

// talk sends the bytes on a new connection and describes the answers until the server is silent for
// `patience` or closes.
func talk(addr string, data []byte, patience time.Duration) (items, seen string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	go conn.Write(data)
	var list []string
	in := bufio.NewReader(conn)
	for {
		conn.SetReadDeadline(time.Now().Add(patience))
		answer, err := http.ReadResponse(in, &http.Request{Method: "HEAD"})
		if err != nil {
			return describeEnd(list, data, err), seen
		}
		if answer.StatusCode < 200 {
			continue
		}
		if answer.StatusCode != 200 {
			return strings.Join(append(list, strconv.Itoa(answer.StatusCode)), " "), seen
		}
		if len(list) == 0 {
			seen = answer.Header.Get("X-Seen")
		}
		item := "ok:" + answer.Header.Get("X-Body")
		if answer.Close {
			return strings.Join(append(list, item+",close"), " "), seen
		}
		list = append(list, item)
	}
}

// describeEnd tells the silence of a server that waits for more bytes from that of one that has
// answered all, and both from a closed connection. How many messages were sent is not known here:
// the server waits for more if the last bytes cannot be the end of a message it has answered, which
// the data's author sees from ours.
func describeEnd(list []string, data []byte, err error) string {
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		if len(list) == 0 || incomplete(list, data) {
			list = append(list, "more")
		}
	} else {
		list = append(list, "closed")
	}
	return strings.Join(list, " ")
}

// incomplete asks the server's own parser whether, behind as many messages as were answered, bytes
// are left over.
func incomplete(list []string, data []byte) bool {
	in := bufio.NewReader(bytes.NewReader(data))
	for range list {
		r, err := http.ReadRequest(in)
		if err != nil {
			return false
		}
		io.Copy(io.Discard, r.Body)
	}
	rest, _ := io.ReadAll(in)
	return len(bytes.Trim(rest, "\r\n")) > 0
}

// read splits a file into its cases.
func read(file string, lines []string) []*corpusCase {
	var cases []*corpusCase
	var c *corpusCase
	for i, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, "#"), line == "":
		case word == "case":
			c = &corpusCase{file: file, name: rest, lines: map[string]string{}}
			cases = append(cases, c)
		case c == nil:
			log.Fatalf("%s:%d: a line outside of a case", file, i+1)
		case word == "send":
			c.lines["send"] += rest
		default:
			c.lines[word] = rest
			if word == "ours" || word == "sees" {
				c.at = i
			}
		}
	}
	for _, c := range cases {
		c.bytes = unescape(c.name, c.lines["send"])
	}
	return cases
}

// unescape turns the text of a `send` line into bytes.
func unescape(name, s string) []byte {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'r':
			out = append(out, '\r')
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case '\\':
			out = append(out, '\\')
		case 'x':
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				log.Fatalf("%s: %v", name, err)
			}
			out = append(out, byte(v))
			i += 2
		case '{':
			times, text, ok := strings.Cut(s[i+1:], "*")
			text, _, closed := strings.Cut(text, "}")
			n, err := strconv.Atoi(times)
			if !ok || !closed || err != nil {
				log.Fatalf("%s: bad repetition", name)
			}
			out = append(out, bytes.Repeat(unescape(name, text), n)...)
			i += len(times) + 1 + len(text) + 1
		default:
			log.Fatalf("%s: unknown escape \\%c", name, s[i])
		}
	}
	return out
}

// update writes the file with the lines `go` as observed.
func update(file string, lines []string, cases []*corpusCase) {
	behind := map[int]string{}
	for _, c := range cases {
		behind[c.at] = "go " + c.observed
	}
	var out []string
	for i, line := range lines {
		if strings.HasPrefix(line, "go ") {
			continue
		}
		out = append(out, line)
		if added, ok := behind[i]; ok {
			out = append(out, added)
		}
	}
	if err := os.WriteFile(file, []byte(strings.Join(out, "\n")), 0o644); err != nil {
		log.Fatal(err)
	}
}
