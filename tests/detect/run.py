#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the detector of deadlocks and leaks finds, misses and says wrongly.

    tests/detect/run.py BUILD_DIR [--go] [--procs 1,4] [--filter WORD]

bugs.c has seeded bugs, legal.c programs that look like them. Each runs beside a main that goes on,
with a look every 20 ms. A bug that is known to be found must be found, by the right kind, with the
goroutines concerned and nobody else, once; one that is known to be missed must be silent, so that
this list says what is so; of a legal program nothing may be said. --go also asks Go's goroutineleak
profile about the same bugs in go/main.go, and prints the table with it.
"""
import argparse
import concurrent.futures
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DETECT_MS = 20
PATIENCE_S = 60  # for what must come; no healthy run comes near
SILENT_DOTS = 40  # of 20 ms, in which nothing may come
FINDING = re.compile(r"^aglet: (.*?): ")
GOROUTINE = re.compile(r"^  goroutine \d+ \[[^]]+\] (\w+) created at \S+:\d+$")

# What is found: the kind and the goroutines that it names. None: missed, by what the runtime can't
# know without looking into memory.
BUGS = {
    "double_lock": ("deadlock", "locker"),
    "lock_in_callee": ("deadlock", "outer"),
    "lock_order": ("deadlock", "backward forward"),
    "lock_circle": ("deadlock", "philosopher philosopher philosopher"),
    "rwmutex_upgrade": ("deadlock", "upgrader"),
    "read_twice_with_writer": ("deadlock", "reader_again writer_between"),
    "rwmutex_order": ("deadlock", "rw_backward rw_forward"),
    "missing_unlock": None,
    "lock_and_group": ("deadlock", "holds_and_waits wants_a"),
    "lock_and_scope": ("deadlock", "child_wants_a scope_with_lock"),
    "lock_and_job": ("deadlock", "awaits_with_lock job_wants_a"),
    "group_waits_for_itself": ("deadlock", "waits_for_own_group"),
    "job_awaits_itself": ("deadlock", "awaits"),
    "jobs_await_each_other": ("deadlock", "awaits awaits"),
    "once_in_once": ("deadlock", "calls_once"),
    "flight_in_flight": ("deadlock", "asks"),
    "nil_receive": ("leak", "receives_nil"),
    "nil_send": ("leak", "sends_nil"),
    "nil_select": ("leak", "selects_nil"),
    "more_than_the_semaphore": ("leak", "wants_three"),
    "missing_close": ("leak", "consumer"),
    "forgotten_sender": ("leak", "answers"),
    "select_without_done": ("leak", "two_ways"),
    "abandoned_after_timeout": None,
    "channel_circle": None,
    "lock_and_channel": None,
    "cond_without_signal": None,
    "group_added_too_much": None,
    "semaphore_never_released": None,
    "context_never_cancelled": None,
    "blocked_in_scope": None,
    "pool_never_closed": None,
    "own_cond_without_signal": None,
    "own_group_without_done": None,
    "own_semaphore_never_released": None,
    "own_lock_never_unlocked": None,
}


# What AGLET_SCAN=heap finds besides: each goroutine is a finding of its own.
HEAP = {
    "abandoned_after_timeout": ["answers_own"],
    "channel_circle": ["first_this", "first_this"],
    "lock_and_channel": ["locks_then_sends"],
    "pool_never_closed": ["worker", "worker"],
    "context_never_cancelled": ["waits_for_context"],
    "blocked_in_scope": ["receives"],
    "own_cond_without_signal": ["waits_for_own_condition"],
    "own_group_without_done": ["waits_for_own_three"],
    "own_semaphore_never_released": ["starts_two_at_a_time"],
    "own_lock_never_unlocked": ["locks_after"],
}


class Playing:
    """A program that runs, and what it has said."""

    def __init__(self, program, name, procs, scan):
        env = {**os.environ, "AGLET_SCAN": scan, "AGLET_DETECT_MS": str(DETECT_MS),
               "AGLET_CHECK": "0", "AGLET_PROCS": procs}
        self.process = subprocess.Popen([program, name], env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.dots, self.said = 0, ""
        self.selector = selectors.DefaultSelector()
        for stream in self.process.stdout, self.process.stderr:
            os.set_blocking(stream.fileno(), False)
            self.selector.register(stream, selectors.EVENT_READ)

    def until(self, condition):
        """Reads until condition() holds. False: the program has ended, or patience."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end:
                return False
            for key, _ in self.selector.select(1):
                got = key.fileobj.read()
                if got == b"":
                    self.selector.unregister(key.fileobj)
                elif got is not None and key.fileobj is self.process.stdout:
                    self.dots += got.count(b".")
                elif got is not None:
                    self.said += got.decode(errors="replace")
            if not self.selector.get_map():
                return False
        return True

    def end(self):
        self.process.kill()
        self.process.wait()
        self.selector.close()
        self.process.stdout.close()
        self.process.stderr.close()

    def findings(self):
        """[(kind, names)], or what was said if that is not what findings look like."""
        found = []
        for line in self.said.splitlines():
            goroutine = GOROUTINE.match(line)
            if FINDING.match(line):
                found.append((FINDING.match(line).group(1), []))
            elif goroutine and found:
                found[-1][1].append(goroutine.group(1))
            elif not line.startswith("    ") or not found:
                return [("unreadable", line)]
        return [(kind, " ".join(sorted(names))) for kind, names in found]


def watch(program, name, procs, scan, wanted):
    """(what was found, "" or what is wrong)"""
    playing = Playing(program, name, procs, scan)
    try:
        came = playing.until(lambda: len(playing.findings()) >= len(wanted))
        rest = playing.dots + (SILENT_DOTS if not wanted else SILENT_DOTS // 4)
        went_on = came and playing.until(lambda: playing.dots >= rest)
        found = playing.findings()
    finally:
        playing.end()
    if sorted(found) != wanted:
        return found, f"says {found}, not {wanted}"
    return found, "" if went_on else f"did not go on:\n{playing.said}"


def go_column(names):
    """{name: cell}"""
    if not shutil.which("go"):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "bugs"
        env = {**os.environ, "GOEXPERIMENT": "goroutineleakprofile", "GOTOOLCHAIN": "local",
               "GOWORK": "off"}
        subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / "go", env=env, check=True)
        cells = {}
        for name in names:
            done = subprocess.run([program, name], capture_output=True, text=True, timeout=60)
            total = re.search(r"total (\d+)", done.stdout)
            cells[name] = "?" if not total else "found" if int(total.group(1)) else "missed"
        return cells


def expected(known, name, scan):
    if known.get(name):
        return [known[name]]
    return [("leak", names) for names in HEAP.get(name, [])] if known and scan else []


def show(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for i, row in enumerate(rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
        if i == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path)
    parser.add_argument("--go", action="store_true")
    parser.add_argument("--procs", default="1,4")
    parser.add_argument("--filter", default="")
    args = parser.parse_args()
    programs = [args.build.resolve() / "tests" / f"detect_{part}" for part in ("bugs", "legal")]
    suite = args.build / "suite.txt"
    if suite.exists() and re.search(r"^emulator \S", suite.read_text(), re.M):
        print("skipped: under an emulator a process can't be looked at from within")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    # The sanitizers' shadows are memory, too: there is no search with them.
    sanitized = suite.exists() and re.search(r"^sanitize (address|thread)", suite.read_text(), re.M)
    scans = [""] if sanitized else ["", "heap"]
    cases = []
    for program, known in zip(programs, (BUGS, {})):
        names = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
        if known and set(names) != set(known):
            raise SystemExit(f"not the same lists: {set(names) ^ set(known)}")
        cases += [(program, name, procs, scan, expected(known, name, scan))
                  for scan in scans for procs in args.procs.split(",") for name in names
                  if args.filter in name]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda case: watch(*case), cases))
    failed, verdicts, false_ones, legal = 0, {}, 0, 0
    for (program, name, procs, scan, wanted), (found, wrong) in zip(cases, results):
        how = f"{name} [procs {procs}{', heap' if scan else ''}]"
        print(f"FAILED {how}: {wrong}" if wrong else f"ok {how}")
        failed += bool(wrong)
        if program is programs[0]:
            verdict = "wrong" if wrong else "found" if wanted else "missed"
            verdicts.setdefault(name, {})[scan] = verdict
        else:
            legal += 1
            false_ones += bool(found)
    go = go_column(verdicts) if args.go else {}
    heads = {"": "aglet", "heap": "AGLET_SCAN=heap"}
    show([["bug"] + [heads[scan] for scan in scans] + (["Go"] if go else [])] +
         [[name] + [cells[scan] for scan in scans] + ([go[name]] if go else [])
          for name, cells in verdicts.items()])
    for scan in scans:
        counts = [sum(cells[scan] == word for cells in verdicts.values())
                  for word in ("found", "missed", "wrong")]
        print(f"{heads[scan]}: {len(verdicts)} bugs: {counts[0]} found, {counts[1]} missed, "
              f"{counts[2]} wrong")
    print(f"{legal} runs of legal programs: {false_ones} falsely reported")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
