# SPDX-License-Identifier: MIT
"""Measures HTTP servers: load by wrk, memory of idle connections, wake-ups of an idle server.

The server runs on core 0 with one worker, wrk with one thread on core 1. A server that wrk can
keep up with no longer is limited by wrk, so server CPU time per request is the column that
tells them apart. Numbers are summed over the server's process and its descendants.
"""
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from systems import Missing

TICK = os.sysconf("SC_CLK_TCK")
IDLE_CONNECTIONS = 10_000
UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}


def find(pattern, text):
    match = re.search(pattern, text, re.M)
    if not match:
        raise Missing(f"no {pattern!r} in {text[-300:]!r}")
    return match


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A running server, pinned to core 0; stopped by its pid when the `with` block ends."""

    def __init__(self, system):
        self.system = system

    def __enter__(self):
        self.port = free_port()
        command = self.system.server(self.port)
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
        return s

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
        """The servers must do the same work: 1024 bytes of JSON, or a short hello."""
        with self.connect() as s:
            body, size = self.ask(s, path)
        if path == "/json" and len(body) != 1024:
            raise Missing(f"/json has {len(body)} bytes, not 1024")
        return size


def load(system, path, connections, seconds):
    if not shutil.which("wrk"):
        raise Missing("install wrk")
    with Server(system) as server:
        server.check(path)
        url = f"http://127.0.0.1:{server.port}{path}"
        wrk = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", "--latency"]
        subprocess.run([*wrk, "-d1s", url], stdout=subprocess.DEVNULL, check=True)
        before = server.cpu_seconds()
        text = subprocess.run([*wrk, f"-d{seconds}s", url], stdout=subprocess.PIPE, text=True,
                              check=True).stdout
        spent = server.cpu_seconds() - before
    bad = re.search(r"(Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0, timeout 0).*)", text)
    if bad:
        raise Missing(f"wrk saw errors: {bad.group(1)}")
    count = int(find(r"(\d+) requests in", text)[1])
    if not count:
        raise Missing("wrk got no answer")
    result = {"rps": (float(find(r"Requests/sec:\s*([\d.]+)", text)[1]), "/s"),
              "cpu": (spent / count * 1e6, "us")}
    for share in ("50", "99"):
        match = find(rf"^\s*{share}%\s+([\d.]+)([a-z]+)", text)
        result[f"p{share}"] = (float(match[1]) * UNITS[match[2]], "us")
    return result


def idle(system, seconds):
    """Size of a reply, wake-ups of the idle server, then memory of idle connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = IDLE_CONNECTIONS + 200
    if hard != resource.RLIM_INFINITY and hard < enough:
        raise Missing(f"raise the limit of open files to {enough} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    open_ones = []
    try:
        with Server(system) as server:
            size = server.check("/ok")
            for _ in range(64):
                server.check("/ok")
            time.sleep(2)
            before = server.wakeups()
            time.sleep(seconds)
            wakeups = (server.wakeups() - before) / seconds
            before = server.memory()
            for _ in range(IDLE_CONNECTIONS):
                open_ones.append(server.connect())
                server.ask(open_ones[-1], "/ok")
            each = (server.memory() - before) / IDLE_CONNECTIONS
    finally:
        for s in open_ones:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return {"idle_memory": (each, "bytes"), "idle_wakeups": (wakeups, "per s"),
            "reply_bytes": (size, "bytes")}
