#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the rules of the code that no compiler knows.

    tools/tidy.py [--root DIR] [--shrink] [FILE…]

Prints `path:line: what is wrong, and what to do`; ends with status 1 if anything is. Which floor
may include which is data, in src/floors.txt. Functions that were longer than the limit when the
limit came are listed in tools/tidy_ratchet.txt: they may get shorter (`--shrink` notes that), never
longer, and no new ones join.
"""
import argparse
import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path

FILE_LINES = 1000
FUNCTION_LINES = 70
COLUMNS = 100

PLAIN_HEADERS = set("stddef stdint stdbool string stdio stdlib stdarg limits inttypes assert "
                    "stdatomic stdnoreturn errno".split())
FREE_FLOORS = {"os", "arch", "base"}  # may include system headers
# Other people's programs and collected data are not ours to lay out.
FOREIGN = ["bench/peers/*", "*/corpus/*", "*corpus/*", "tests/data/*"]

BANNED = {
    "strcpy": "memcpy with a known length, or snprintf",
    "strcat": "snprintf",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "fgets",
    "strtok": "strtok_r",
}
BANNED_IN_SRC = {
    "strncpy": "memcpy with a known length",
    "atoi": "strtol, which tells an error",
    "setjmp": "ag_try",
    "longjmp": "ag_panic",
    "alloca": "an array with a limit",
    "rand": "the random bits of base",
    "signal": "sigaction, in src/os",
    "usleep": "ag_sleep",
    "gmtime": "gmtime_r",
    "localtime": "localtime_r",
}
LEFTOVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
SYSTEM_IF = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*\b"
                       r"(__x86_64__|__aarch64__|__linux__|__APPLE__|_WIN32)\b")


class File:
    """A text file; `code` is its lines with comments and the insides of strings blanked out."""

    def __init__(self, root, name):
        self.name = name
        self.text = (root / name).read_text(encoding="utf-8")
        self.lines = self.text.split("\n")
        self.suffix = Path(name).suffix
        self.is_c = self.suffix in (".c", ".h", ".cc")
        self.is_test = re.search(r"_(test|bench)\.c$", name) is not None
        self.floor = name.split("/")[1] if re.match(r"src/[^/]+/", name) else None
        self.code = blank(self.text).split("\n") if self.is_c else []


def blank(text):
    """C without comments and string contents, every line still in its place."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def replace(match):
        found = match.group()
        if found[0] in "\"'":
            return found[0] * 2
        return re.sub(r"[^\n]", "", found) or " "

    return token.sub(replace, text)


# ---- Floors -------------------------------------------------------------------------------------


class Floors:
    """The tower: what may be included from where."""

    def __init__(self, text):
        self.on, self.doors, self.files, self.public = {}, set(), [], set()
        self.thread_locals, self.system, self.libraries = set(), set(), {}
        for line in text.splitlines():
            line = line.split("#")[0].strip()
            if line.startswith("door "):
                self.doors.add(line[5:].strip())
            elif line.startswith("thread-local "):
                self.thread_locals.add("src/" + line[13:].strip())
            elif line.startswith("system "):
                self.system.add("src/" + line[7:].strip())
            elif line.startswith("library "):
                name, _, users = line[8:].partition(":")
                self.libraries[name.strip()] = users.split()
            elif line.startswith("public "):
                self.public.update(line[7:].split())
            elif line.startswith("file "):
                pattern, _, floors = line[5:].partition(":")
                self.files.append((pattern.strip(), floors.split()))
            elif line and not line.startswith("pointer "):
                floor, _, below = line.partition(":")
                self.on[floor.strip()] = below.split()

    def below(self, floors):
        found = set()
        for floor in floors:
            found |= {floor} | self.below(self.on.get(floor, []))
        return found

    def complaint(self, file, include):
        """Why this file may not include this header of src/, or None."""
        other, _, rest = include.partition("/")
        if not rest:
            return f'write the folder, too: "{file.floor}/{include}"'
        if other == file.floor:
            return None
        if file.floor not in self.on:
            return f"floor {file.floor} is not in src/floors.txt"
        if file.floor in self.public and not file.is_test:
            return f"{file.floor} is written on the public headers alone"
        floors = self.on[file.floor]
        for pattern, instead in self.files:
            if fnmatch.fnmatch(file.name, "src/" + pattern):
                floors = instead
        if other not in self.below(floors):
            return f"{other} is not below {file.floor}; look down, never up or sideways"
        if include != f"{other}/{other}.h" and include not in self.doors:
            return f'{include} is private; the door is "{other}/{other}.h"'
        return None


def check_includes(file, floors):
    if not file.floor:
        return
    for number, line in enumerate(file.lines, 1):
        match = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
        if not match:
            continue
        own, system = match.groups()
        if own and not (file.is_test and "/" not in own):  # in tests/, or not found at all
            complaint = floors.complaint(file, own)
            if complaint:
                yield number, complaint
        elif (system and not file.is_test and file.floor not in FREE_FLOORS and
              file.name not in floors.system):
            if file.floor in floors.libraries.get(system.partition("/")[0], []):
                continue
            if not system.startswith("aglet") and system.removesuffix(".h") not in PLAIN_HEADERS:
                yield number, f"<{system}> is a system header; only src/os speaks to the system"


# ---- Rules of one file --------------------------------------------------------------------------


def check_layout(file):
    if len(file.lines) - 1 > FILE_LINES:
        yield FILE_LINES, f"more than {FILE_LINES} lines; split by the struct owned"
    tabs = file.name.endswith(("Makefile", ".go", ".mod", ".gitmodules"))
    for number, line in enumerate(file.lines, 1):
        if len(line) > COLUMNS and file.suffix not in (".md", ".json", ".svg", ".html"):
            yield number, f"{len(line)} columns; the limit is {COLUMNS}"
        if line != line.rstrip():
            yield number, "space at the end of the line"
        if "\t" in line and not tabs:
            yield number, "tab; indent with spaces"
        if LEFTOVER.search(line):
            yield number, "leftover marker; do it, or write down what is so"
    if file.text and not file.text.endswith("\n"):
        yield len(file.lines), "no newline at the end of the file"


def check_head(file):
    if not (file.is_c or file.suffix in (".S", ".py", ".sh", ".cmake", ".map") or
            Path(file.name).name in ("Makefile", "CMakeLists.txt")):
        return
    head = file.lines[1 if file.lines[0].startswith("#!") else 0:][:1]
    if not head or "SPDX-License-Identifier: MIT" not in head[0]:
        yield 1, "the first line is not the SPDX line"
    if file.name.startswith("src/") and file.suffix == ".c" and not file.is_test:
        comment = re.match(r"[^\n]*\n\s*/\*(.*?)\*/", file.text, re.S)
        if not comment or len(comment.group(1).split()) < 12:
            yield 2, "no design comment: what it is for, the idea, invariants, what was refused"


def check_calls(file, floors):
    if not file.is_c:
        return
    in_src = bool(file.floor) and not file.is_test
    banned = {**BANNED, **(BANNED_IN_SRC if in_src and file.floor not in ("os", "arch") else {})}
    call = re.compile(r"(?<![\w.>])(" + "|".join(banned) + r")\s*\(")
    thread_home = file.floor == "os" or file.name in floors.thread_locals
    for number, line in enumerate(file.code, 1):
        for name in sorted(set(call.findall(line))):
            yield number, f"{name} is banned; use {banned[name]}"
        if not in_src:
            continue
        is_os = file.floor == "os" or file.name in floors.system
        if not is_os and re.search(r"\berrno\b(?!\.h)", line):
            yield number, "errno is read in src/os only; results are negative error numbers"
        if not thread_home and re.search(r"\b(__thread|_Thread_local)\b", line):
            yield number, "thread-locals live behind one accessor; see src/floors.txt"
        if file.name != "src/base/compiler.h" and file.floor not in ("os", "arch"):
            if SYSTEM_IF.match(line):
                yield number, "system and processor are asked for in arch, os, base/compiler.h only"


def functions(file):
    """(name, first line, number of lines) of every function defined in a C file."""
    depth, first, in_macro = 0, None, False
    signature = ""
    for number, line in enumerate(file.code, 1):
        if in_macro or line.lstrip().startswith("#"):
            in_macro = line.endswith("\\")
            continue
        if depth == 0:
            if first is None and line.strip():
                first, signature = number, ""
            signature += " " + line
        before = depth
        depth += line.count("{") - line.count("}")
        if re.search(r'extern\s*""\s*\{', line):
            depth, first = 0, None
        elif before == 0 and depth <= 0 and re.search(r"[;}]\s*$", line):
            depth, first = 0, None
        elif before > 0 and depth <= 0:
            depth = 0
            match = re.search(r"(\w+)\s*\((\s*\w+\s*\))?", signature.split("{")[0])
            if match and "=" not in signature.split("{")[0]:
                name = match.group(0) if match.group(1).isupper() else match.group(1)
                yield name.replace(" ", ""), first, number - first + 1
            first = None


def check_functions(file, ratchet):
    seen = set()
    for name, line, length in functions(file) if file.is_c else ():
        key = f"{file.name}:{name}"
        limit = ratchet.get(key, FUNCTION_LINES)
        seen.add(key)
        if length > limit:
            yield line, f"{name} has {length} lines; the limit is {limit}"
        elif key in ratchet and length < limit:
            yield line, f"{name} has got shorter: tools/tidy.py --shrink"
    for key in ratchet:
        if key.rpartition(":")[0] == file.name and key not in seen:
            yield 1, f"{key} is gone: tools/tidy.py --shrink"


def check_public(file):
    """Warnings: functions of a public header without a comment above them."""
    if not re.match(r"include/.*\.h$", file.name):
        return
    covered, in_macro = False, False
    for number, line in enumerate(file.lines, 1):
        if in_macro:
            in_macro = line.endswith("\\")
            continue
        in_macro = line.endswith("\\")
        name = re.match(r"(?:AG_API\b.*?|#define )\**\b(ag_(?!_|chan\()\w+)\(", line)
        if name and not covered:
            yield number, f"{name.group(1)} has no comment"
        # A comment covers what follows up to the next empty line.
        covered = line.rstrip().endswith("*/") or (covered and line.strip() != "")


def slug(heading):
    words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
    return words.strip().replace(" ", "-")


def check_links(file, root):
    if file.suffix != ".md":
        return
    fenced = False
    for number, line in enumerate(file.lines, 1):
        fenced ^= line.lstrip().startswith("```")
        plain = re.sub(r"`[^`]*`", "", line)
        for target in [] if fenced else re.findall(r"\]\(([^)\s]+)\)", plain):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            at = (root / file.name).parent / path if path else root / file.name
            if not at.exists():
                yield number, f"the link leads nowhere: {target}"
            elif anchor and at.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", at.read_text(encoding="utf-8"), re.M)
                if anchor not in map(slug, headings):
                    yield number, f"there is no such heading: {target}"


# ---- Rules of the whole tree --------------------------------------------------------------------


def check_dead(files):
    """Private headers and tables that nobody includes."""
    text = "\n".join(file.text for file in files if file.is_c or file.suffix == ".def")
    for file in files:
        if file.floor and file.suffix in (".h", ".def"):
            short = file.name.removeprefix("src/")
            if f'"{short}"' not in text and short != f"{file.floor}/{file.floor}.h":
                yield file.name, 1, "nobody includes it"


def nm(*args):
    done = subprocess.run(["nm", *map(str, args)], capture_output=True, text=True)
    return {line.split()[2].split("@")[0] for line in done.stdout.splitlines()
            if len(line.split()) == 3}


def stood_in_for(root, library):
    """What a library with a map of its own exports: that is, what the map says."""
    own = root / "cmake" / f"{library.stem.removeprefix('lib')}.map"
    if own.stem == "aglet" or not own.exists():
        return set()
    return set(re.findall(r"^ +(\w+);$", own.read_text(), re.M))


def check_symbols(root, files):
    """The names in the libraries of the build dev or release, the newer one, if there is one."""
    built = [*root.glob("build/dev/libaglet.so"), *root.glob("build/release/libaglet.so")]
    built.sort(key=lambda path: path.stat().st_mtime)
    promised = "\n".join(file.text for file in files if file.name.startswith("include/"))
    for library in sorted(built[-1].parent.glob("libaglet*.so")) if built else []:
        name = str(library.relative_to(root))
        known = stood_in_for(root, library)
        for symbol in sorted(nm("-D", "--defined-only", library)):
            if symbol.startswith("AGLET_") or symbol in known:
                continue
            if not symbol.startswith("ag_"):
                yield name, 0, f"exports {symbol}; exported names begin with ag_"
            elif not re.search(rf"\b{symbol}\b", promised):
                yield name, 0, f"exports {symbol}, which no public header declares"
        archive = library.with_suffix(".a")
        for symbol in sorted(nm("-g", "--defined-only", archive)):
            if not symbol.startswith(("ag_", "DW.ref")):
                yield name, 0, f"{symbol} is neither static nor begins with ag_"


# ---- Putting it together ------------------------------------------------------------------------


def list_files(root):
    """Everything that is not ignored by git; without git, everything outside build/."""
    command = ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = shutil.which("git") and subprocess.run(command, capture_output=True, text=True)
    if done and done.returncode == 0:
        names = done.stdout.split("\0")
    else:
        names = [str(path.relative_to(root)) for path in root.rglob("*")]
    return sorted({name for name in names if name and (root / name).is_file() and
                   not name.startswith((".git/", "build/")) and "__pycache__" not in name})


def load(root):
    files = []
    for name in list_files(root):
        if any(fnmatch.fnmatch(name, pattern) for pattern in FOREIGN):
            continue
        try:
            files.append(File(root, name))
        except UnicodeDecodeError:
            continue
    return files


def read_ratchet(path):
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {key: int(length) for key, length in pairs}


def shrink(path, files, ratchet):
    """Lowers the limits of the ratchet to what is; never raises one."""
    lengths = {f"{file.name}:{name}": length for file in files if file.is_c
               for name, _, length in functions(file)}
    kept = {key: min(limit, lengths.get(key, 0)) for key, limit in ratchet.items()}
    lines = [f"{key} {length}" for key, length in sorted(kept.items()) if length > FUNCTION_LINES]
    head = "# Functions longer than the limit, and their lines. They may only get shorter.\n"
    path.write_text(head + "".join(line + "\n" for line in lines))


def check(root, only=()):
    """(problems, warnings), both [(file, line, text)]."""
    files = load(root)
    floors_file = root / "src/floors.txt"
    floors = Floors(floors_file.read_text() if floors_file.exists() else "")
    ratchet = read_ratchet(root / "tools/tidy_ratchet.txt")
    problems, warnings = [], []
    for file in files:
        if only and file.name not in only:
            continue
        for rule in (check_includes(file, floors), check_layout(file), check_head(file),
                     check_calls(file, floors), check_functions(file, ratchet),
                     check_links(file, root)):
            problems += [(file.name, line, text) for line, text in rule]
        warnings += [(file.name, line, text) for line, text in check_public(file)]
    if not only:
        problems += [*check_dead(files), *check_symbols(root, files)]
    return problems, warnings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", help="only these, relative to the root")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--shrink", action="store_true", help="lower the ratchet")
    args = parser.parse_args()
    if args.shrink:
        ratchet_file = args.root / "tools/tidy_ratchet.txt"
        shrink(ratchet_file, load(args.root), read_ratchet(ratchet_file))
    problems, warnings = check(args.root, args.files)
    for name, line, text in warnings:
        print(f"{name}:{line}: warning: {text}")
    for name, line, text in problems:
        print(f"{name}:{line}: {text}")
    print(f"tidy: {len(problems)} problems, {len(warnings)} warnings")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
