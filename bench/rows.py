# SPDX-License-Identifier: MIT
"""What is measured: one Job per program run, one row of the table per metric of it.

A job runs NAME WORKERS ARGS. With 1 worker the process is pinned to core 0, with 2 it is free.
`quick` are the arguments of a quick run; results are per operation, so that they mean the same.
"""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    program: str
    workers: int
    args: tuple
    quick: tuple
    rows: dict  # metric the program prints -> title
    tag: str = ""  # tells jobs of one program apart
    peers: tuple = ("aglet", "go", "tokio", "boost")
    fewer: dict = field(default_factory=dict)  # peer -> arguments, where a peer is much slower
    not_quick: tuple = ()  # peers left out of a quick run

    def row_id(self, metric):
        return ".".join(part for part in (metric, self.tag, f"{self.workers}p") if part)

    def arguments(self, peer, quick):
        return self.quick if quick else self.fewer.get(peer, self.args)


NO_BOOST = ("aglet", "go", "tokio")
GO_ONLY = ("aglet", "go")
MILLION = 1_000_000


def _both(program, args, quick, title, **more):
    return [Job(program, p, args, quick, {program: title}, **more) for p in (1, 2)]


JOBS = [
    *_both("spawn_batch", (2000,), (200,), "spawn 1000, wait for all, each",
           fewer={"boost": (200,)}),
    *_both("spawn_one", (MILLION,), (100_000,), "spawn one, wait for it"),
    Job("yield", 1, (4_000_000,), (400_000,), {"yield": "yield, per switch"}),
    *_both("unbuffered", (2_000_000,), (200_000,), "unbuffered channel, round trip",
           fewer={"boost": (500_000,)}),
    *_both("buffered", (10_000_000,), (MILLION,), "buffered channel of 128, per item"),
    *[Job("select", p, (MILLION,), (200_000,), {
        "select2_ready": "select of 2, one ready, with the send",
        "select2_blocked": "select of 2, blocked, per item",
        "select4_ready": "select of 4, one ready, with the send",
        "select4_blocked": "select of 4, blocked, per item",
    }, peers=NO_BOOST) for p in (1, 2)],
    Job("mutex", 1, (20_000_000, 1), (2_000_000, 1), {"mutex": "mutex, free"}, tag="free"),
    Job("mutex", 2, (10_000_000, 100), (MILLION, 100), {"mutex": "mutex, 100 goroutines"},
        tag="100"),
    Job("rwmutex", 1, (20_000_000, 1), (2_000_000, 1), {"rwmutex": "read lock, free"}, tag="free",
        peers=GO_ONLY),
    Job("rwmutex", 2, (10_000_000, 100), (MILLION, 100), {"rwmutex": "read lock, 100 goroutines"},
        tag="100", peers=GO_ONLY),
    *[Job("primitives", p, (MILLION,), (200_000,), {
        "sem": "semaphore, free, acquire and release",
        "sem_busy": "semaphore of 10, 100 goroutines, each time",
        "cond": "condition broadcast to 1,000, each",
        "flight": "single flight of 1,000, each",
        "pool": "pool, get and put",
    }, peers=GO_ONLY) for p in (1, 2)],
    *[Job("metrics", p, (20_000_000, sharers), (2_000_000, sharers), {
        "counter": "counter, add 1",
        "counter_with": "counter of two labels, look up and add",
        "histogram": "histogram of 12 buckets, observe",
    }, peers=GO_ONLY) for p, sharers in ((1, 1), (2, 100))],
    *_both("scope", (300_000,), (30_000,), "scope of 10 children", peers=GO_ONLY),
    *[Job("context", p, (2000,), (200,), {
        "context_tree": "context tree, 1,000 made, cancelled and dropped, each",
        "within": "bound for the waits of a block",
    }, peers=GO_ONLY) for p in (1, 2)],
    *_both("ring", (2_000_000,), (300_000,), "thread ring of 503, per hop",
           fewer={"boost": (500_000,)}),
    *_both("skynet", (MILLION,), (MILLION,), "skynet 1,000,000", not_quick=("boost",)),
    *[Job("parked", 1, (n,), (n,), {"parked_memory": f"{title} parked, memory of each",
                                    "parked_time": f"{title} parked, spawn and park of each"},
          tag=tag, not_quick=("boost",))
      for n, tag, title in ((100_000, "100k", "100,000"), (MILLION, "1m", "1,000,000"))],
    *_both("sleepers", (MILLION,), (MILLION,), "1,000,000 sleepers of 0..1 s, over the second",
           not_quick=("boost",)),
    Job("hog_loop", 2, (10,), (2,), {
        "hog_loop_p50": "1 ms ticker beside 4 endless loops, p50",
        "hog_loop_p99": "the same, p99",
        "hog_loop_max": "the same, longest gap",
    }, peers=NO_BOOST),
    Job("hog_libc", 2, (10,), (2,), {
        "hog_libc_p50": "1 ms ticker beside 4 callers of usleep(50 ms), p50",
        "hog_libc_p99": "the same, p99",
        "hog_libc_max": "the same, longest gap",
    }, peers=NO_BOOST),
    Job("extras", 1, (MILLION,), (100_000,), {
        "defer": "deferred call",
        "panic_recover": "panic and recover",
        "timer": "timer start and stop",
    }, peers=GO_ONLY),
]

# ---- HTTP servers, measured by servers.py -------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """A server in one mode (systems.py) under load by one generator (generators.py)."""
    title: str
    path: str
    connections: int
    mode: str = "clear"
    by: str = "paced"
    streams: int = 1

    @property
    def bytes(self):
        return {"/ok": 2, "/json": 1024}[self.path]


def _tls(title, path):
    return Load(f"HTTPS {title}, 64 connections", path, 64, "tls", "wrk")


def _http2(mode, name, title, path, connections, streams):
    words = f"{connections} connections" + (f" of {streams} streams" if streams > 1 else "")
    return Load(f"{name} {title}, {words}", path, connections, mode, "h2load", streams)


LOADS = {
    "http64": Load("HTTP hello, 64 connections", "/ok", 64),
    "json64": Load("HTTP JSON of 1 KiB, 64 connections", "/json", 64),
    "http1": Load("HTTP hello, 1 connection", "/ok", 1),
    "tls64": _tls("hello", "/ok"),
    "tls_json64": _tls("JSON of 1 KiB", "/json"),
    **{f"{mode}{key}": _http2(mode, name, title, path, connections, streams)
       for mode, name in (("h2c", "HTTP/2"), ("h2", "HTTP/2 over TLS"))
       for key, title, path, connections, streams in (
           ("_64", "hello", "/ok", 64, 1), ("_16x50", "hello", "/ok", 16, 50),
           ("_json16x50", "JSON of 1 KiB", "/json", 16, 50))},
}
LOAD_METRICS = {
    "rps": "requests per second",
    "p50": "p50",
    "p99": "p99",
    "cpu": "server CPU per request",
    "busy": "share of the server's core in use",
}
# At a constant rate: key -> whose peak it is a share of.
PACED = {"http_own70": "70 % of its own peak", "http_go70": "70 % of Go's peak"}
PACED_METRICS = {
    "rate": "requests per second",
    "p50": "p50",
    "p99": "p99",
    "p999": "p99.9",
    "p99_typical": "p99 of 100 ms, the median of all",
    "late": "p99 of the generator's own delay",
}
PACED_PEERS = ("go", "aglet", "hyper", "nginx", "epoll")  # Go's peak is needed by all
CONNECTS = {"tls_resumed": "resumed", "tls_full": "full"}
CONNECT_METRICS = {
    "rps": "connections per second",
    "cpu": "server CPU per connection",
    "busy": "share of the server's core in use",
}
IDLE_ROWS = {
    "idle_memory": "10,000 idle connections, memory of each",
    "idle_wakeups": "idle server, wake-ups per second",
    "reply_bytes": "size of the hello reply with its header",
}
MANY_ROWS = {
    "open": "how many",
    "processes": "processes, for want of open files in one",
    "memory": "memory of each",
    "server": "memory of all processes",
    "again": "until all have one more answer",
}
MANY_PEERS = ("aglet", "go", "hyper", "nginx")
SERVER_PEERS = ("aglet", "go", "tokio", "hyper", "nginx", "epoll")
MORE_IS_BETTER = "/s"

COLUMNS = {
    "aglet": "aglet",
    "go": "Go",
    "tokio": "tokio",
    "boost": "Boost.Fiber",
    "hyper": "hyper",
    "nginx": "nginx",
    "epoll": "raw epoll",
    "unrecorded": "AGLET_RECORD=0",
}
