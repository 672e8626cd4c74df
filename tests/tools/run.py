#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tool `aglet` and its labs, as a user runs them.

    tests/tools/run.py BUILD_DIR

Each lab runs with --quick; its table must hold the article's figures, measured ones above zero, and
what the labs claim: a deferred call costs no heap, block scope closes every file, a busy goroutine
does not stop a ticker. Each claim has its opposite in the same table (a heap record, a loop that
does not close, a scheduler that only cooperates), so that a method that sees nothing is noticed.
No time is compared with another one, but where one contains the other: all of them may be anything
on a machine that is busy.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(sys.argv[1]).resolve()
TOOL = BUILD / "bin" / "aglet"
LIMIT_S = 1200
NEEDS_MORE = ("502", "keepalive")  # libraries that may not be there; tests/e2e/proxies.py runs them
HAS_GO = shutil.which("go") is not None


class Skip(Exception):
    """Something is missing."""


def run(*args, tool=TOOL, **env):
    """(status, what it printed on both)"""
    done = subprocess.run([tool, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT_S, env={**os.environ, **env})
    return done.returncode, done.stdout.decode(errors="replace")


def need(truth, what):
    if not truth:
        raise AssertionError(what)


def number(cell):
    """The first number of a cell, or None."""
    found = re.search(r"\d+(?:\.\d+)?", cell)
    return float(found.group()) if found else None


class Table:
    """What a lab printed: cells by the beginning of the row and the name of the column."""

    def __init__(self, lab, **env):
        status, self.text = run("lab", lab, "--quick", **env)
        need(status == 0, f"status {status}:\n{self.text}")
        lines = [[cell.strip() for cell in line.split(" | ")]
                 for line in self.text.splitlines() if " | " in line]
        need(len(lines) > 1, f"no table:\n{self.text}")
        self.columns, self.rows = lines[0], lines[1:]

    def cell(self, row, column):
        rows = [cells for cells in self.rows if cells[0].startswith(row)]
        need(len(rows) == 1, f"{len(rows)} rows `{row}`:\n{self.text}")
        return rows[0][self.columns.index(column)]

    def is_(self, row, column, expected):
        actual = self.cell(row, column)
        need(actual == expected, f"{row}, {column}: `{actual}`, expected `{expected}`")

    def above_zero(self, row, column):
        value = number(self.cell(row, column))
        need(value is not None and value > 0, f"{row}, {column} is not above 0:\n{self.text}")
        return value

    def go(self, row, column="Go here"):
        """Go's cell where there is Go."""
        if HAS_GO:
            self.above_zero(row, column)


def tool_helps():
    for args in ([], ["help"], ["--help"]):
        status, text = run(*args)
        need(status == 0, f"status {status}")
        for word in ("lab", "version", "help"):
            need(f"aglet {word} " in text, f"no {word} in:\n{text}")


def tool_refuses_an_unknown_word():
    status, text = run("unknown")
    need(status == 2 and "unknown" in text, f"status {status}: {text}")


def tool_version_is_the_build_s():
    version = re.search(r"project\(aglet VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
    for args in (["version"], ["--version"]):
        status, text = run(*args)
        need(status == 0 and text == f"aglet {version.group(1)}\n", text)


def tool_tells_of_a_full_disk():
    if not Path("/dev/full").exists():
        raise Skip("/dev/full")
    with open("/dev/full", "w") as full:
        status = subprocess.run([TOOL, "help"], stdout=full).returncode
    need(status == 1, f"status {status}")


def lab_lists_all_labs():
    status, text = run("lab")
    need(status == 0, f"status {status}")
    for source in (ROOT / "examples" / "lab").glob("*.c"):
        if source.stem in NEEDS_MORE and not (BUILD / "bin" / f"lab-{source.stem}").exists():
            continue
        need(re.search(rf"^ +{source.stem} +\S+ \S+", text, re.M), f"no {source.stem} in:\n{text}")


def lab_refuses_an_unknown_lab():
    for name in ("unknown", "../hello", ""):
        status, text = run("lab", name)
        need(status == 2 and "no lab" in text, f"status {status}: {text}")
    status, text = run("lab", "spawn", "--unknown")
    need(status == 2 and "usage" in text, f"status {status}: {text}")


def lab_is_found_when_installed():
    with tempfile.TemporaryDirectory() as place:
        for folder in ("bin", "libexec/aglet"):
            os.makedirs(f"{place}/{folder}")
        shutil.copy(TOOL, f"{place}/bin/aglet")
        tool = Path(place) / "bin" / "aglet"
        status, text = run("lab", tool=tool)
        need(status == 1 and "no labs" in text, f"status {status}: {text}")
        shutil.copy(BUILD / "bin" / "lab-defer-loop", f"{place}/libexec/aglet/")
        status, text = run("lab", tool=tool)
        need(status == 0 and text.split()[0] == "defer-loop", f"status {status}: {text}")
        status, text = run("lab", "defer-loop", tool=tool)
        need(status == 0 and "10000, all" in text, f"status {status}: {text}")


def lab_runs_without_go():
    table = Table("defer-loop", PATH="/nonexistent")
    table.is_("defer in the loop", "Go here", "not installed")
    table.is_("defer in the loop", "aglet here", "10000, all")


def lab_says_when_go_does_not_build():
    if not HAS_GO:
        raise Skip("go")
    with tempfile.TemporaryDirectory() as place:
        os.mkdir(f"{place}/defer-loop")
        Path(place, "go.mod").write_text("module lab\n\ngo 1.21\n")
        Path(place, "defer-loop", "main.go").write_text("package main\n\nfunc main() { none() }\n")
        for folder in (place, f"{place}/none"):
            table = Table("defer-loop", AGLET_LAB_GO=folder)
            table.is_("defer in the loop", "Go here", "did not build")
            table.is_("defer in the loop", "aglet here", "10000, all")


def lab_leaves_nothing_behind():
    with tempfile.TemporaryDirectory() as place:
        Table("defer-loop", TMPDIR=place)
        # Go's own cache of builds may be anywhere, but not here.
        need(not os.listdir(place), f"left: {os.listdir(place)}")


def lab_spawn():
    table = Table("spawn")
    table.is_("start, run, end", "article: thread", "~1000000 ns")
    table.is_("start, run, end", "article: goroutine", "~200 ns")
    table.above_zero("start, run, end", "thread here")
    table.above_zero("start, run, end", "aglet here")
    need(table.above_zero("memory while it waits", "aglet here") < 16384, table.text)
    table.above_zero("start, run, wait", "aglet here")
    table.is_("stack it may use", "aglet here", "256 KiB")
    table.is_("alive at once", "article: goroutine", "millions")
    table.is_("alive at once", "aglet here", "20000")
    threads = table.above_zero("threads of the process", "aglet here")
    need(threads < 20000 / 100, f"{threads} threads for 20000 goroutines")
    threads = table.above_zero("threads of the process", "thread here")
    need(threads > table.above_zero("alive at once", "thread here"), f"{threads} threads only")
    table.go("start, run, end")
    table.go("memory while it waits")


def lab_defer_cost():
    table = Table("defer-cost")
    table.is_("heap, in the main flow", "article", "0 B")
    table.is_("heap, in a goroutine", "article", "32 B")
    table.is_("instructions beyond a plain call", "article", "~15")
    table.is_("the same for two", "article", "~30+")
    table.is_("1,000,000 x lock, deferred unlock", "article", "48.7 ms")
    table.is_("1,000,000 x lock, direct unlock", "article", "32.1 ms")
    for where in ("in the main flow", "in a goroutine", "in a loop"):
        table.is_(f"heap, {where}", "aglet here", "0.0 B")
    table.go("heap, in a loop")
    for row in ("a plain call", "the same call deferred", "1,000,000 x lock, direct unlock",
                "1,000,000 x lock, deferred unlock"):
        table.above_zero(row, "aglet here")
        table.go(row)
    if "n/a" in table.cell("the same for two", "aglet here"):
        raise Skip("permission to single-step a child")
    one = table.above_zero("instructions beyond a plain call", "aglet here")
    two = table.above_zero("the same for two", "aglet here")
    need(1.5 * one < two < 3 * one, f"two deferred calls are not two: {one}, {two}")
    table.go("instructions beyond a plain call")


def lab_defer_loop():
    table = Table("defer-loop")
    table.is_("defer in the loop", "article", "descriptors run out")
    table.is_("defer in the loop", "aglet here", "10000, all")
    table.is_("open at once", "aglet here", "1")
    control = table.cell("no close at all", "aglet here")
    need("then: Too many open files" in control, f"the limit is not there: {control}")
    if HAS_GO:
        piled_up = table.cell("defer in the loop", "Go here")
        need("then: Too many open files" in piled_up, f"Go: {piled_up}")
        table.is_("a function literal around the body", "Go here", "10000, all")


def stood_still(cell):
    """Whether a ticker had no tick while the hog was busy: then its longest wait contains that."""
    longest, _, busy = (float(n) for n in re.findall(r"\d+(?:\.\d+)?", cell))
    return longest >= busy


def lab_hog():
    table = Table("hog")
    table.is_("an endless loop", "article", "the others starve")
    rows = [cells[0] for cells in table.rows]
    need(len(rows) == 4, f"rows: {rows}")
    for row in rows:
        table.above_zero(row, "aglet here")
        table.go(row)
    text = table.cell("an endless loop", "aglet here")
    need(not stood_still(text), f"the ticker stood still: {text}")
    if HAS_GO:
        text = table.cell("an endless loop", "Go here, cooperative")
        need(stood_still(text), f"nobody starved where all must cooperate: {text}")


def lab_trace():
    table = Table("trace")
    for what in ("yield", "round trip"):
        for noted in ("nothing", "flight recorder", "full trace"):
            table.above_zero(f"{what}, {noted}", "aglet here")
            table.go(f"{what}, {noted}")


def lab_churn():
    table = Table("churn")
    table.is_("channel, deferred close", "article", "217 us")
    table.is_("channel, explicit close", "article", "98 us")
    for what in ("channel", "file"):
        for how in ("deferred", "explicit"):
            table.above_zero(f"{what}, {how} close", "aglet here")
            table.go(f"{what}, {how} close")
    table.above_zero("rate kept", "aglet here")


def lab_restart():
    table = Table("restart")
    rows = [cells[0] for cells in table.rows]
    for row in rows:
        if "Go" in row or row == "behind nginx":
            continue
        table.is_(row, "processes", "4")
        table.above_zero(row, "answered")
        done, _, owed = table.cell(row, "deferred, run/owed").partition("/")
        need(done == owed and number(owed) > 0, table.text)
        table.is_(row, "failed", "0")
    need(sum("handed on" in row for row in rows) >= 1, table.text)


def lab_lifecycle():
    table = Table("lifecycle")
    for row, article, here in (
            ("made, not started", "New", "New"), ("started", "Active", "Active"),
            ("has returned, its child runs", "", "Completing"),
            ("its child is gone", "Completed", "Completed"),
            ("cancelled, its child runs", "", "Cancelling"),
            ("the same, its child is gone", "Cancelled", "Cancelled"),
            ("a parent is cancelled", "children, too", "100 of 100 cancelled"),
            ("clean-up of those", "finally runs", "100 of 100 ran"),
            ("jobs left", "counted", "0 of 101 made"),
            ("one fails, supervisor", "the others go on", "100 of 100 went on"),
            ("left when the scope has ended", "none", "0 of 100 goroutines"),
            ("left, bound to no scope", "they leak", "100 of 100 goroutines")):
        table.is_(row, "article: Kotlin", article)
        table.is_(row, "aglet here", here)
    need(re.search(r"^one fails +\| cancels the others \| 100 of 100 cancelled$", table.text, re.M),
         table.text)
    tree = [r"^scopes: 1 of 1 left; jobs: 3 of 3 left$", r"^goroutine 1$",
            r"^  scope, supervisor, at \S+lifecycle\.c:\d+: 3 of 3 left$",
            r"^    goroutine \d+ \[[a-z ]+\] works created at ",
            r"^    job \d+ \[Completing\] has_a_child made at ",
            r"^      job \d+ \[Active\] holds_on made at .*, goroutine \d+ \[[a-z ]+\]$",
            r"^    job \d+ \[New\] has_a_child made at "]
    for line in tree:
        need(re.search(line, table.text, re.M), f"no `{line}` in:\n{table.text}")


def lab_flush():
    table = Table("flush")
    ends = ["main returns", "a panic", "ag_exit", "exit (", "SIGTERM", "SIGTERM that", "SIGKILL"]
    columns = {"FILE *": ["all", None, "all", "all", "nothing", "all", "nothing"],
               "ag_writer, no close": ["nothing"] * 7,
               "ag_writer, deferred close": ["all", "all", "all", "nothing", "nothing", "all",
                                             "nothing"],
               "after ag_writer_sync": ["all"] * 7}
    if HAS_GO:
        columns["Go here, deferred Flush"] = ["all", "all", "(there is none)", "nothing", "nothing",
                                              "all", "nothing"]
    need(len(table.rows) == len(ends), table.text)
    for column, expected in columns.items():
        at = table.columns.index(column)
        for end, cells, what in zip(ends, table.rows, expected):
            need(cells[0].startswith(end), f"no row {end}:\n{table.text}")
            need(what is None or cells[at] == what, f"{end}, {column}: {cells[at]}, not {what}")


def pictures(text):
    """{title: [[article, Go, aglet], …]} of the lab panic, without indentation."""
    found, title, before = {}, None, ""
    for line in text.splitlines():
        if line.startswith("article") and " | " in line:
            title = found.setdefault(before, [])
        elif " | " in line and title is not None:
            title.append([cell.strip() for cell in line.split(" | ")])
        before = line or before
    return found


def lab_panic():
    status, text = run("lab", "panic")
    need(status == 0, f"status {status}:\n{text}")
    drawn = pictures(text)
    need(len(drawn) == 10, f"{len(drawn)} pictures:\n{text}")
    for title, rows in drawn.items():
        for article, go, ours in rows:
            need(not HAS_GO or go == ours, f"{title}: Go `{go}`, aglet `{ours}`")
    steps = {title: [row[2] for row in rows if row[2]] for title, rows in drawn.items()}
    need(steps["A function that returns"] ==
         ["main calls f", "normal execution", "deferred 2", "deferred 1", "main goes on",
          "[status 0]"], text)
    need(steps["A panic that nobody recovers"] ==
         ["panics: something went wrong", "deferred 2", "deferred 1",
          "panic: something went wrong", "[status 2]"], text)
    need("deferred: recovers second" in steps["A panic in a deferred call, recovered"], text)
    need(steps["A panic in a deferred call that nobody recovers"][-3:] ==
         ["panic: first", "panic: second", "[status 2]"], text)
    need("deferred: recovers nothing" in steps["A goroutine that leaves by goexit"], text)
    # The opposite of each deferred call that ran: those that nothing could run.
    need(steps["exit"] == ["main exits with 3", "[status 3]"], text)
    need(steps["SIGKILL"] == ["main is killed", "[killed by signal 9]"], text)


def lab_deadlock():
    status, text = run("lab", "deadlock", "--quick")
    need(status == 0, text)
    goroutine = r"  goroutine \d+ \[[^]]+\] %s created at \S+deadlock\.c:\d+\n(?:    .*\n)+"
    need(re.search("aglet: deadlock: 2 goroutines wait for each other\n" +
                   2 * (goroutine % "transfer"), text), text)
    need(re.search("aglet: deadlock: a goroutine waits for a lock that it holds\n" +
                   goroutine % "report", text), text)
    need(re.search(goroutine % "collects" + goroutine % "total", text), text)
    # The opposite: where nobody goes on it is Go's message, and no finding.
    whole = text[text.index("Main waits for a channel"):]
    need("fatal error: all goroutines are asleep" in whole and "aglet: " not in whole, text)


def lab_leak():
    table = Table("leak")
    need("aglet: leak: a goroutine waits for a channel that nobody has any more" in table.text,
         table.text)
    # A word left on some stack may still look like the channel: then a leak is not seen.
    for row, left, heap in (("unbuffered", 10, range(7, 11)), ("room for one", 0, range(1)),
                            ("within a context", 0, range(1))):
        cells = [number(table.cell(row, column)) for column in
                 ("goroutines left", "found", "found, AGLET_SCAN=heap")]
        need(cells[:2] == [left, 0] and cells[2] in heap, table.text)


TESTS = [tool_helps, tool_refuses_an_unknown_word, tool_version_is_the_build_s,
         tool_tells_of_a_full_disk, lab_lists_all_labs, lab_refuses_an_unknown_lab,
         lab_is_found_when_installed, lab_runs_without_go, lab_says_when_go_does_not_build,
         lab_leaves_nothing_behind, lab_spawn, lab_defer_cost, lab_defer_loop, lab_hog, lab_churn,
         lab_trace, lab_restart, lab_lifecycle, lab_flush, lab_panic, lab_deadlock, lab_leak]


def main():
    suite = BUILD / "suite.txt"
    unfit = suite.exists() and re.search(r"^(sanitize|emulator) \S", suite.read_text(), re.M)
    passed = failed = skipped = 0
    for test in TESTS:
        name = test.__name__
        try:
            if not TOOL.exists():
                raise AssertionError(f"{TOOL} is not built")
            if unfit:
                raise Skip("a build that runs at its own speed")
            test()
            passed += 1
            print(f"ok {name}")
        except Skip as missing:
            skipped += 1
            print(f"skipped {name}: {missing}")
        except (AssertionError, subprocess.TimeoutExpired, ValueError) as why:
            failed += 1
            print(f"FAILED {name}: {why}".replace("\n", "\n    "))
        sys.stdout.flush()
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
