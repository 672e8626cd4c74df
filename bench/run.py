#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the same work on aglet and on other systems and compares.

    python3 bench/run.py                           everything; writes bench/results.md
    python3 bench/run.py --rows 'ring,http*'       only some rows (a row, a program, a pattern)
    python3 bench/run.py --peers aglet,go --quick

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
from rows import COLUMNS, JOBS, LOAD_METRICS, LOADS, SERVER_PEERS, SERVER_ROWS
from systems import BENCH, ROOT, SYSTEMS, Missing
from table import Clock, Table, machine

TIMEOUT = 180


def say(text):
    print(text, file=sys.stderr, flush=True)


def wanted(patterns, *names):
    return not patterns or any(fnmatch.fnmatch(n, p) for p in patterns for n in names)


def run_program(path, workers, arguments):
    """Returns {metric: (value, unit)} from the lines `NAME VALUE UNIT`."""
    command = ["taskset", "-c", "0"] if workers == 1 else []
    command += [str(path), str(workers), *map(str, arguments)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", timeout=TIMEOUT)
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
        peers = [p for p in job.peers if p in systems and systems[p].program(job.program)
                 and not (quick and p in job.not_quick)]
        name = f"{job.program} {job.tag}".strip() + f", {job.workers}p"
        say(name)

        def measure(peer):
            values = run_program(systems[peer].program(job.program), job.workers,
                                 job.arguments(peer, quick))
            if not values.keys() >= rows.keys():
                raise Missing(f"prints {', '.join(values) or 'nothing'}, not {', '.join(rows)}")
            return {rows[m]: values[m] for m in rows}

        interleave(table, runs, peers, name, measure)


def run_servers(table, systems, patterns, runs, quick):
    peers = [p for p in SERVER_PEERS if p in systems]
    for key, (title, path, connections) in LOADS.items():
        ids = {m: f"{key}.{m}" for m in LOAD_METRICS}
        if not wanted(patterns, key, *ids.values()):
            continue
        for metric, words in LOAD_METRICS.items():
            table.row(ids[metric], f"HTTP {title}: {words}")
        say(key)

        def measure(peer):
            values = servers.load(systems[peer], path, connections, 1 if quick else 3)
            return {ids[m]: values[m] for m in ids}

        interleave(table, runs, peers, key, measure)
    if wanted(patterns, "idle", *SERVER_ROWS):
        for row, title in SERVER_ROWS.items():
            table.row(row, f"HTTP {title}")
        say("idle")
        interleave(table, runs, peers, "idle",
                   lambda peer: servers.idle(systems[peer], 2 if quick else 5))


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


def results(table, systems, arguments, runs, others, host):
    command = "python3 bench/run.py" + "".join(f" {a}" for a in arguments)
    versions = ", ".join(s.version() for s in systems.values())
    text = f"""# Benchmark results

- Machine: {machine()}
- System: {os.uname().sysname} {os.uname().release}
- Versions: {versions}
- Date: {datetime.date.today()}
- Command: `{command}`; median of {runs} runs, interleaved
- Meanwhile other programs took {others:.1f} % of the machine's time, the host {host:.1f} %

In brackets: the ratio to Go. `1p`: one worker, pinned to one core; `2p`: two workers on two cores.
Lower is better unless the unit says otherwise. Differences below 10 % are ties. A ticker that never
came to run counts as one gap as long as the run. HTTP: the server has core 0, wrk core 1. What a
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
    systems = prepare(o.peers or list(SYSTEMS), o.work, o.build, table)
    if not systems:
        sys.exit("nothing to run")
    clock = Clock()
    run_jobs(table, systems, o.rows, o.runs, o.quick)
    run_servers(table, systems, o.rows, o.runs, o.quick)
    if not table.titles:
        sys.exit("no such row")
    others, host = clock.shares()
    print(table.markdown(COLUMNS))
    say(f"meanwhile other programs took {others:.1f} % of the machine, the host {host:.1f} %")
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
        o.out.write_text(results(table, systems, arguments, o.runs, others, host))
        say(f"wrote {o.out}")
    if any(n.startswith("aglet:") and "left out" not in n for n in table.notes):
        sys.exit("a program of aglet failed")


if __name__ == "__main__":
    main()
