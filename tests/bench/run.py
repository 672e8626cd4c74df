#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The load generators of bench/, and what its runner reads from those that are packages.

    tests/bench/run.py [BUILD_DIR]

The generators are built with gcc and talk to a small server here, which stalls, answers late,
wrongly or not at all where it is told to. What they say must hold on a machine that is busy, too:
all bounds of times are lower ones.
"""
import contextlib
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests/e2e")]
sys.dont_write_bytecode = True

import generators  # noqa: E402
from cases import Skip, check, play, test, tests  # noqa: E402
from rows import LOADS  # noqa: E402
from systems import Missing  # noqa: E402

LIMIT_S = 60
work = Path()


def at_least(actual, bound):
    if not actual >= bound:
        raise AssertionError(f"expected at least {bound!r}, got {actual!r}")


def contains(word, error):
    if not isinstance(error, str) or word not in error:
        raise AssertionError(f"there is no {word!r} in {error!r}")


def refused(word, call, *args):
    try:
        call(*args)
    except Missing as e:
        contains(word, str(e))
    else:
        raise AssertionError(f"there was no error with {word!r}")


def program(name):
    if not shutil.which("gcc"):
        raise Skip("gcc")
    return generators.Generators(work).program(name)


def reply(status="200 OK", body=b"ok"):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Server:
    """Answers request number n with the bytes of answer(n), None for not at all; one after the
    other, so that an answer that takes its time stalls all connections."""

    def __init__(self, answer):
        self.answer, self.count, self.partial = answer, 0, {}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.at = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.wake, self.waker = socket.socketpair()
        self.selector = selectors.DefaultSelector()
        for s in (self.listener, self.wake):
            self.selector.register(s, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.waker.send(b"x")
        self.thread.join()
        for s in (self.listener, self.wake, self.waker, *self.partial):
            s.close()
        self.selector.close()

    def _run(self):
        while True:
            for key, _ in self.selector.select():
                s = key.fileobj
                if s is self.wake:
                    return
                if s is self.listener:
                    s, _ = s.accept()
                    self.partial[s] = b""
                    self.selector.register(s, selectors.EVENT_READ)
                else:
                    self._serve(s)

    def _serve(self, s):
        with contextlib.suppress(ConnectionError):
            part = s.recv(65536)
            self.partial[s] += part
            while b"\r\n\r\n" in self.partial[s]:
                self.partial[s] = self.partial[s].partition(b"\r\n\r\n")[2]
                self.count += 1
                s.sendall(self.answer(self.count) or b"")
            if part:
                return
        self.selector.unregister(s)
        self.partial.pop(s)
        s.close()


def paced(server, connections, rate, seconds):
    """What it prints, by name; or its error."""
    numbers = map(str, (connections, rate, seconds))
    done = subprocess.run([program("paced"), server.at, "/ok", *numbers], capture_output=True,
                          text=True, timeout=LIMIT_S)
    if done.returncode:
        return done.stderr.strip()
    return {name: float(value) for name, value, _ in map(str.split, done.stdout.splitlines())}


# ---- At a constant rate -------------------------------------------------------------------------


@test
def a_stall_is_seen_by_all_requests_planned_meanwhile():
    def answer(n):
        if n == 104:  # 4 are for the lengths of the replies
            time.sleep(0.5)
        return reply()

    with Server(answer) as server:
        got = paced(server, 4, 500, 1)
    # A generator that waits for its answers asks 250 times less, and sees the stall 4 times.
    check(got["requests"], 500)
    # Half of the requests were planned in the stall; a tenth of all in its first fifth.
    at_least(got["max"], 0.49e6)
    at_least(got["p90"], 0.38e6)
    at_least(got["p99"], 0.47e6)


@test
def a_stall_is_in_few_windows():
    def answer(n):
        time.sleep(0.25 if n == 104 else 0.002)
        return reply()

    with Server(answer) as server:
        got = paced(server, 4, 200, 2)
    # 20 windows; 3 have the stall in them, a fourth what it left.
    at_least(got["p99"], 0.2e6)
    at_least(got["p99_typical"], 0.002e6)
    check(got["p99_typical"] < got["p99"], True)


@test
def without_a_rate_the_stall_is_seen_once_by_each_connection():
    def answer(n):
        time.sleep(0.5 if n == 54 else 0.001)
        return reply()

    with Server(answer) as server:
        got = paced(server, 4, 0, 1)
    # The control: what the test above is there for is not to be had in this way.
    at_least(got["max"], 0.49e6)
    check(got["p90"] < got["max"], True)


@test
def a_reply_that_always_takes_its_time_is_in_every_percentile():
    def answer(n):
        time.sleep(0.01)
        return reply()

    with Server(answer) as server:
        got = paced(server, 1, 20, 1)
    check(got["requests"], 20)
    for name in ("p50", "p90", "p99", "p999", "max", "p99_typical"):
        at_least(got[name], 0.01e6)


@test
def percentiles_are_those_of_the_samples():
    def answer(n):
        # One connection, slower and slower: the n-th of 40 takes n ms.
        time.sleep((n - 1) / 1000)
        return reply()

    with Server(answer) as server:
        got = paced(server, 1, 20, 2)
    check(got["requests"], 40)
    for name, ms in (("p50", 21), ("p90", 37), ("p99", 40), ("max", 40)):
        at_least(got[name], ms * 1e3)
    check(got["p50"] <= got["p90"] <= got["p99"] <= got["p999"] <= got["max"], True)


@test
def what_is_never_answered_counts_until_the_end():
    with Server(lambda n: reply() if n <= 12 else None) as server:
        got = paced(server, 2, 100, 0.5)
    check(got["requests"], 50)
    at_least(got["unanswered"], 40)
    at_least(got["p50"], 1e6)  # it waits for a second more


@test
def a_wrong_reply_is_an_error():
    for word, bad in (("503", reply("503 Busy")), ("bytes", reply(body=b"longer than the first"))):
        with Server(lambda n: reply() if n <= 5 else bad) as server:
            contains(word, paced(server, 1, 100, 0.2))


@test
def a_connection_that_is_closed_is_an_error():
    with Server(lambda n: reply() if n <= 5 else closing(server)) as server:
        contains("closed a connection", paced(server, 1, 100, 0.2))


def closing(server):
    """Instead of an answer: no connection has anything more to read."""
    for s in server.partial:
        with contextlib.suppress(OSError):  # the other end may have closed it
            s.shutdown(socket.SHUT_RDWR)


@test
def a_reply_in_pieces_is_one():
    with Server(lambda n: reply(body=b"x" * 300_000)) as server:
        got = paced(server, 2, 0, 0.2)
    contains("no reply of at most", got)
    with Server(lambda n: reply(body=b"x" * 60_000)) as server:
        got = paced(server, 2, 50, 0.2)
    check(got["requests"], 10)


# ---- Idle connections ---------------------------------------------------------------------------


@test
def idle_connections_ask_twice():
    with Server(lambda n: reply()) as server:
        with generators.Generators(work).idle(int(server.at.split(":")[1]), "/ok", 150) as again:
            check((server.count, len(server.partial)), (150, 150))
            at_least(again(), 0)
            check(server.count, 300)


@test
def an_idle_connection_that_was_closed_is_an_error():
    with Server(lambda n: reply() if n <= 3 else closing(server)) as server:
        with generators.Generators(work).idle(int(server.at.split(":")[1]), "/ok", 3) as again:
            refused("idle: ", again)


# ---- The other generators -----------------------------------------------------------------------

WRK = """Running 1s test @ https://127.0.0.1:18081/ok
  Latency Distribution
     50%  791.00us
     75%    1.20ms
     99%    4.90ms
  20071 requests in 1.01s, 21.71MB read
Requests/sec:  19926.33
"""
H2LOAD = """Cipher: TLS_AES_128_GCM_SHA256
finished in 1.01s, 100.00 req/s, 12.00MB/s
requests: 100 total, 150 started, 100 done, 100 succeeded, 0 failed, 0 errored, 0 timeout
traffic: 11.25MB (11800576) total, 46.55KB (47664) headers (space savings 95.41%), 200B (200) data
"""
LOG = "".join(f"1795992530931244\t200\t{us}\n" for us in range(100, 0, -1))


@test
def wrk_is_read():
    report = generators.read_wrk(WRK)
    check((report.count, report.seconds, report.p50, report.p99), (20071, 1.01, 791, 4900))
    refused("Non-2xx", generators.read_wrk, WRK + "  Non-2xx or 3xx responses: 7\n")
    refused("timeout 3", generators.read_wrk,
            WRK + "  Socket errors: connect 0, read 0, write 0, timeout 3\n")
    refused("no answer", generators.read_wrk, WRK.replace("20071 requests", "0 requests"))


@test
def h2load_is_read():
    load = LOADS["h2_64"]
    report = generators.read_h2load(H2LOAD, LOG, load, 1)
    check((report.count, report.p50), (100, 50.5))
    at_least(report.p99, 99)
    for word, part, other in (("3 failed", "0 failed", "3 failed"), ("bytes", "(200)", "(1000)"),
                              ("AES_256", "AES_128", "AES_256")):
        refused(word, generators.read_h2load, H2LOAD.replace(part, other), LOG, load, 1)


@test
def a_generator_that_is_missing_is_named_with_its_package():
    there, generators.PACKAGES = generators.PACKAGES, {"no-such-generator": "its-package"}
    try:
        refused("install its-package", generators.Generators(work).need, "no-such-generator")
    finally:
        generators.PACKAGES = there


def main():
    global work
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        return play(tests, lambda t: t())


if __name__ == "__main__":
    sys.exit(main())
