#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles and runs the code of the pages for users.

    tests/docs/run.py BUILD_DIR [--filter SUBSTRING]

docs/from-go/*.md each heading with a block of Go and one of C is a pair: both are run, and must
                  print the same, end with the same status and, if that is not 0, with the same
                  first line on stderr.
docs/from-go.md   the last section names tests, which must be there.
docs/tour.md, docs/guide/*.md
                  each block of C that is followed by a block of text is a program, and that is what
                  it prints. A line `…` stands for any lines.
docs/guide/*.md   the tests and files of the paragraphs that begin with `Tests:` must be there.

The pairs that must not be equal, in `controls`, are the negative control: a comparison that finds
no difference there compares nothing.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 60
STRICT = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
GO_PACKAGES = {"atomic": "sync/atomic", "signal": "os/signal", "http": "net/http"}
GO_PACKAGES.update((name, name) for name in "context errors fmt io net os reflect runtime strings "
                                            "sync syscall time".split())
FRAME = """#include <aglet.h>
#include <aglet/http.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#line 1 "{name}"
{code}
static int run(void *arg) {{
    (void)arg;
    app();
    return 0;
}}
int main(void) {{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return ag_run(run, NULL);
}}
"""


class Skip(Exception):
    """Something is missing."""


def need(truth, what):
    if not truth:
        raise AssertionError(what)


def blocks(text):
    """[(heading, language, code)] of a page."""
    found, heading = [], ""
    pattern = re.compile(r"^(#+ [^\n]*)$|^```(\w*)\n(.*?)^```$", re.M | re.S)
    for match in pattern.finditer(text):
        if match.group(1):
            heading = match.group(1).lstrip("# ")
        else:
            found.append((heading, match.group(2), match.group(3)))
    return found


def pairs(text):
    """{heading: (Go, C)}"""
    found = {}
    for heading, language, code in blocks(text):
        if language in ("go", "c"):
            need(language not in found.setdefault(heading, {}), f"`{heading}` is there twice")
            found[heading][language] = code
    for heading, sides in found.items():
        need(set(sides) == {"go", "c"}, f"`{heading}` is no pair")
    return {heading: (sides["go"], sides["c"]) for heading, sides in found.items()}


class Ending:
    """How a program ended."""

    def __init__(self, command):
        env = {**os.environ, "AGLET_QUIET": "1"}
        done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=LIMIT_S, env=env)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        lines = [line for line in self.err.splitlines() if line.strip()]
        self.words = lines[0] if lines and self.status != 0 else ""

    def __eq__(self, other):
        return (self.status, self.out, self.words) == (other.status, other.out, other.words)

    def __str__(self):
        return f"status {self.status}, {self.words!r}\n{self.out}{self.err[:2000]}"


def link_line(build):
    """What a program with HTTP is linked with, statically; as cmake/programs.cmake tells it."""
    line = re.search(r"^link_http (.*)$", (build / "suite.txt").read_text(), re.M).group(1)
    return [build / word if word.startswith("libaglet") else word for word in line.split()]


class Work:
    """Compiles into a folder."""

    def __init__(self, build, place):
        self.build, self.place = build, Path(place)
        self.compiler = os.environ.get("AG_SUITE_COMPILER") or "cc"
        self.libraries = link_line(build)

    def c(self, name, code):
        program = self.place / name
        command = [self.compiler, *STRICT, "-x", "c", "-", "-o", program, "-I", ROOT / "include",
                   "-x", "none", *self.libraries, "-lpthread", "-lm"]
        done = subprocess.run(list(map(str, command)), input=code, text=True, capture_output=True)
        need(done.returncode == 0, done.stderr)
        return program

    def go(self, codes):
        """The commands of the Go sides: two programs, each with a number. What speaks to the
        outside is one of its own, since Go reports no deadlock where that is linked in."""
        (self.place / "go.mod").write_text("module pairs\n\ngo 1.25\n")
        cases, commands = {"plain": [], "outside": []}, []
        for number, code in enumerate(codes):
            used = sorted({GO_PACKAGES[word] for word in re.findall(r"\b([a-z]+)\.[A-Z]", code)
                           if word in GO_PACKAGES})
            imports = "".join(f'\t"{path}"\n' for path in used)
            code = code.replace("func main()", "func Main()")
            folder = self.place / f"p{number}"
            folder.mkdir()
            (folder / "p.go").write_text(f"package p{number}\n\nimport (\n{imports})\n\n{code}")
            program = "outside" if {"net", "net/http", "os/signal"} & set(used) else "plain"
            cases[program].append(number)
            commands.append([self.place / f"{program}.go.out", number])
        env = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GO111MODULE": "on"}
        for program, numbers in cases.items():
            folder = self.place / program
            folder.mkdir()
            (folder / "main.go").write_text(
                'package main\n\nimport (\n\t"os"\n' +
                "".join(f'\t"pairs/p{n}"\n' for n in numbers) + ")\n\nfunc main() {\n" +
                "\tswitch os.Args[1] {\n" +
                "".join(f'\tcase "{n}":\n\t\tp{n}.Main()\n' for n in numbers) + "\t}\n}\n")
            done = subprocess.run(["go", "build", "-p", "2", "-o", f"{program}.go.out",
                                   f"./{program}"], cwd=self.place, env=env, text=True,
                                  capture_output=True, timeout=600)
            need(done.returncode == 0, done.stdout + done.stderr)
        return commands


def like(expected, actual):
    """Whether the lines match; `…` is any lines."""
    pattern = "".join(r"(?:.*\n)*?" if line == "…" else
                      re.escape(line).replace("…", ".*") + r" *\n"
                      for line in expected.rstrip("\n").split("\n"))
    return re.fullmatch(pattern, actual.rstrip("\n") + "\n") is not None


def check_pair(work, number, heading, code, command):
    here = Ending([work.c(f"c{number}", FRAME.format(name=heading, code=code))])
    need(here.status in (0, 2, 3), f"it ends badly: {here}")
    if command is None:
        raise Skip("go; the right side runs")
    there = Ending(command)
    need(here == there, f"Go: {there}\naglet: {here}")


def check_difference(line):
    """One line of the table of differences: every test that it names is there."""
    tests = line.split("|")[3]
    names, source = 0, None
    for word in re.findall(r"`([^`]+)`", tests):
        if "/" in word:
            source = ROOT / word
            need(source.exists(), f"there is no {word}")
            names += source.name.startswith("bad_")
            continue
        need(re.search(rf"\bAG_TEST\w*\({word}\b", source.read_text()), f"{source} has no {word}")
        names += 1
    need(names > 0, f"no test is named: {line}")


def check_named(paragraph):
    """The tests and the files that a paragraph names are there."""
    conformance = ROOT / "tests/conformance"
    sources = "".join(path.read_text() for path in conformance.glob("*.c*"))
    words = re.findall(r"`([\w./]+)`|\b(\w+\.cc?)\b", paragraph)
    need(words, "names nothing")
    for word in ("".join(pair) for pair in words):
        if "." in word:
            need((conformance / word).exists() or (ROOT / word).exists(), f"there is no {word}")
        else:
            need(re.search(rf"\bAG_TEST\w*\({word}\b", sources), f"there is no test {word}")


def check_program(work, name, code, expected):
    done = subprocess.run([work.c(name, code)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S)
    need(like(expected, done.stdout), f"expected:\n{expected}\nprinted:\n{done.stdout}")


def controls():
    """Comparisons that must fail."""
    text = "### a\n```go\nfunc main() {}\n```\n"
    try:
        pairs(text)
    except AssertionError:
        pass
    else:
        need(False, "half a pair is taken for one")
    need(len(pairs(text + "```c\nx\n```\n")) == 1, "a pair is not found")
    need(not Ending(["echo", "a"]) == Ending(["echo", "b"]), "other output is the same")
    need(not Ending(["true"]) == Ending(["false"]), "another status is the same")
    need(not Ending(["sh", "-c", "echo a >&2; exit 2"]) == Ending(["sh", "-c", "exit 2"]),
         "other last words are the same")
    need(like("a\n…\nc\n", "a\nb\nb\nc\n"), "lines are not skipped")
    need(not like("a\n…\nc\n", "a\nb\n") and not like("a\n", "a\nb\n"), "anything is alike")
    try:
        check_difference("| a | b | `tests/conformance/chan.c`: `there_is_no_such_test` |")
    except AssertionError:
        return
    need(False, "a test that is not there is found")


def all_checks(work):
    """[(name, function, arguments)]"""
    checks = [("controls", controls, ())]
    found = {}
    for path in sorted((ROOT / "docs/from-go").glob("*.md")):
        found.update((f"{path.stem}: {heading}", sides)
                     for heading, sides in pairs(path.read_text()).items())
    need(len(found) > 40, f"only {len(found)} pairs")
    commands = [None] * len(found)
    if shutil.which("go"):
        commands = work.go([sides[0] for sides in found.values()])
    for number, (heading, (_, code)) in enumerate(found.items()):
        checks.append((f"from-go: {heading}", check_pair,
                       (work, number, heading, code, commands[number])))
    table = (ROOT / "docs/from-go.md").read_text().split("## Where we differ on purpose")[1]
    for line in re.findall(r"^\| .*\|$", table, re.M)[2:]:
        what = line.split("|")[1].strip()
        checks.append((f"differs: {what}", check_difference, (line,)))
    for path in [ROOT / "docs/tour.md", *sorted((ROOT / "docs/guide").glob("*.md"))]:
        code_of = None
        for number, paragraph in enumerate(re.findall(r"^Tests: .*?\n$", path.read_text(),
                                                      re.M | re.S)):
            checks.append((f"{path.stem}: tests {number}", check_named, (paragraph,)))
        for number, (heading, language, code) in enumerate(blocks(path.read_text())):
            if language == "text" and code_of:
                name = f"{path.stem}-{number}"
                checks.append((f"{path.stem}: {heading}", check_program,
                               (work, name, code_of, code)))
            code_of = code if language == "c" and "int main(" in code else None
    return checks


def run(check):
    name, function, arguments = check
    try:
        function(*arguments)
        return name, "ok", ""
    except Skip as missing:
        return name, "skipped", str(missing)
    except (AssertionError, subprocess.TimeoutExpired, OSError) as why:
        return name, "FAILED", str(why)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path)
    parser.add_argument("--filter", default="")
    args = parser.parse_args()
    build = args.build.resolve()
    suite = build / "suite.txt"
    if suite.exists() and re.search(r"^(sanitize|emulator) \S", suite.read_text(), re.M):
        print("skipped: a build for a sanitizer or an emulator")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    with tempfile.TemporaryDirectory() as place:
        checks = [check for check in all_checks(Work(build, place)) if args.filter in check[0]]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for name, verdict, why in pool.map(run, checks):
                counts[verdict] += 1
                print(f"{verdict} {name}" + (": " if why else "") + why.replace("\n", "\n    "))
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['ok']} passed, {counts['FAILED']} failed{skipped}")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
