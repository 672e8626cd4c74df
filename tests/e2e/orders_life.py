# SPDX-License-Identifier: MIT
"""Tests of the example service `orders`, played by orders.py: TLS and HTTP/2, the audit trail, how
it stops, how it is restarted."""
import json
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import time
from contextlib import contextmanager

from cases import need, test
from desk import (Certificates, Clients, Desk, JSON, LIMIT_S, ORDER, SLOW, audit, check,
                  check_audit, check_equal, openssl, wait_for)


def curl(*words):
    """What it prints."""
    need("curl")
    done = subprocess.run(["curl", "-sS", "--max-time", f"{LIMIT_S:g}", *map(str, words)],
                          capture_output=True, text=True, timeout=2 * LIMIT_S)
    check_equal(done.returncode, 0, f"curl {words}: {done.stderr}")
    return done.stdout


def curl_order(*words):
    return curl("-H", "Content-Type: application/json", "-d", json.dumps(ORDER), "-w",
                "%{http_code} %{http_version}", "-o", "/dev/null", *words)


# ---- TLS and HTTP/2 -----------------------------------------------------------------------------


@test
def http2_is_spoken_in_the_clear_by_who_knows(directory):
    with Desk(directory) as desk:
        url = f"http://127.0.0.1:{desk.port}/orders"
        check_equal(curl_order("--http2-prior-knowledge", url), "201 2")
        check_equal(curl_order(url), "201 1.1")
        desk.stop()
    check_equal(len(check_audit(directory)), 1)


@test
def tls_agrees_on_http2(directory):
    need("openssl")
    tls = Certificates(directory)
    with Desk(directory, tls=tls) as desk:
        url = f"https://127.0.0.1:{desk.port}/orders"
        check_equal(curl_order("--http2", "--cacert", tls.ca, url), "201 2")
        check_equal(curl_order("--http1.1", "--cacert", tls.ca, url), "201 1.1")
        check_equal(desk.post().status, 201)
        said = openssl("s_client", "-connect", f"127.0.0.1:{desk.port}", "-CAfile", tls.ca,
                       "-alpn", "h2,http/1.1")
        for words in ("ALPN protocol: h2", "Verify return code: 0 (ok)", "TLSv1.3"):
            check(words in said, f"no {words}: {said}")
        check(desk.line("orders: an order desk on https://"), desk.lines)
        desk.stop()
    check_equal(sum(check_audit(directory)), 3)


@test
def certificates_that_do_not_do_are_explained(directory):
    need("openssl")
    tls = Certificates(directory)
    tls.sign("other", directory / "other.pem", directory / "other.key")
    for words in (["--cert", directory / "none.pem", "--key", tls.key],
                  ["--cert", tls.cert, "--key", directory / "other.key"]):
        done = subprocess.run([str(word) for word in (Desk.program, *words)], timeout=LIMIT_S,
                              capture_output=True, text=True, cwd=directory)
        check_equal(done.returncode, 1, done.stderr)
        check(done.stderr.startswith("orders: ") and "see --cert" in done.stderr, done.stderr)


def serial(desk):
    """Of the certificate that is shown."""
    with desk.open() as s, desk.tls.context.wrap_socket(s, server_hostname="127.0.0.1") as tls:
        return tls.getpeercert()["serialNumber"]


@test
def sighup_reads_the_certificates_again(directory):
    need("openssl")
    tls = Certificates(directory)
    with Desk(directory, tls=tls) as desk:
        connection = desk.connect()
        connection.request("GET", "/livez")
        connection.getresponse().read()
        first, good = serial(desk), tls.key.read_text()
        tls.key.write_text("half of a renewal")
        desk.signal(signal.SIGHUP)
        desk.hears("the certificates stay as they were")
        check_equal(serial(desk), first)
        tls.sign("localhost", tls.cert, tls.key)
        desk.signal(signal.SIGHUP)
        desk.hears("the certificates were read again")
        check(serial(desk) != first and tls.key.read_text() != good, "the old one is shown")
        connection.request("GET", "/livez")
        check_equal(connection.getresponse().status, 200, "a connection from before")
        connection.close()
        check_equal(desk.stop()["left"], 0)
    with Desk(directory) as desk:
        desk.signal(signal.SIGHUP)
        desk.hears("there are no certificates")
        desk.stop()


@test
def orders_may_need_a_certificate_and_probes_never_do(directory):
    need("openssl")
    tls = Certificates(directory)
    tls.options += ["--client-ca", tls.ca]
    tls.sign("alice", directory / "alice.pem", directory / "alice.key")
    stranger = directory / "stranger.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", stranger, "-out", directory / "stranger.pem", "-subj", "/CN=stranger")
    with Desk(directory, tls=tls) as desk:
        check_equal(desk.post().status, 403)
        check_equal([desk.get(path).status for path in ("/readyz", "/livez")], [200, 200])
        tls.context.load_cert_chain(directory / "alice.pem", directory / "alice.key")
        check_equal(desk.post().status, 201)
        check_equal(curl_order("--cacert", tls.ca, "--cert", directory / "alice.pem", "--key",
                               directory / "alice.key", f"https://127.0.0.1:{desk.port}/orders"),
                    "201 2")
        tls.context.load_cert_chain(directory / "stranger.pem", stranger)
        try:
            desk.get("/livez")
            check(False, "a stranger's certificate was taken")
        except (ssl.SSLError, ConnectionError):
            pass
        check_equal(len(desk.logged(principal="CN=alice", status="201")), 2)
        desk.stop()
    placed = [record for record in audit(directory) if record["event"] == "placed"]
    check_equal([record["by"] for record in placed], ["CN=alice"] * 2)
    check_equal(sum(check_audit(directory)), 2)


# ---- The audit trail ----------------------------------------------------------------------------


@test
def each_change_is_in_the_audit_trail_once(directory):
    with Desk(directory, "--workers", 1, "--carrier-ms", 200) as desk:
        ids = [desk.accepted()["id"] for _ in range(4)]
        check_equal(desk.post(key="k").status, 201)
        check_equal(desk.post(key="k").status, 201, "the same again")
        check_equal(desk.post(quantity=0).status, 400)
        check_equal([desk.cancel(ids[-1]).status for _ in range(3)], [200] * 3)
        answer = desk.ask("POST", "/orders", json.dumps(ORDER), {**JSON, "X-Request-Id": "mine"})
        check_equal(answer.status, 201)
        desk.wait_until_all_shipped()
        desk.stop()
    check_equal(check_audit(directory), [5])
    records = audit(directory)
    check_equal(len(records), 6 + 1 + 5 + 5, "records")
    first = [r["event"] for r in sorted(records, key=lambda r: r["time"]) if r["order"] == ids[0]]
    check_equal(first, ["placed", "shipping", "shipped"])
    last = next(record for record in records if record.get("request") == "mine")
    check_equal((last["event"], last["order"], last["time"]),
                ("placed", answer.json["id"], answer.json["created_at"]))
    check(last["from"].startswith("127.0.0.1:"), last)


def reset(s):
    """What comes to it later is refused."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


@test
def a_change_whose_client_has_gone_is_in_the_audit_trail(directory):
    body = json.dumps(ORDER).encode()
    with Desk(directory) as desk:
        with sqlite3.connect(directory / "orders.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")  # nobody gets an answer meanwhile
            s = desk.open()
            s.sendall(b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body) + body)
            wait_for(lambda: "make_change(" in desk.get("/debug/goroutines").text, "the change")
            reset(s)
            other.execute("ROLLBACK")
        wait_for(lambda: sum(desk.stored().values()) == 1, "the order")
        desk.stop()
    check_equal(check_audit(directory), [1])


# ---- Stopping -----------------------------------------------------------------------------------


def check_all_there(desk, acknowledged):
    """Every acknowledged order is there as it was sent, and is shipped in the end."""
    desk.wait_until_all_shipped()
    connection = desk.connect()
    for number, customer in acknowledged.items():
        connection.request("GET", f"/orders/{number}")
        order = json.load(connection.getresponse())
        check_equal((order.get("customer"), order.get("status")), (customer, "shipped"),
                    f"order {number}")
    connection.close()


@test
def stops_under_load_lose_nothing(directory):
    acknowledged = {}
    for _ in range(3):
        with Desk(directory, "--queue", 100000, "--carrier-ms", 2) as desk:
            clients = Clients(desk, 16)
            clients.wait_for(150)
            said = desk.stop()
            clients.join()
            # A connection that was never answered on may have come a moment too late; one that
            # was kept open must not be closed under a request.
            broken = [entry for entry in clients.unanswered if entry[1] > 0]
            check(not broken, f"{len(broken)} requests were not answered: {broken[:3]}")
            check_equal(clients.others, [])
            acknowledged.update(clients.acknowledged)
            stopped = desk.logged(msg="stopped")[0]
            check_equal((stopped["cause"], stopped["cut"], stopped["killed"]),
                        ("SIGTERM", "0", "0"))
            check(not (directory / "orders.db-wal").exists(), "the database was not closed")
            shipped = sum(check_audit(directory, acknowledged))
            check_equal(shipped + said["left"], len(acknowledged), str(said))
    with Desk(directory, "--carrier-ms", 0) as desk:
        check_all_there(desk, acknowledged)
        desk.stop()
    check_equal(sum(check_audit(directory, acknowledged)), len(acknowledged))


@test
def what_is_queued_is_shipped_or_kept(directory):
    with Desk(directory, "--workers", 1, "--carrier-ms", 100, "--drain-ms", 350) as desk:
        for _ in range(10):
            desk.accepted()
        said = desk.stop()
        left = said["left"]
        check_equal(said["shipped"] + left, 10, str(said))
        check(left > 0, str(said))
        check(SLOW > 1 or said["shipped"] > 1, str(said))
    with Desk(directory) as desk:
        check(f"{left} orders to ship from before" in "\n".join(desk.lines), desk.lines)
        desk.wait_until_all_shipped()
        check_equal(desk.stored()["shipped"], 10)
        desk.stop()
    check_equal(sum(check_audit(directory)), 10)


@test
def old_orders_wait_for_places(directory):
    with Desk(directory, "--workers", 1, "--carrier-ms", 60000, "--drain-ms", 1) as desk:
        for _ in range(100):
            desk.accepted()
        check_equal(desk.stop()["left"], 100)
    with Desk(directory, "--workers", 2, "--carrier-ms", 0, "--queue", 2) as desk:
        desk.wait_until_all_shipped()
        check_equal(desk.stored()["shipped"], 100)
        check_equal(desk.metric("orders_shipped_total"), 100.0, "each one once")


@test
def readyz_turns_503_before_the_end(directory):
    with Desk(directory, env={"AGLET_STOP_DELAY_MS": str(int(1000 * SLOW))}) as desk:
        check_equal(desk.get("/readyz").text, "ready\n")
        desk.signal(signal.SIGTERM)
        wait_for(lambda: desk.get("/readyz").status == 503, "not ready")
        check_equal(desk.get("/readyz").text, "the service stops\n")
        check_equal(desk.get("/livez").status, 200)
        answer = desk.post()
        check_equal((answer.status, answer.headers["Connection"]), (201, "close"), "in the delay")
        check_equal(desk.wait_ends(), [0])
        check_equal(desk.logged(msg="stopped")[0]["cause"], "SIGTERM")
    check_equal(sum(check_audit(directory)), 1)


@test
def open_requests_are_answered_when_stopping(directory):
    with Desk(directory) as desk:
        body = json.dumps(ORDER).encode()
        with desk.open() as s:
            s.sendall(b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
            wait_for(lambda: desk.metric("orders_requests_in_progress") == 1, "the request")
            desk.signal(signal.SIGINT)
            desk.hears("msg=stopping")
            s.sendall(body[5:])
            answer = s.recv(1000)
        check(answer.startswith(b"HTTP/1.1 201") and b"Connection: close" in answer, str(answer))
        check_equal(desk.wait_ends(), [0])
    check_equal(sum(check_audit(directory)), 1)


@test
def a_second_signal_ends_it_at_once(directory):
    with Desk(directory, env={"AGLET_STOP_DELAY_MS": "60000", "AGLET_STOP_MS": "600000"}) as desk:
        desk.signal(signal.SIGTERM)
        wait_for(lambda: desk.get("/readyz").status == 503, "draining")
        time.sleep(0.2)  # one that comes sooner counts as the same
        desk.signal(signal.SIGTERM)
        check_equal(desk.wait_ends(), [0], "nothing was to be cut")
        check_equal(desk.logged(msg="stopped")[0]["forced"], "true")


@test
def a_signal_that_comes_twice_is_one(directory):
    """As from a terminal or a supervisor that signals the process and its group."""
    with Desk(directory, env={"AGLET_STOP_DELAY_MS": "300"}) as desk:
        desk.signal(signal.SIGTERM)
        desk.signal(signal.SIGTERM)
        desk.signal(signal.SIGINT)
        check_equal(desk.wait_ends(), [0], str(desk.errors))


@test
def kill_under_load_loses_no_acknowledged_order(directory):
    acknowledged = {}
    for _ in range(3):
        with Desk(directory, "--queue", 100000, "--carrier-ms", 1) as desk:
            clients = Clients(desk, 8)
            clients.wait_for(150)
            desk.process.kill()
            clients.join()
            check_equal(clients.others, [])
            acknowledged.update(clients.acknowledged)
    with Desk(directory, "--carrier-ms", 0) as desk:
        check_all_there(desk, acknowledged)
        check(sum(desk.stored().values()) >= len(acknowledged), "orders")
        desk.stop()
    with sqlite3.connect(directory / "orders.db") as database:
        check_equal(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
        check_equal(sorted(database.execute("SELECT status, n FROM order_counts WHERE n > 0")),
                    sorted(database.execute("SELECT status, count(*) FROM orders GROUP BY status")),
                    "the triggers' counts")


# ---- Restarting ---------------------------------------------------------------------------------


@test
def restarts_under_load_fail_no_request_and_ship_each_order_once(directory):
    with Desk(directory, "--queue", 100000, "--carrier-ms", 2) as desk:
        clients = Clients(desk, 12)
        for _ in range(5):
            clients.go_on()
            desk.restart()
        clients.go_on()
        clients.end()
        desk.wait_until_all_shipped()
        desk.stop()
    shipped = check_audit(directory, clients.acknowledged)
    check_equal(sum(shipped), len(clients.acknowledged))
    check(len(shipped) > 1, f"one process did everything: {shipped}")


@test
def a_restart_under_tls_and_http2_fails_no_request(directory):
    need("openssl")
    tls = Certificates(directory)
    with Desk(directory, "--queue", 100000, tls=tls) as desk:
        clients, before = Clients(desk, 6), serial(desk)
        clients.go_on(50)
        tls.sign("localhost", tls.cert, tls.key)
        desk.signal(signal.SIGUSR2)
        url, done = f"https://127.0.0.1:{desk.port}/orders", 0
        while len(desk.pids()) < 2 or done < 5:
            check_equal(curl_order("--http2", "--cacert", tls.ca, url), "201 2")
            done += 1
        clients.go_on(50)
        clients.end()
        check(serial(desk) != before, "the successor has the old certificate")
        desk.wait_until_all_shipped()
        desk.stop()
    check_equal(sum(check_audit(directory)), len(clients.acknowledged) + done)


@test
def a_successor_ships_when_the_old_one_has_let_go(directory):
    """It serves at once; what is queued there, and here, is shipped afterwards, by it, and once,
    although it comes upon what is queued here in the database, too, with workers to spare."""
    with Desk(directory, "--workers", 4, "--carrier-ms", int(700 * SLOW)) as desk:
        for _ in range(6):
            desk.accepted()
        wait_for(lambda: desk.stored()["shipping"] == 4, "the workers")
        new = desk.restart()
        late = desk.accepted()["id"]
        wait_for(lambda: (new, late) in [(r["process"], r["order"]) for r in audit(directory)],
                 "the record of an order that the successor has taken")
        wait_for(lambda: desk.status_of(late) == "shipped", "shipping")
        desk.stop()
        handed = desk.logged(msg="shipping has ended")[0]
        check_equal((handed["to_successor"], int(handed["shipped"]) + int(handed["left"])),
                    ("true", 7))
    shipped = check_audit(directory)
    check_equal((len(shipped), sum(shipped)), (2, 7))


@test
def a_successor_takes_over_from_one_that_is_killed(directory):
    with Desk(directory, "--workers", 1, "--carrier-ms", 60000) as desk:
        number = desk.accepted()["id"]
        wait_for(lambda: desk.status_of(number) == "shipping", "the worker")
        old, new = desk.pids()[0], desk.restart()
        check_equal(desk.status_of(number), "shipping")
        given = [(r["process"], r["order"]) for r in audit(directory) if r["event"] == "shipping"]
        check_equal(given, [(old, number)], "one of them ships")
        desk.process.kill()
        wait_for(lambda: (new, number) in [(r["process"], r["order"]) for r in audit(directory)
                                           if r["event"] == "shipping"], "the carrier, again")


@contextmanager
def failing(desk, words):
    """A restart that fails for what is done in here to it, and changes nothing."""
    clients = Clients(desk, 4)
    clients.go_on(20)
    yield
    desk.signal(signal.SIGUSR2)
    desk.hears(words)
    clients.go_on(20)
    clients.end()
    check_equal(len(desk.pids()), 1)
    desk.wait_until_all_shipped()


@test
def a_successor_that_fails_leaves_the_old_one_serving(directory):
    link, bad = directory / "orders", directory / "bad"
    link.symlink_to(Desk.program)
    bad.write_text("#!/bin/sh\nexit 3\n")
    bad.chmod(0o755)
    with Desk(directory, "--queue", 100000, program=link) as desk:
        with failing(desk, "exit status 3"):
            link.unlink()
            link.symlink_to(bad)
        link.unlink()
        link.symlink_to(Desk.program)
        desk.restart()
        check_equal(desk.post().status, 201)
        desk.wait_until_all_shipped()
        desk.stop()
    check_audit(directory)


@test
def a_successor_with_bad_certificates_leaves_the_old_one_serving(directory):
    need("openssl")
    tls = Certificates(directory)
    with Desk(directory, "--queue", 100000, tls=tls) as desk:
        with failing(desk, "exit status 1"):
            tls.key.write_text("half of a renewal")
        desk.stop()
    check_audit(directory)
