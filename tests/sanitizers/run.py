#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Negative controls of the sanitizers and of valgrind: programs with a seeded bug, and clean twins.

    tests/stress/run.py BUILD_DIR

Every seeded/*.c is built with the compiler and the sanitizer of the build, linked with its
library, and run. Its first lines say what must come out:

    // thread: TEXT      under AGLET_SANITIZE=thread a report that contains TEXT, of this file
    // self: TEXT        the same where the runtime is watched, too, of any file
    // address: TEXT     under AGLET_SANITIZE=address a report that contains TEXT
    // undefined: TEXT   under AGLET_SANITIZE=undefined a report that contains TEXT, of this file
    // valgrind: TEXT    under valgrind a report that contains TEXT, of this file
    // clean: KINDS      under these no report, and exit status 0
    // procs: N          run with AGLET_PROCS=N
    // locals: stack     run with the locals on goroutines' stacks under AddressSanitizer, too

Valgrind is what AG_TEST_EXEC says, in a build without a sanitizer. With neither all are skipped.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent.parent / "include"
SOURCE = HERE.parent.parent / "src"
MARK = re.compile(r"^// (thread|self|address|undefined|valgrind|clean|procs|locals): (.+)$", re.M)
REPORT = re.compile(r"WARNING: ThreadSanitizer|ERROR: AddressSanitizer|runtime error:|^==\d+== ",
                    re.M)
FLAGS = {"thread": ["-fsanitize=thread", "-DAG_TSAN=1"],
         "self": ["-fsanitize=thread", "-DAG_TSAN=1", "-DAG_TSAN_SELF=1"],
         "address": ["-fsanitize=address,undefined"],
         "undefined": ["-fsanitize=undefined"],
         "valgrind": []}


def read_suite(build):
    suite = {}
    for line in (build / "suite.txt").read_text().splitlines():
        key, _, value = line.partition(" ")
        suite.setdefault(key, value.strip())
    return suite


def build_program(suite, build, source, out):
    library = build / "libaglet.a"
    command = [suite["compiler"], "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror",
               *FLAGS[suite["kind"]], f"-I{INCLUDE}", f"-I{SOURCE}", str(source), str(library),
               "-pthread", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr if done.returncode else None


def run_program(suite, program, marks):
    elsewhere = 0 if marks.get("locals") == "stack" else 1
    env = dict(os.environ, TSAN_OPTIONS="exitcode=66",
               ASAN_OPTIONS=f"detect_leaks=0:detect_stack_use_after_return={elsewhere}")
    if "procs" in marks:
        env["AGLET_PROCS"] = marks["procs"]
    command = [str(program)]
    if suite["kind"] == "valgrind":
        command = [*os.environ["AG_TEST_EXEC"].split(), *command]
    if suite["sanitize"] == "thread" and shutil.which("setarch"):
        command = ["setarch", "-R", *command]
    try:
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    except subprocess.TimeoutExpired:
        return None


def reported_here(stderr, text, source):
    """Whether valgrind says `text`, and the line below names this file, innermost."""
    lines = stderr.splitlines()
    return any(text in line and f"({source.name}:" in below
               for line, below in zip(lines, lines[1:]))


def check(suite, build, source, folder):
    """None if all is well, "skipped", or what is wrong."""
    kind = suite["kind"]
    marks = dict(MARK.findall(source.read_text()))
    clean = kind in marks.get("clean", "").split()
    if kind not in FLAGS or not (clean or kind in marks):
        return "skipped"
    program = folder / source.stem
    problem = build_program(suite, build, source, program)
    if problem:
        return problem
    done = run_program(suite, program, marks)
    if done is None:
        return "hangs"
    if clean:
        if done.returncode == 0 and not REPORT.search(done.stderr):
            return None
        return f"status {done.returncode}, where nothing is wrong:\n{done.stderr}"
    summaries = re.findall(r"^SUMMARY: .*", done.stderr, re.M)
    found = any(marks[kind] in line and source.name in line for line in summaries)
    if kind == "self":
        found = any(marks[kind] in line for line in summaries)
    if kind == "address":
        found = REPORT.search(done.stderr) and marks[kind] in done.stderr
    if kind == "undefined":
        found = re.search(rf"{source.name}:\d+:\d+: runtime error: {marks[kind]}", done.stderr)
    if kind == "valgrind":
        found = done.returncode != 0 and reported_here(done.stderr, marks[kind], source)
    if found:
        return None
    return f"no report of {kind} says \"{marks[kind]}\":\n{done.stderr}"


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: tests/stress/run.py BUILD_DIR")
    build = Path(sys.argv[1]).resolve()
    suite = read_suite(build)
    under_valgrind = "valgrind" in os.environ.get("AG_TEST_EXEC", "")
    suite["kind"] = suite["watched"] or suite["sanitize"] or ("valgrind" if under_valgrind else "")
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted((HERE / "seeded").glob("*.c")):
            problem = check(suite, build, source, Path(folder))
            if problem is None:
                counts["passed"] += 1
                print(f"ok seeded {source.stem}")
            elif problem == "skipped":
                counts["skipped"] += 1
            else:
                counts["failed"] += 1
                print(f"FAILED seeded {source.stem}: " + problem.rstrip().replace("\n", "\n    "))
    if counts["skipped"]:
        print(f"skipped {counts['skipped']}: need AGLET_SANITIZE, or valgrind")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
