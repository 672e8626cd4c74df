// SPDX-License-Identifier: MIT

// Sends every case of the corpus to a real net/http server and to a real nginx, both on the loopback
// interface, and compares what they make of it with the lines `go` and `nginx` of the data.
//
//	go run . [-write] [-servers go,nginx] ../*.txt
//
// With -write the lines are brought up to date instead. README.md beside the data has the format.
package main

import (
	"bufio"
	"bytes"
	"errors"
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
	at         int                // the index of the line behind which the servers' belong
	observed   map[string]verdict // by server
}

// verdict is what a server makes of a case: its items, and how it sees the first message.
type verdict struct {
	items, seen string
}

// server is one whose verdicts are recorded.
type server struct {
	name string // the keyword of its lines
	why  string // the keyword that explains a difference
	addr string
}

const atOnce = 40 // connections at a time

// A request that no case can end in: if it is answered, the server had waited for a new one.
const probe = "GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n"
const probeSeen = "GET probe /probe"

func main() {
	os.Exit(run())
}

func run() int {
	write := flag.Bool("write", false, "bring the lines up to date")
	names := flag.String("servers", "go,nginx", "whose verdicts, with commas")
	flag.Parse()
	var servers []server
	for _, name := range strings.Split(*names, ",") {
		switch name {
		case "go":
			servers = append(servers, server{"go", "why", serveGo()})
		case "nginx":
			addr, stop, err := startNginx()
			if err != nil {
				log.Print(err)
				return 1
			}
			defer stop()
			servers = append(servers, server{"nginx", "lax", addr})
		default:
			log.Printf("no server %s", name)
			return 2
		}
	}
	bad := 0
	total := 0
	for _, file := range flag.Args() {
		text, err := os.ReadFile(file)
		if err != nil {
			log.Print(err)
			return 1
		}
		lines := strings.Split(string(text), "\n")
		cases := read(file, lines)
		total += len(cases)
		for _, s := range servers {
			observe(s, cases)
		}
		if *write {
			update(file, lines, cases)
			continue
		}
		for _, c := range cases {
			for _, s := range servers {
				bad += c.report(s)
			}
		}
	}
	fmt.Printf("%d cases, %d wrong\n", total, bad)
	return min(bad, 1)
}

// report prints what is wrong with a case and returns 1, or 0 if nothing is.
func (c *corpusCase) report(s server) int {
	o := c.observed[s.name]
	if o.items != c.lines[s.name] {
		fmt.Printf("%s: %s: %s says %s, the data %s\n", c.file, c.name, s.name, o.items, c.lines[s.name])
		return 1
	}
	sees := c.lines["sees"]
	if s.name == "nginx" {
		sees = asNginxSees(sees)
	}
	if sees != "" && o.seen != "" && o.seen != sees && c.lines[s.why] == "" {
		fmt.Printf("%s: %s: %s sees %s, the data %s\n", c.file, c.name, s.name, o.seen, sees)
		return 1
	}
	return 0
}

// serveGo starts Go's server and returns its address. The handler reads the whole body; a body that
// cannot be read is answered with 400, so that refused bodies can be seen from outside.
func serveGo() string {
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
func observe(s server, cases []*corpusCase) {
	var wait sync.WaitGroup
	slots := make(chan bool, atOnce)
	for _, c := range cases {
		wait.Add(1)
		slots <- true
		go func() {
			defer wait.Done()
			o := talk(s.addr, c.bytes, 300*time.Millisecond)
			if o.items != c.lines[s.name] {
				o = talk(s.addr, c.bytes, 2*time.Second)
			}
			c.observed[s.name] = o
			<-slots
		}()
	}
	wait.Wait()
}

// talk sends the bytes on a new connection and describes the answers until the server is silent for
// `patience` or closes.
func talk(addr string, data []byte, patience time.Duration) verdict {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	go conn.Write(data)
	var list []string
	var seen string
	in := bufio.NewReader(conn)
	for {
		conn.SetReadDeadline(time.Now().Add(patience))
		answer, err := http.ReadResponse(in, &http.Request{Method: "HEAD"})
		if err != nil {
			return verdict{describeEnd(list, conn, in, err, patience), seen}
		}
		if answer.StatusCode < 200 {
			continue
		}
		if answer.StatusCode != 200 {
			return verdict{strings.Join(append(list, strconv.Itoa(answer.StatusCode)), " "), seen}
		}
		if len(list) == 0 {
			seen = answer.Header.Get("X-Seen")
		}
		item := "ok:" + answer.Header.Get("X-Body")
		if answer.Close {
			return verdict{strings.Join(append(list, item+",close"), " "), seen}
		}
		list = append(list, item)
	}
}

// describeEnd tells the silence of a server that waits for more bytes from that of one that has
// answered all, and both from a closed connection.
func describeEnd(list []string, conn net.Conn, in *bufio.Reader, err error,
	patience time.Duration) string {
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		list = append(list, "closed")
	} else if len(list) == 0 || !isBetweenRequests(conn, in, patience) {
		list = append(list, "more")
	}
	return strings.Join(list, " ")
}

// isBetweenRequests asks for one more page. Inside a message the question becomes a part of it.
func isBetweenRequests(conn net.Conn, in *bufio.Reader, patience time.Duration) bool {
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, probe); err != nil {
		return false
	}
	answer, err := http.ReadResponse(in, nil)
	return err == nil && answer.StatusCode == 200 && answer.Header.Get("X-Seen") == probeSeen
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
			c = &corpusCase{file: file, name: rest, lines: map[string]string{},
				observed: map[string]verdict{}}
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

// update writes the file with the servers' lines as observed.
func update(file string, lines []string, cases []*corpusCase) {
	behind := map[int]string{}
	for _, c := range cases {
		for _, name := range []string{"go", "nginx"} {
			items := c.lines[name]
			if o, ok := c.observed[name]; ok {
				items = o.items
			}
			if items != "" {
				behind[c.at] += name + " " + items + "\n"
			}
		}
	}
	var out strings.Builder
	for i, line := range lines {
		if strings.HasPrefix(line, "go ") || strings.HasPrefix(line, "nginx ") {
			continue
		}
		out.WriteString(line)
		if i < len(lines)-1 {
			out.WriteString("\n")
		}
		out.WriteString(behind[i])
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		log.Fatal(err)
	}
}
