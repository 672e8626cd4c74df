// SPDX-License-Identifier: MIT

// The seeded bugs of ../bugs.c in Go, for Go's own detector: `main NAME` plays one, goes on for a
// while, and prints how many goroutines the goroutineleak profile says have leaked. Built with
// GOEXPERIMENT=goroutineleakprofile.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime/pprof"
	"sync"
	"time"
)

var (
	a, b, c   sync.Mutex
	rw, rw2   sync.RWMutex
	cond      = sync.NewCond(&a)
	two       sync.WaitGroup
	group     sync.WaitGroup
	once      sync.Once
	semaphore = make(chan struct{}, 2)
)

const ms = time.Millisecond

func meet() { two.Done(); two.Wait() }

// What aglet's scopes and jobs are in Go: a group, and a channel that closes.
type job struct{ done chan struct{} }

func async(fn func()) *job {
	j := &job{make(chan struct{})}
	go func() { defer close(j.done); fn() }()
	return j
}
func (j *job) await() { <-j.done }

func wantsA() { a.Lock(); a.Unlock() }

func callsOnce() { once.Do(callsOnce) }

func never() chan int { return nil }

var bugs = map[string]func(){
	"double_lock": func() { go func() { a.Lock(); a.Lock() }() },
	"lock_in_callee": func() {
		go func() { a.Lock(); defer a.Unlock(); func() { a.Lock(); a.Unlock() }() }()
	},
	"lock_order": func() {
		two.Add(2)
		go func() { a.Lock(); meet(); b.Lock() }()
		go func() { b.Lock(); meet(); a.Lock() }()
	},
	"lock_circle": func() {
		two.Add(3)
		sit := func(left, right *sync.Mutex) { left.Lock(); meet(); right.Lock() }
		go sit(&a, &b)
		go sit(&b, &c)
		go sit(&c, &a)
	},
	"rwmutex_upgrade": func() { go func() { rw.RLock(); rw.Lock() }() },
	"read_twice_with_writer": func() {
		go func() { rw.RLock(); time.Sleep(40 * ms); rw.RLock() }()
		go func() { time.Sleep(20 * ms); rw.Lock() }()
	},
	"rwmutex_order": func() {
		two.Add(2)
		go func() { rw.Lock(); meet(); rw2.Lock() }()
		go func() { rw2.RLock(); meet(); rw.RLock() }()
	},
	"missing_unlock": func() {
		go func() { a.Lock() }()
		time.Sleep(10 * ms)
		go func() { a.Lock() }()
	},
	"lock_and_group": func() {
		go func() { a.Lock(); group.Go(wantsA); group.Wait() }()
	},
	"lock_and_scope": func() {
		go func() { var s sync.WaitGroup; a.Lock(); s.Go(wantsA); s.Wait() }()
	},
	"lock_and_job":           func() { go func() { a.Lock(); async(wantsA).await() }() },
	"group_waits_for_itself": func() { group.Go(group.Wait) },
	"job_awaits_itself": func() {
		own := make(chan *job, 1)
		own <- async(func() { (<-own).await() })
	},
	"jobs_await_each_other": func() {
		other := make(chan *job, 1)
		x := async(func() { (<-other).await() })
		other <- async(x.await)
	},
	"once_in_once": func() { go callsOnce() },
	"flight_in_flight": func() {
		go func() { var call sync.WaitGroup; call.Add(1); call.Wait(); call.Done() }()
	},
	"nil_receive": func() { go func() { <-never() }() },
	"nil_send":    func() { go func() { never() <- 1 }() },
	"nil_select": func() {
		go func() {
			none := never()
			select {
			case <-none:
			case none <- 1:
			}
		}()
	},
	"more_than_the_semaphore": func() {
		go func() {
			for range 3 {
				semaphore <- struct{}{}
			}
		}()
	},
	"missing_close": func() {
		ch := make(chan int)
		go func() {
			for range ch {
			}
		}()
		ch <- 1
	},
	"forgotten_sender": timeout,
	"select_without_done": func() {
		x, y := make(chan int), make(chan int)
		go func() {
			select {
			case <-x:
			case y <- 1:
			}
		}()
	},
	"abandoned_after_timeout": timeout,
	"channel_circle": func() {
		x, y := make(chan int), make(chan int)
		go func() { <-x; y <- 1 }()
		go func() { <-y; x <- 1 }()
	},
	"lock_and_channel": func() {
		ch := make(chan int)
		go func() { a.Lock(); ch <- 1; a.Unlock() }()
		go func() { time.Sleep(10 * ms); a.Lock(); <-ch; a.Unlock() }()
	},
	"cond_without_signal":  func() { go func() { a.Lock(); cond.Wait(); a.Unlock() }() },
	"group_added_too_much": func() { group.Add(2); go group.Done(); go group.Wait() },
	"semaphore_never_released": func() {
		semaphore <- struct{}{}
		semaphore <- struct{}{}
		go func() { semaphore <- struct{}{} }()
	},
	"context_never_cancelled": func() {
		ctx, cancel := context.WithCancel(context.Background())
		_ = cancel
		go func() { <-ctx.Done() }()
	},
	"blocked_in_scope": func() {
		go func() {
			ch := make(chan int)
			var s sync.WaitGroup
			s.Go(func() { <-ch })
			s.Wait()
		}()
	},
	"pool_never_closed": func() {
		work := make(chan int, 4)
		for range 2 {
			go func() {
				for range work {
				}
			}()
		}
		work <- 1
	},
	"own_cond_without_signal": func() {
		go func() {
			var m sync.Mutex
			c := sync.NewCond(&m)
			ready := false
			go func() {
				time.Sleep(10 * ms)
				m.Lock()
				failed := !ready
				m.Unlock()
				if failed {
					return
				}
				c.Signal()
			}()
			m.Lock()
			for !ready {
				c.Wait()
			}
			m.Unlock()
		}()
	},
	"own_group_without_done": func() {
		go func() {
			var g sync.WaitGroup
			g.Add(3)
			for i := range 3 {
				go func() {
					time.Sleep(10 * ms)
					if i != 1 {
						g.Done()
					}
				}()
			}
			g.Wait()
		}()
	},
	"own_semaphore_never_released": func() {
		go func() {
			s := make(chan struct{}, 2)
			for i := range 3 {
				go func() {
					s <- struct{}{}
					time.Sleep(10 * ms)
					if i != 1 {
						<-s
					}
				}()
			}
			time.Sleep(40 * ms)
			s <- struct{}{}
			s <- struct{}{}
		}()
	},
	"own_lock_never_unlocked": func() {
		go func() {
			var m sync.Mutex
			go func() { m.Lock() }()
			time.Sleep(20 * ms)
			m.Lock()
		}()
	},
}

func timeout() {
	ch := make(chan int)
	go func() { time.Sleep(20 * ms); ch <- 42 }()
	select {
	case <-ch:
	case <-time.After(ms):
	}
}

func main() {
	bug := bugs[os.Args[1]]
	profile := pprof.Lookup("goroutineleak")
	if bug == nil || profile == nil {
		fmt.Println("unknown", os.Args[1])
		os.Exit(1)
	}
	bug()
	time.Sleep(200 * ms)
	var text bytes.Buffer
	profile.WriteTo(&text, 1)
	line, _ := text.ReadString('\n')
	fmt.Print(line)
}
