#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The ways in to a running program, as a user goes them: the tool `aglet`, and curl.

    tests/ways/run.py BUILD_DIR

Compiles program.c of this folder, runs it, and asks it while it waits, burns its processors, is
stopped, killed, or was never an aglet program. What goes wrong must be told in words that say what
to do.
"""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import openmetrics

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = Path(sys.argv[1]).resolve()
TOOL = BUILD / "bin" / "aglet"
LIMIT_S = 120
WORK = Path(tempfile.mkdtemp(prefix="aglet-ways-"))
RUNTIME = WORK / "run"
ENV = {**os.environ, "XDG_RUNTIME_DIR": str(RUNTIME)}


class Skip(Exception):
    """Something is missing."""


def need(truth, what):
    if not truth:
        raise AssertionError(what)


def run(*args, **env):
    """(status, stdout, stderr) of the tool."""
    done = subprocess.run([TOOL, *map(str, args)], stdin=subprocess.DEVNULL, cwd=WORK,
                          capture_output=True, timeout=LIMIT_S, env={**ENV, **env})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def refuses(*args, status=1, words=""):
    got, out, err = run(*args)
    need(got == status and words in err and not out,
         f"{args}: status {got}, expected {status} and `{words}`:\n{out}{err}")


class Program:
    """One that runs until the block ends."""

    def __init__(self, *args, **env):
        self.args, self.env = args, env

    def __enter__(self):
        self.process = subprocess.Popen(
            [WORK / "program", *self.args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**ENV, "AGLET_PROCS": "2", "AGLET_QUIET": "1", **self.env})
        need(self.process.stdout.readline() == b"ready\n", "the program did not start")
        self.pid = self.process.pid
        self.socket = RUNTIME / "aglet" / f"{self.pid}.sock"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def ends(self):
        self.process.stdin.write(b"x")
        self.process.stdin.flush()
        return self.process.wait(LIMIT_S)


def web(url, *options):
    """(status, body, head)"""
    if not shutil.which("curl"):
        raise Skip("curl")
    done = subprocess.run(["curl", "-sS", "--max-time", "60", "-D", WORK / "head",
                           "-w", "\n%{http_code}", *options, url],
                          capture_output=True, timeout=LIMIT_S, check=False)
    need(done.returncode == 0, f"curl ends with {done.returncode}: {done.stderr.decode()}")
    body, _, status = done.stdout.decode().rpartition("\n")
    return int(status), body, (WORK / "head").read_text().lower()


def curl(socket, path, *options):
    """(status, body)"""
    return web(f"http://aglet{path}", "--unix-socket", socket, *options)[:2]


# ---- Tests --------------------------------------------------------------------------------------


def ps_lists_a_program_with_its_goroutines():
    with Program() as program:
        status, out, _ = run("ps")
        lines = [line for line in out.splitlines() if line.split()[0] == str(program.pid)]
        need(status == 0 and len(lines) == 1, out)
        pid, goroutines, threads, uptime, command = lines[0].split(None, 4)
        need(goroutines == "11" and int(threads) > 2, lines[0])
        need(re.fullmatch(r"[\d.]+s", uptime) and command == str(WORK / "program"), lines[0])
    _, out, _ = run("ps")
    need(str(program.pid) not in [line.split()[0] for line in out.splitlines()], out)


def named_threads(program):
    names = [path.read_text() for path in Path(f"/proc/{program.pid}/task").glob("*/comm")]
    return [name for name in names if name.startswith("aglet-")]


def ps_tells_of_programs_without_a_socket():
    with Program(AGLET_NO_SOCKET="1") as program:
        # By such a name it is known; the thread gives it to itself once it has begun.
        end = time.monotonic() + LIMIT_S
        while "aglet-monitor\n" not in named_threads(program):
            need(time.monotonic() < end, f"threads: {named_threads(program)}")
            time.sleep(0.01)
        _, out, _ = run("ps")
        need(re.search(rf"^ *{program.pid} +no socket ", out, re.M), out)
        refuses("dump", program.pid, words="AGLET_NO_SOCKET")


def ps_clears_away_what_killed_programs_left():
    with Program() as program, Program() as other:
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()
        need(program.socket.exists(), "SIGKILL leaves no time to clear away")
        keep = RUNTIME / "aglet" / "notes.txt"
        keep.write_text("mine")
        run("ps")
        need(not program.socket.exists() and other.socket.exists() and keep.exists(),
             str(list(keep.parent.iterdir())))
        keep.unlink()
    run("ps")


def the_socket_goes_with_the_program():
    with Program() as program:
        need(program.socket.exists(), "no socket")
        need(program.ends() == 7, "status")
        need(not program.socket.exists(), "the socket is still there")


def dump_prints_all_goroutines_or_one():
    with Program() as program:
        status, out, err = run("dump", program.pid)
        need(status == 0 and not err, err)
        need(out.count("\ngoroutine ") + out.startswith("goroutine ") == 11, out)
        need(out.count("[chan receive]") == 10 and "program.c:" in out, out)
        status, out, _ = run("dump", program.pid, 1)
        need(status == 0 and out.startswith("goroutine 1 [") and "\ngoroutine " not in out, out)
        refuses("dump", program.pid, 4711, words="no goroutine has this number")
        refuses("dump", program.pid, "x", status=2, words="the number of a goroutine")
        refuses("dump", program.pid, 1, 2, status=2, words="the number of a goroutine")


def a_program_whose_processors_all_burn_answers():
    with Program("burn", AGLET_MAX_RUNNING="1") as program:
        status, out, _ = run("dump", program.pid)
        need(status == 0 and "created by app in goroutine 1" in out, out)
        status, out, _ = run("get", program.pid, "/debug/stats")
        need(status == 0 and json.loads(out)["goroutines"] == 19, out)


def get_lists_and_gets():
    with Program() as program:
        status, out, _ = run("get", program.pid)
        need(status == 0 and "/debug/goroutines " in out, out)
        paths = [line.split()[0] for line in out.splitlines()]
        need(len(set(paths)) == len(paths), out)
        need(all(path.startswith(("/debug/", "/metrics")) for path in paths), out)
        status, out, _ = run("get", program.pid, "/debug/stats")
        need(status == 0 and json.loads(out)["pid"] == program.pid, out)
        refuses("get", program.pid, "/debug/none", words=f"`aglet get {program.pid}` lists")
        refuses("get", program.pid, "/debug/a b", words="is no path")
        refuses("get", program.pid, "debug", status=2, words="comes a path")
        refuses("get", program.pid, "/" + "a" * 3000, words="is no path")


def errors_say_what_to_do():
    refuses("dump", 99999999, words="there is no process 99999999; `aglet ps` lists")
    refuses("dump", os.getpid(), words="is no aglet program")
    for word in "dump", "get", "metrics", "pprof", "trace", "top":
        refuses(word, status=2, words="which process?")
        refuses(word, "none", status=2, words="which process?")
        refuses(word, "-3", status=2, words="which process?")
    refuses("ps", "all", status=2, words="no arguments")
    with Program() as program:
        refuses("pprof", program.pid, status=2, words="which profile?")
        refuses("pprof", program.pid, "../x", status=2, words="which profile?")
        refuses("pprof", program.pid, "heap", "--seconds", "0", status=2, words="whole number")
        refuses("trace", program.pid, "--quick", status=2, words="is not understood")
        refuses("pprof", program.pid, "none", words="does not offer /debug/pprof/none")
        need(not list(WORK.glob("*.pb.gz*")), "a file of nothing")
        refuses("pprof", program.pid, "none", "-o", "/not/there", words="can't write /not/there")


def a_stopped_program_is_told_of():
    with Program() as program:
        program.process.send_signal(signal.SIGSTOP)
        refuses("dump", program.pid, words=f"is stopped, by a signal or a debugger; kill -CONT")
        program.process.send_signal(signal.SIGCONT)
        need(run("dump", program.pid)[0] == 0, "it goes on")


def a_profile_goes_into_a_file_or_to_stdout():
    with Program() as program:
        _, plain, _ = run("get", program.pid, "/debug/pprof/goroutine?debug=2")
        need("goroutine 1 [" in plain, plain)
        status, out, err = run("pprof", program.pid, "goroutine", "--text")
        if status == 1 and "not offered" in err:
            raise Skip("this program offers no profiles")
        need(status == 0 and out, err)
        status, out, err = run("pprof", program.pid, "goroutine", "-o", "it.pb.gz")
        need(status == 0 and (WORK / "it.pb.gz").stat().st_size > 0, err)
        need(not list(WORK.glob("*.part")), "a part is left")


def a_full_disk_is_told_of():
    with Program() as program, open("/dev/full", "wb") as full:
        done = subprocess.run([TOOL, "dump", str(program.pid)], stdout=full, stderr=subprocess.PIPE,
                              timeout=LIMIT_S, env=ENV)
        need(done.returncode == 1 and b"can't write" in done.stderr, str(done))


def curl_is_a_client():
    with Program() as program:
        status, body = curl(program.socket, "/debug/goroutines")
        need(status == 200 and body.count("[chan receive]") == 10, body)
        status, body = curl(program.socket, "/debug/stats", "--http1.0")
        need(status == 200 and json.loads(body)["goroutines"] == 11, body)
        need(curl(program.socket, "/debug/none")[0] == 404, "status")
        need(curl(program.socket, "/debug/list", "-X", "POST", "-d", "x")[0] == 405, "status")


def what_the_pages_ask_for_is_json():
    with Program() as program:
        def get(path):
            return json.loads(run("get", program.pid, path)[1])

        waits = get("/debug/waits?each=0")
        need(max(node["count"] for node in waits["nodes"]) == 10 and waits["circles"] == 0, waits)
        need([one["kind"] for one in waits["objects"]] == ["channel"], waits)
        node = waits["nodes"][waits["waits"][0][0]]
        need(node["stack"][0][0] == "waits" and waits["waits"] == [[
            waits["nodes"].index(node), 0, 10, "receive"]], waits)
        each = get("/debug/each")
        need([row[0] for row in each["rows"]] == list(range(1, 12)) and each["more"] == 0, each)
        call, by, path, line = each["sites"][each["rows"][5][2]]
        need(call == "waits" and by == "app" and path.endswith("program.c") and line > 20, each)
        need(each["states"][each["rows"][5][3]] == ["chan receive", True], each)
        profile = get("/debug/pprof/goroutine?format=json")
        # Ways through the runtime may differ, so they may be more than one stack.
        need(sum(values[0] for values, places, state in profile["stacks"]
                 if state == "chan receive" and
                 "waits" in [profile["places"][i][0] for i in places]) == 10, profile)
        for name in ("offcpu", "spawn", "block", "mutex", "threadcreate"):
            need(get(f"/debug/pprof/{name}?format=json")["profile"] == name, name)
        lanes = get("/debug/trace?format=lanes&seconds=0")
        need(all(len(one) == (6 if one[0] == 1 else 7) for one in lanes["lanes"]), lanes)
        need(lanes["now"] >= lanes["base"] and not lanes["cut"], lanes)
        regions = [one for one in lanes["lanes"] if one[0] == 3]
        ended = [one for one in regions if one[1] == 0 and one[5] > 0]
        need([lanes["names"][one[6]] for one in ended] == ["counting"] * 3 and
             len({one[5] for one in ended}) == 3 and {one[4] for one in ended} == {1}, regions)
        goes_on = [one for one in regions if one[1] == -1 and one[5] == 0]
        need([lanes["names"][one[6]] for one in goes_on] == ["waiting"] * 10 and
             len({one[4] for one in goes_on}) == 10 and len(regions) == 13, regions)
        need(all(lanes["base"] + one[2] + one[3] == lanes["now"] for one in goes_on), regions)


def groups_and_processors_are_json():
    with Program() as program:
        groups = json.loads(run("get", program.pid, "/debug/groups")[1])
        need(groups[0]["count"] == 10 and groups[0]["state"] == "chan receive" and
             groups[0]["waits"] and groups[0]["call"] == "waits" and groups[0]["by"] == "app" and
             groups[0]["file"].endswith("program.c") and groups[0]["longest_ns"] > 0 and
             groups[0]["example"] > 1, str(groups))
        need(sum(group["count"] for group in groups) == 11, str(groups))
        procs = json.loads(run("get", program.pid, "/debug/procs")[1])
        need(len(procs["procs"]) == 2 and sum(p["runs"] for p in procs["procs"]) > 10, str(procs))


def top_prints_groups():
    with Program() as program:
        status, out, err = run("top", program.pid, "--once")
        need(status == 0 and not err, err)
        need(re.search(r"^goroutines 11 ", out, re.M), out)
        need(re.search(r"^ *10 +\S+ +chan receive +waits +program\.c:\d+$", out, re.M), out)
        refuses("top", program.pid, "--interval", "0", status=2, words="in seconds")
        refuses("top", program.pid, "--fast", status=2, words="not understood")
        looks = subprocess.Popen([TOOL, "top", str(program.pid), "--interval", "0.1"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
        rates = 0
        while rates < 2:
            line = looks.stdout.readline()
            need(line, "it ended by itself")
            rates += line.startswith(b"per second ")
        need(program.ends() == 7, "status")
        _, err = looks.communicate(timeout=LIMIT_S)
        need(looks.returncode == 1 and err.startswith(b"aglet: "), str((looks.returncode, err)))


class Terminal:
    """`aglet top` on a terminal of its own, 20 lines of 100 columns."""

    def __init__(self, pid):
        self.side, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
        self.before = termios.tcgetattr(other)
        self.other = other
        self.process = subprocess.Popen(
            [TOOL, "top", str(pid), "--interval", "0.2"], stdin=other, stdout=other,
            stderr=subprocess.PIPE, env=ENV)
        self.seen = b""

    def until(self, words):
        end = time.monotonic() + LIMIT_S
        while words not in self.seen:
            need(time.monotonic() < end, f"never {words} in {self.seen[-3000:]}")
            if select.select([self.side], [], [], 0.1)[0]:
                self.seen += os.read(self.side, 65536)
        self.seen = self.seen.partition(words)[2]

    def key(self, key):
        os.write(self.side, key)

    def ends(self, status):
        _, err = self.process.communicate(timeout=LIMIT_S)
        need(self.process.returncode == status, f"status {self.process.returncode}: {err}")
        self.until(b"\x1b[?25h\x1b[?1049l")
        need(termios.tcgetattr(self.other) == self.before, "the terminal is not as it was")
        os.close(self.side)
        os.close(self.other)
        return err


def top_draws_on_a_terminal_and_listens_to_keys():
    with Program() as program:
        screen = Terminal(program.pid)
        screen.until(b"chan receive")
        screen.until(b"sort (by count)")
        screen.key(b"s")
        screen.until(b"sort (by longest wait)")
        screen.key(b"p")
        screen.until(b"p go on")
        screen.key(b"p")
        screen.until(b"p pause")
        screen.until(b"per second")
        screen.key(b"q")
        screen.ends(0)
        screen = Terminal(program.pid)
        screen.until(b"chan receive")
        screen.process.send_signal(signal.SIGINT)
        screen.ends(0)
        screen = Terminal(program.pid)
        screen.until(b"chan receive")
        program.ends()
        need(screen.ends(1).startswith(b"aglet: "), "why")


class Served(Program):
    """The same with ag_debug_serve, and with ag_http_debug in a server of its own."""

    def __enter__(self):
        self.args = ("serve",)
        super().__enter__()
        self.ports = [int(word) for word in self.process.stdout.readline().split()]
        return self

    def curl(self, which, path, *options):
        """(status, body, head) at http://localhost"""
        return web(f"http://localhost:{self.ports[which]}{path}", "-4", *options)


def the_web_answers_alike_from_both_servers():
    with Served() as program:
        for which in 0, 1:
            status, body, head = program.curl(which, "/debug/stats")
            need(status == 200 and json.loads(body)["pid"] == program.pid, body)
            for field in ("cache-control: no-store", "content-security-policy: default-src 'none'",
                          "x-content-type-options: nosniff", "referrer-policy: no-referrer",
                          "content-type: application/json"):
                need(field in head, f"no {field}:\n{head}")
            status, body, _ = program.curl(which, "/debug/goroutines?id=1")
            need(status == 200 and body.startswith("goroutine 1 ["), body)
            status, body, _ = program.curl(which, "/debug/goroutines?id=one")
            need(status == 400 and "must be a number" in body, body)
            need(program.curl(which, "/debug/none")[0] == 404, "status")
            need(program.curl(which, "/debug/list", "--http1.0")[0] == 200, "status")


def the_web_answers_this_machine_alone():
    with Served() as program:
        port = program.ports[0]
        for which in 0, 1:
            refused = [("-H", "Host: evil.example"), ("-H", "Host: localhost.evil.example"),
                       ("-H", "Origin: http://evil.example"), ("-H", "Origin: null"),
                       ("-H", "Sec-Fetch-Site: cross-site"), ("-H", "Sec-Fetch-Site: same-site"),
                       ("-H", "X-Forwarded-For: 192.0.2.1"), ("-H", "Via: 1.1 proxy")]
            for options in refused:
                status, body, _ = program.curl(which, "/debug/stats", *options)
                need(status == 403 and "pid" not in body, f"{options}: {status}\n{body}")
            allowed = [("-H", "Sec-Fetch-Site: same-origin"), ("-H", "Sec-Fetch-Site: none"),
                       ("-H", f"Origin: http://localhost:{program.ports[which]}"),
                       ("-H", "Host: 127.0.0.1")]
            for options in allowed:
                status, body, _ = program.curl(which, "/debug/stats", *options)
                need(status == 200, f"{options}: {status}\n{body}")
            for method in "POST", "PUT", "DELETE", "OPTIONS":
                status = program.curl(which, "/debug/stats", "-X", method)[0]
                need(status == 405, f"{method}: {status}")
        if shutil.which("ss"):
            found = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True,
                                   check=False).stdout.decode().split()
            need(found[3] == f"127.0.0.1:{port}", str(found))


def the_web_asks_for_the_token():
    with Served(AGLET_DEBUG_TOKEN="open sesame") as program:
        for which in 0, 1:
            status, body, head = program.curl(which, "/debug/stats")
            need(status == 401 and "pid" not in body and "www-authenticate: basic" in head, body)
            for options in (("-u", ":open sesame"), ("-u", "me:open sesame"),
                            ("-H", "Authorization: Bearer open sesame"),
                            ("-u", "x:open sesame", "-H", "Host: app.example")):
                status, body, _ = program.curl(which, "/debug/stats", *options)
                need(status == 200 and "pid" in body, f"{options}: {status}\n{body}")
            for options in (("-u", ":open"), ("-u", "open sesame:"),
                            ("-H", "Authorization: Bearer open sesam")):
                need(program.curl(which, "/debug/stats", *options)[0] == 401, str(options))


WANTS_OPEN = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
              "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


def metrics_satisfy_promtool():
    with Served() as program:
        texts = [curl(program.socket, "/metrics")[1]]
        for which in 0, 1:
            status, body, head = program.curl(which, "/debug/metrics")
            need(status == 200 and "content-type: text/plain; version=0.0.4" in head, head)
            texts.append(body)
    if not shutil.which("promtool"):
        raise Skip("promtool (Debian: prometheus)")
    for text in texts:
        need("ways_took_seconds_bucket" in text and "aglet_goroutines" in text, text)
        done = subprocess.run(["promtool", "check", "metrics"], input=text.encode(),
                              capture_output=True, timeout=LIMIT_S, check=False)
        need(done.returncode == 0 and not done.stderr, f"{done.stderr.decode()}\n{text}")


def openmetrics_come_to_whom_they_suit_and_follow_their_rules():
    with Served() as program:
        texts = [curl(program.socket, "/metrics", "-H", f"Accept: {WANTS_OPEN}")[1]]
        for which in 0, 1:
            status, body, head = program.curl(which, "/debug/metrics", "-H",
                                              f"Accept: {WANTS_OPEN}")
            need(status == 200, body)
            need("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8" in head,
                 head)
            texts.append(body)
    for text in texts:
        wrong = list(openmetrics.problems(text))
        need(not wrong, "\n".join(wrong[:10]))
        need(re.search(r'^ways_hits_total 3 # \{request_id="r-1"\} 1 \d+\.\d{3}$', text, re.M),
             text)
        need('{kind="io",le="1.0"} 2 # {request_id="a \\"quoted\\"\\n\\\\ na\u00efve \ufffd"} 0.5 '
             in text, text)
    seeded = [("# EOF\n", ""), ("# EOF\n", "\n# EOF\n"), (' # {request_id="r-1"} 1', " # r-1 1"),
              ("# TYPE ways_depth gauge", "# TYPE ways_depth counter"),
              ('le="0.001"', 'le="0.0010"x'), ('le="+Inf"} 3', 'le="+Inf"} 1'),
              ("ways_took_seconds_sum", "ways_taken_seconds_sum")]
    for old, new in seeded:
        need(old in text, old)
        need(list(openmetrics.problems(text.replace(old, new, 1))), f"{new!r} is not found wrong")


TESTS = [metrics_satisfy_promtool, openmetrics_come_to_whom_they_suit_and_follow_their_rules,
         the_web_answers_alike_from_both_servers, the_web_answers_this_machine_alone,
         the_web_asks_for_the_token, groups_and_processors_are_json,
         what_the_pages_ask_for_is_json, top_prints_groups,
         top_draws_on_a_terminal_and_listens_to_keys,
         ps_lists_a_program_with_its_goroutines, ps_tells_of_programs_without_a_socket,
         ps_clears_away_what_killed_programs_left, the_socket_goes_with_the_program,
         dump_prints_all_goroutines_or_one, a_program_whose_processors_all_burn_answers,
         get_lists_and_gets, errors_say_what_to_do, a_stopped_program_is_told_of,
         a_profile_goes_into_a_file_or_to_stdout, a_full_disk_is_told_of, curl_is_a_client]


def compile_program(suite):
    compiler = re.search(r"^compiler (.*)$", suite, re.M).group(1)
    libraries = re.search(r"^link_http (.*)$", suite, re.M).group(1).split()
    done = subprocess.run([compiler, "-std=gnu11", "-g", f"-I{ROOT}/include", HERE / "program.c",
                           *libraries, "-o", WORK / "program", "-pthread", "-lm"],
                          capture_output=True, check=False, cwd=BUILD)
    need(done.returncode == 0, done.stderr.decode())
    RUNTIME.mkdir(mode=0o700)


def main():
    suite = (BUILD / "suite.txt").read_text()
    unfit = re.search(r"^(sanitize|emulator) \S", suite, re.M)
    passed = failed = skipped = 0
    if not unfit:
        compile_program(suite)
    for test in TESTS:
        try:
            if unfit:
                raise Skip("a build whose programs need its own flags")
            test()
            passed += 1
            print(f"ok {test.__name__}")
        except Skip as missing:
            skipped += 1
            print(f"skipped {test.__name__}: {missing}")
        except (AssertionError, subprocess.TimeoutExpired, ValueError, OSError) as why:
            failed += 1
            print(f"FAILED {test.__name__}: {why}".replace("\n", "\n    "))
        sys.stdout.flush()
    shutil.rmtree(WORK)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
