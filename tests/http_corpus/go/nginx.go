// SPDX-License-Identifier: MIT

// nginx as a proxy, which is where it stands in front of a server. It reads each body to its end
// before it passes a request on, to a server of ours that believes whatever nginx says: all
// refusals are nginx's own. Its settings are the defaults, but for the size of a body.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const nginxConf = `
daemon off;
master_process off;
worker_processes 1;
error_log stderr crit;
pid %[1]s/pid;
events { worker_connections 1024; }
http {
    access_log off;
    client_max_body_size 0;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    server {
        listen %[2]s;
        location / {
            add_header X-Seen "$request_method $host $request_uri" always;
            proxy_pass http://unix:%[1]s/backend:;
        }
    }
}
`

// nginxProgram finds it also where the path of a user has no sbin.
func nginxProgram() (string, error) {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/nginx")
}

// startNginx returns its address and what ends it.
func startNginx() (addr string, stop func(), err error) {
	program, err := nginxProgram()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "aglet-corpus-")
	if err != nil {
		return "", nil, err
	}
	backend, err := net.Listen("unix", dir+"/backend")
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	go serveAnything(backend)
	addr = freePort()
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, addr), 0o600); err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	command := exec.Command(program, "-p", dir, "-c", conf, "-e", "stderr")
	command.Stderr = os.Stderr
	// It must not outlive us, however we end; the kernel asks which thread has started it.
	runtime.LockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	stop = func() {
		command.Process.Kill()
		command.Wait()
		os.RemoveAll(dir)
	}
	if err := answers(addr, 10*time.Second); err != nil {
		stop()
		return "", nil, err
	}
	return addr, stop, nil
}

// freePort returns a loopback address that nobody listens on.
func freePort() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer listener.Close()
	return listener.Addr().String()
}

// answers waits until somebody listens.
func answers(addr string, limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return nil
		}
		if time.Now().After(end) {
			return err
		}
	}
}

// serveAnything answers every request with the length of its body.
func serveAnything(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			in := bufio.NewReader(conn)
			length := int64(0)
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				line = strings.TrimRight(line, "\r\n")
				if line == "" {
					break
				}
				name, value, _ := strings.Cut(line, ":")
				if strings.EqualFold(name, "Content-Length") {
					length, _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				}
			}
			n, _ := io.CopyN(io.Discard, in, length)
			fmt.Fprintf(conn, "HTTP/1.0 200 OK\r\nX-Body: %d\r\nContent-Length: 0\r\n\r\n", n)
		}()
	}
}

// asNginxSees turns the data's "METHOD authority target" into nginx's: the host in small letters
// and without its port.
func asNginxSees(sees string) string {
	method, rest, ok := strings.Cut(sees, " ")
	if !ok {
		return sees
	}
	authority, target, _ := strings.Cut(rest, " ")
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		authority = authority[:i]
	}
	return method + " " + strings.ToLower(authority) + " " + target
}
