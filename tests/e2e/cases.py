# SPDX-License-Identifier: MIT
"""What the scripts of this folder share: collecting their tests, playing them, and telling how it
went."""
import shutil
import traceback

tests = []


class Skip(Exception):
    """What is missing."""


def test(function):
    """A decorator: one of `tests`."""
    tests.append(function)
    return function


def check(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, got {actual!r}")


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(program)


def play(tests, call, then=lambda: None):
    """Calls call(test) for each, prints a line for each and, after then(), one for all. Returns:
    the exit status."""
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    for function in tests:
        verdict, why = "ok", ""
        try:
            call(function)
        except Skip as missing:
            verdict, why = "skipped", f": there is no {missing}"
        except Exception:
            verdict, why = "FAILED", "\n" + traceback.format_exc()
        counts[verdict] += 1
        print(f"{verdict} {function.__name__}{why}", flush=True)
    then()
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['ok']} passed, {counts['FAILED']} failed{skipped}")
    return 1 if counts["FAILED"] else 0
