#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every example and compares what it prints with its last comment.

    tests/examples/run.py BUILD_DIR

    /* Output:
     * hello, world
     */

`Unordered output:` compares the sorted lines. An example that cannot be compared says so with a
last comment that begins with `Not run:` and the reason; it counts as skipped.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 60


def last_comment(text):
    """The text of the last comment of a C file, without its stars; "" if it ends otherwise."""
    match = re.search(r"/\*((?:(?!\*/).)*)\*/\s*\Z", text, re.S)
    if not match:
        return ""
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() for line in match.group(1).split("\n")]
    return "\n".join(lines).strip()


def check(source, program):
    """(verdict, why)"""
    kind, _, expected = last_comment(source.read_text()).partition(":")
    expected = expected.strip().split("\n")
    if kind == "Not run":
        return "skipped", " ".join(expected)
    if kind not in ("Output", "Unordered output"):
        return "FAILED", "the last comment does not begin with `Output:`"
    if not program.exists():
        return "FAILED", f"{program} is not built"
    try:
        done = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return "FAILED", f"did not end within {LIMIT_S} s"
    actual = [line.rstrip() for line in done.stdout.decode(errors="replace").strip().split("\n")]
    if kind == "Unordered output":
        actual, expected = sorted(actual), sorted(expected)
    if done.returncode != 0:
        return "FAILED", f"status {done.returncode}\n" + "\n".join(actual)
    if actual != expected:
        return "FAILED", "\n".join(["expected:", *expected, "printed:", *actual])
    return "ok", ""


def main():
    build = Path(sys.argv[1])
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    for source in sorted((ROOT / "examples").glob("*.c")):
        verdict, why = check(source, build / "bin" / source.stem)
        counts[verdict] += 1
        print(f"{verdict} example {source.stem}" + (": " if why else "") +
              why.replace("\n", "\n    "))
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['ok']} passed, {counts['FAILED']} failed{skipped}")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
