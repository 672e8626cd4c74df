#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What must compile, and what must not.

    tests/compile/run.py [BUILD_DIR] [--filter SUBSTRING]

ok_*.c      compiles without a warning as C11 and as C++17 (`// c only`: only as C).
bad_*.c     is refused, and the compiler's text contains every TEXT of its lines `// expect: TEXT`.
            `// warn: TEXT` instead: it compiles with this warning, or a newer compiler refuses
            it in the same words.
            `// expect gcc: TEXT` and the like count for that compiler only; `// c++` at the start
            of a line: compiled as C++ instead of C.
header      each public header compiles alone, as C11 and as C++17.

Everything is tried with gcc and every clang of this machine. GNU extensions are part of the
contract, so the dialects are gnu11 and gnu++17.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STRICT = ["-Wall", "-Wextra", "-Wpedantic"]
LANGUAGES = {"C11": ["-x", "c", "-std=gnu11"], "C++17": ["-x", "c++", "-std=gnu++17"]}
MARK = re.compile(r"^\s*// (expect|warn)(?: (gcc|clang))?: (.+)$", re.M)


def compilers():
    """[(name, family)], each program once."""
    names = ["gcc", "clang"] + [f"clang-{n}" for n in range(14, 30)]
    found = {}
    for name in names:
        path = shutil.which(name)
        if path:
            found.setdefault(os.path.realpath(path), (name, name.split("-")[0]))
    return list(found.values())


def compile_text(compiler, family, language, source, text, flags):
    """(compiled, what the compiler said); `source` is only its name."""
    command = [compiler, *LANGUAGES[language], "-O1", *STRICT, *flags, "-I", str(ROOT / "include"),
               "-c", "-o", "/dev/null", "-"]
    if family == "clang":
        command[1:1] = ["-Wno-gnu"]
    done = subprocess.run(command, input=f'#line 1 "{source}"\n{text}', text=True,
                          capture_output=True)
    return done.returncode == 0, done.stderr


def check_good(compiler, family, language, source, text):
    compiled, said = compile_text(compiler, family, language, source, text, ["-Werror"])
    return None if compiled else said


def check_bad(compiler, family, language, source, text):
    marks = MARK.findall(text)
    if not marks:
        return "has no line `// expect: TEXT` or `// warn: TEXT`"
    marks = [(kind, words.strip()) for kind, only, words in marks if only in ("", family)]
    may_compile = all(kind == "warn" for kind, _ in marks)
    compiled, said = compile_text(compiler, family, language, source, text, [])
    if compiled and not may_compile:
        return "compiles, and must not"
    for _, words in marks:
        if words not in said:
            return f"the compiler does not say \"{words}\":\n{said}"
    return None


def all_checks():
    """[(name, check, arguments)]"""
    checks = []
    for compiler, family in compilers():
        for header in sorted((ROOT / "include").rglob("*.h")):
            name = header.relative_to(ROOT / "include")
            for language in LANGUAGES:
                checks.append((f"header {name} {compiler} {language}", check_good,
                               (compiler, family, language, name, f"#include <{name}>\n")))
        for source in sorted([*HERE.glob("ok_*.c"), *HERE.glob("bad_*.c")]):
            text = source.read_text()
            languages = list(LANGUAGES)
            if source.name.startswith("bad_"):
                languages = ["C++17" if re.search(r"^// c\+\+", text, re.M) else "C11"]
            elif re.search(r"^// c only", text, re.M):
                languages = ["C11"]
            check = check_good if source.name.startswith("ok_") else check_bad
            for language in languages:
                checks.append((f"{source.name} {compiler} {language}", check,
                               (compiler, family, language, source.name, text)))
    return checks


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", help="not needed; every script test gets it")
    parser.add_argument("--filter", default="")
    args = parser.parse_args()
    checks = [check for check in all_checks() if args.filter in check[0]]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(name, pool.submit(check, *arguments)) for name, check, arguments in checks]
        for name, job in jobs:
            problem = job.result()
            if problem is None:
                print(f"ok {name}")
            else:
                failed += 1
                print(f"FAILED {name}")
                print("    " + problem.rstrip().replace("\n", "\n    "))
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed or not checks else 0


if __name__ == "__main__":
    sys.exit(main())
