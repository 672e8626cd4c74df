#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Talks to examples/http_hello with clients that others have written: curl, Go's net/http and, for
what no decent client sends, bare sockets.

    tests/e2e/http_clients.py BUILD_DIR

The last line is `N passed, N failed[, N skipped]`.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cases import Skip, check, play, test, tests
from hello import SLOW, Server

HERE = Path(__file__).resolve().parent


def curl(*args, data=None):
    if not shutil.which("curl"):
        raise Skip("curl")
    done = subprocess.run(["curl", "-sS", "--http1.1", *args], input=data, capture_output=True,
                          timeout=60 * SLOW)
    if done.returncode != 0:
        raise AssertionError(f"curl {args}: {done.stderr.decode()}")
    return done.stdout.decode(), done.stderr.decode()


@test
def curl_gets_and_heads(server):
    check(curl(server.url + "/ok")[0], "ok\n")
    check(len(curl(server.url + "/json")[0]), 1024)
    head, _ = curl("-I", server.url + "/ok")
    check(head.split("\r\n")[0], "HTTP/1.1 200 OK")
    check(re.search(r"Content-Length: (\d+)", head).group(1), "3")
    check(curl("-o", "/dev/null", "-w", "%{http_code}", server.url + "/none")[0], "404")
    check(curl("--http1.0", server.url + "/ok")[0], "ok\n")


@test
def curl_keeps_its_connection(server):
    out, err = curl("-v", *[server.url + "/ok"] * 5)
    check(out, "ok\n" * 5)
    check(err.count("Re-using existing connection"), 4)


@test
def curl_sends_bodies(server):
    for size in (0, 1, 5000, 3000000):
        body = b"b" * size
        check(curl("--data-binary", "@-", server.url + "/body", data=body)[0], f"{size}\n")
        check(curl("-T", "-", server.url + "/body", data=body)[0], f"{size}\n")
        expect = ("-H", "Expect: 100-continue", "--expect100-timeout", "60")
        check(curl(*expect, "--data-binary", "@-", server.url + "/body", data=body)[0], f"{size}\n")


@test
def curl_is_told_that_a_body_is_too_large(server):
    body = b"b" * (11 << 20)
    out, _ = curl("--data-binary", "@-", "-w", "%{http_code}", server.url + "/body", data=body)
    check(out, "body is too large\n413")


def go_client(*args):
    if not shutil.which("go"):
        raise Skip("go")
    with tempfile.TemporaryDirectory() as folder:
        program = folder + "/client"
        subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / "http_client", check=True,
                       env={**os.environ, "GOFLAGS": "-buildvcs=false"})
        yield subprocess.Popen([program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)


@test
def go_sends_what_it_has(server):
    for client in go_client(server.url, "50", "20000"):
        out, err = client.communicate(timeout=120 * SLOW)
        check((out, err), ("20000 answered, 0 failed\n", ""))


@test
def a_stop_under_load_fails_no_request(server):
    for client in go_client(server.url, "20", "0"):
        time.sleep(1)
        check(server.stop(), "stopped, 0 connections cut\n")
        out, err = client.communicate(timeout=60 * SLOW)
        answered, failed = map(int, re.findall(r"\d+", out))
        check((failed, err), (0, ""))
        assert answered > 100, answered


@test
def a_refused_client_gets_to_read_why(server):
    """Although it still sends, which resets a connection that is closed at once."""
    for _ in range(20):
        answer = server.raw(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n" + b"more\r\n" * 20000)
        check(answer.split(b"\r\n")[0], b"HTTP/1.1 400 Bad Request")
        assert answer.endswith(b"space between header field name and colon\n"), answer


@test
def requests_are_not_smuggled(server):
    hidden = b"GET /json HTTP/1.1\r\nHost: h\r\n\r\n"
    for head in (b"Content-Length: 4\r\nTransfer-Encoding: chunked",
                 b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity",
                 b"Content-Length: +5", b"Content-Length: 5\r\nContent-Length: 3",
                 b"Transfer-Encoding : chunked", b"Content-Length: 0x5"):
        answer = server.raw(b"POST /ok HTTP/1.1\r\nHost: h\r\n" + head +
                            b"\r\n\r\n0\r\n\r\n" + hidden)
        check(answer.count(b"HTTP/1.1 "), 1)
        assert re.match(rb"HTTP/1.1 (400|501) ", answer), answer


@test
def an_idle_process_uses_no_cpu(server):
    def ticks():
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    held = [server.connect() for _ in range(50)]
    for s in held:
        s.sendall(b"GET /ok HTTP/1.1\r\nHost: h\r\n\r\n")
        assert s.recv(4096).endswith(b"ok\n")
    time.sleep(0.3)
    before = ticks()
    time.sleep(2)
    assert ticks() - before <= 2, ticks() - before
    for s in held:
        s.close()


def main():
    program = Path(sys.argv[1]).resolve() / "bin" / "http_hello"

    def call(function):
        with Server(program) as server:
            function(server)
            if server.process.poll() is None:
                server.stop()

    return play(tests, call)


if __name__ == "__main__":
    sys.exit(main())
