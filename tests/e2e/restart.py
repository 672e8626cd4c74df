#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Starts, stops and replaces services, as process managers do: under load, and when it goes wrong.

    tests/e2e/restart.py BUILD_DIR [--list] [NAME…]

The clients (examples/lab/load.h) count every request that was not answered. The last line is
`N passed, N failed[, N skipped]`.
"""
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cases import Skip, check, play, test, tests

SLOW = float(os.environ.get("AG_TEST_SLOW", "1"))
LIMIT_S = 30 * SLOW
ROUNDS = 50
CLIENTS = 16
PROGRAM = None


def eventually(condition, what):
    end = time.monotonic() + LIMIT_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"never true: {what}")
        time.sleep(0.002)


def is_alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class World:
    """A folder for one test, and the processes that it starts, with the successors of these."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="aglet-e2e-"))
        self.counts, self.fault = self.folder / "counts", self.folder / "fault"
        self.out, self.err = self.folder / "out", self.folder / "err"
        self.env = {**os.environ, "COUNTS": str(self.counts), "FAULT": str(self.fault)}
        self.started = []

    def serve(self, addr, net="tcp", program=None, sockets=(), names=None, **options):
        """A service whose number and words are in the files `out` and `err`."""
        command = [str(program or PROGRAM), "serve", net, addr]
        env = dict(self.env)

        def give():
            for i, s in enumerate(sockets):  # first out of the way
                os.dup2(s.fileno(), 100 + i)
            for i in range(len(sockets)):
                os.dup2(100 + i, 3 + i)
                os.close(100 + i)

        if sockets:
            env["LISTEN_FDS"] = str(len(sockets))
            if names:
                env["LISTEN_FDNAMES"] = ":".join(names)
            command = ["sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"', *command]
            options.update(preexec_fn=give, close_fds=False)
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            before = self.ready()
            p = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                 **options)
        self.started.append(p)
        eventually(lambda: len(self.ready()) > len(before) or p.poll() is not None, "ready")
        return p

    def ready(self):
        """The numbers of those that have said that they serve, in order."""
        text = self.out.read_text() if self.out.exists() else ""
        return [int(n) for n in re.findall(r"ready (\d+)\n", text)]

    def restart(self):
        """SIGUSR2 to the last one. Returns: the successor's number."""
        known = self.ready()
        os.kill(known[-1], signal.SIGUSR2)
        return eventually(lambda: self.ready()[len(known):], "a successor")[0]

    def replaced(self):
        """The same, and the old one has ended."""
        new = self.restart()
        eventually(lambda: len(self.ended()) == len(self.ready()) - 1, "the old one's end")
        return new

    def said(self, words):
        return words in self.err.read_text()

    def hears(self, words):
        eventually(lambda: self.said(words), words)

    def ended(self):
        """What those that have ended have said of it."""
        return re.findall(r"ended .*", self.out.read_text())

    def stop(self, pid=None, sig=signal.SIGTERM):
        pid = pid or self.ready()[-1]
        os.kill(pid, sig)
        for p in self.started:
            if p.pid == pid:
                return p.wait(LIMIT_S)
        eventually(lambda: not is_alive(pid), "the end of the process")
        return None

    def check_owed(self, processes):
        """Each process has run what it owed."""
        lines = [line.split() for line in self.counts.read_text().splitlines()]
        check(len(lines), processes)
        for pid, owed, run in lines:
            check((pid, run), (pid, owed))
        return sum(int(owed) for _, owed, _ in lines)

    def close(self):
        for pid in {p.pid for p in self.started} | set(self.ready()):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        for p in self.started:
            p.wait()
        shutil.rmtree(self.folder)


class Load:
    """Clients that ask without a break, until end()."""

    def __init__(self, port, clients=CLIENTS, path="/ok"):
        self.p = subprocess.Popen([PROGRAM, "load", str(port), str(clients), path], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def answered(self):
        self.p.stdin.write("?\n")
        self.p.stdin.flush()
        return int(self.p.stdout.readline())

    def goes_on(self, n=50):
        """So many more answers."""
        goal = self.answered() + n
        eventually(lambda: self.answered() >= goal, "more answers")

    def end(self):
        """(answered, failed, what the first failure was)"""
        self.p.stdin.write("end\n")
        text, _ = self.p.communicate(timeout=LIMIT_S * 2)
        answered, failed, _, first = re.match(r"answered (\d+) failed (\d+) connections (\d+) (.*)",
                                              text).groups()
        return int(answered), int(failed), first


def get(port, path, close=True):
    """(status, head, body)"""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as s:
        last = "Connection: close\r\n" if close else ""
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n{last}\r\n".encode())
        data = b""
        while part := s.recv(65536):
            data += part
    head, _, body = data.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, body


def ask(port, path):
    """A connection on which this was asked, and not answered yet."""
    s = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    return s


def is_refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S).close()
        return False
    except ConnectionRefusedError:
        return True


# ---- Under load ---------------------------------------------------------------------------------


@test
def a_held_socket_and_50_restarts_by_sigterm_lose_no_request(world):
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as held:
        port = held.getsockname()[1]
        load = Load(port)
        for _ in range(ROUNDS):
            p = world.serve(f"127.0.0.1:{port}", sockets=[held])
            load.goes_on()
            check(world.stop(p.pid), 0)
        p = world.serve(f"127.0.0.1:{port}", sockets=[held])
        answered, failed, first = load.end()
        check((failed, first), (0, ""))
        check(world.stop(p.pid), 0)
    check(world.check_owed(ROUNDS + 1), answered)


@test
def fifty_restarts_by_sigusr2_lose_no_request(world):
    port = free_port()
    p = world.serve(f"127.0.0.1:{port}")
    load = Load(port)
    for _ in range(ROUNDS):
        load.goes_on()
        world.restart()
    answered, failed, first = load.end()
    check((failed, first), (0, ""))
    check(p.wait(LIMIT_S), 0)
    eventually(lambda: len(world.ended()) == ROUNDS, "the end of all but the last")
    world.stop()
    eventually(lambda: len(world.ended()) == ROUNDS + 1, "the end of the last")
    check(world.check_owed(ROUNDS + 1), answered)
    check(is_refused(port), True)


@test
def ports_of_their_own_lose_no_request_either(world):
    world.env["REUSE_PORT"] = "1"
    port = free_port()
    world.serve(f"127.0.0.1:{port}")
    load = Load(port)
    for _ in range(5):
        load.goes_on()
        world.restart()
    load.goes_on()
    answered, failed, first = load.end()
    check((failed, first), (0, ""))
    world.stop()
    eventually(lambda: len(world.ended()) == 6, "the end of all")
    check(world.check_owed(6), answered)


@test
def the_clients_count_what_is_lost(world):
    """The control: a restart as it is done without all this."""
    port = free_port()
    old = world.serve(f"127.0.0.1:{port}")
    load = Load(port)
    load.goes_on()
    old.kill()
    old.wait()
    p = world.serve(f"127.0.0.1:{port}")
    load.goes_on()
    _, failed, first = load.end()
    assert failed >= CLIENTS // 2 and first, (failed, first)
    check(world.stop(p.pid), 0)


# ---- A successor that fails ---------------------------------------------------------------------


def goes_on_after(world, load, old, words):
    """The restart has failed, and nobody has noticed; the next one works."""
    world.hears(words)
    check(world.ready(), [old.pid])
    load.goes_on()
    world.fault.unlink(missing_ok=True)
    world.restart()
    load.goes_on()
    answered, failed, first = load.end()
    check((failed, first), (0, ""))
    check(old.wait(LIMIT_S), 0)
    world.stop()


def with_fault(world, fault, words):
    port = free_port()
    old = world.serve(f"127.0.0.1:{port}")
    load = Load(port)
    world.fault.write_text(fault)
    os.kill(old.pid, signal.SIGUSR2)
    goes_on_after(world, load, old, words)


@test
def a_successor_that_crashes_changes_nothing(world):
    with_fault(world, "crash", "it ended before it was ready: signal: aborted")


@test
def a_successor_that_exits_changes_nothing(world):
    with_fault(world, "exit", "it ended before it was ready: exit status 0")


@test
def a_successor_whose_part_does_not_start_changes_nothing(world):
    with_fault(world, "fail", "it ended before it was ready: exit status 1")


@test
def a_successor_that_hangs_is_ended(world):
    world.env["AGLET_RESTART_MS"] = "3000"
    with_fault(world, "hang", "it was not ready within 3.0 s")


@test
def a_program_that_cannot_be_run_changes_nothing(world):
    program = world.folder / "new"
    world.env["PROGRAM"] = str(program)
    port = free_port()
    old = world.serve(f"127.0.0.1:{port}")
    load = Load(port)
    os.kill(old.pid, signal.SIGUSR2)
    world.hears("it can't be started: No such file or directory")
    program.write_text("no program")
    os.kill(old.pid, signal.SIGUSR2)
    world.hears("it can't be started: Permission denied")
    program.unlink()
    shutil.copy(PROGRAM, program)
    goes_on_after(world, load, old, "Permission denied")


@test
def a_new_version_behind_the_same_name_is_started(world):
    """Also when it is the name of a link, and the file that was started is gone."""
    first, second, link = (world.folder / name for name in ("v1", "v2", "now"))
    shutil.copy(PROGRAM, first)
    shutil.copy(PROGRAM, second)
    link.symlink_to(first)
    port = free_port()
    world.serve(f"127.0.0.1:{port}", program=link)
    link.unlink()
    link.symlink_to(second)
    first.unlink()
    new = world.restart()
    check(os.readlink(f"/proc/{new}/exe"), str(second))
    world.stop()


@test
def a_successor_goes_on_alone_when_the_old_one_is_killed(world):
    port = free_port()
    old = world.serve(f"127.0.0.1:{port}")
    world.fault.write_text("slow")
    os.kill(old.pid, signal.SIGUSR2)
    world.hears("a successor starts")
    old.kill()
    old.wait()
    check(get(port, "/ok")[0], 200)  # it waited in the queue
    new = eventually(lambda: world.ready()[1:], "the successor")[0]
    check(get(port, "/pid")[2], str(new))
    world.stop()
    check(is_refused(port), True)


@test
def a_stop_while_a_successor_starts_ends_both(world):
    port = free_port()
    old = world.serve(f"127.0.0.1:{port}")
    world.fault.write_text("hang")
    os.kill(old.pid, signal.SIGUSR2)
    children = Path(f"/proc/{old.pid}/task")

    def successor():
        text = "".join(f.read_text() for f in children.glob("*/children"))
        return text.split()

    new = int(eventually(successor, "a child")[0])
    check(world.stop(old.pid), 0)
    check(is_alive(new), False)
    check(is_refused(port), True)


@test
def no_restart_while_it_stops(world):
    world.env["AGLET_STOP_DELAY_MS"] = "500"
    port = free_port()
    old = world.serve(f"127.0.0.1:{port}")
    os.kill(old.pid, signal.SIGTERM)
    world.hears("msg=stopping")
    os.kill(old.pid, signal.SIGUSR2)
    check(old.wait(LIMIT_S), 0)
    check(world.ready(), [old.pid])
    check(world.said("no restart: the service stops"), True)


@test
def signals_by_the_hundred_are_survived(world):
    port = free_port()
    world.serve(f"127.0.0.1:{port}")
    load = Load(port)
    for _ in range(100):
        try:
            os.kill(world.ready()[-1], signal.SIGUSR2)
        except ProcessLookupError:
            pass
        time.sleep(0.003)
    load.goes_on()
    answered, failed, first = load.end()
    check((failed, first), (0, ""))
    assert len(world.ready()) > 1, world.ready()

    def settled():
        return len(world.ended()) == len(world.ready()) - 1

    eventually(settled, "one process left")
    last = world.ready()[-1]
    for _ in range(100):
        try:
            os.kill(last, signal.SIGTERM)
        except ProcessLookupError:
            break
    eventually(lambda: not is_alive(last), "the end")
    check(world.check_owed(len(world.ready())), answered)


@test
def process_1_does_not_restart(world):
    """Its end would be that of the container. The number that it says means another one here."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"],
                                                     stderr=subprocess.DEVNULL).returncode != 0:
        raise Skip("unshare --pid")
    with open(world.err, "ab") as err:
        addr = f"127.0.0.1:{free_port()}"
        p = subprocess.Popen([*unshare, PROGRAM, "serve", "tcp", addr],
                             env=world.env, stdout=subprocess.PIPE, stderr=err, text=True)
    world.started.append(p)
    check(p.stdout.readline(), "ready 1\n")
    inner = int(Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text())
    os.kill(inner, signal.SIGUSR2)
    world.hears("no restart: the end of process 1 would be that of its container")
    os.kill(inner, signal.SIGTERM)
    check(p.stdout.readline()[:7], "ended 0")
    check(p.wait(LIMIT_S), 0)
    p.stdout.close()


# ---- Stopping -----------------------------------------------------------------------------------


@test
def the_phases_of_a_stop(world):
    world.env["AGLET_STOP_DELAY_MS"] = "600"
    port = free_port()
    p = world.serve(f"127.0.0.1:{port}")
    check(get(port, "/readyz")[::2], (200, "ready\n"))
    slow = ask(port, "/slow?ms=2500")
    os.kill(p.pid, signal.SIGTERM)
    world.hears("msg=stopping")
    check(get(port, "/readyz")[::2], (503, "the service stops\n"))
    check(get(port, "/livez")[::2], (200, "alive\n"))
    status, head, _ = get(port, "/ok", close=False)
    check((status, "Connection: close" in head), (200, True))
    eventually(lambda: is_refused(port), "phase 2")  # a second later: the first SYN was dropped
    check(p.poll(), None)
    assert slow.recv(4096).endswith(b"slept\n")
    check(slow.recv(1), b"")
    check(p.wait(LIMIT_S), 0)
    check(world.check_owed(1), 2)


@test
def handlers_are_told_before_they_are_cut(world):
    world.env["AGLET_STOP_MS"] = "1500"
    port = free_port()
    p = world.serve(f"127.0.0.1:{port}")
    slow = ask(port, "/slow?ms=60000")
    check(get(port, "/ok")[0], 200)
    check(world.stop(p.pid), 0)
    assert slow.recv(4096).endswith(b"told to end\n")
    check(world.ended(),
          ["ended 0 cause 15 forced 0 handed 0 drained 0 cancelled 1 killed 0 cut 0"])
    check(world.check_owed(1), 2)


@test
def a_handler_that_never_ends_is_shown_and_left(world):
    world.env["AGLET_STOP_MS"] = "1000"
    port = free_port()
    p = world.serve(f"127.0.0.1:{port}")
    stuck = ask(port, "/stuck")
    check(get(port, "/ok")[0], 200)
    check(world.stop(p.pid), 1)
    check(stuck.recv(4096), b"")
    check(world.ended(),
          ["ended 1 cause 15 forced 0 handed 0 drained 0 cancelled 0 killed 1 cut 1"])
    text = world.err.read_text()
    late = r"1 handlers did not end in time\ngoroutine \d+ .*(\n.+)*\nstuck\("
    assert re.search(late, text), text
    world.check_owed(1)


@test
def a_second_signal_forces_the_end(world):
    port = free_port()
    p = world.serve(f"127.0.0.1:{port}")
    ask(port, "/stuck")
    check(get(port, "/ok")[0], 200)
    os.kill(p.pid, signal.SIGINT)
    world.hears("msg=stopping")
    os.kill(p.pid, signal.SIGINT)  # the same again, as some send it twice
    time.sleep(0.15)  # now it is another one
    check(p.poll(), None)
    check(world.stop(p.pid, signal.SIGINT), 1)
    check(world.ended(), ["ended 1 cause 2 forced 1 handed 0 drained 0 cancelled 0 killed 1 cut 1"])
    world.check_owed(1)


@test
def exit_hooks_run_whatever_way_it_ends(world):
    world.env["TWO_HOOKS"] = "1"
    for path, status in (("/panic", 2), ("/exit", 3)):
        port = free_port()
        p = world.serve(f"127.0.0.1:{port}")
        ask(port, path)
        check(p.wait(LIMIT_S), status)
        check(world.counts.read_text(), f"last {p.pid} 0 0\n{p.pid} 0 0\n")
        world.counts.unlink()


@test
def a_full_disk_does_not_keep_it(world):
    world.env["LOG"] = str(world.folder / "log")
    port = free_port()
    p = world.serve(f"127.0.0.1:{port}", restore_signals=False,  # Python ignores SIGXFSZ
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)))
    load = Load(port)
    load.goes_on()
    answered, failed, first = load.end()
    check((failed, first), (0, ""))
    check(world.stop(p.pid), 0)
    check(world.check_owed(1), answered)
    check((world.folder / "log").stat().st_size, 200)


@test
def an_idle_limit_below_that_of_proxies_is_told(world):
    world.env["CHECK_IDLE"] = "1"
    p = world.serve("127.0.0.1:0")
    check(world.stop(p.pid), 0)
    check(world.err.read_text().count("aglet: warning: idle_ns is 5.0 s"), 1)


# ---- Sockets ------------------------------------------------------------------------------------


@test
def the_file_of_a_unix_socket_stays_while_there_is_a_successor(world):
    path = str(world.folder / "socket")

    def pid():
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
            data = b""
            while part := s.recv(4096):
                data += part
        return int(data.rpartition(b"\r\n")[2])

    p = world.serve(path, net="unix")
    inode = os.stat(path).st_ino
    for _ in range(3):
        new = world.replaced()
        check(pid(), new)
        check(os.stat(path).st_ino, inode)
    check(p.wait(LIMIT_S), 0)
    world.stop()
    check(os.path.exists(path), False)


@test
def a_port_that_the_system_chose_stays(world):
    world.serve("127.0.0.1:0")
    said = eventually(lambda: re.search(r"addr=127.0.0.1:(\d+)\n", world.err.read_text()), "addr")
    port = int(said.group(1))
    for _ in range(2):
        new = world.replaced()
        check(get(port, "/pid")[2], str(new))
    world.stop()
    check(is_refused(port), True)


@test
def a_socket_is_found_by_its_name_and_the_others_are_closed(world):
    with socket.create_server(("127.0.0.1", 0)) as one, \
            socket.create_server(("127.0.0.1", 0)) as two:
        p = world.serve("no.such.host.invalid:1", sockets=[one, two], names=["other", "web"])
        check(get(two.getsockname()[1], "/pid")[2], str(p.pid))
        world.hears("a socket that was given is closed: nobody has asked for it")
        world.hears("name=other")
        new = world.replaced()
        check(get(two.getsockname()[1], "/pid")[2], str(new))
        world.stop()
        check(p.wait(LIMIT_S), 0)
        check(is_refused(two.getsockname()[1]), False)  # it is still held
        p = world.serve("no.such.host.invalid:1", sockets=[two], names=["web"])
        check(get(two.getsockname()[1], "/pid")[2], str(p.pid))
        check(world.stop(p.pid), 0)


@test
def systemds_own_program_activates_it(world):
    program = shutil.which("systemd-socket-activate")
    if not program:
        raise Skip("systemd-socket-activate")
    port = free_port()
    with open(world.out, "ab") as out, open(world.err, "ab") as err:
        p = subprocess.Popen([program, f"--listen=127.0.0.1:{port}", PROGRAM, "serve", "tcp",
                              f"127.0.0.1:{port}"], stdout=out, stderr=err, env=world.env)
    world.started.append(p)
    eventually(lambda: not is_refused(port), "it listens")
    check(get(port, "/pid")[2], str(p.pid))
    check(world.stop(p.pid), 0)


# ---- The service manager ------------------------------------------------------------------------


def states(receiver, until):
    """What is said on the socket, up to a line; without the watchdog's."""
    found = []
    while True:
        lines = receiver.recv(4096).decode().split("\n")
        if lines != ["WATCHDOG=1"]:
            found += [line for line in lines if not line.startswith(("STATUS=", "MONOTONIC_"))]
        if until in lines:
            return found


def notifies(world, address, name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(LIMIT_S)
        world.env["NOTIFY_SOCKET"] = name
        p = world.serve(f"127.0.0.1:{free_port()}")
        check(states(receiver, "READY=1"), ["READY=1"])
        world.fault.write_text("fail")
        os.kill(p.pid, signal.SIGUSR2)
        check(states(receiver, "RELOADING=1"), ["RELOADING=1"])
        check(states(receiver, "READY=1"), ["READY=1"])
        world.fault.unlink()
        new = world.restart()
        said = states(receiver, f"MAINPID={new}")
        if said.count("READY=1") < 2:  # the successor's own, before or after
            said += states(receiver, "READY=1")
        check(sorted(said), sorted(["RELOADING=1", "READY=1", f"MAINPID={new}", "READY=1"]))
        check(p.wait(LIMIT_S), 0)
        world.stop()
        check(states(receiver, "STOPPING=1"), ["STOPPING=1"])


@test
def the_service_manager_is_told(world):
    path = str(world.folder / "notify")
    notifies(world, path, path)


@test
def the_service_manager_is_told_by_an_abstract_name(world):
    name = f"aglet-e2e-{os.getpid()}"
    notifies(world, "\0" + name, "@" + name)


@test
def the_watchdog_is_fed_and_not_by_one_that_is_stuck(world):
    path = str(world.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(LIMIT_S)
        world.env.update(NOTIFY_SOCKET=path, WATCHDOG_USEC="20000")
        p = world.serve("127.0.0.1:0")
        fed = 0
        while fed < 5:
            fed += receiver.recv(4096) == b"WATCHDOG=1"
        world.restart()  # that one feeds it, too: WATCHDOG_PID does not keep it
        check(p.wait(LIMIT_S), 0)
        receiver.setblocking(False)
        try:
            while receiver.recv(4096):
                pass
        except BlockingIOError:
            pass
        receiver.settimeout(LIMIT_S)
        check(receiver.recv(4096), b"WATCHDOG=1")
        world.stop()


def run_test(function):
    world = World()
    try:
        function(world)
    except Skip:
        raise
    except Exception as why:
        said = ""
        for name in ("out", "err"):
            file = world.folder / name
            text = file.read_text(errors="replace") if file.exists() else ""
            said += f"\n{name}:\n" + text[-6000:]
        raise AssertionError(said) from why
    finally:
        world.close()


def main():
    global PROGRAM
    names = [name for name in sys.argv[2:] if name != "--list"]
    if "--list" in sys.argv:
        print("\n".join(function.__name__ for function in tests))
        return 0
    PROGRAM = Path(sys.argv[1]).resolve() / "tests" / "e2e_service"
    return play([function for function in tests if not names or function.__name__ in names],
                run_test)


if __name__ == "__main__":
    sys.exit(main())
