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
from pathlib import Path

import orders_life  # noqa: F401, its tests are played, too
from cases import Skip, play, test, tests
from desk import (Certificates, Desk, JSON, LIMIT_S, ORDER, SLOW, STATES, check, check_equal,
                  parse_metrics, wait_for)

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*options):
    return subprocess.run([str(Desk.program), *map(str, options)], capture_output=True, text=True,
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
                           (["--addr", "127.0.0.1:99999"], "HOST:PORT"), (["surprise"], "--help"),
                           (["--cert", "c.pem"], "belong together"), (["--db="], "FILE"),
                           (["--client-ca", "ca.pem"], "belong together")):
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
        check("level=ERROR" in done.stderr and path.name in done.stderr, done.stderr)


@test
def the_address_comes_from_the_environment(directory):
    done = subprocess.run([str(Desk.program), "--db", str(directory / "orders.db")],
                          env=dict(os.environ, AGLET_ORDERS_ADDR="not an address"),
                          capture_output=True, text=True, timeout=LIMIT_S)
    check_equal(done.returncode, 2)
    check("not an address" in done.stderr, done.stderr)


# ---- Orders -------------------------------------------------------------------------------------


@test
def the_printed_curl_lines_work(directory):
    if not shutil.which("curl"):
        raise Skip("curl")
    for tls in (None, Certificates(directory)):
        with Desk(directory, tls=tls) as desk:
            text = "\n".join(desk.lines)
            commands = re.search(r"^try\n(.*)^Ctrl-C", text, re.S | re.M)[1].replace("\\\n", " ")
            outputs = [subprocess.run(["sh", "-c", line + " -sS"], capture_output=True, text=True,
                                      timeout=LIMIT_S) for line in commands.strip().splitlines()]
            check_equal([done.returncode for done in outputs], [0, 0, 0, 0])
            created, order, page, metrics = (done.stdout for done in outputs)
            check(re.match("HTTP/2 201|HTTP/1.1 201 Created", created), created)
            check(re.search("(?i)location: /orders/", created), created)
            check_equal(json.loads(order)["item"], "shoelace")
            check_equal(json.loads(page)["orders"][-1]["id"], 1)
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
                ("GET", "/orders/1/cancel", None, {}, 405), ("POST", "/livez", None, {}, 405),
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
        check(desk.process.poll() is None, f"it ended: {desk.errors[-20:]}")
        check_equal(desk.get("/livez").status, 200)
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


@test
def too_many_requests_are_turned_away(directory):
    with Desk(directory, "--max-requests", 2, "--timeout-ms", int(60000 * SLOW)) as desk:
        with desk.begin_body(), desk.begin_body():
            wait_for(lambda: desk.metric("orders_requests_in_progress") == 2, "two requests")
            answer = desk.get("/orders")
            check_equal((answer.status, answer.headers["Retry-After"]), (503, "1"))
            for path in ("/livez", "/readyz", "/metrics", "/debug/goroutines", "/"):
                check_equal(desk.get(path).status, 200, path)
        wait_for(lambda: desk.get("/orders").status == 200, "a seat")


@test
def a_request_has_a_time_limit(directory):
    with Desk(directory, "--timeout-ms", int(300 * SLOW)) as desk:
        began = time.monotonic()
        with desk.begin_body() as s:
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
        check(sum(families["aglet_goroutines"]["samples"].values()) >= 6, "goroutines")
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
            check(family["samples"] or not name.startswith("orders_"), f"{name} has no sample")
            if family["type"] == "counter":
                for sample, now in family["samples"].items():
                    check(now >= first[name]["samples"].get(sample, 0), f"{sample} went back")


@test
def openmetrics_end_once(directory):
    with Desk(directory) as desk:
        answer = desk.ask("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
        check("openmetrics" in answer.headers["Content-Type"], answer.headers["Content-Type"])
        check_equal(answer.text.count("# EOF"), 1)
        check(answer.text.endswith("# EOF\n") and "orders_queue_length" in answer.text and
              "http_requests_total" in answer.text, answer.text[-200:])


@test
def the_dump_shows_workers(directory):
    with Desk(directory, "--workers", 3) as desk:
        def dumped():
            text = desk.get("/debug/goroutines").text
            return text if len(re.findall(r"^shipping_worker\(", text, re.M)) == 3 else None
        dump = wait_for(dumped, "three workers")
        for words in ("goroutine 1 [", "store_writer(", "ag_http_debug(", "[chan receive",
                      "created by start_workers"):
            check(words in dump, f"no {words!r} in the dump:\n{dump}")


@test
def requests_are_logged(directory):
    with Desk(directory) as desk:
        headers = {**JSON, "X-Request-Id": "mine-1",
                   "traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}
        answer = desk.ask("POST", "/orders", json.dumps(ORDER), headers)
        check_equal(answer.headers["X-Request-Id"], "mine-1")
        desk.get("/orders/9?x=y")
        line = wait_for(lambda: desk.logged(msg="request", path="/orders/9"), "a line")[0]
        check_equal((line["method"], line["status"], line["pattern"]),
                    ("GET", "404", "GET /orders/{id}"))
        line = desk.logged(request_id="mine-1")[0]
        check_equal((line["status"], line["trace_id"]), ("201", "ab" * 16))
    with Desk(directory, env={"AGLET_LOG_LEVEL": "4"}) as desk:
        desk.get("/livez")
        desk.signal(signal.SIGTERM)
        desk.wait_ends()
        check_equal(desk.errors, [])


@test
def sigquit_dumps_and_goes_on(directory):
    with Desk(directory) as desk:
        desk.accepted()
        desk.wait_until_all_shipped()
        desk.process.send_signal(signal.SIGQUIT)
        wait_for(lambda: any("shipping_worker" in line for line in desk.errors), "the dump")
        check_equal(desk.get("/livez").status, 200)


# ---- Versions -----------------------------------------------------------------------------------


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
                               "DROP TABLE order_counts; DROP TABLE shift;"
                               "ALTER TABLE orders DROP COLUMN shift; PRAGMA user_version = 1;")
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
    with tempfile.TemporaryDirectory(prefix="orders-") as directory:
        function(Path(directory))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    Desk.program = find_program(args.build).resolve()
    if not Desk.program.exists():
        print(f"FAILED orders: {Desk.program} is not built; make build-release")
        print("0 passed, 1 failed")
        return 1
    return play([function for function in tests if args.only in function.__name__], run_test)


if __name__ == "__main__":
    sys.exit(main())
