#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Talks HTTP/2 to examples/http_hello and, over TLS, examples/https_http2 with programs that others
have written: h2spec, which tries every rule of RFC 9113 and 7541, curl, h2load, Go's net/http.

    tests/e2e/http2.py BUILD_DIR [--list]

The last line is `N passed, N failed[, N skipped]`.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cases import Skip, check, play, test, tests
from hello import SLOW, Server

HERE = Path(__file__).resolve().parent
BIN = Path()
FOLDER = Path()

# Cases of h2spec that need not pass, and why.
EXCUSED = {
    "http2/3.5: Sends invalid connection preface":
        "without TLS, what is no preface is HTTP/1, and is answered by 400 before the end",
}


class Secure(Server):
    """https_http2 on a free port, with a certificate of its own."""

    def __init__(self, program):
        cert, key = FOLDER / "cert.pem", FOLDER / "key.pem"
        if not program.exists():
            raise Skip("build with TLS")
        if not shutil.which("openssl"):
            raise Skip("openssl")
        if not cert.exists():
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                            "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                            "-keyout", key, "-out", cert], check=True, capture_output=True)
        self.process = subprocess.Popen([program, "0", cert, key], stdout=subprocess.PIPE,
                                        text=True)
        self.url = self.process.stdout.readline().split()[-1]
        self.port = int(self.url.rpartition(":")[2])


def plain():
    return Server(BIN / "http_hello")


def secure():
    return Secure(BIN / "https_http2")


def build_go(name, folder, *args):
    """A Go program, kept for the tests that follow."""
    program = FOLDER / name
    if program.exists():
        return program
    if not shutil.which("go"):
        raise Skip("go")
    env = {**os.environ, "GOFLAGS": "-buildvcs=false -mod=mod"}
    done = subprocess.run(["go", "build", "-o", program, *args], cwd=folder, env=env,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Skip(f"{name} ({done.stderr.strip().splitlines()[-1]})")
    return program


def h2spec(server, *args):
    folder = FOLDER / "h2spec-source"
    folder.mkdir(exist_ok=True)
    (folder / "go.mod").write_text("module spec\n\ngo 1.21\n\n"
                                   "require github.com/summerwind/h2spec v2.2.1+incompatible\n")
    program = build_go("h2spec", folder, "github.com/summerwind/h2spec/cmd/h2spec")
    report = FOLDER / "h2spec.xml"
    subprocess.run([program, "-p", str(server.port), "-P", "/body", "-o", str(int(2 * SLOW)),
                    "-j", report, *args], capture_output=True, timeout=300 * SLOW)
    text = report.read_text()
    report.unlink()
    case = re.compile(r'<testcase package="([^"]*)" classname="([^"]*)"[^>]*>\s*<(?:failure|error)')
    failed = {f"{package}: {name}" for package, name in case.findall(text)}
    ran = len(re.findall("<testcase ", text))
    assert ran > 140, ran
    return ran, failed


@test
def h2spec_finds_nothing():
    with plain() as server:
        ran, failed = h2spec(server)
        server.stop()
    check(failed, failed & set(EXCUSED))
    for case in sorted(failed):
        print(f"  excused: {case} ({EXCUSED[case]})")


@test
def h2spec_finds_nothing_over_tls():
    with secure() as server:
        ran, failed = h2spec(server, "-t", "-k")
        server.stop()
    check(failed, set())


def curl(*args, data=None):
    if not shutil.which("curl"):
        raise Skip("curl")
    done = subprocess.run(["curl", "-sSk", *args], input=data, capture_output=True,
                          timeout=60 * SLOW)
    if done.returncode != 0:
        raise AssertionError(f"curl {args}: {done.stderr.decode()}")
    return done.stdout.decode(), done.stderr.decode()


def curl_everything(server, flag):
    """Not a body that is too large: curl 7.88 loses an answer that ends while it still sends."""
    code = ("-o", "/dev/null", "-w", "%{http_code} %{http_version}")
    check(curl(flag, server.url + "/ok")[0], "ok\n")
    check(curl(flag, *code, server.url + "/ok")[0], "200 2")
    check(curl(flag, *code, server.url + "/none")[0], "404 2")
    check(curl(flag, "-I", server.url + "/ok")[0].split("\r\n")[0], "HTTP/2 200 ")
    for size in (0, 1, 5000, 3000000):
        body = b"b" * size
        expect = ("-H", "Expect: 100-continue", "--expect100-timeout", "60")
        check(curl(flag, "--data-binary", "@-", server.url + "/body", data=body)[0], f"{size}\n")
        check(curl(flag, "-T", "-", server.url + "/body", data=body)[0], f"{size}\n")
        check(curl(flag, *expect, "--data-binary", "@-", server.url + "/body", data=body)[0],
              f"{size}\n")


@test
def curl_with_prior_knowledge():
    with plain() as server:
        curl_everything(server, "--http2-prior-knowledge")
        check(curl("--http1.1", server.url + "/ok")[0], "ok\n")
        server.stop()


@test
def curl_over_tls():
    with secure() as server:
        curl_everything(server, "--http2")
        # Not with prior knowledge: curl 7.88 fails when it uses such a connection again.
        out, err = curl("--http2", "-v", *[server.url + "/ok"] * 5)
        check((out, err.count("Re-using existing connection")), ("ok\n" * 5, 4))
        check(curl("--http2", server.url + "/version")[0], "HTTP/2\n")
        check(curl("--http1.1", server.url + "/version")[0], "HTTP/1\n")
        server.stop()


def go_client(server, workers, requests, stop_after=None):
    program = build_go("go-client", HERE / "http_client", ".")
    client = subprocess.Popen([program, server.url, workers, requests, "h2"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if stop_after:
        time.sleep(stop_after)
        check(server.stop(), "stopped, 0 connections cut\n")
    out, err = client.communicate(timeout=120 * SLOW)
    return out, err


@test
def go_sends_what_it_has():
    with plain() as server:
        check(go_client(server, "50", "20000"), ("20000 answered, 0 failed\n", ""))
        server.stop()


@test
def a_stop_under_load_fails_no_request():
    for _ in range(3):
        with plain() as server:
            out, err = go_client(server, "20", "0", stop_after=0.7)
            answered, failed = map(int, re.findall(r"\d+", out))
            check((failed, err), (0, ""))
            assert answered > 100, answered


@test
def h2load_is_answered():
    if not shutil.which("h2load"):
        raise Skip("h2load")
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"b" * 100000)
        body.flush()
        for make, args in ((plain, ()), (secure, ()), (plain, ("-d", body.name)),
                           (plain, ("-w", "14", "-W", "14", "-m", "3"))):
            with make() as server:
                path = "/body" if "-d" in args else "/ok"
                n = "1000" if "-d" in args else "20000"
                done = subprocess.run(["h2load", "-n", n, "-c", "20", "-m", "50", *args,
                                       server.url + path], capture_output=True, text=True,
                                      timeout=60 * SLOW)
                assert f"{n} succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
                check(server.stop(), "stopped, 0 connections cut\n")


def main():
    global BIN, FOLDER
    if "--list" in sys.argv:
        print("\n".join(function.__name__ for function in tests))
        return 0
    BIN = Path(sys.argv[1]).resolve() / "bin"
    with tempfile.TemporaryDirectory() as folder:
        FOLDER = Path(folder)
        return play(tests, lambda function: function())


if __name__ == "__main__":
    sys.exit(main())
