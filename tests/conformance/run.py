#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the table of promises in README.md against the tests.

    tests/conformance/run.py [BUILD_DIR] [--write]

Every file of tests is in the table, once; the numbers of cases are right; there are at least 300 of
them; every test that the table of differences names is there. --write corrects the numbers, and
gives a file that is not in the table a row with the first sentence of its comment.
"""
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TABLE = HERE / "README.md"
LEAST = 300
ROW = re.compile(r"^(\| [^|]+ \| `([a-z_]+\.cc?)` \| )(\d+)( \|.*)$", re.M)
TOTAL = re.compile(r"^\d+( cases\. )", re.M)
CASE = re.compile(r"^AG_TEST(?:_RUN|_DEATH)?\(([a-z0-9_]+)", re.M)


def tests():
    """{file name: [test, …]}"""
    found = {}
    for path in sorted([*HERE.glob("*.c"), *HERE.glob("*.cc")]):
        found[path.name] = CASE.findall(path.read_text())
    return found


def corrected(text, found):
    total = sum(len(names) for names in found.values())
    text = ROW.sub(lambda m: f"{m[1]}{len(found.get(m[2], []))}{m[4]}", text)
    return TOTAL.sub(rf"{total}\1", text)


def with_new_rows(text, found):
    rows = list(ROW.finditer(text))
    listed = {row[2] for row in rows}
    new = ""
    for name in sorted(set(found) - listed):
        comment = re.search(r"/\*\n \* (.+?)\*/", (HERE / name).read_text(), re.S)
        words = " ".join(comment[1].replace("\n *", " ").split()) if comment else name
        sentence = re.split(r"[.:;](?: |$)", words)[0].replace("|", "/")
        new += f"\n| {sentence[0].lower()}{sentence[1:]} | `{name}` | 0 | - |"
    return text[:rows[-1].end()] + new + text[rows[-1].end():]


def problems(text, found):
    listed = [row[1] for row in ROW.findall(text)]
    for name in sorted(set(found) | set(listed)):
        if listed.count(name) != 1 or name not in found:
            yield f"{name} is {listed.count(name)} times in the table"
    if corrected(text, found) != text:
        yield "the numbers of cases are not right: run tests/conformance/run.py --write"
    if sum(len(names) for names in found.values()) < LEAST:
        yield f"fewer than {LEAST} cases"
    known = {name for names in found.values() for name in names}
    for row in text.split("## Where aglet differs")[1].splitlines():
        for name in re.findall(r"`([a-z0-9_]+)`", row.rpartition(" | ")[2]):
            if name not in known:
                yield f"there is no test {name}"
    for path in re.findall(r"`(tests/[a-z_/]+\.c)`", text):
        if not (HERE.parent.parent / path).exists():
            yield f"there is no {path}"


def main():
    found, text = tests(), TABLE.read_text()
    if "--write" in sys.argv:
        text = corrected(with_new_rows(text, found), found)
        TABLE.write_text(text)
    failed = 0
    for failed, problem in enumerate(problems(text, found), 1):
        print(f"FAILED {problem}")
    print(f"{0 if failed else 1} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
