# SPDX-License-Identifier: MIT
"""What orders.py and orders_life.py share: the example service `orders` as a process, its clients,
and what its metrics, its log and its audit trail say."""
import ctypes
import http.client
import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
from contextlib import closing
from itertools import groupby

SLOW = float(os.environ.get("AG_TEST_SLOW", "1"))
LIMIT_S = 20 * SLOW
JSON = {"Content-Type": "application/json"}
ORDER = {"item": "shoelace", "quantity": 2, "customer": "c-1042"}
STATES = ["accepted", "shipping", "shipped", "cancelled"]
PR_SET_CHILD_SUBREAPER = 36  # a successor becomes our child when its parent ends


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def check_equal(actual, expected, what=""):
    check(actual == expected, f"{what}: {actual!r} instead of {expected!r}")


def wait_for(condition, what):
    """Until condition() is true; its value."""
    end = time.monotonic() + LIMIT_S
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < end, f"waited {LIMIT_S:g} s for {what}")
        time.sleep(0.01)


# ---- The service --------------------------------------------------------------------------------


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def json(self):
        return json.loads(self.text)


class Desk:
    """A running service and its successors; a context, which ends them."""

    program = None  # which one; the script sets it

    def __init__(self, directory, *options, env=None, program=None, tls=None):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.directory, self.tls, self.lines, self.errors = directory, tls, [], []
        command = [program or self.program, "--addr", "127.0.0.1:0", "--db",
                   directory / "orders.db", *options, *(tls.options if tls else ())]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        errors="replace", env={**os.environ, **(env or {})},
                                        start_new_session=True)
        self.readers = [threading.Thread(target=self.collect, args=pair, daemon=True) for pair in
                        ((self.process.stdout, self.lines), (self.process.stderr, self.errors))]
        for reader in self.readers:
            reader.start()
        wait_for(lambda: self.pids() or self.process.poll() is not None, "the start")
        check(self.pids(), f"it ended: {self.errors}")
        self.port = int(self.line("orders: an order desk").rsplit(":", 1)[1])

    @staticmethod
    def collect(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for pid in self.pids()[1:]:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass

    # -- What it says

    def pids(self):
        """Of those that have announced themselves, in order."""
        ready, lines = 0, list(self.lines)
        for i, line in enumerate(lines):
            ready = i if line.startswith("Ctrl-C") else ready
        return [int(line.split()[1]) for line in lines[:ready] if line.startswith("  process ")]

    def line(self, start):
        return next((line for line in list(self.lines) if line.startswith(start)), None)

    def logged(self, **fields):
        """The fields of each log line that has these."""
        found = []
        for line in list(self.errors):
            if line.startswith("time="):
                words = (word.partition("=") for word in shlex.split(line))
                found.append({name: value for name, _, value in words})
        return [f for f in found if all(f.get(name) == value for name, value in fields.items())]

    def said(self, words):
        return any(words in line for line in list(self.errors))

    def hears(self, words):
        wait_for(lambda: self.said(words), words)

    # -- Asking

    def connect(self):
        if self.tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=LIMIT_S,
                                               context=self.tls.context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)

    def ask(self, method, path, body=None, headers=None):
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path):
        return self.ask("GET", path)

    def post(self, order=None, key=None, **changes):
        headers = dict(JSON, **({"Idempotency-Key": key} if key is not None else {}))
        return self.ask("POST", "/orders", json.dumps({**(order or ORDER), **changes}), headers)

    def accepted(self, **changes):
        answer = self.post(**changes)
        check_equal(answer.status, 201, answer.text)
        return answer.json

    def cancel(self, number):
        return self.ask("POST", f"/orders/{number}/cancel")

    def status_of(self, number):
        return self.get(f"/orders/{number}").json["status"]

    def metrics(self):
        return parse_metrics(self.get("/metrics").text)

    def metric(self, name):
        return self.metrics()[name]["samples"][name]

    def stored(self):
        samples = self.metrics()["orders_stored"]["samples"]
        return {state: int(samples[f'orders_stored{{state="{state}"}}']) for state in STATES}

    def wait_until_all_shipped(self):
        def done():
            stored = self.stored()
            return stored["accepted"] == 0 and stored["shipping"] == 0
        wait_for(done, "all orders to be shipped")

    def open(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)

    def begin_body(self):
        """A request that has begun and goes no further."""
        s = self.open()
        s.sendall(b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 100\r\n\r\n{")
        return s

    def raw(self, data, limit=3.0):
        """What it answers to these bytes, up to its end or `limit` seconds of silence."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=limit * SLOW) as s:
            answer = b""
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while piece := s.recv(65536):
                    answer += piece
            except OSError:
                pass
            return answer

    # -- Its life

    def signal(self, number):
        """To the one that serves."""
        os.kill(self.pids()[-1], number)

    def restart(self):
        """Until the successor serves. Returns: its number."""
        known = self.pids()
        self.signal(signal.SIGUSR2)
        return wait_for(lambda: self.pids()[len(known):], "a successor")[0]

    def wait_ends(self):
        """Until all processes have ended. Returns: their statuses."""
        statuses = [self.process.wait(timeout=LIMIT_S)]
        for pid in self.pids()[1:]:
            wait_for(lambda p=pid: os.waitid(os.P_PID, p, os.WEXITED | os.WNOHANG | os.WNOWAIT),
                     f"the end of process {pid}")
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        for reader in self.readers:
            reader.join(timeout=LIMIT_S)
        return statuses

    def stop(self):
        """Returns: what the last one says of its orders."""
        self.signal(signal.SIGTERM)
        statuses = self.wait_ends()
        check_equal(statuses, [0] * len(statuses), f"the statuses at the end, {self.errors[-9:]}")
        return {name: int(value) for name, value in
                self.logged(msg="shipping has ended")[-1].items() if name in ("shipped", "left")}


def parse_metrics(text):
    """{family: {type, samples: {name with labels: value}}}; complains about what is malformed."""
    families, family = {}, None
    check(text.endswith("\n"), "the last line has no end")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, explanation = line.split(" ", 3)
            check(name not in families and explanation, f"HELP again, or empty: {line}")
            family = families[name] = {"type": None, "samples": {}}
        elif line.startswith("# TYPE "):
            _, _, type_name, kind = line.split(" ")
            check_equal(type_name, name, "TYPE does not follow its HELP")
            check(kind in ("counter", "gauge", "histogram"), line)
            check((kind == "counter") == name.endswith("_total"), f"{name} is a {kind}")
            family["type"] = kind
        else:
            match = re.fullmatch(r'([a-z_][a-z0-9_]*)(\{[a-z_]+="[^"]*"(?:,[a-z_]+="[^"]*")*\})?'
                                 r' (\S+)', line)
            check(match and family and family["type"], f"no sample, or before its TYPE: {line}")
            base = re.sub(r"_(bucket|sum|count)$", "", match[1])
            check(name in (match[1], base), f"{line} stands under {name}")
            family["samples"][match[1] + (match[2] or "")] = float(match[3])
    return families


# ---- The audit trail ----------------------------------------------------------------------------


def audit(directory):
    return [json.loads(line) for line in (directory / "orders.db.audit").read_text().splitlines()]


def check_audit(directory, answered=None):
    """Each change that the database knows has one record, so has each order that was `answered`,
    each was given to the carrier once at most, and one process after the other shipped. For desks
    that have ended, and not by force. Returns: how many were shipped by each."""
    records = audit(directory)
    with closing(sqlite3.connect(directory / "orders.db")) as database:
        states = dict(database.execute("SELECT id, status FROM orders"))

    def noted(event):
        return sorted(r["order"] for r in records if r["event"] == event)

    def stored(*wanted):
        return sorted(number for number, state in states.items() if state in wanted)
    check_equal(noted("placed"), stored(*STATES), "placed")
    if answered is not None:
        check_equal(noted("placed"), sorted(answered), "answered")
    check_equal(noted("cancelled"), stored("cancelled"), "cancelled")
    check_equal(noted("shipping"), stored("shipping", "shipped"), "given to the carrier")
    check_equal(noted("shipped"), stored("shipped"), "shipped")
    turns = [(pid, sum(r["event"] == "shipped" for r in group)) for pid, group in
             groupby((r for r in records if r["event"].startswith("ship")),
                     key=lambda r: r["process"])]
    check_equal(len(turns), len(dict(turns)), f"two processes shipped at a time: {turns}")
    return [count for _, count in turns]


# ---- Clients ------------------------------------------------------------------------------------


class Clients:
    """Threads that send orders as fast as they are answered, over connections that are kept."""

    def __init__(self, desk, count):
        self.desk, self.stopping = desk, False
        self.acknowledged, self.unanswered, self.refused, self.others = {}, [], [], []
        self.threads = [threading.Thread(target=self.send_all, args=(i,)) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def send_all(self, client):
        connection, number, answered = None, 0, 0
        while not self.stopping:
            number += 1
            customer = f"c-{client}-{number}"
            try:
                if not connection:
                    connection, answered = self.desk.connect(), 0
                    connection.connect()
            except OSError as error:
                self.refused.append(repr(error))
                return
            try:
                connection.request("POST", "/orders", json.dumps({**ORDER, "customer": customer}),
                                   JSON)
                answer = Answer(connection.getresponse())
            except (OSError, http.client.HTTPException) as error:
                self.unanswered.append((customer, answered, repr(error)))
                return
            answered += 1
            if answer.status == 201:
                self.acknowledged[answer.json["id"]] = customer
            else:
                self.others.append(answer.status)
            if answer.headers["Connection"] == "close":
                connection.close()
                connection = None
        if connection:
            connection.close()

    def join(self):
        for thread in self.threads:
            thread.join(timeout=LIMIT_S)
            check(not thread.is_alive(), "a client hangs")

    def wait_for(self, count):
        wait_for(lambda: len(self.acknowledged) >= count, f"{count} acknowledged orders")

    def go_on(self, count=100):
        self.wait_for(len(self.acknowledged) + count)

    def end(self):
        """Nothing may have gone wrong."""
        self.stopping = True
        self.join()
        check_equal((self.unanswered, self.refused, self.others), ([], [], []), "went wrong")


# ---- Certificates -------------------------------------------------------------------------------


class Certificates:
    """An authority, a server's certificate of it, and the options and the client that go with it.
    """

    def __init__(self, directory, *options):
        self.directory = directory
        self.ca, self.cert, self.key = (directory / name for name in ("ca.pem", "cert.pem", "key"))
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", directory / "ca.key", "-out", self.ca, "-subj", "/CN=authority",
                "-days", "2")
        self.sign("localhost", self.cert, self.key)
        self.options = ["--cert", self.cert, "--key", self.key, *options]
        self.context = ssl.create_default_context(cafile=str(self.ca))

    def sign(self, name, cert, key):
        request, extensions = self.directory / "request", self.directory / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey",
                self.directory / "ca.key", "-CAcreateserial", "-days", "2", "-extfile", extensions,
                "-out", cert)


def openssl(*words, feed=""):
    """What it prints."""
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True,
                          input=feed, timeout=LIMIT_S)
    check_equal(done.returncode, 0, f"openssl {words[0]}: {done.stderr}")
    return done.stdout
