#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the same work on aglet and on other systems and compares.

    python3 bench/run.py                           everything; writes bench/results.md
    python3 bench/run.py --rows 'ring,http*'       only some rows (a row, a program, a pattern)
    python3 bench/run.py --peers aglet,go --quick
    python3 bench/run.py --peers aglet,unrecorded  what the flight recorder costs

The runs are interleaved (A B C A B C ...), so that a change of the machine's mood hits all of
them; a cell is the median, with the ratio to Go's in brackets. A system that is not installed is
left out and named. 1p rows: one worker, pinned to core 0; 2p rows: two workers, free.
"""
import argparse
import datetime
import fnmatch
import os
import signal
import subprocess
import sys
from pathlib import Path

import servers
from generators import Generators
from rows import (COLUMNS, CONNECT_METRICS, CONNECTS, IDLE_ROWS, JOBS, LOAD_METRICS, LOADS,
                  MANY_PEERS, MANY_ROWS, PACED, PACED_METRICS, PACED_PEERS, SERVER_PEERS)
from systems import BENCH, ROOT, SYSTEMS, USUAL, Missing
from table import Clock, Table, machine

TIMEOUT = 180


def say(text):
    print(text, file=sys.stderr, flush=True)


def wanted(patterns, *names):
    return not patterns or any(fnmatch.fnmatch(n, p) for p in patterns for n in names)


def run_program(system, name, workers, arguments):
    """Returns {metric: (value, unit)} from the lines `NAME VALUE UNIT`."""
    command = ["taskset", "-c", "0"] if workers == 1 else []
    command += [str(system.program(name)), str(workers), *map(str, arguments)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", timeout=TIMEOUT,
                              env={**os.environ, **system.environment})
    except subprocess.TimeoutExpired:
        raise Missing(f"took more than {TIMEOUT} s") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[:1]
        raise Missing(f"ended with {done.returncode}" + (f": {last[0]}" if last else ""))
    try:
        lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
        return {name: (float(value), unit) for name, value, unit in lines}
    except ValueError:
        raise Missing(f"does not print NAME VALUE UNIT: {done.stdout[:80]!r}") from None


def interleave(table, runs, peers, name, measure):
    """Calls measure(peer) in turn; a peer that failed once is not asked again."""
    failed = set()
    for _ in range(runs):
        for peer in peers:
            if peer in failed:
                continue
            try:
                for row, (value, unit) in measure(peer).items():
                    table.add(row, peer, value, unit)
            except (Missing, OSError, subprocess.SubprocessError) as e:
                failed.add(peer)
                table.note(peer, f"{name}: {e}")
                say(f"  {peer}: {e}")


def run_jobs(table, systems, patterns, runs, quick):
    for job in JOBS:
        rows = {m: job.row_id(m) for m in job.rows}
        if not any(wanted(patterns, job.program, row, row.split(".")[0]) for row in rows.values()):
            continue
        for metric, title in job.rows.items():
            table.row(rows[metric], title)
        peers = [p for p in (*job.peers, "unrecorded") if p in systems
                 and systems[p].program(job.program) and not (quick and p in job.not_quick)]
        name = f"{job.program} {job.tag}".strip() + f", {job.workers}p"
        say(name)

        def measure(peer):
            values = run_program(systems[peer], job.program, job.workers,
                                 job.arguments(peer, quick))
            if not values.keys() >= rows.keys():
                raise Missing(f"prints {', '.join(values) or 'nothing'}, not {', '.join(rows)}")
            return {rows[m]: values[m] for m in rows}

        interleave(table, runs, peers, name, measure)


class ServerRows:
    """The rows of the HTTP servers that were asked for. Under load there are TURNS measurements of
    LOAD_SECONDS in each run: a machine whose host has other guests changes within seconds, and many
    short ones that are interleaved see more of its states than few long ones."""

    TURNS, LOAD_SECONDS = 2, 2

    def __init__(self, table, systems, generators, patterns, runs, quick):
        self.table, self.systems, self.generators = table, systems, generators
        self.patterns, self.runs, self.quick = patterns, runs, quick
        self.turns, self.load_seconds = (1, 1) if quick else (self.TURNS, self.LOAD_SECONDS)

    def rows(self, titles, peers, name, measure, *more_names, by=None, turns=1):
        """A measurement of a peer gives the value of each of `titles`, by row; with the generator
        `by`; there are `turns` of all peers in a run."""
        if not wanted(self.patterns, name, *titles, *more_names):
            return
        if by:
            try:
                self.generators.need(by)
            except Missing as e:
                self.table.notes.setdefault(f"rows measured by {by}: {e}")
                return say(f"{name}: {e}")
        for row, title in titles.items():
            self.table.row(row, title)
        say(name)
        interleave(self.table, self.runs * turns, [p for p in peers if p in self.systems], name,
                   lambda peer: measure(self.systems[peer]))

    @staticmethod
    def ids(key, values):
        return {f"{key}.{metric}": value for metric, value in values.items()}

    def loads(self):
        for key, what in LOADS.items():
            titles = self.ids(key, {m: f"{what.title}: {words}"
                                    for m, words in LOAD_METRICS.items()})
            peers = [p for p in SERVER_PEERS if what.mode in SYSTEMS[p].modes]
            self.rows(titles, peers, key, lambda system: self.ids(key, servers.load(
                system, self.generators, what, self.load_seconds)), by=what.by, turns=self.turns)

    def paced(self):
        titles, peaks = {}, {}
        for key, rate in PACED.items():
            titles.update(self.ids(key, {m: f"HTTP hello at {rate}: {words}"
                                         for m, words in PACED_METRICS.items()}))

        def measure(system):
            found = servers.paced(system, self.generators, peaks, self.load_seconds)
            return {row: value for key, values in found.items()
                    for row, value in self.ids(key, values).items()}

        self.rows(titles, PACED_PEERS, "http_paced", measure, *PACED, by="paced",
                  turns=self.turns)
        if peaks and "go" not in peaks:
            self.table.notes.setdefault("http_go70: needs Go's peak")

    def connects(self):
        for key, kind in CONNECTS.items():
            titles = self.ids(key, {m: f"HTTPS, new connections, {kind}: {words}"
                                    for m, words in CONNECT_METRICS.items()})
            peers = [p for p in SERVER_PEERS if "tls" in SYSTEMS[p].modes]
            self.rows(titles, peers, key, lambda system: self.ids(key, servers.connects(
                system, self.generators, kind, 1 if self.quick else 3)), by="tls_connect")

    def idle(self):
        self.rows({row: f"HTTP {title}" for row, title in IDLE_ROWS.items()}, SERVER_PEERS, "idle",
                  lambda system: servers.idle(system, 2 if self.quick else 5))
        titles = {m: f"HTTP, {servers.MANY_CONNECTIONS:,} idle connections: {words}"
                  for m, words in MANY_ROWS.items()}
        self.rows(self.ids("idle_many", titles), MANY_PEERS, "idle_many",
                  lambda system: self.ids("idle_many", servers.many(system, self.generators)),
                  by="idle")

    def run(self):
        self.loads()
        self.paced()
        self.connects()
        self.idle()


def prepare(names, work, aglet_build, table):
    systems = {}
    for name in names:
        say(f"build {name}")
        try:
            system = SYSTEMS[name](work, aglet_build)
            system.build()
            systems[name] = system
        except Missing as e:
            table.note(name, f"left out: {e}")
            say(f"  left out: {e}")
    return systems


def results(table, systems, arguments, runs, turns, others, host):
    command = "python3 bench/run.py" + "".join(f" {a}" for a in arguments)
    versions = ", ".join(s.version() for s in systems.values())
    text = f"""# Benchmark results

- Machine: {machine()}
- System: {os.uname().sysname} {os.uname().release}
- Versions: {versions}
- Date: {datetime.date.today()}
- Command: `{command}`; median of {runs} runs, interleaved, of
  HTTP servers under load of {runs * turns}
- Meanwhile other programs took {others:.1f} % of the machine's time, the host {host:.1f} %

In brackets: the ratio to Go. `1p`: one worker, pinned to one core; `2p`: two workers on two cores.
Lower is better unless the unit says otherwise. Differences below 10 % are ties. A ticker that never
came to run counts as one gap as long as the run. HTTP: the server has core 0, the load
generator core 1; who was the limit is told by `busy`, which is not better or worse. What a
system lacks is done in the nearest way, see README.md here.

{table.markdown(COLUMNS)}

## Spread: lowest and highest run

{table.spread(COLUMNS)}
"""
    if table.notes:
        text += "\n## Left out or failed\n\n" + "".join(f"- {n}\n" for n in table.notes)
    return text


def options():
    p = argparse.ArgumentParser(description="Compares aglet with other systems.")
    p.add_argument("--rows", default="", help="rows or programs, by comma; patterns with *")
    p.add_argument("--peers", default="", help="of " + ",".join(SYSTEMS))
    p.add_argument("--runs", type=int, default=0, help="runs of each; 5, or 3 with --quick")
    p.add_argument("--quick", action="store_true", help="less work in a run; for a first look")
    p.add_argument("--build", type=Path, help="use this build of aglet, do not build it")
    p.add_argument("--work", type=Path, default=ROOT / "build/bench", help="build peers here")
    p.add_argument("--out", type=Path, help="write here; bench/results.md after a whole run")
    o = p.parse_args()
    o.rows = [r.strip() for r in o.rows.split(",") if r.strip()]
    o.peers = [n.strip() for n in o.peers.split(",") if n.strip()]
    unknown = set(o.peers) - set(SYSTEMS)
    if unknown:
        p.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SYSTEMS)}")
    o.runs = o.runs or (3 if o.quick else 5)
    o.build = o.build and o.build.resolve()
    o.work = o.work.resolve()
    if not (o.out or o.rows or o.peers or o.quick):
        o.out = BENCH / "results.md"
    return o


def main():
    o = options()
    # A server that runs is stopped also when the runner is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    table = Table()
    systems = prepare(o.peers or USUAL, o.work, o.build, table)
    if not systems:
        sys.exit("nothing to run")
    clock = Clock()
    run_jobs(table, systems, o.rows, o.runs, o.quick)
    server_rows = ServerRows(table, systems, Generators(o.work), o.rows, o.runs, o.quick)
    server_rows.run()
    if not table.titles:
        sys.exit("no such row")
    others, host = clock.shares()
    print(table.markdown(COLUMNS))
    say(f"meanwhile other programs took {others:.1f} % of the machine, the host {host:.1f} %")
    recorder = table.mean_ratio("aglet", "unrecorded")
    if recorder:
        say(f"with the flight recorder {recorder:.3f} times the time, geometric mean of all rows")
    for note in table.notes:
        print(note)
    if o.out:
        # Paths of one machine mean nothing to the reader.
        arguments = []
        if o.rows:
            arguments.append(f"--rows '{','.join(o.rows)}'")
        if o.peers:
            arguments.append(f"--peers {','.join(o.peers)}")
        arguments += [f"--runs {o.runs}"] + ["--quick"] * o.quick
        o.out.write_text(results(table, systems, arguments, o.runs, server_rows.turns,
                                 others, host))
        say(f"wrote {o.out}")
    if any(n.startswith("aglet:") and "left out" not in n for n in table.notes):
        sys.exit("a program of aglet failed")


if __name__ == "__main__":
    main()
