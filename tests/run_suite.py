#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs all test programs of a build and sums up.

    tests/run_suite.py build/dev [--worlds 1,2,8] [--filter WORD,WORD…] [--jobs 2] [--no-scripts]
                                 [--only-scripts] [--exec COMMAND]

The build's suite.txt says which programs there are and how they are started (emulator, sanitizer).
Besides them run the script tests, which need no build or look at it from outside: tests/*_test.py,
tools/*_test.py, tests/*/run.py. (Slower ones are called check.py and run by .ci/run.) Whatever
runs ends with the line `N passed, N failed[, N skipped]`; one that ends without it counts as one
failure. The last line printed here is the sum.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
PROGRAM_LIMIT_S = 1800
LONG = ("tests/", "fail_", "stress_", "users_")  # begin first, so that none is left for the end
print_lock = threading.Lock()


def read_suite(build):
    suite = {"test": []}
    for line in (build / "suite.txt").read_text().splitlines():
        key, _, value = line.partition(" ")
        if key != "test":
            suite[key] = value.strip()
        elif value:
            suite["test"].append(value)
    return suite


def fixed_addresses():
    """The thread sanitizer of older compilers fails under wide address randomisation."""
    command = ["setarch", "-R"]
    if not shutil.which("setarch"):
        return []
    allowed = subprocess.run(command + ["true"], capture_output=True).returncode == 0
    return command if allowed else []


def environment(suite, exec_prefix):
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.setdefault("TSAN_OPTIONS", "second_deadlock_stack=1:atexit_sleep_ms=50")
    if exec_prefix:
        env["AG_TEST_EXEC"] = exec_prefix
    if suite["emulator"]:
        # In the child of a fork qemu's allocator may wait for a lock that another thread held:
        # GLib's slices, before 2.76. malloc is told of forks.
        env["G_SLICE"] = "always-malloc"
    env["AG_SUITE_COMPILER"] = suite["compiler"]
    return env


def commands(args, suite):
    """[(name, command)] of everything to run."""
    found = []
    source = Path(suite["source"])
    prefix = suite["emulator"].split() if suite["emulator"] else []
    if suite["sanitize"] == "thread":
        prefix = fixed_addresses() + prefix
    if not args.only_scripts:
        for name in suite["test"]:
            command = prefix + [str(args.build / "tests" / name)]
            if args.worlds:
                command += ["--worlds", args.worlds]
            found.append((name, command))
    scripts = [source / script for script in args.script]
    if not args.no_scripts:
        scripts += [*source.glob("tests/*_test.py"), *source.glob("tools/*_test.py"),
                    *source.glob("tests/*/run.py")]
    for script in sorted(set(scripts)):
        found.append((str(script.relative_to(source)), [sys.executable, str(script),
                                                        str(args.build)]))
    found.sort(key=lambda entry: not entry[0].startswith(LONG))
    words = args.filter.split(",")
    return [(name, command) for name, command in found
            if any(re.search(word, name) for word in words)]


def run(name, command, env, cwd):
    """(passed, failed, skipped); prints what happened."""
    begin = time.monotonic()
    try:
        done = subprocess.run(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=PROGRAM_LIMIT_S)
        output, status = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output, status = (late.stdout or b"").decode(errors="replace"), "time is up"
    except OSError as error:
        output, status = str(error), "not started"
    lines = output.rstrip("\n").splitlines()
    summary = SUMMARY.match(lines[-1]) if lines else None
    counts = [int(n or 0) for n in summary.groups()] if summary else [0, 1, 0]
    if summary and status != 0 and counts[1] == 0:
        counts[1] = 1
    took = time.monotonic() - begin
    with print_lock:
        if counts[1] == 0:
            print(f"ok {name}: {lines[-1]} ({took:.1f} s)")
            shown = [line for line in lines if line.startswith("skipped ")]
        else:
            print(f"FAILED {name} ({took:.1f} s), status {status}")
            shown = [line for line in lines if not line.startswith("ok ")]
        for line in shown:
            print("    " + line)
        sys.stdout.flush()
    return counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path)
    parser.add_argument("--worlds", help="numbers of processors, e.g. 1,2,8")
    parser.add_argument("--filter", default="", metavar="WORD,WORD…",
                        help="only programs in whose name one of these expressions is found")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-scripts", action="store_true")
    parser.add_argument("--script", action="append", default=[], metavar="PATH",
                        help="this one in any case")
    parser.add_argument("--only-scripts", action="store_true")
    parser.add_argument("--exec", default="", help="put before every test, e.g. 'valgrind -q'")
    args = parser.parse_args()
    args.build = args.build.resolve()
    suite = read_suite(args.build)
    env = environment(suite, args.exec or suite["emulator"])
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = [pool.submit(run, name, command, env, suite["source"])
                for name, command in commands(args, suite)]
        totals = [sum(column) for column in zip(*(job.result() for job in jobs))] or [0, 0, 0]
    if sum(totals) == 0:
        print("there is nothing to run")
        totals[1] = 1
    skipped = f", {totals[2]} skipped" if totals[2] else ""
    print(f"{totals[0]} passed, {totals[1]} failed{skipped}")
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main())
