#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests the example service `orders` from outside, as its clients and its operators see it.

    tests/e2e/orders.py [BUILD_DIR] [--only SUBSTRING]

The program is ORDERS_BIN, or BUILD_DIR/bin/orders, or the newest build/*/bin/orders. Each test
starts its own, on a free port, in a directory of its own. AG_TEST_SLOW=5 gives everything five
times as long.
"""
import argparse
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SLOW = float(os.environ.get("AG_TEST_SLOW", "1"))
LIMIT_S = 20 * SLOW
JSON = {"Content-Type": "application/json"}
ORDER = {"item": "shoelace", "quantity": 2, "customer": "c-1042"}
STATES = ["accepted", "shipping", "shipped", "cancelled"]

program = None
tests = []


class Skip(Exception):
    """What is missing."""


def test(function):
    tests.append(function)
    return function


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
    """A running service; a context, which ends it."""

    def __init__(self, directory, *options, ready=True):
        self.lines, self.errors = [], []
        command = [str(program), "--addr", "127.0.0.1:0", "--db", str(directory / "orders.db")]
        self.process = subprocess.Popen(command + [str(option) for option in options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace")
        self.readers = [threading.Thread(target=self.collect, args=pair, daemon=True) for pair in
                        ((self.process.stdout, self.lines), (self.process.stderr, self.errors))]
        for reader in self.readers:
            reader.start()
        if ready:
            line = wait_for(lambda: self.line("orders: an order desk") or self.ended(), "the start")
            check(isinstance(line, str), f"it ended: {self.errors}")
            self.port = int(line.rsplit(":", 1)[1])
            wait_for(lambda: self.line("Ctrl-C"), "the end of the announcement")

    @staticmethod
    def collect(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def line(self, start):
        return next((line for line in list(self.lines) if line.startswith(start)), None)

    def ended(self):
        return self.process.poll() is not None

    def connect(self):
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

    def wait_end(self):
        status = self.process.wait(timeout=LIMIT_S)
        for reader in self.readers:
            reader.join(timeout=LIMIT_S)
        return status

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.wait_end()
        check_equal(status, 0, f"the status at the end, {self.errors}")
        return self.line("orders: stopped by")


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
            match = re.fullmatch(r'([a-z_][a-z0-9_]*)(\{[a-z]+="[^"]*"\})? (\S+)', line)
            check(match and family and family["type"], f"no sample, or before its TYPE: {line}")
            base = re.sub(r"_(bucket|sum|count)$", "", match[1])
            check(name in (match[1], base), f"{line} stands under {name}")
            family["samples"][match[1] + (match[2] or "")] = float(match[3])
    return families


def run(*options):
    return subprocess.run([str(program), *map(str, options)], capture_output=True, text=True,
                          timeout=LIMIT_S, stdin=subprocess.DEVNULL)


# ---- Command line -------------------------------------------------------------------------------


@test
def help_is_printed(_):
    done = run("--help")
    check_equal(done.returncode, 0)
    for word in ("--addr", "--db", "--workers", "SIGTERM", "AGLET_ORDERS_ADDR"):
        check(word in done.stdout, f"--help has no {word}")


@test
def bad_options_are_explained(directory):
    for options, words in ((["--colour"], "--help"), (["--workers", "many"], "from 1 to"),
                           (["--workers", "0"], "from 1 to"), (["--queue=9999999999"], "from 1 to"),
                           (["--addr"], "HOST:PORT"), (["--addr", "nowhere"], "HOST:PORT"),
                           (["--addr", "127.0.0.1:99999"], "HOST:PORT"), (["surprise"], "--help")):
        done = run(*options, "--db", directory / "orders.db") if options[-1] != "--addr" \
            else run(*options)
        check_equal(done.returncode, 2, f"{options}: {done.stderr}")
        check(words in done.stderr and done.stderr.count("\n") == 1, f"{options}: {done.stderr}")


@test
def a_port_in_use_is_explained(directory):
    with Desk(directory) as desk:
        done = run("--addr", f"127.0.0.1:{desk.port}", "--db", directory / "other.db")
        check_equal(done.returncode, 1)
        check("is in use" in done.stderr and "--addr" in done.stderr, done.stderr)
        check(not (directory / "other.db").exists(), "it made a database before it listened")


@test
def a_database_in_use_is_explained(directory):
    with Desk(directory):
        done = run("--addr", "127.0.0.1:0", "--db", directory / "orders.db")
        check_equal(done.returncode, 1)
        check("in use by another process" in done.stderr, done.stderr)


@test
def a_bad_database_is_explained(directory):
    (directory / "text.db").write_text("this is no database, but it is long enough " * 50)
    for path in (directory / "no such directory" / "x.db", directory / "text.db"):
        done = run("--addr", "127.0.0.1:0", "--db", path)
        check_equal(done.returncode, 1, done.stderr)
        check(done.stderr.startswith("orders: "), done.stderr)


@test
def the_address_comes_from_the_environment(directory):
    done = subprocess.run([str(program), "--db", str(directory / "orders.db")],
                          env=dict(os.environ, AGLET_ORDERS_ADDR="not an address"),
                          capture_output=True, text=True, timeout=LIMIT_S)
    check_equal(done.returncode, 2)
    check("not an address" in done.stderr, done.stderr)


# ---- Orders -------------------------------------------------------------------------------------


@test
def the_printed_curl_lines_work(directory):
    if not shutil.which("curl"):
        raise Skip("curl")
    with Desk(directory) as desk:
        text = "\n".join(desk.lines)
        commands = re.search(r"^try\n(.*)^Ctrl-C", text, re.S | re.M)[1].replace("\\\n", " ")
        outputs = [subprocess.run(["sh", "-c", line + " -sS"], capture_output=True, text=True,
                                  timeout=LIMIT_S) for line in commands.strip().splitlines()]
        check_equal([done.returncode for done in outputs], [0, 0, 0, 0])
        created, order, page, metrics = (done.stdout for done in outputs)
        check(created.startswith("HTTP/1.1 201 Created"), created)
        check("Location: /orders/1" in created, created)
        check_equal(json.loads(order)["item"], "shoelace")
        check_equal([o["id"] for o in json.loads(page)["orders"]], [1])
        parse_metrics(metrics)


@test
def an_order_is_created_read_and_shipped(directory):
    with Desk(directory) as desk:
        answer = desk.post(item="Schnürsenkel \"½\" 🥾")
        check_equal(answer.status, 201)
        order = answer.json
        check_equal(answer.headers["Location"], f"/orders/{order['id']}")
        check_equal(answer.headers["Content-Type"], "application/json")
        check_equal({**order, **ORDER, "item": order["item"]}, order)
        check_equal(order["item"], "Schnürsenkel \"½\" 🥾")
        check_equal(order["status"], "accepted")
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", order["created_at"]), "time")
        wait_for(lambda: desk.status_of(order["id"]) == "shipped", "shipping")
        later = desk.get(answer.headers["Location"]).json
        check(later["updated_at"] >= order["created_at"], "updated_at")
        check_equal(later["created_at"], order["created_at"])


@test
def wrong_orders_are_explained(directory):
    cases = [
        ("", None, "not valid JSON"), ("{", None, "not valid JSON"), ("[]", None, "object"),
        ("null", None, "object"), ('"x"', None, "not valid JSON"), ("{}", "item", "text"),
        ('{"item":"a","item":"b"}', None, "twice"), ("{} {}", None, "not valid JSON"),
        ("[" * 5000, None, "nested"), ('{"a":' * 3000, None, "nested"),
        ("[" * 8, None, "not valid JSON"), (b'{"item":"\xff"}', None, "not valid JSON"),
        (b'{"item":"a\\u0000b"}', None, "not valid JSON"),
    ]
    for field, value in [("quantity", v) for v in (0, -1, 10001, 1.5, "2", None, True, [], 10**30)]:
        cases.append((json.dumps({**ORDER, field: value}), field, "whole number"))
    for field in ("item", "customer"):
        for value in ("", "x" * 101, 7, None, {}, "a\nb", "a\x7fb"):
            cases.append((json.dumps({**ORDER, field: value}), field, "1 to 100 characters"))
        without = {name: value for name, value in ORDER.items() if name != field}
        cases.append((json.dumps(without), field, "1 to 100 characters"))
    cases.append((json.dumps({**ORDER, "qty": 2}), None, '"qty"'))
    with Desk(directory) as desk:
        for body, field, words in cases:
            answer = desk.ask("POST", "/orders", body, JSON)
            if field == "quantity" and "1000000000" in str(body):
                check_equal(answer.status, 400)  # too large for JSON's reader already
                continue
            check_equal(answer.status, 400, f"{body[:60]!r}: {answer.text}")
            check(words in answer.json["error"], f"{body[:60]!r}: {answer.text}")
            check_equal(answer.json.get("field"), field, str(body[:60]))
        check_equal(desk.accepted(item="ü" * 100, quantity=10000)["id"], 1, "nothing was stored")


@test
def wrong_requests_are_explained(directory):
    big = json.dumps({**ORDER, "item": "x" * 20000})
    body = json.dumps(ORDER)
    with Desk(directory) as desk:
        for method, path, content, headers, status in (
                ("GET", "/nothing", None, {}, 404), ("GET", "/orders/7", None, {}, 404),
                ("GET", "/orders/x", None, {}, 404), ("GET", "/orders/0", None, {}, 404),
                ("GET", "/orders/99999999999999999999", None, {}, 404),
                ("GET", "/orders/%00", None, {}, None), ("POST", "/orders/7/cancel", None, {}, 404),
                ("POST", "/orders/1/2/3", body, JSON, 404),
                ("DELETE", "/orders", None, {}, 405), ("PUT", "/orders/1", body, JSON, 405),
                ("GET", "/orders/1/cancel", None, {}, 405), ("POST", "/healthz", None, {}, 405),
                ("POST", "/orders", big, JSON, 413), ("POST", "/orders", body, {}, 415),
                ("POST", "/orders", body, {"Content-Type": "text/plain"}, 415),
                ("POST", "/orders", body, {**JSON, "Content-Encoding": "gzip"}, 415),
                ("POST", "/orders", body, {**JSON, "Idempotency-Key": "k" * 256}, 400),
                ("POST", "/orders", body, {**JSON, "Idempotency-Key": "a b"}, 400),
                ("GET", "/orders?limit=0", None, {}, 400),
                ("GET", "/orders?limit=101", None, {}, 400),
                ("GET", "/orders?limit=ten", None, {}, 400),
                ("GET", "/orders?after=-1", None, {}, 400),
                ("GET", "/orders?status=lost", None, {}, 400)):
            answer = desk.ask(method, path, content, headers)
            check(status is None or answer.status == status,
                  f"{method} {path}: {answer.status} {answer.text}")
            check(400 <= answer.status < 500, f"{method} {path}: {answer.status}")
            if status:
                check(len(answer.json["error"]) > 10, f"{method} {path}: {answer.text}")
            if status == 405:
                check(method not in answer.headers["Allow"].split(", "), answer.headers["Allow"])
        check_equal(desk.stored(), dict.fromkeys(STATES, 0))
        answer = desk.ask("POST", "/orders", body,
                          {"Content-Type": "Application/JSON;charset=utf-8"})
        check_equal(answer.status, 201)
        check_equal(desk.ask("HEAD", "/orders/1").text, "")


@test
def chunked_and_slow_bodies_are_read(directory):
    with Desk(directory) as desk:
        body = json.dumps(ORDER).encode()
        pieces = (body[i:i + 7] for i in range(0, len(body), 7))
        check_equal(desk.ask("POST", "/orders", pieces, JSON).status, 201)

        def slow():
            for byte in body:
                yield bytes([byte])
                time.sleep(0.002)
        check_equal(desk.ask("POST", "/orders", slow(), JSON).status, 201)
        too_long = (b" " * 4096 for _ in range(8))
        connection = desk.connect()
        try:
            connection.request("POST", "/orders", too_long, JSON)
            check_equal(connection.getresponse().status, 413)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before all of it was sent
        finally:
            connection.close()


@test
def garbage_does_no_harm(directory):
    chance = random.Random(7)
    valid = b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" \
            b"Content-Length: %d\r\n\r\n"
    body = json.dumps(ORDER).encode()
    whole = valid % len(body) + body
    with Desk(directory) as desk:
        for _ in range(150):
            spoilt = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
            desk.raw(bytes(spoilt[:chance.randint(1, len(spoilt))]))
        for _ in range(50):
            noise = chance.randbytes(chance.randint(1, 300))
            desk.raw(valid % len(noise) + noise)
            desk.raw(noise)
        check_equal(desk.raw(whole * 3).count(b"HTTP/1.1 201"), 3, "requests in one piece")
        check(not desk.ended(), f"it ended: {desk.errors[-20:]}")
        check_equal(desk.get("/healthz").status, 200)
        check_equal(desk.metric("http_handler_panics_total"), 0.0)


@test
def a_key_makes_one_order(directory):
    with Desk(directory) as desk:
        first = desk.post(key="k-1")
        again = desk.post(key="k-1")
        check_equal((first.status, again.status), (201, 201))
        check_equal(again.json["id"], first.json["id"])
        check_equal((first.headers["Idempotency-Replayed"], again.headers["Idempotency-Replayed"]),
                    (None, "true"))
        check_equal(desk.post(key="k-1", quantity=3).status, 422)
        check(desk.post(key="k-2").json["id"] != first.json["id"], "another key, the same order")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(desk.post(key="k-3")))
                   for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_equal({answer.status for answer in answers}, {201})
        check_equal(len({answer.json["id"] for answer in answers}), 1, "orders of one key")
        check_equal(sum(a.headers["Idempotency-Replayed"] is None for a in answers), 1, "new ones")
        desk.wait_until_all_shipped()
        check_equal(desk.stored()["shipped"], 3)
        desk.stop()
    with Desk(directory) as desk:
        check_equal(desk.post(key="k-1").json["id"], first.json["id"], "after a restart")


@test
def the_list_has_pages_newest_first(directory):
    with Desk(directory) as desk:
        ids = [desk.accepted(quantity=n + 1)["id"] for n in range(25)]
        desk.wait_until_all_shipped()
        check_equal([o["id"] for o in desk.get("/orders").json["orders"]], ids[:4:-1], "default")
        for query in ("/orders?limit=10", "/orders?limit=10&status=shipped"):
            found, path, pages = [], query, 0
            while path:
                page = desk.get(path).json
                found += [order["id"] for order in page["orders"]]
                path, pages = page["next"], pages + 1
            check_equal(found, ids[::-1], query)
            check_equal(pages, 3, query)
        check_equal(desk.get("/orders?status=cancelled").json, {"orders": [], "next": None})
        check_equal([o["quantity"] for o in desk.get("/orders?limit=2&after=3").json["orders"]],
                    [2, 1])


@test
def an_order_is_cancelled_until_it_ships(directory):
    with Desk(directory, "--workers", 1, "--carrier-ms", 600) as desk:
        first, second = desk.accepted()["id"], desk.accepted()["id"]
        wait_for(lambda: desk.status_of(first) == "shipping", "the worker")
        check_equal(desk.cancel(first).status, 409, "on its way")
        answer = desk.cancel(second)
        check_equal((answer.status, answer.json["status"]), (200, "cancelled"))
        check_equal(desk.cancel(second).status, 200, "again")
        wait_for(lambda: desk.status_of(first) == "shipped", "shipping")
        check_equal(desk.cancel(first).status, 409, "shipped")
        desk.wait_until_all_shipped()
        wait_for(lambda: desk.metric("orders_queue_length") == 0, "an empty queue")
        check_equal(desk.status_of(second), "cancelled", "afterwards")
        check_equal(desk.stored(), {"accepted": 0, "shipping": 0, "shipped": 1, "cancelled": 1})


# ---- Limits -------------------------------------------------------------------------------------


@test
def a_full_queue_pushes_back(directory):
    with Desk(directory, "--workers", 1, "--queue", 3, "--carrier-ms", 300) as desk:
        answers = [desk.post() for _ in range(12)]
        refused = [answer for answer in answers if answer.status == 503]
        check(len(refused) >= 7, f"{len(refused)} of 12 refused")
        check_equal({answer.headers["Retry-After"] for answer in refused}, {"1"})
        check("try again" in refused[0].json["error"], refused[0].text)
        check_equal({answer.status for answer in answers}, {201, 503})
        desk.wait_until_all_shipped()
        check_equal(desk.stored()["shipped"], 12 - len(refused))
        check_equal(desk.metric("orders_queue_full_total"), float(len(refused)))
        check_equal(desk.post().status, 201, "when there is room again")


def begin_body(desk):
    """A request that has begun and goes no further."""
    s = socket.create_connection(("127.0.0.1", desk.port), timeout=LIMIT_S)
    s.sendall(b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
              b"Content-Length: 100\r\n\r\n{")
    return s


@test
def too_many_requests_are_turned_away(directory):
    with Desk(directory, "--max-requests", 2, "--timeout-ms", int(60000 * SLOW)) as desk:
        with begin_body(desk), begin_body(desk):
            wait_for(lambda: desk.metric("orders_requests_in_progress") == 2, "two requests")
            answer = desk.get("/orders")
            check_equal((answer.status, answer.headers["Retry-After"]), (503, "1"))
            for path in ("/healthz", "/readyz", "/metrics", "/debug/goroutines", "/"):
                check_equal(desk.get(path).status, 200, path)
        wait_for(lambda: desk.get("/orders").status == 200, "a seat")


@test
def a_request_has_a_time_limit(directory):
    with Desk(directory, "--timeout-ms", int(300 * SLOW)) as desk:
        began = time.monotonic()
        with begin_body(desk) as s:
            answer = s.recv(1000)
        check(answer.startswith(b"HTTP/1.1 408"), answer.decode())
        check(time.monotonic() - began < 5 * SLOW, "too late")
        check_equal(desk.post().status, 201)


@test
def a_database_that_is_held_costs_no_order(directory):
    """Another program holds the file: the answer is 503, and what was answered 201 is there."""
    with Desk(directory, "--timeout-ms", int(500 * SLOW)) as desk:
        check_equal(desk.post().status, 201)
        desk.wait_until_all_shipped()
        other = sqlite3.connect(directory / "orders.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        results = []
        threads = [threading.Thread(target=lambda: results.append(desk.post())) for _ in range(4)]
        for thread in threads:
            thread.start()
        check_equal(desk.get("/orders/1").status, 200, "reading meanwhile")
        for thread in threads:
            thread.join()
        other.execute("ROLLBACK")
        other.close()
        check(all(answer.status == 503 for answer in results), [a.text for a in results])
        check_equal(desk.post().status, 201, "afterwards")
        check_equal(sum(desk.stored().values()), 2)


# ---- Looking inside -----------------------------------------------------------------------------


@test
def metrics_are_well_formed_and_right(directory):
    with Desk(directory) as desk:
        for _ in range(5):
            desk.accepted()
        desk.get("/orders/77")
        desk.wait_until_all_shipped()
        first, families = desk.metrics(), desk.metrics()

        def value(name):
            family = re.sub(r"\{.*|_(bucket|sum|count)$", "", name)
            return families[family]["samples"][name]
        check_equal(value("orders_shipped_total"), 5.0)
        check_equal(value('orders_stored{state="shipped"}'), 5.0)
        check(value('http_requests_total{code="2xx"}') >= 6, "2xx")
        check_equal(value('http_requests_total{code="4xx"}'), 1.0)
        check(value("aglet_goroutines") >= 6, "goroutines")
        check(value("aglet_threads") >= 1, "threads")
        check_equal(value("orders_queue_capacity"), 1024.0)
        check_equal(value("orders_queue_length"), 0.0)
        buckets = [(float(re.search(r'le="([^"]+)"', name)[1]), count) for name, count in
                   families["http_request_duration_seconds"]["samples"].items() if "le=" in name]
        check_equal(buckets, sorted(buckets), "buckets")
        check_equal([b[1] for b in buckets], sorted(b[1] for b in buckets), "cumulative")
        check_equal(buckets[-1], (float("inf"), value("http_request_duration_seconds_count")))
        check(value("http_request_duration_seconds_sum") > 0, "sum")
        for name, family in families.items():
            check(family["samples"], f"{name} has no sample")
            if family["type"] == "counter":
                for sample, now in family["samples"].items():
                    check(now >= first[name]["samples"][sample], f"{sample} went back")


@test
def the_dump_shows_workers(directory):
    with Desk(directory, "--workers", 3) as desk:
        dump = desk.get("/debug/goroutines").text
        check_equal(len(re.findall(r"^shipping_worker\(", dump, re.M)), 3, "workers")
        for words in ("goroutine 1 [", "store_writer(", "page_goroutines(", "[chan receive",
                      "created by start_goroutines"):
            check(words in dump, f"no {words!r} in the dump:\n{dump}")


@test
def requests_are_logged(directory):
    with Desk(directory) as desk:
        desk.accepted()
        desk.get("/orders/9?x=y")
        wait_for(lambda: desk.line("GET /orders/9 404"), "the log line")
        check(any(re.fullmatch(r"POST /orders 201 \d+\.\d\dms", line) for line in desk.lines),
              str(desk.lines))
    with Desk(directory, "--no-log") as desk:
        desk.get("/healthz")
        desk.stop()
        check(not desk.line("GET "), str(desk.lines))


@test
def sigquit_dumps_and_goes_on(directory):
    with Desk(directory) as desk:
        desk.process.send_signal(signal.SIGQUIT)
        wait_for(lambda: any("shipping_worker" in line for line in desk.errors), "the dump")
        check_equal(desk.get("/healthz").status, 200)


# ---- Stopping -----------------------------------------------------------------------------------


class Clients:
    """Threads that send orders as fast as they are answered, over connections that are kept."""

    def __init__(self, desk, count):
        self.desk, self.stopping = desk, False
        self.acknowledged, self.unanswered, self.others = {}, [], []
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
            except OSError:
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

    def join(self):
        for thread in self.threads:
            thread.join(timeout=LIMIT_S)
            check(not thread.is_alive(), "a client hangs")

    def wait_for(self, count):
        wait_for(lambda: len(self.acknowledged) >= count, f"{count} acknowledged orders")


def check_all_there(desk, acknowledged):
    """Every acknowledged order is there as it was sent, and is shipped in the end."""
    desk.wait_until_all_shipped()
    connection = desk.connect()
    for number, customer in acknowledged.items():
        connection.request("GET", f"/orders/{number}")
        order = Answer(connection.getresponse()).json
        check_equal((order.get("customer"), order.get("status")), (customer, "shipped"),
                    f"order {number}")
    connection.close()


@test
def sigterm_under_load_loses_nothing(directory):
    with Desk(directory, "--queue", 100000, "--carrier-ms", 2, "--no-log") as desk:
        clients = Clients(desk, 16)
        clients.wait_for(200)
        report = desk.stop()
        clients.join()
        # A connection that was never answered on may have come a moment too late; one that was
        # kept open must not be closed under a request.
        broken = [entry for entry in clients.unanswered if entry[1] > 0]
        check(not broken, f"{len(broken)} requests were not answered: {broken[:3]}")
        check_equal(clients.others, [])
        match = re.search(r"(\d+) requests answered, (\d+) connections cut, (\d+) orders shipped, "
                          r"(\d+) left", report)
        check(match, report)
        answered, cut, shipped, left = map(int, match.groups())
        check(answered >= len(clients.acknowledged), report)
        check_equal(cut, 0, report)
        check_equal(shipped + left, len(clients.acknowledged), report)
        check(not (directory / "orders.db-wal").exists(), "the database was not closed")
    with Desk(directory, "--carrier-ms", 0, "--no-log") as desk:
        check_all_there(desk, clients.acknowledged)


@test
def what_is_queued_is_shipped_or_kept(directory):
    with Desk(directory, "--workers", 1, "--carrier-ms", 100, "--drain-ms", 350) as desk:
        for _ in range(10):
            desk.accepted()
        report = desk.stop()
        shipped, left = map(int, re.search(r"(\d+) orders shipped, (\d+) left", report).groups())
        check_equal(shipped + left, 10, report)
        check(left > 0, report)
        check(SLOW > 1 or shipped > 1, report)
    with Desk(directory) as desk:
        check(f"{left} orders to ship from last time" in "\n".join(desk.lines), desk.lines)
        desk.wait_until_all_shipped()
        check_equal(desk.stored()["shipped"], 10)


@test
def old_orders_wait_for_places(directory):
    with Desk(directory, "--workers", 1, "--carrier-ms", 60000, "--drain-ms", 1) as desk:
        for _ in range(100):
            desk.accepted()
        desk.stop()
    with Desk(directory, "--workers", 2, "--carrier-ms", 0, "--queue", 2) as desk:
        desk.wait_until_all_shipped()
        check_equal(desk.stored()["shipped"], 100)
        check_equal(desk.metric("orders_shipped_total"), 100.0, "each one once")


@test
def readyz_turns_503_before_the_end(directory):
    with Desk(directory, "--grace-ms", int(1000 * SLOW)) as desk:
        check_equal(desk.get("/readyz").text, "ready\n")
        desk.process.send_signal(signal.SIGINT)
        wait_for(lambda: desk.get("/readyz").status == 503, "not ready")
        check_equal(desk.get("/readyz").text, "draining\n")
        check_equal(desk.get("/healthz").status, 200)
        check_equal(desk.post().status, 201, "still answered")
        check_equal(desk.wait_end(), 0)
        check("stopped by SIGINT" in desk.line("orders: stopped"), desk.lines)


@test
def open_requests_are_answered_when_stopping(directory):
    with Desk(directory) as desk:
        body = json.dumps(ORDER).encode()
        with socket.create_connection(("127.0.0.1", desk.port), timeout=LIMIT_S) as s:
            s.sendall(b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
            wait_for(lambda: desk.metric("orders_requests_in_progress") == 1, "the request")
            desk.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            s.sendall(body[5:])
            answer = s.recv(1000)
        check(answer.startswith(b"HTTP/1.1 201") and b"Connection: close" in answer, str(answer))
        check_equal(desk.wait_end(), 0)


@test
def a_second_signal_ends_it_at_once(directory):
    with Desk(directory, "--grace-ms", 60000) as desk:
        desk.process.send_signal(signal.SIGTERM)
        wait_for(lambda: desk.get("/readyz").status == 503, "draining")
        time.sleep(0.2)
        desk.process.send_signal(signal.SIGTERM)
        check_equal(desk.wait_end(), 1)
        check(any("second signal" in line for line in desk.errors), desk.errors)


@test
def a_signal_that_comes_twice_is_one(directory):
    """As from a terminal or a supervisor that signals the process and its group."""
    with Desk(directory, "--grace-ms", 300) as desk:
        desk.process.send_signal(signal.SIGTERM)
        desk.process.send_signal(signal.SIGTERM)
        desk.process.send_signal(signal.SIGINT)
        check_equal(desk.wait_end(), 0, desk.errors)


@test
def kill_under_load_loses_no_acknowledged_order(directory):
    acknowledged = {}
    for _ in range(3):
        with Desk(directory, "--queue", 100000, "--carrier-ms", 1, "--no-log") as desk:
            clients = Clients(desk, 8)
            clients.wait_for(150)
            desk.process.kill()
            clients.join()
            check_equal(clients.others, [])
            acknowledged.update(clients.acknowledged)
    with Desk(directory, "--carrier-ms", 0, "--no-log") as desk:
        check_all_there(desk, acknowledged)
        check(sum(desk.stored().values()) >= len(acknowledged), "orders")
        desk.stop()
    with sqlite3.connect(directory / "orders.db") as database:
        check_equal(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
        check_equal(sorted(database.execute("SELECT status, n FROM order_counts WHERE n > 0")),
                    sorted(database.execute("SELECT status, count(*) FROM orders GROUP BY status")),
                    "the triggers' counts")


@test
def a_newer_database_is_refused(directory):
    with Desk(directory) as desk:
        desk.stop()
    with sqlite3.connect(directory / "orders.db") as database:
        database.execute("PRAGMA user_version = 99")
    done = run("--addr", "127.0.0.1:0", "--db", directory / "orders.db")
    check_equal(done.returncode, 1)
    check("newer version" in done.stderr, done.stderr)


@test
def an_older_database_is_migrated(directory):
    with Desk(directory) as desk:
        first = desk.accepted()
        desk.stop()
    with sqlite3.connect(directory / "orders.db") as database:
        database.executescript("DROP TRIGGER order_added; DROP TRIGGER order_moved;"
                               "DROP TABLE order_counts; PRAGMA user_version = 1;")
    with Desk(directory) as desk:
        check_equal(desk.get("/orders/1").json["created_at"], first["created_at"])
        check_equal(sum(desk.stored().values()), 1)
        desk.accepted()
        check_equal(sum(desk.stored().values()), 2)


# ---- Running ------------------------------------------------------------------------------------


def find_program(build):
    if os.environ.get("ORDERS_BIN"):
        return Path(os.environ["ORDERS_BIN"])
    if build:
        return Path(build) / "bin/orders"
    built = sorted(ROOT.glob("build/*/bin/orders"), key=lambda path: path.stat().st_mtime)
    return built[-1] if built else ROOT / "build/release/bin/orders"


def run_test(function):
    """The verdict."""
    with tempfile.TemporaryDirectory(prefix="orders-") as directory:
        try:
            function(Path(directory))
            print(f"ok {function.__name__}", flush=True)
            return "ok"
        except Skip as missing:
            print(f"skipped {function.__name__}: needs {missing}", flush=True)
            return "skipped"
        except Exception:
            print(f"FAILED {function.__name__}", flush=True)
            print("    " + traceback.format_exc().replace("\n", "\n    ").rstrip(), flush=True)
            return "FAILED"


def main():
    global program
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    program = find_program(args.build).resolve()
    if not program.exists():
        print(f"FAILED orders: {program} is not built; make build-release")
        print("0 passed, 1 failed")
        return 1
    verdicts = [run_test(function) for function in tests if args.only in function.__name__]
    passed, failed, skipped = map(verdicts.count, ("ok", "FAILED", "skipped"))
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
