#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Attacks on the HTTP server: clients that are slow, greedy, many, or gone.

    tests/e2e/attacks.py BUILD_DIR [--filter SUBSTRING]

Each attack has a server of its own (tests/e2e/attacked.c) with small time limits. During it a good
client asks on a connection of its own and on a new one each time, and must get all its answers; the
attackers' connections must all be gone at the end, and the server's memory must not have grown
beyond the bound that is stated: so much for each connection, plus a little. The table at the end
has what was measured. The last line is `N passed, N failed[, N skipped]`.

Memory is that of the process, its peak: buffers of sockets are the kernel's.
"""
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

from cases import Skip, play

SLOW = float(os.environ.get("AG_TEST_SLOW", "1"))
PROGRAM = Path(sys.argv[1]).resolve() / "tests" / "attacked"
LIMIT_S = 25 * SLOW  # within which the attackers must be gone
FIXED_KIB = 8 * 1024  # of growth, whatever the attack: the pools, the heap, threads
BUSY_KIB = 40  # for a connection inside a request: buffers and a stack
IDLE_KIB = 12  # for one that waits; most of it is for the moment in which it ends
TICK_S = 0.05
attacks = []
rows = []


class Ended(Exception):
    """A connection, before an answer."""


class Busy(Exception):
    """503."""


def attack(function):
    attacks.append(function)
    return function


def need(truth, what):
    if not truth:
        raise AssertionError(what)


class Server:
    """The attacked one, until the block ends."""

    def __init__(self, files=None, **options):
        def limit():
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        limits = {"head_ms": 1000, "idle_ms": 2000, "body_ms": 1000, "write_ms": 1000, **options}
        self.errors = open("/dev/full", "w")  # its stderr
        self.process = subprocess.Popen([PROGRAM, *(f"{k}={v}" for k, v in limits.items())],
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        preexec_fn=limit)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        for _ in range(100):  # what is made once
            need(ask(self, "/ok") == b"ok\n", "the server does not answer")
        self.before = self.memory("VmRSS")
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            self.process.send_signal(signal.SIGTERM)
            text, _ = self.process.communicate(timeout=30 * SLOW)
            need(self.process.returncode == 0 and "stopped, 0" in text, text)
        self.process.kill()
        self.process.wait()
        self.errors.close()

    def memory(self, field):
        """In KiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+)", text, re.M).group(1))

    def stats(self):
        text = ask(self, "/stats").decode()
        return {name: int(value) for name, value in re.findall(r"(\w+) (-?\d+)", text)}

    def connect(self, room=None):
        s = socket.socket()
        s.settimeout(LIMIT_S)
        if room:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        s.connect(("127.0.0.1", self.port))
        return s


def read_answer(s):
    """The body of one answer with a Content-Length."""
    data = b""
    while True:
        head, end, rest = data.partition(b"\r\n\r\n")
        if end:
            length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
            if len(rest) >= length:
                if head.startswith(b"HTTP/1.1 503"):
                    raise Busy()
                need(head.startswith(b"HTTP/1.1 200"), head)
                return rest
        part = s.recv(65536)
        if not part and not data:
            raise Ended()
        need(part, f"the connection ended after {data!r}")
        data += part


def ask(server, path, s=None):
    request = f"GET {path} HTTP/1.1\r\nHost: h\r\n"
    if s:
        s.sendall(f"{request}\r\n".encode())
        return read_answer(s)
    with server.connect() as own:
        own.sendall(f"{request}Connection: close\r\n\r\n".encode())
        return read_answer(own)


class GoodClient(threading.Thread):
    """Asks all the time, on an old connection and on new ones. `reopens`: one on which no request
    is under way may be closed to make room for others, and there may be no room at all; then it is
    opened again, as any client does."""

    def __init__(self, server, reopens):
        super().__init__(daemon=True)
        self.server, self.reopens = server, reopens
        self.answers, self.slowest, self.error = 0, 0.0, None
        self.enough = threading.Event()
        self.own = None

    def on_the_old_one(self):
        self.own = self.own or self.server.connect()
        return ask(self.server, "/ok", self.own)

    def on_a_new_one(self):
        return ask(self.server, "/ok")

    def insist(self, how):
        for last in (False,) * 20 * self.reopens + (True,):
            try:
                return how()
            except (ConnectionError, Ended, Busy):
                if last:
                    raise
                if how == self.on_the_old_one and self.own:
                    self.own.close()
                    self.own = None
                time.sleep(0.01)

    def run(self):
        try:
            while not self.enough.wait(0.01):
                for how in (self.on_the_old_one, self.on_a_new_one):
                    begin = time.monotonic()
                    need(self.insist(how) == b"ok\n", "a wrong answer")
                    self.slowest = max(self.slowest, time.monotonic() - begin)
                    self.answers += 1
        except Exception:
            self.error = traceback.format_exc()
        if self.own:
            self.own.close()


class Crowd:
    """Many connections, driven by one loop. `says(i, tick)` gives what connection i sends at a
    tick, or None for nothing more. `reads`: whether answers are taken."""

    def __init__(self, server, count, says, reads=True, room=None, every_s=TICK_S):
        self.server, self.says, self.reads, self.every_s = server, says, reads, every_s
        self.sockets = {}
        self.answers = [b""] * count
        self.poll = select.epoll()
        for i in range(count):
            s = server.connect(room)
            s.setblocking(False)
            self.sockets[s.fileno()] = (i, s)
            self.poll.register(s.fileno(), (select.EPOLLIN if reads else 0) | select.EPOLLRDHUP)
        self.pending = [b""] * count

    def drop(self, fd):
        self.poll.unregister(fd)
        self.sockets.pop(fd)[1].close()

    def speak(self, tick):
        for fd, (i, s) in list(self.sockets.items()):
            more = self.says(i, tick)
            self.pending[i] += more or b""
            try:
                while self.pending[i]:
                    self.pending[i] = self.pending[i][s.send(self.pending[i]):]
            except BlockingIOError:
                pass
            except OSError:
                self.take(fd)

    def take(self, fd):
        i, s = self.sockets[fd]
        try:
            while self.reads:
                part = s.recv(65536)
                if not part:
                    break
                self.answers[i] = (self.answers[i] + part)[:4096]
        except BlockingIOError:
            return
        except OSError:
            pass
        self.drop(fd)

    def run(self, limit_s=LIMIT_S):
        """Until the server has ended all of them."""
        begin = time.monotonic()
        tick = 0
        while self.sockets:
            now = time.monotonic() - begin
            need(now < limit_s, f"{len(self.sockets)} attackers are still connected")
            while tick * self.every_s <= now:
                self.speak(tick)
                tick += 1
            for fd, _ in self.poll.poll(self.every_s / 2):
                if fd in self.sockets:
                    self.take(fd)
            if not self.reads and self.server.stats()["open"] <= 3:  # this one and the good client
                break
        for fd in list(self.sockets):
            self.drop(fd)
        return time.monotonic() - begin

    def statuses(self):
        """How many were told what."""
        counts = {}
        for answer in self.answers:
            found = re.match(rb"HTTP/1.1 (\d+)", answer)
            status = int(found.group(1)) if found else 0
            counts[status] = counts.get(status, 0) + 1
        return counts


def settled(server, most=2):
    """Waits until nobody but the good client and we are connected, or so many more."""
    end = time.monotonic() + LIMIT_S
    while server.stats()["open"] > most:
        need(time.monotonic() < end, f"still open: {server.stats()}")
        time.sleep(0.02)


def measured(name, server, count, grows_kib, act, reopens=False):
    """Runs act() beside a good client, then judges. Returns what act did."""
    good = GoodClient(server, reopens)
    good.start()
    begin = time.monotonic()
    try:
        result = act()
        took = time.monotonic() - begin
    finally:
        good.enough.set()
        good.join(LIMIT_S)
    need(not good.error, f"the good client: {good.error}")
    need(good.answers >= 20, f"the good client got {good.answers} answers only")
    settled(server)
    grown, bound = server.memory("VmHWM") - server.before, grows_kib + FIXED_KIB
    rows.append((name, count, f"{took:.1f} s", good.answers, f"{good.slowest * 1000:.0f} ms",
                 f"{grown / 1024:.1f} MiB", f"{bound / 1024:.0f} MiB"))
    need(grown <= bound, f"{grown} KiB more than {server.before}, the bound is {bound}")
    return result


def crowd(name, server, count, each_kib, says, rounds=1, reopens=False, **more):
    """A crowd, once or several times. Returns how many were told what."""
    def act():
        told = {}
        for _ in range(rounds):
            c = Crowd(server, count // rounds, says, **more)
            c.run()
            for status, n in c.statuses().items():
                told[status] = told.get(status, 0) + n
        return told

    return measured(name, server, count, count // rounds * each_kib, act, reopens)


@attack
def a_server_without_limits_is_held():
    """The opposite: what these attacks look like where nothing ends them."""
    with Server(head_ms=600000) as server:
        c = Crowd(server, 50, lambda i, tick: b"G" if tick == 0 else None)
        try:
            c.run(limit_s=3)
        except AssertionError as why:
            need("50 attackers are still connected" in str(why), why)
        else:
            raise AssertionError("they were let go")
        for fd in list(c.sockets):
            c.drop(fd)


# ---- Slow loris ----------------------------------------------------------------------------------

@attack
def slow_head():
    """A byte of a head each 50 ms: 408 when its time is up."""
    head = b"GET /ok HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 4000
    with Server() as server:
        told = crowd("slow head", server, 400, BUSY_KIB, lambda i, tick: head[tick:tick + 1])
    need(told == {408: 400}, told)


@attack
def slow_body():
    """Promises a megabyte, sends a byte each 50 ms."""
    head = b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
    with Server() as server:
        told = crowd("slow body", server, 400, BUSY_KIB, lambda i, tick: b"b" if tick else head)
    need(told == {408: 400}, told)


@attack
def slow_chunks():
    """A chunk of a byte, byte by byte."""
    piece = b"1\r\nb\r\n"
    head = b"POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Server() as server:
        told = crowd("slow trickle of chunks", server, 400, BUSY_KIB,
                     lambda i, tick: piece[(tick - 1) % 6:][:1] if tick else head)
    need(told == {408: 400}, told)


@attack
def slow_read():
    """Asks for 16 MiB and takes none of it."""
    with Server() as server:
        crowd("slow read", server, 100, BUSY_KIB,
              lambda i, tick: None if tick else b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n",
              reads=False, room=2048)


@attack
def many_idle():
    """Connected, and nothing more."""
    with Server() as server:
        told = crowd("connected and silent", server, 3000, IDLE_KIB, lambda i, tick: None,
                     every_s=0.5)
    need(told == {0: 3000}, told)


@attack
def many_idle_between_requests():
    """One request, then nothing: idle_ms ends it."""
    request = b"GET /ok HTTP/1.1\r\nHost: h\r\n\r\n"
    with Server() as server:
        told = crowd("one request, then silent", server, 2000, IDLE_KIB,
                     lambda i, tick: None if tick else request, every_s=0.5)
    need(told == {200: 2000}, told)


# ---- Bombs ---------------------------------------------------------------------------------------

@attack
def header_bomb():
    """Heads without end: in one line, in one field, in many fields."""
    start = (b"GET /" + b"a" * 4000, b"GET / HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 4000,
             b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 1000)
    more = (b"a" * 65536, b"a" * 65536, b"A: b\r\n" * 10000)
    with Server() as server:
        told = crowd("head without end", server, 1500, 64 + BUSY_KIB,
                     lambda i, tick: more[i % 3] if tick else start[i % 3], rounds=10)
    need(told == {414: 500, 431: 1000}, told)


@attack
def body_bomb():
    """Bodies that are larger than allowed: announced, in chunks, in extensions, in trailers."""
    chunked = b"POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    start = (b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999\r\n\r\n", chunked,
             chunked, chunked + b"0\r\n")
    more = (b"b" * 65536, b"10000\r\n" + b"b" * 65536 + b"\r\n", b"1;" + b"a" * 65534,
            b"A: b\r\n" * 10000)
    with Server(body_max=1 << 20) as server:
        told = crowd("body without end", server, 400, BUSY_KIB,
                     lambda i, tick: more[i % 4] if tick else start[i % 4], rounds=4)
    need(set(told) <= {0, 413, 431} and told.get(0, 0) <= 40, told)


@attack
def pipeline_bomb():
    """Requests without end, and no answer is read."""
    many = b"GET /ok HTTP/1.1\r\nHost: h\r\n\r\n" * 2000
    with Server() as server:
        crowd("requests without end, answers unread", server, 50, BUSY_KIB, lambda i, tick: many,
              reads=False, room=2048)


# ---- Gone ----------------------------------------------------------------------------------------

GOING = {
    "connects": b"",
    "in a head": b"GET /ok HTTP/1.1\r\nHo",
    "in a body": b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nbbbb",
    "in a chunk": b"POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nbb",
    "in an answer": b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n",
    "after a request": b"GET /ok HTTP/1.1\r\nHost: h\r\n\r\n",
}


@attack
def resets():
    """Leaves in all places, with a reset, with an end, or with one half closed."""
    def leave(s, i):
        if i % 3 == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif i % 3 == 1:
            s.shutdown(socket.SHUT_WR)
            half.append(s)
            return
        s.close()

    def act():
        for i in range(count):
            s = server.connect()
            s.sendall(GOING[list(GOING)[i % len(GOING)]])
            leave(s, i // len(GOING))
            if i % at_once == at_once - 1:
                for s in half:
                    s.close()
                half.clear()
                settled(server, 50)

    half, count, at_once = [], 6000, 200
    with Server() as server:
        measured("resets and half-closed ones", server, count, at_once * BUSY_KIB, act)


# ---- Out of something ----------------------------------------------------------------------------

@attack
def out_of_descriptors():
    """A thousand connections for a server that has 128 descriptors."""
    with Server(files=128, head_ms=5000, idle_ms=5000) as server:
        told = crowd("128 descriptors", server, 1000, IDLE_KIB, lambda i, tick: None, every_s=0.5,
                     reopens=True)
        need(server.stats()["evicted"] > 500, server.stats())
    need(told == {0: 1000}, told)


@attack
def more_than_conns_max():
    """Those that are idle make room; whoever finds none is told so."""
    request = b"GET /ok HTTP/1.1\r\nHost: h\r\n\r\n"
    with Server(conns_max=100) as server:
        crowd("conns_max of 100", server, 1000, IDLE_KIB, lambda i, tick: None if tick else request,
              every_s=0.5, reopens=True)
        stats = server.stats()
        need(stats["evicted"] + stats["refused"] >= 850, stats)


@attack
def full_disk():
    """Uploads to a full disk, and panics whose text goes to one."""
    if not Path("/dev/full").exists():
        raise Skip("/dev/full")
    upload = b"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n" + b"b" * 9000
    panic = b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\n"
    with Server() as server:
        told = crowd("full disk", server, 400, BUSY_KIB,
                     lambda i, tick: None if tick else (upload, panic)[i % 2])
        need(server.stats()["panics"] == 200, server.stats())
    need(told == {507: 200, 500: 200}, told)


def print_table():
    heads = ("attack", "attackers", "lasted", "good answers", "slowest", "memory +", "bound")
    texts = [heads] + [tuple(map(str, row)) for row in rows]
    widths = [max(len(row[c]) for row in texts) for c in range(len(heads))]
    for row in texts:
        print(" | ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def main():
    only = sys.argv[3] if len(sys.argv) > 3 and sys.argv[2] == "--filter" else ""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def call(function):
        need(PROGRAM.exists(), f"{PROGRAM} is not built")
        need(hard == resource.RLIM_INFINITY or hard >= 4096, "too few descriptors")
        function()

    return play([attack for attack in attacks if only in attack.__name__], call, print_table)


if __name__ == "__main__":
    sys.exit(main())
