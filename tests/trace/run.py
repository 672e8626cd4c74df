#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads what aglet's traces write, with the tools they are written for.

    tests/trace/run.py [BUILD_DIR]

tests/conformance/trace.c makes the files: traces and snapshots of everything a program does, in
several worlds. Go's format is read by `go tool trace -d=parsed`, whose reader checks each event
against what it knows of goroutines, processors and threads; the JSON by Python, and then against
the rules below. Negative controls: a broken file must be found.
"""
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/dev").resolve()
PROGRAM = BUILD / "tests" / "conformance_trace"
PROCS, THREADS, GOROUTINES = 1, 2, 3
TESTS = ("traces_of_everything", "an_empty_trace")


def make(folder, procs):
    """Runs the tests that write files into the folder."""
    words = os.environ.get("AG_TEST_EXEC", "").split()
    for test in TESTS:
        done = subprocess.run([*words, PROGRAM, "--run", test], capture_output=True, text=True,
                              env={**os.environ, "AGLET_PROCS": str(procs),
                                   "AG_TRACE_FOLDER": folder})
        if done.returncode != 0:
            raise AssertionError(f"{test}: status {done.returncode}\n{done.stderr}")


# ---- JSON ------------------------------------------------------------------------------------


def overlaps(slices, nested):
    """Two slices of a lane that overlap; nested ones may lie in each other."""
    ends = []
    for start, end, name in sorted(slices, key=lambda s: (s[0], -s[1])):
        while ends and ends[-1][0] <= start:
            ends.pop()
        if ends and (not nested or ends[-1][0] < end):
            return f"{name} from {start} to {end} overlaps {ends[-1]}"
        ends.append((end, name))
    return None


def ns(us):
    return round(us * 1000)


def problems_of_flows(events):
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    for e in events:
        if e["ph"] == "f":
            if e["id"] not in starts:
                yield f"a flow ends that never began: {e}"
            elif e["ts"] <= starts[e["id"]]["ts"]:
                yield f"a flow goes back in time: {e}"


def problems_of_regions(events):
    """Begin and end alternate properly, by name, on each goroutine's lane."""
    open_regions = collections.defaultdict(list)
    for e in sorted((e for e in events if e["ph"] in "BE"), key=lambda e: e["ts"]):
        stack = open_regions[e["tid"]]
        if e["ph"] == "B":
            stack.append(e["name"])
        elif not stack or stack.pop() != e["name"]:
            yield f"a region ends that is not the innermost: {e}"
    for lane, stack in open_regions.items():
        if stack:
            yield f"regions of goroutine {lane} never end: {stack}"


def problems_of_json(text):
    events = json.loads(text)["traceEvents"]
    lanes, ran = collections.defaultdict(list), collections.defaultdict(list)
    for e in events:
        if e.get("ts", 0) < 0 or e.get("dur", 0) < 0:
            yield f"a time below 0: {e}"
        if e["ph"] != "X":
            continue
        piece = (ns(e["ts"]), ns(e["ts"]) + ns(e["dur"]), e["name"])
        lanes[e["pid"], e["tid"]].append(piece)
        if e["pid"] == PROCS and "goroutine" in e["args"]:
            ran[e["args"]["goroutine"]].append(piece)
    for lane, slices in lanes.items():
        if problem := overlaps(slices, nested=False):
            yield f"lane {lane}: {problem}"
    for goroutine, slices in ran.items():
        if problem := overlaps(slices, nested=False):
            yield f"goroutine {goroutine} runs twice at a time: {problem}"
    yield from problems_of_flows(events)
    yield from problems_of_regions(events)


def need_in_json(name, text):
    """What the program did is there."""
    events = json.loads(text)["traceEvents"]
    names = collections.Counter((e["pid"], e["ph"], e["name"]) for e in events)
    ends = {e["args"].get("end") for e in events if e["ph"] == "X" and e["pid"] == PROCS}
    wanted = [(PROCS, "i", "hand on: ag_blocking"), (GOROUTINES, "B", "a round"),
              (GOROUTINES, "b", "an order"), (GOROUTINES, "i", "done")]
    if name == "full.json":
        wanted += [(PROCS, "X", "yields"), (PROCS, "X", "main"), (PROCS, "s", "ready"),
                   (PROCS, "f", "ready"), (PROCS, "i", "timers"), (GOROUTINES, "X", "sleep")]
        for end in ("chan send", "chan receive", "sync.WaitGroup.Wait", "yield", "end", "IO wait"):
            if end not in ends:
                yield f"nothing ends with {end}"
    for key in wanted:
        if not names[key]:
            yield f"nothing like {key}"


# ---- Go's format -----------------------------------------------------------------------------


def parsed_by_go(path):
    """(whether Go's reader took it all, what it printed)"""
    done = subprocess.run(["go", "tool", "trace", "-d=parsed", path], capture_output=True,
                          text=True, errors="replace")
    return done.returncode == 0 and not done.stderr, done.stdout + done.stderr


def need_in_go(name, text):
    wanted = ["TaskBegin", 'Type="an order"', "RegionBegin", 'Type="a round"', "RegionEnd",
              "TaskEnd", "Running->Syscall"]
    if name == "full.trace":
        wanted += ["NotExist->Runnable", "Runnable->Running", "Running->NotExist",
                   "Waiting->Runnable", 'Reason="chan send"', 'Reason="sync.WaitGroup.Wait"',
                   'Reason="sleep"', 'Reason="IO wait"', "Running->Runnable", "some_regions @",
                   "Syscall->Runnable"]
    for word in wanted:
        if word not in text:
            yield f"Go's reader shows no {word}"


# ---- All -------------------------------------------------------------------------------------


def check_file(path, with_go):
    if path.suffix == ".json":
        text = path.read_text()
        yield from problems_of_json(text)
        if path.name != "empty.json":
            yield from need_in_json(path.name, text)
    elif with_go:
        good, text = parsed_by_go(path)
        if not good:
            yield text[-500:]
        elif path.name != "empty.trace":
            yield from need_in_go(path.name, text)


def negative_controls(folder, with_go):
    """What is broken is found."""
    both = [{"ph": "X", "pid": 1, "tid": 0, "ts": 1, "dur": 2, "name": "a", "args": {}},
            {"ph": "X", "pid": 1, "tid": 0, "ts": 2, "dur": 2, "name": "b", "args": {}}]
    alone = [{"ph": "B", "pid": 3, "tid": 1, "ts": 1, "name": "a"}]
    back = [{"ph": "f", "pid": 1, "tid": 1, "ts": 1, "name": "ready", "id": 1}]
    for events in (both, alone, back):
        if not list(problems_of_json(json.dumps({"traceEvents": events}))):
            yield f"nothing was found in {events}"
    if with_go:
        path = Path(folder, "broken.trace")
        good = bytearray(Path(folder, "full.trace").read_bytes()
                         if Path(folder, "full.trace").exists()
                         else Path(folder, "snapshot.trace").read_bytes())
        path.write_bytes(good[:len(good) * 2 // 3])
        if parsed_by_go(path)[0]:
            yield "Go's reader takes a trace that is cut"
        path.unlink()


def main():
    passed = failed = skipped = 0
    with_go = shutil.which("go") is not None
    if not with_go:
        print("skipped: the files in Go's format are not read: go is not installed")
        skipped += 1
    if not PROGRAM.exists():
        print(f"skipped: {PROGRAM} is not built")
        print(f"{passed} passed, {failed} failed, {skipped + 1} skipped")
        return 0
    for procs in (1, 2, 8):
        with tempfile.TemporaryDirectory() as folder:
            make(folder, procs)
            found = [(path.name, list(check_file(path, with_go)))
                     for path in sorted(Path(folder).iterdir())]
            if procs == 2:
                found.append(("negative controls", list(negative_controls(folder, with_go))))
            for name, problems in found:
                if problems:
                    failed += 1
                    print(f"FAILED {name} on {procs} processors:")
                    for problem in problems[:5]:
                        print("   ", problem)
                else:
                    passed += 1
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
