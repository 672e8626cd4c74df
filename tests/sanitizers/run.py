#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the sanitizers and valgrind find in programs that use aglet: programs with one bug each, and
legal ones of which nothing may be said.

    tests/sanitizers/run.py BUILD_DIR [--filter WORD] [--write]

Every bugs/*.c and legal/*.c is built with the compiler and the sanitizer of the build, linked with
its library, and run. Its first lines say what must come out:

    // bug: WORDS        its line in the table
    // thread: TEXT      under AGLET_SANITIZE=thread a report that contains TEXT, of this file
    // self: TEXT        the same where the runtime is watched, too, of any file
    // address: TEXT     under AGLET_SANITIZE=address a report that contains TEXT
    // leak: TEXT        the same, of LeakSanitizer, at exit; and under valgrind, of this file
    // undefined: TEXT   under AGLET_SANITIZE=undefined, or address, a report of this file with TEXT
    // valgrind: TEXT    under valgrind a report that contains TEXT, of this file
    // clean: TOOLS      under these no report, and exit status 0
    // procs: N,N…       run once with each AGLET_PROCS
    // locals: stack     run with the locals on goroutines' stacks under AddressSanitizer, too

Valgrind is what AG_TEST_EXEC says, in a build without a sanitizer. What came out is printed as a
table; the guide's must be made of the same lines (--write corrects it).
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GUIDE = ROOT / "docs" / "guide" / "debuggers-and-sanitizers.md"
SUPPRESSIONS = HERE.parent / "stress" / "tsan-self.supp"
TOOLS = ["thread", "address", "leak", "undefined", "valgrind"]
MARK = re.compile(rf"^// (bug|self|{'|'.join(TOOLS)}|clean|procs|locals): (.+)$", re.M)
REPORT = re.compile(r"WARNING: ThreadSanitizer|ERROR: (Address|Leak)Sanitizer|runtime error:|"
                    r"^==\d+== ", re.M)
# What a build is, the flags of its programs and the tools that look at them.
BUILDS = {"thread": (["-fsanitize=thread", "-DAG_TSAN=1"], ["thread"]),
          "self": (["-fsanitize=thread", "-DAG_TSAN=1", "-DAG_TSAN_SELF=1"], ["self"]),
          "address": (["-fsanitize=address,undefined"], ["address", "leak", "undefined"]),
          "undefined": (["-fsanitize=undefined"], ["undefined"]),
          "valgrind": ([], ["valgrind", "leak"]),
          "": ([], [])}
VALGRIND_LEAKS = {"valgrind": ["--leak-check=no"],
                  "leak": ["--leak-check=full", "--show-leak-kinds=definite",
                           "--errors-for-leak-kinds=definite"]}


class Suite:
    def __init__(self, build):
        facts = dict(line.partition(" ")[::2]
                     for line in (build / "suite.txt").read_text().splitlines())
        self.build, self.compiler = build, facts["compiler"].strip()
        self.kind = facts["watched"].strip() or facts["sanitize"].strip()
        if not self.kind and "valgrind" in os.environ.get("AG_TEST_EXEC", ""):
            self.kind = "valgrind"
        self.flags, self.tools = BUILDS[self.kind]

    def worlds(self, marks):
        """Valgrind is slow, and runs one thread at a time anyway."""
        worlds = marks.get("procs", "").split(",")
        return worlds[:1] if self.kind == "valgrind" else worlds

    def compile(self, source, out):
        done = subprocess.run(
            [self.compiler, "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", *self.flags,
             f"-I{ROOT / 'include'}", f"-I{ROOT / 'src'}", source, self.build / "libaglet.a",
             "-pthread", "-o", out], capture_output=True, text=True)
        return done.stderr if done.returncode else None

    def run(self, tool, program, marks, procs):
        elsewhere = 0 if tool == "leak" or marks.get("locals") == "stack" else 1
        own = f":suppressions={SUPPRESSIONS}" if tool == "self" else ""
        env = dict(os.environ, TSAN_OPTIONS=f"exitcode=66{own}",
                   ASAN_OPTIONS=f"detect_leaks={int(tool == 'leak')}:"
                                f"detect_stack_use_after_return={elsewhere}")
        if procs:
            env["AGLET_PROCS"] = procs
        command = [program]
        if self.kind == "valgrind":
            command = [*os.environ["AG_TEST_EXEC"].split(), *VALGRIND_LEAKS[tool], program]
        if self.kind in ("thread", "self") and shutil.which("setarch"):
            command = ["setarch", "-R", program]
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120,
                              errors="replace")


def reported_here(stderr, text, source):
    """Whether valgrind says `text`, and the line below names this file, innermost. (Of what was
    freed, the allocator.)"""
    lines = stderr.splitlines()
    return any(text in line and (f"({source.name}:" in below or f"({source.name}:" in next_one)
               for line, below, next_one in zip(lines, lines[1:], lines[2:]))


def found(kind, tool, text, done, source):
    if kind == "valgrind":
        if tool == "leak":
            return done.returncode != 0 and re.search(
                rf"are definitely lost.*(\n.* (at|by) .*)*\({source.name}:", done.stderr)
        return done.returncode != 0 and reported_here(done.stderr, text, source)
    summaries = [line for line in re.findall(r"^SUMMARY: .*", done.stderr, re.M) if text in line]
    if tool == "thread":
        return any(source.name in line for line in summaries)
    if tool == "self":
        return summaries
    if tool == "leak":
        return done.returncode != 0 and "ERROR: LeakSanitizer" in done.stderr and summaries
    if tool == "undefined":
        return re.search(rf"{source.name}:\d+:\d+: runtime error: {text}", done.stderr)
    return done.returncode != 0 and REPORT.search(done.stderr) and text in done.stderr


def verdict(suite, tool, program, source, marks, procs):
    """What came out, and the details if it is not what must."""
    try:
        done = suite.run(tool, program, marks, procs)
    except subprocess.TimeoutExpired:
        return "HANGS", ""
    if "encountered a fatal error" in done.stderr and "ptrace" in done.stderr:
        return "skipped", "LeakSanitizer may not use ptrace here"
    if tool in marks:
        came = found(suite.kind, tool, marks[tool], done, source)
        return ("found" if came else "MISSED"), done.stderr
    silent = done.returncode == 0 and not REPORT.search(done.stderr)
    return ("silent" if silent else "FALSE"), f"status {done.returncode}\n{done.stderr}"


def play(suite, source, folder):
    """The lines of the table: [(program, tool, procs, verdict, details)]."""
    marks = dict(MARK.findall(source.read_text()))
    tools = [tool for tool in suite.tools
             if tool in marks or tool in marks.get("clean", "").split()]
    if not tools:
        return []
    program = folder / source.stem
    problem = suite.compile(source, program)
    if problem:
        return [(source.stem, tools[0], "", "NOT BUILT", problem)]
    return [(source.stem, tool, procs, *verdict(suite, tool, program, source, marks, procs))
            for tool in tools for procs in suite.worlds(marks)]


def guide_table():
    lines = ["| bug | " + " | ".join(TOOLS) + " |", "| --- |" + " --- |" * len(TOOLS)]
    for folder in ("bugs", "legal"):
        for source in sorted((HERE / folder).glob("*.c")):
            marks = dict(MARK.findall(source.read_text()))
            clean = marks.get("clean", "").split()
            cells = ["found" if tool in marks else "silent" if tool in clean else ""
                     for tool in TOOLS]
            name = marks.get("bug", f"none: `{source.stem}`")
            if "self" in marks:
                name += " (found where the runtime is watched, too)"
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(re.sub(r" {2,}", " ", line) for line in lines) + "\n"


def check_guide(write):
    """None, or what is wrong with the table of the guide."""
    text = GUIDE.read_text()
    begin = text.find("| bug | thread |")
    if begin < 0:
        return f"{GUIDE.name} has no table of bugs"
    end = text.find("\n\n", begin) + 1
    table = guide_table()
    if text[begin:end] == table:
        return None
    if not write:
        return f"the table of {GUIDE.name} is old: run tests/sanitizers/run.py BUILD_DIR --write"
    GUIDE.write_text(text[:begin] + table + text[end:])
    return None


def main():
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    word = ""
    if "--filter" in arguments:
        at = arguments.index("--filter")
        word = arguments[at + 1]
        del arguments[at:at + 2]
    if len(arguments) != 1:
        sys.exit("usage: tests/sanitizers/run.py BUILD_DIR [--filter WORD] [--write]")
    suite = Suite(Path(arguments[0]).resolve())
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    problem = check_guide("--write" in sys.argv)
    counts["FAILED" if problem else "ok"] += 1
    print(f"FAILED guide: {problem}" if problem else "ok the table of the guide")
    if not suite.tools:
        counts["skipped"] += 1
        print("skipped the programs: need AGLET_SANITIZE, or valgrind")
    sources = [s for s in sorted(HERE.glob("*/*.c")) if word in s.stem]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        for rows in pool.map(lambda source: play(suite, source, Path(folder)), sources):
            for name, tool, procs, came, details in rows:
                state = {"found": "ok", "silent": "ok", "skipped": "skipped"}.get(came, "FAILED")
                counts[state] += 1
                print(f"{state} {name:34} {tool:9} {procs and procs + ' procs':8} {came}")
                if state != "ok":
                    print("    " + details.rstrip().replace("\n", "\n    "))
    print(f"{counts['ok']} passed, {counts['FAILED']} failed"
          + (f", {counts['skipped']} skipped" if counts["skipped"] else ""))
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
