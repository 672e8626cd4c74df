#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the table of figures in README.md from bench/results.md.

    python3 tools/measured.py            writes it
    python3 tools/measured.py --check    says whether it is up to date

The table stands between the two marker comments. Each of its rows is one row of the results.
"""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- measured: tools/measured.py -->", "<!-- end of measured -->"
# Row of the results, words in the README.
ROWS = {
    "spawn_batch.1p": "start and end a goroutine, in batches",
    "spawn_one.1p": "start one, wait for it",
    "yield.1p": "yield, per switch",
    "unbuffered.1p": "unbuffered channel, round trip",
    "unbuffered.2p": "the same, two processors",
    "buffered.1p": "buffered channel, per item",
    "buffered.2p": "the same, two processors",
    "select2_blocked.1p": "select of 2, blocked, per item",
    "mutex.free.1p": "mutex, free",
    "mutex.100.2p": "mutex, 100 goroutines on two processors",
    "cond.2p": "condition, broadcast to 1,000 on two processors, each",
    "scope.2p": "scope of 10 children, two processors",
    "within.1p": "bound for the waits of a block",
    "ring.1p": "ring of 503 goroutines, per hop",
    "skynet.2p": "skynet, 1,000,000 goroutines, two processors",
    "sleepers.2p": "1,000,000 sleepers, over the ideal second",
    "parked_memory.1m.1p": "1,000,000 parked goroutines, memory of each",
    "hog_loop_p99.2p": "1 ms ticker beside 4 endless loops, p99",
    "http64.rps": "HTTP hello on one core, requests per second (more is better)",
    "http64.cpu": "the same, the server's CPU time per request",
    "http_go70.p99": "the same at 70 % of Go's peak rate, p99",
    "tls64.cpu": "HTTPS hello, the server's CPU time per request",
    "h2_16x50.cpu": "HTTP/2 over TLS, 16 connections of 50 streams, the same",
    "tls_resumed.cpu": "new TLS connection, resumed, with one request, the same",
    "idle_memory": "idle keep-alive connection, memory of each",
}
PEERS = ["aglet", "Go", "tokio", "Boost.Fiber", "nginx"]


def cells(line):
    return [c.strip() for c in line.strip().strip("|").split("|")]


def results(text):
    """Returns (facts, {row: {column: cell}}) of the first table of bench/results.md."""
    facts = {}
    rows, header = {}, None
    for line in text.splitlines():
        if line.startswith("## "):
            break
        if line.startswith("- ") and ": " in line:
            key, value = line[2:].split(": ", 1)
            facts[key] = value
        if line.startswith("|"):
            if header is None:
                header = cells(line)
            elif not line.startswith("| -"):
                row = dict(zip(header, cells(line)))
                rows[row["row"]] = row
    return facts, rows


def table(text):
    facts, rows = results(text)
    unknown = [r for r in ROWS if r not in rows]
    if unknown:
        raise SystemExit(f"bench/results.md has no row {', '.join(unknown)}")
    lines = [f"| what | unit | {' | '.join(PEERS)} |", "| --- | --- |" + " ---: |" * len(PEERS)]
    for row, words in ROWS.items():
        unit = rows[row]["unit"].split(",")[0]
        lines.append(f"| {words} | {unit} | " + " | ".join(rows[row][p] for p in PEERS) + " |")
    machine = facts["Machine"].replace("(R)", "")
    command = facts["Command"].split(";")[0]
    return "\n".join(lines) + (
        f"\n\nIn brackets the ratio to Go's figure. {facts['Date']}, {machine},\n"
        f"{facts['System']}; "
        f"medians of interleaved runs by {command}. "
        "[All rows, versions, spread](bench/results.md);\n"
        "[what is not the same](bench/README.md).\n")


def replaced(readme, text):
    before, rest = readme.split(BEGIN + "\n", 1)
    return before + BEGIN + "\n" + table(text) + END + rest.split(END, 1)[1]


def main():
    path = ROOT / "README.md"
    old = path.read_text()
    new = replaced(old, (ROOT / "bench/results.md").read_text())
    if "--check" in sys.argv[1:]:
        if new != old:
            raise SystemExit("README.md is not up to date: python3 tools/measured.py")
    else:
        path.write_text(new)


if __name__ == "__main__":
    main()
