# SPDX-License-Identifier: MIT
"""Measures HTTP servers: under load, at a constant rate, new connections, idle ones.

The server runs on core 0 with one worker, the load generator with one thread on core 1. Where
the generator is the limit, the requests per second are its own: `busy` tells whether the server
was, and server CPU time per request is the column that tells servers apart in any case. Numbers
are summed over the server's process and its descendants.
"""
import contextlib
import math
import os
import resource
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import time
from pathlib import Path

from generators import find
from rows import PACED, PACED_METRICS
from systems import Missing

TICK = os.sysconf("SC_CLK_TCK")
IDLE_CONNECTIONS = 10_000
MANY_CONNECTIONS = 100_000
PACED_CONNECTIONS = 64
PACED_SHARE = 0.7
WARM_UP = 1  # seconds, an integer as wrk and h2load want them
CONNECT_PLACES = 32  # connections that are being made at a time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def open_files(wanted):
    """Allows so many, here and in what is started, or as many as we may. Yields how many."""
    old = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        most = min(wanted, int(Path("/proc/sys/fs/nr_open").read_text()))
        with contextlib.suppress(ValueError, OSError):  # only who is privileged may
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
            hard = most
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)


class Server:
    """A running server, pinned to core 0; stopped by its pid when the `with` block ends."""

    def __init__(self, system, mode="clear", certificate=(), connections=0):
        self.system, self.mode = system, mode
        self.certificate, self.connections = certificate, connections

    def __enter__(self):
        self.port = free_port()
        command = self.system.server(self.port, self.mode, self.certificate, self.connections)
        if not command or not command[0]:
            raise Missing("no server program")
        self.process = subprocess.Popen(["taskset", "-c", "0", *map(str, command)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            self._wait_for_port()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        pids = self.pids() if self.process.poll() is None else []
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self.process.stderr.close()

    def _wait_for_port(self):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if self.process.poll() is not None:
                words = self.process.stderr.read().decode(errors="replace").strip()
                raise Missing(f"the server ended with {self.process.returncode}: {words[-200:]}")
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
        raise Missing("the server did not listen within 10 s")

    def pids(self):
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                todo += map(int, children.read_text().split())
        return found

    def cpu_seconds(self):
        total = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def memory(self):
        """Resident set and page tables, bytes."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(("VmRSS:", "VmPTE:")):
                    total += int(line.split()[1]) * 1024
        return total

    def wakeups(self):
        """How often any thread gave its core up by itself so far."""
        total = 0
        for pid in self.pids():
            for status in Path(f"/proc/{pid}/task").glob("*/status"):
                total += int(find(r"^voluntary_ctxt_switches:\s*(\d+)", status.read_text())[1])
        return total

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), 5)
        # Reset instead of TIME_WAIT, or ten thousand closed connections would hold their ports.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if not self.certificate:
            return s
        return ssl.create_default_context(cafile=self.certificate[0]).wrap_socket(
            s, server_hostname="127.0.0.1")

    def ask(self, s, path):
        """One request on connection `s`. Returns the body and the size of the whole reply."""
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        got = b""
        while True:
            got += self._more(s)
            head, end, body = got.partition(b"\r\n\r\n")
            if end:
                break
        if not head.startswith(b"HTTP/1.1 200"):
            raise Missing(f"the server answers {head.splitlines()[0]!r} at {path}")
        length = int(find(r"^content-length:\s*(\d+)", head.decode("latin-1").lower())[1])
        while len(body) < length:
            body += self._more(s)
        return body, len(head) + 4 + len(body)

    @staticmethod
    def _more(s):
        part = s.recv(65536)
        if not part:
            raise Missing("the server closed the connection")
        return part

    def check(self, path):
        """The servers must do the same work: 1024 bytes of JSON, or a short hello. Returns: the
        size of a reply."""
        with self.connect() as s:
            body, size = self.ask(s, path)
        if path == "/json" and len(body) != 1024:
            raise Missing(f"/json has {len(body)} bytes, not 1024")
        return size


def load(system, generators, what, seconds):
    """The server under a Load: LOAD_METRICS."""
    generate = generators.loads[what.by]
    certificate = generators.certificate() if what.mode in ("tls", "h2") else ()
    with Server(system, what.mode, certificate) as server:
        if what.mode in ("clear", "tls"):
            server.check(what.path)
        generate(server.port, what, WARM_UP)
        before = server.cpu_seconds()
        report = generate(server.port, what, seconds)
        spent = server.cpu_seconds() - before
    return {"rps": (report.count / report.seconds, "/s"), "p50": (report.p50, "us"),
            "p99": (report.p99, "us"), "cpu": (spent / report.count * 1e6, "us"),
            "busy": (spent / report.seconds * 100, "%")}


def paced(system, generators, peaks, seconds):
    """Latencies at a constant rate: {row of PACED: PACED_METRICS}. `peaks` has all that were
    measured so far, by the system's name; a rate comes from the median of its own, or of Go's."""
    results = {}
    with Server(system) as server:
        server.check("/ok")

        def generate(rate, seconds):
            return generators.paced(server.port, "/ok", PACED_CONNECTIONS, rate, seconds)

        generate(0, WARM_UP)
        peaks.setdefault(system.name, []).append(generate(0, seconds)["rps"])
        for key, whose in zip(PACED, (system.name, "go")):
            if whose not in peaks:
                continue
            values = generate(int(statistics.median(peaks[whose]) * PACED_SHARE), seconds)
            results[key] = {m: (values[m], "us") for m in PACED_METRICS if m != "rate"}
            results[key]["rate"] = values["rps"], "/s"
    return results


def connects(system, generators, kind, seconds):
    """New TLS connections, each with one request: CONNECT_METRICS."""
    with Server(system, "tls", generators.certificate()) as server:
        server.check("/ok")
        generators.check_cipher(server.port)
        generators.connections(server.port, CONNECT_PLACES, kind, WARM_UP)
        before = server.cpu_seconds()
        rate = generators.connections(server.port, CONNECT_PLACES, kind, seconds)
        spent = server.cpu_seconds() - before
    return {"rps": (rate, "/s"), "cpu": (spent / seconds / rate * 1e6, "us"),
            "busy": (spent / seconds * 100, "%")}


def idle(system, seconds):
    """Size of a reply, wake-ups of the idle server, then memory of idle connections."""
    open_ones = []
    with contextlib.ExitStack() as stack:
        enough = IDLE_CONNECTIONS + 200
        if stack.enter_context(open_files(enough)) < enough:
            raise Missing(f"raise the limit of open files to {enough} (ulimit -Hn)")
        server = stack.enter_context(Server(system))
        size = server.check("/ok")
        for _ in range(64):
            server.check("/ok")
        time.sleep(4)  # a runtime may look after its work once or twice
        before = server.wakeups()
        time.sleep(seconds)
        wakeups = (server.wakeups() - before) / seconds
        before = server.memory()
        try:
            for _ in range(IDLE_CONNECTIONS):
                open_ones.append(server.connect())
                server.ask(open_ones[-1], "/ok")
            each = (server.memory() - before) / IDLE_CONNECTIONS
        finally:
            for s in open_ones:
                s.close()
    return {"idle_memory": (each, "bytes"), "idle_wakeups": (wakeups, "per s"),
            "reply_bytes": (size, "bytes")}


def many(system, generators):
    """Very many idle connections, which then all ask again: MANY_ROWS. The other end is
    bench/idle.c: a hundred thousand sockets are too many for Python. Where a process may not have
    that many files, there are several servers."""
    spare = 300
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(open_files(MANY_CONNECTIONS + spare))
        processes = math.ceil(MANY_CONNECTIONS / (files - spare))
        each = math.ceil(MANY_CONNECTIONS / processes)
        group = [stack.enter_context(Server(system, connections=each)) for _ in range(processes)]
        for server in group * 64:
            server.check("/ok")
        before = sum(server.memory() for server in group)
        asks = [stack.enter_context(generators.idle(server.port, "/ok", each))
                for server in group]
        after = sum(server.memory() for server in group)
        again = sum(ask_again() for ask_again in asks)
    count = each * processes
    return {"open": (count, "count"), "processes": (processes, "count"),
            "memory": ((after - before) / count, "bytes"), "server": (after / 2**20, "MiB"),
            "again": (again, "s")}
