// SPDX-License-Identifier: MIT

// Go's side of the lab 502: the same two handlers with database/sql and lib/pq.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	_ "github.com/lib/pq"
)

const (
	conns   = 4
	outside = 200 * time.Millisecond
	insert  = "INSERT INTO orders DEFAULT VALUES RETURNING id"
)

var pool *sql.DB

func outsideCall(id int64) { time.Sleep(outside) }

func answer(w http.ResponseWriter, id int64, err error) {
	if err != nil {
		http.Error(w, "the database does not answer", 500)
		return
	}
	fmt.Fprintf(w, "order %d\n", id)
}

func store(c *sql.Conn) (id int64, err error) {
	err = c.QueryRowContext(context.Background(), insert).Scan(&id)
	return id, err
}

// orderHeld keeps the connection to its end.
func orderHeld(w http.ResponseWriter, r *http.Request) {
	c, err := pool.Conn(context.Background())
	if err != nil {
		answer(w, 0, err)
		return
	}
	defer c.Close()
	id, err := store(c)
	outsideCall(id)
	answer(w, id, err)
}

// orderEarly has a function of its own for what needs the connection, and answers before it calls.
func orderEarly(w http.ResponseWriter, r *http.Request) {
	id, err := storeNow()
	answer(w, id, err)
	go outsideCall(id)
}

func storeNow() (int64, error) {
	c, err := pool.Conn(context.Background())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return store(c)
}

func main() {
	var err error
	if pool, err = sql.Open("postgres", os.Getenv("AGLET_LAB_DB")+" sslmode=disable"); err != nil {
		log.Fatal(err)
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	handler := orderHeld
	if len(os.Args) > 1 && os.Args[1] == "early" {
		handler = orderEarly
	}
	http.HandleFunc("POST /order", handler)
	for i := 0; i < 2; i++ {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(listener.Addr().(*net.TCPAddr).Port, " ")
		go http.Serve(listener, nil)
	}
	fmt.Println()
	select {}
}
