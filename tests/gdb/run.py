#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The script for gdb, under gdb: every command, on live processes and on core files.

    tests/gdb/run.py BUILD_DIR

stand.c is built with the compiler of the build, optimised and not, with both libraries. gdb is
attached to it, starts it, and reads its core files, those of the script's own command and of the
kernel. Each time it must load the script by itself, from the program or the library, and each
command is compared with what stand.c has set up. steps.c is walked through instruction by
instruction: at each the frames must be right. A cross build is looked at through the emulator.
"""
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIMIT_S = 300
MARK = "=-=-="
NOP_BYTES = 1  # before the first instruction
NEVER = re.compile(r"Python Exception|Traceback|Backtrace stopped|corrupt stack|"
                   r"debug information of libaglet|no debug information here")

# Command, what its output must match, each with `.` for anything but the end of a line.
CHECKS = [
    ("goroutines",
     r'^goroutine 1 \[sync\.WaitGroup\.Wait, .*\d s\] for 0x\w+ in app at stand\.c:\d+$',
     r'^goroutine \d+ "lefty" \[sync\.Mutex\.Lock, .*\] for 0x\w+ in lock_both at stand\.c:\d+, '
     r'created at .*stand\.c:\d+$',
     r'\[sync\.Mutex\.Lock, .* in lock_left at', r'\[chan receive, .* in take at',
     r'\[chan send, .* in give at', r'\[select, .* in choose at', r'\[sleep, .* in read_shelf at',
     r'\[sync\.RWMutex\.Lock, .* in write_shelf at', r'\[sync\.Cond\.Wait, .* in hear at',
     r'\[semaphore\.Acquire, .* in enter at', r'\[scope end, .* in own_a_scope at',
     r'\[running, thread \d+\] in (run_on|all_stand|\w*write) at', r'^thread \d+ \[chan receive, '),
    ("goroutines -name lefty -quick",
     r'\Agoroutine \d+ "lefty" \[sync\.Mutex\.Lock, .*\] for 0x\w+, created at .*\Z'),
    ("goroutines -state select", r'\Agoroutine \d+ \[select, .*\Z'),
    ("goroutines -at hear", r'\Agoroutine \d+ \[sync\.Cond\.Wait, .*\Z'),
    ("goroutines -object &bookshelf", r'\Agoroutine \d+ \[sync\.RWMutex\.Lock, .*\Z'),
    ("goroutines -object none", r'\[chan receive.*\n(.*\n)*.*\[select, '),
    ("goroutines -longer 1000000", r'\Ano such goroutine\Z'),
    ("goroutines -limit 2", r'\Agoroutine 1 .*\ngoroutine .*\nand more\Z'),
    ("goroutines -sort", r'no option -sort'),
    ("goroutines -limit x", r'-limit is a number, not x'),
    ("goroutine taker_id bt", r'^#\d+ .* take \(.*stand\.c:\d+$', r'ag__chan_recv',
     r'^#\d+ .*ag(?:__|\.)switch_bottom \(\).*\Z'),
    ("goroutine taker_id bt -no-filters", r'take \(', r'^#\d+ .*ag(?:__|\.)switch_bottom \(\).*\Z'),
    ("goroutine taker_id info locals", r'^local_of_take = 42$'),
    ("goroutine taker_id", r'^goroutine \d+ \[chan receive, ', r'take \('),
    ("p local_of_take", r'= 42$'),
    ("up", r'^#\d+ .* ag(__|\.)call'),
    ("bt 1", r'\A#\d+ .*(switch|park)'),
    ("goroutine", r'goroutine \d+ is being looked at'),
    ("goroutine off",),
    ("goroutine 123456 bt", r'there is no goroutine 123456'),
    ("goroutine all bt -no-filters", r'(?s)(ag(__|\.)switch_bottom.*){12}'),
    ("python walk_all()", r'^walk: 1\d goroutines end at the bottom'),
    ("channel orders", r'^channel 0x\w+ of (struct )?order, 2 of 4 buffered$',
     r'^  \[0\] {number = 1, item = 0x\w+ "shoelace"}$', r'^  \[1\] {number = 2, .* "aglet"}$'),
    ("channel full", r'^  \[0\] 10\n  \[1\] 11$', r'^waits to send 12: goroutine \d+ \[chan send, ',
     r'^waits to send 77: goroutine \d+ \[select, '),
    ("channel -as int (void *)full", r'^  \[1\] 11$'),
    ("channel (void *)full", r'of 4 bytes', r'^  \[1\] 0b 00 00 00$'),
    ("channel none", r'^channel 0x\w+ of int, 0 of 0 buffered$',
     r'^waits to receive: goroutine \d+ \[chan receive', r'^waits to receive: goroutine .*\[select',
     r'^waits to receive: thread \d+ \[chan receive'),
    ("channel closed", r', closed$'),
    ("channel (void *)0", r'nil channel'),
    ("channel &left", r'there is no channel at 0x'),
    ("waiters left", r'(goroutine \d+ \[sync\.Mutex\.Lock.*\n){2}'
     r'goroutine \d+ "lefty" has locked the mutex\Z'),
    ("waiters &right", r'^goroutine \d+ "lefty" \[sync\.Mutex\.Lock'),
    ("waiters bookshelf", r'\[sync\.RWMutex\.Lock', r'^goroutine \d+ has locked it for reading$'),
    ("waiters group", r'\Agoroutine 1 \[sync\.WaitGroup\.Wait'),
    ("waiters seats", r'\[semaphore\.Acquire'),
    ("waiters &news", r'\[sync\.Cond\.Wait'),
    ("waiters none", r'\[chan receive', r'\[select', r'^thread \d+ '),
    ("waiters orders", r'\Anobody waits for it\Z'),
    ("waiters 1.5", r'no object that one could wait for'),
    ("deadlock", r'(?s)\Adeadlock of 2:.*^deadlock of 2:',
     r'lock_both at stand\.c.*\n    goroutine \d+ "lefty" has locked the mutex',
     r'own_a_scope at .*\n    goroutine \d+ belongs to the scope',
     r'^waits behind it: goroutine \d+ \[sync\.Mutex\.Lock, .* in lock_left'),
    ("procs", r'^processor 0: ', r'^processor 1: ', r'^global queue: '),
    ("threads", r'runs goroutine \d+', r'a helper of the runtime', r'not started by the runtime'),
    ("p left", r'= {locked by goroutine \d+, 2 wait}$'),
    ("p &left", r'= \(ag_mutex \*\) 0x'),
    ("p news_mutex", r'= {unlocked}$'),
    ("p bookshelf", r'= {locked by 1 readers, to be locked by goroutine \d+}$'),
    ("p group", r'= {counter 3, 1 wait}$'),
    ("p once", r'= {done}$'),
    ("p news", r'= {1 wait}$'),
    ("p seats", r'= {2 of 3 taken, 1 wait}$'),
    ("p patience", r'= 1500000000 \(1\.500 s\)$'),
    ("p orders", r'= \(channel 0x\w+ of (struct )?order, 2 of 4 buffered\)$'),
    ("p/r group", r'ag__counter = 3'),
    ("help goroutines", r'-longer SECONDS'),
]


class Tests:
    def __init__(self, build, work):
        self.build, self.work, self.passed, self.failed, self.skipped = build, work, 0, 0, 0
        self.suite, self.script = {}, build / "aglet-gdb.py"
        for line in (build / "suite.txt").read_text().splitlines():
            key, _, value = line.partition(" ")
            self.suite.setdefault(key, value.strip())
        self.debugger = "gdb-multiarch" if self.suite["emulator"] else "gdb"
        self.env = dict(os.environ, AGLET_PROCS="2", AGLET_CHECK="1", LC_ALL="C",
                        HOME=str(work))
        self.env.pop("DEBUGINFOD_URLS", None)

    def expect(self, name, problem):
        if problem is None:
            self.passed += 1
            print(f"ok gdb {name}")
        else:
            self.failed += 1
            print(f"FAILED gdb {name}: " + problem.rstrip().replace("\n", "\n    "))

    def skip(self, name, needs):
        self.skipped += 1
        print(f"skipped gdb {name}: needs {needs}")

    def compile(self, source, *flags, name=None):
        """The program, or None."""
        out = self.work / (name or Path(source).stem)
        command = [self.suite["compiler"], "-std=gnu11", "-Wall", "-Wextra", *flags,
                   f"-I{ROOT}/include"]
        library = self.build / ("libaglet.so" if "-DSHARED" in flags else "libaglet.a")
        if library.suffix == ".so":
            command.append(f"-Wl,-rpath,{self.build}")
        done = subprocess.run([*command, str(HERE / source), str(library), "-pthread", "-o",
                               str(out)], capture_output=True, text=True)
        if done.returncode == 0:
            return out
        self.expect(f"builds {out.name}", done.stderr)
        return None

    def gdb(self, *args, safe=True):
        command = [self.debugger, "-q", "-nx", "-batch", "-iex", "set debuginfod enabled off"]
        for folder in (self.work, self.build) if safe else ():
            command += ["-iex", f"add-auto-load-safe-path {folder}"]
        for setting in ("width 0", "height 0", "confirm off", "style enabled off"):
            command += ["-iex", f"set {setting}"]
        try:
            done = subprocess.run([*command, *args], env=self.env, cwd=self.work, text=True,
                                  errors="replace", stdin=subprocess.DEVNULL, timeout=LIMIT_S,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired as late:
            return f"gdb takes longer than {LIMIT_S} s:\n{late.stdout}"
        return done.stdout

    def look(self, name, *before, after=()):
        """All checks in one session of gdb, which begins with these arguments."""
        args = [*before, "-ex", f"source {HERE}/walk.py"]
        for i, (command, *_) in enumerate(CHECKS):
            args += ["-ex", f"echo \\n{MARK}{i}\\n", "-ex", command]
        args += ["-ex", f"echo \\n{MARK}end\\n", *after]
        output = self.gdb(*args)
        parts = dict(re.findall(rf"^{MARK}(\w+)\n(.*?)(?=^{MARK}|\Z)", output, re.M | re.S))
        for i, (command, *wanted) in enumerate(CHECKS):
            text = parts.get(str(i), "").strip("\n")
            missing = [w for w in wanted if not re.search(w, text, re.M)]
            problem = None
            if str(i) not in parts:
                problem = f"gdb did not come so far:\n{output[-2000:]}"
            elif missing or NEVER.search(text):
                problem = f"no `{missing}` in:\n{text}" if missing else text
            self.expect(f"{name}: {command}", problem)
        return parts.get("end", output)

    # ---- Ways to look at a program. ----

    def start(self, program):
        """The process, once all stands."""
        process = subprocess.Popen([program], env=self.env, cwd=self.work, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL,
                                   preexec_fn=lambda: resource.setrlimit(
                                       resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
        line = process.stdout.readline()
        if line == "ready\n":
            return process
        process.kill()
        process.wait()
        raise AssertionError(f"{program} does not come to stand: {line}")

    def attached(self, name, program):
        process = self.start(program)
        try:
            saved = self.work / "saved.core"
            end = self.look(f"{name}, attached", "-p", str(process.pid),
                            after=["-ex", f"aglet core {saved}"])
            good = re.search(r"^saved .*, with 1\d stacks of goroutines$", end, re.M)
            self.expect(f"{name}, attached: aglet core", None if good else end)
            # It goes on as if nothing had been.
            self.expect(f"{name}, attached: goes on",
                        None if process.poll() is None else f"status {process.poll()}")
        finally:
            process.kill()
            process.wait()
        if good:
            self.look(f"{name}, saved core", str(program), str(saved))
            saved.unlink()

    def started(self, name, program):
        self.look(f"{name}, started", str(program), "-ex", "set breakpoint pending on",
                  "-ex", "break all_stand", "-ex", "run", after=["-ex", "kill"])

    def emulated(self, name, program):
        """Through the emulator's own server. It says nothing of signed return addresses, so the
        processor is one without."""
        socket = self.work / "gdb.sock"
        emulator = self.suite["emulator"].split()
        process = subprocess.Popen([emulator[0], "-cpu", "cortex-a72", *emulator[1:], "-g",
                                    str(socket), str(program)], env=self.env, cwd=self.work,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            while not socket.exists() and process.poll() is None:
                time.sleep(0.01)
            self.look(f"{name}, emulated", "-iex", f"set sysroot {emulator[-1]}", str(program),
                      "-ex", f"target remote {socket}", "-ex", "break all_stand", "-ex", "continue",
                      after=["-ex", "kill"])
        finally:
            process.kill()
            process.wait()

    def dumped(self, name, program):
        pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if pattern.startswith("|") or "/" in pattern or "%" in pattern:
            self.skip(f"{name}, core of the kernel", "a plain name in kernel.core_pattern")
            return
        process = self.start(program)
        process.send_signal(6)
        process.wait()
        cores = list(self.work.glob(f"{pattern}*"))
        if not cores:
            self.skip(f"{name}, core of the kernel", "core files")
            return
        self.look(f"{name}, core of the kernel", str(program), str(cores[0]))
        cores[0].unlink()

    # ---- Tests of their own. ----

    def steps(self, name, program):
        output = self.gdb(str(program), "-ex", f"source {HERE}/walk.py", "-ex", "break step_here",
                          "-ex", "run", "-ex", "set scheduler-locking step",
                          "-ex", "python walk_steps(10000)", "-ex", "kill")
        good = re.search(r"^walk: \d{3,} steps on goroutines; seen .*\bother\b.*\bwalker\b", output,
                         re.M)
        told = re.findall(r"^(?:walk:|Error|Python|Thread \d+).*", output, re.M)
        self.expect(f"{name}: frames are right at every instruction",
                    None if good else "\n".join(told) or output[-3000:])

    def signal_handler(self, name, program):
        output = self.gdb(str(program), "-ex", "handle SIGUSR1 nostop noprint pass",
                          "-ex", "break on_usr1", "-ex", "run", "-ex", "bt", "-ex", "kill")
        good = re.search(r"on_usr1.*\n(.*\n)*.*<signal handler called>.*\n(.*\n)*.*walker.*\n"
                         r"(.*\n)*#\d+ .*ag(__|\.)switch_bottom", output)
        self.expect(f"{name}: frames behind a signal handler",
                    None if good and not NEVER.search(output) else output[-3000:])

    def start_code(self, name, program):
        output = self.gdb(str(program), "-ex", "break main", "-ex", "run", "-ex",
                          f"break *((char *)&ag__switch_bottom + {NOP_BYTES})",
                          "-ex", "continue", "-ex", f"echo {MARK}\\n", "-ex", "bt", "-ex",
                          f"echo {MARK}\\n", "-ex", "kill")
        part = output.split(MARK)[1].strip() if MARK in output else ""
        good = re.fullmatch(r"#0 .*ag(?:__|\.)switch_bottom \(\).*", part)
        self.expect(f"{name}: the first instruction of a goroutine", None if good else output)

    def perf(self, program):
        """Samples of a goroutine show the user's frames and end at the bottom of its stack."""
        data = self.work / "perf.data"
        record = ["perf", "record", "-q", "-e", "cpu-clock", "--call-graph=dwarf", "-o", str(data),
                  str(program)]
        if shutil.which("perf") is None:
            self.skip("perf", "perf (Debian package linux-perf)")
            return
        done = subprocess.run(record, env=self.env, capture_output=True, text=True,
                              timeout=LIMIT_S)
        if done.returncode != 0:
            self.skip("perf", "permission to sample: " + done.stderr.strip().split("\n")[0])
            return
        script = subprocess.run(["perf", "script", "-i", str(data)], env=self.env,
                                capture_output=True, text=True, errors="replace",
                                timeout=LIMIT_S).stdout
        samples = [sample for sample in script.split("\n\n") if re.search(r"\bburn\b", sample)]
        wrong = [s for s in samples if not re.search(r"(?s)\bbusy\b.*\bag__switch_bottom\b", s)]
        self.expect("perf shows goroutines", None if samples and not wrong else
                    f"{len(wrong)} of {len(samples)} samples:\n" + "\n\n".join(wrong[:3]))

    def without(self, program):
        """What is said when there is nothing to look at."""
        plain = self.work / "plain"
        source = self.work / "plain.c"
        source.write_text("int main(void) { return 0; }\n")
        subprocess.run([self.suite["compiler"], "-g", str(source), "-o", str(plain)], check=True)
        for title, where, words in (
                ("not started", [str(program)], "neither a process nor a core file"),
                ("another's program", [str(plain), "-ex", "break main", "-ex", "run"],
                 "there is no aglet in this program")):
            output = self.gdb(*where, "-ex", f"source {self.script}", "-ex", "goroutines", "-ex",
                              "deadlock", "-ex", "procs", "-ex", "goroutine 1 bt", "-ex", "kill")
            good = output.count(words) == 4 and not NEVER.search(output)
            self.expect(title, None if good else output)
        stripped = self.work / "stripped"
        subprocess.run(["strip", "-g", "-o", str(stripped), str(program)], check=True)
        output = self.gdb(str(stripped), "-ex", f"source {self.script}", "-ex", "break all_stand",
                          "-ex", "run", "-ex", "goroutines", "-ex", "kill")
        self.expect("stripped", None if "libaglet has no debug information here" in output
                    else output)
        split = self.work / "split"
        subprocess.run(["objcopy", "--only-keep-debug", str(program), f"{split}.debug"], check=True)
        subprocess.run(["objcopy", "-g", f"--add-gnu-debuglink={split}.debug", str(program),
                        str(split)], check=True)
        output = self.gdb(str(split), "-ex", "break all_stand", "-ex", "run", "-ex", "goroutines",
                          "-ex", "kill")
        self.expect("debug information in a file of its own",
                    None if '"lefty" [sync.Mutex.Lock, ' in output else output)

    def declined(self, program):
        """Where gdb may not load what lies in programs it names the line that allows it."""
        output = self.gdb(str(program), safe=False)
        good = f"add-auto-load-safe-path {program}" in output
        self.expect("says what line is wanted", None if good else output)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: tests/gdb/run.py BUILD_DIR")
    build = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as work:
        tests = Tests(build, Path(work).resolve())
        if shutil.which(tests.debugger) is None:
            tests.skip("", f"{tests.debugger} (Debian package {tests.debugger})")
        elif tests.suite["sanitize"]:
            tests.skip("", "a build without a sanitizer")
        elif "yes" not in tests.gdb("-ex", "python print('yes')"):
            tests.skip("", "gdb with Python")
        else:
            run(tests)
    skipped = f", {tests.skipped} skipped" if tests.skipped else ""
    print(f"{tests.passed} passed, {tests.failed} failed{skipped}")
    return 1 if tests.failed else 0


def run(tests):
    if tests.suite["emulator"]:
        for flag in "-O0", "-O2":
            program = tests.compile("stand.c", flag, "-g", name="stand" + flag)
            if program:
                tests.emulated(f"{flag} static", program)
        return
    for name, ways, *flags in (("-O0 static", ("attached",), "-O0", "-g"),
                               ("-O2 static", ("dumped",), "-O2", "-g"),
                               ("-O2 shared", ("started",), "-O2", "-g", "-DSHARED")):
        program = tests.compile("stand.c", *flags, name="stand" + name.replace(" ", ""))
        for way in ways if program else ():
            getattr(tests, way)(name, program)
        if program and name == "-O2 static":
            tests.without(program)
            tests.declined(program)
    tests.env.update(AGLET_PROCS="4", AGLET_CHECK="0")
    for level in ("-O0", "-O2"):
        program = tests.compile("steps.c", level, "-g", name="steps" + level)
        if program:
            tests.start_code(level, program)
            tests.signal_handler(level, program)
            tests.steps(level, program)
    program = tests.compile("busy.c", "-O2", "-g")
    if program:
        tests.perf(program)


if __name__ == "__main__":
    sys.exit(main())
