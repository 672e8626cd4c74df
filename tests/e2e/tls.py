#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TLS with what others have written: openssl's s_client and s_server, curl and Go's crypto/tls,
against tests/e2e/tls_peer.c.

    tests/e2e/tls.py BUILD_DIR [--list]

The last line is `N passed, N failed[, N skipped]`.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cases import check, need, play, test, tests

HERE = Path(__file__).resolve().parent
SLOW = float(os.environ.get("AG_TEST_SLOW", "1"))
LIMIT = 30 * SLOW
certs = Path()
peer = Path()


def contains(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"there is no {part!r} in {text}")


# ---- Certificates -------------------------------------------------------------------------------


def openssl(*args):
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"openssl {args}: {done.stderr}")


def make_cert(name, by=None, names=None, kind="ec", days=2):
    key = certs / f"{name}.key"
    if kind == "ec":
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    else:
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    request = certs / f"{name}.csr"
    openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
    lines = [f"subjectAltName={names}"] if names else []
    lines.append("basicConstraints=critical,CA:TRUE" if not by else "basicConstraints=CA:FALSE")
    (certs / "ext").write_text("\n".join(lines))
    signer = ["-CA", certs / f"{by}.pem", "-CAkey", certs / f"{by}.key", "-CAcreateserial"]
    openssl("x509", "-req", "-in", request, "-days", days, "-extfile", certs / "ext",
            *(signer if by else ["-signkey", key]), "-out", certs / f"{name}.pem")


def pair(name):
    return f"cert={certs / name}.pem", f"key={certs / name}.key"


# ---- Programs -----------------------------------------------------------------------------------


class Server:
    """tls_peer as the server, until the block ends."""

    def __init__(self, *words):
        words = words or pair("site")
        self.process = subprocess.Popen([peer, "serve", *words], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.at = f"localhost:{self.port}"

    def __enter__(self):
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        text, _ = self.process.communicate(timeout=LIMIT)
        check(self.process.returncode, 0)
        return text

    def __exit__(self, *error):
        if self.process.poll() is None:
            if error == (None, None, None):
                self.stop()
            else:
                self.process.kill()
                self.process.wait()


def s_client(server, *args, say="GET / HTTP/1.0\r\n\r\n", trust="ca",
             name="localhost"):
    """What openssl's client prints, and its status. It says something, and reads to the end."""
    need("openssl")
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile",
               certs / f"{trust}.pem", "-verify_return_error", *args]
    if "-noservername" not in args:
        command += ["-servername", name]
    done = subprocess.run(list(map(str, command)) + ["-ign_eof"], input=say, capture_output=True,
                          text=True, timeout=LIMIT)
    return done.stdout + done.stderr, done.returncode


class Foreign:
    """openssl's server, which answers GET with a page about the connection."""

    def __init__(self, *args, cert="site"):
        need("openssl")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert",
             certs / f"{cert}.pem", "-key", certs / f"{cert}.key", "-www", *map(str, args)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        line = b""
        while b"ACCEPT" not in line:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError("s_server has ended")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()


def get(port, *words, host="localhost", roots="ca"):
    """Our client. What it prints, and its status."""
    words = (f"roots={certs / roots}.pem", *words)
    done = subprocess.run([peer, "get", f"{host}:{port}", *words], capture_output=True, text=True,
                          timeout=LIMIT)
    return done.stdout + done.stderr, done.returncode


# ---- Our server, openssl's client ---------------------------------------------------------------


@test
def both_versions_are_spoken():
    with Server() as server:
        for flag, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            text, status = s_client(server, flag)
            check(status, 0)
            contains(text, f"New, {version}, Cipher", "Verify return code: 0 (ok)", "hello\n")


@test
def older_versions_are_refused():
    with Server() as server:
        for flag in ("-tls1", "-tls1_1"):
            text, status = s_client(server, flag, "-cipher", "ALL:@SECLEVEL=0")
            assert status != 0 and "hello" not in text, text
    with Server(*pair("site"), "min=1.3") as server:
        text, status = s_client(server, "-tls1_2")
        assert status != 0 and "hello" not in text, text
        contains(text, "alert protocol version")
        check(s_client(server, "-tls1_3")[1], 0)


@test
def weak_ciphers_are_refused():
    with Server() as server:
        for cipher in ("NULL", "aNULL", "RC4", "3DES", "EXPORT"):
            text, status = s_client(server, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
            assert status != 0 and "hello" not in text, (cipher, text)


@test
def sessions_are_resumed():
    with Server() as server:
        for flag in ("-tls1_2", "-tls1_3"):
            session = certs / "session"
            text, _ = s_client(server, flag, "-sess_out", session)
            contains(text, "New, TLS")
            text, status = s_client(server, flag, "-sess_in", session)
            check(status, 0)
            contains(text, "Reused, TLS", "hello\n")


@test
def renegotiation_is_refused():
    with Server() as server:
        process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-CAfile",
             certs / "ca.pem"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        process.stdin.write("R\n")
        process.stdin.flush()
        text, _ = process.communicate(timeout=LIMIT)
        contains(text, "RENEGOTIATING", "no renegotiation")
        check(s_client(server)[1], 0)  # the server goes on


@test
def nothing_is_compressed():
    with Server() as server:
        text, _ = s_client(server, "-tls1_2", "-comp")
        contains(text, "Compression: NONE")


@test
def the_server_chooses_the_protocol():
    with Server(*pair("site"), "alpn=h3,http/1.1") as server:
        contains(s_client(server, "-alpn", "http/1.1,h3")[0], "ALPN protocol: h3")
        contains(s_client(server, "-alpn", "http/1.1")[0], "ALPN protocol: http/1.1")
        contains(s_client(server)[0], "No ALPN negotiated", "hello")
        text, status = s_client(server, "-alpn", "spdy")
        assert status != 0, text
        contains(text, "alert no application protocol")


@test
def the_server_shows_what_is_asked_for():
    with Server(*pair("site"), *pair("wild"), *pair("exact")) as server:
        for name, subject in (("a.example.org", "exact"), ("b.example.org", "wild"),
                              ("localhost", "site"), ("none.example", "site")):
            text, _ = s_client(server, name=name)
            contains(text, f"subject=CN = {subject}\n")
        contains(s_client(server, "-noservername")[0], "subject=CN = site\n")


@test
def keys_of_both_kinds_are_shown():
    with Server(*pair("rsa"), *pair("site")) as server:
        contains(s_client(server, "-sigalgs", "ecdsa_secp256r1_sha256")[0], "subject=CN = site\n")
        contains(s_client(server, "-sigalgs", "rsa_pss_rsae_sha256")[0], "subject=CN = rsa\n")


@test
def a_client_is_asked_for_its_certificate():
    words = *pair("site"), f"ca={certs / 'ca.pem'}"
    own = ("-cert", certs / "alice.pem", "-key", certs / "alice.key")
    wrong = ("-cert", certs / "other.pem", "-key", certs / "other.key")
    for flag in ("-tls1_2", "-tls1_3"):
        with Server(*words, "clients=require") as server:
            text, status = s_client(server, flag, *own)
            check(status, 0)
            contains(text, "hello", "Acceptable client certificate CA names\nCN = ca\n")
            text, status = s_client(server, flag)
            assert status != 0 and "hello" not in text, text
            contains(text, "alert")
            text, status = s_client(server, flag, *wrong)
            assert status != 0 and "hello" not in text, text
            contains(text, "alert unknown ca")
        with Server(*words, "clients=request") as server:
            for good in (), own:
                text, status = s_client(server, flag, *good)
                check(status, 0)
                contains(text, "hello")
            text, status = s_client(server, flag, *wrong)
            assert status != 0 and "hello" not in text, text


@test
def a_key_update_is_answered():
    with Server() as server:
        process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_3", "-CAfile",
             certs / "ca.pem"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        for line in ("K\n", "k\n", "K\n"):
            process.stdin.write(line)
            process.stdin.flush()
            time.sleep(0.1)  # each is a command only if it comes by itself
        process.stdin.write("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        process.stdin.flush()
        text = process.stdout.read()
        process.wait(timeout=LIMIT)
        contains(text, "KEYUPDATE", "hello\n")


@test
def plain_http_is_told_so():
    with Server() as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = b""
            while part := s.recv(4096):
                answer += part
        contains(answer.decode(), "HTTP/1.0 400 ", "a plain HTTP request was sent to a TLS port.")


@test
def a_reload_shows_the_new_certificate():
    shutil.copy(certs / "site.pem", certs / "now.pem")
    shutil.copy(certs / "site.key", certs / "now.key")
    with Server(*pair("now")) as server:
        contains(s_client(server)[0], "subject=CN = site\n")
        shutil.copy(certs / "rsa.pem", certs / "now.pem")
        server.process.send_signal(signal.SIGHUP)
        contains(server.process.stdout.readline(), "does not belong to this certificate")
        contains(s_client(server)[0], "subject=CN = site\n")
        shutil.copy(certs / "rsa.key", certs / "now.key")
        server.process.send_signal(signal.SIGHUP)
        check(server.process.stdout.readline(), "reloaded\n")
        contains(s_client(server)[0], "subject=CN = rsa\n")


# ---- Our server, curl and Go --------------------------------------------------------------------


def curl(server, *args, data=None):
    need("curl")
    done = subprocess.run(["curl", "-sS", "--http1.1", "--cacert", str(certs / "ca.pem"), *args],
                          input=data, capture_output=True, timeout=LIMIT)
    return done.stdout, done.stderr.decode(), done.returncode


@test
def curl_keeps_its_connection():
    with Server() as server:
        out, err, status = curl(server, "-v", *[f"https://{server.at}/"] * 5)
        check((out, status), (b"hello\n" * 5, 0))
        check(err.count("Re-using existing connection"), 4)
        check(curl(server, f"https://127.0.0.1:{server.port}/")[0], b"hello\n")


@test
def curl_sends_and_gets_much():
    with Server() as server:
        for size in (0, 1, 16384, 100000, 20000000):
            body = os.urandom(size)
            for args in (("--data-binary", "@-"), ("-T", "-", "-X", "POST")):
                out, err, _ = curl(server, *args, f"https://{server.at}/back", data=body)
                assert out == body, (size, args, err)


@test
def curl_does_not_trust_everybody():
    with Server(*pair("other")) as server:
        _, err, status = curl(server, f"https://{server.at}/")
        check(status, 60)
    with Server(*pair("wild")) as server:
        check(curl(server, f"https://{server.at}/")[2], 60)


def go_client(server, workers, requests, version):
    need("go")
    program = certs / "go_client"
    if not program.exists():
        subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / "tls_client", check=True,
                       env={**os.environ, "GOFLAGS": "-buildvcs=false"})
    return subprocess.Popen([program, f"https://{server.at}", certs / "ca.pem", str(workers),
                             str(requests), version], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


@test
def go_sends_what_it_has():
    for version in ("1.2", "1.3"):
        with Server() as server:
            out, err = go_client(server, 20, 2000, version).communicate(timeout=60 * SLOW)
            check((out, err), ("2000 answered, 0 failed\n", ""))


@test
def a_stop_under_load_fails_no_request():
    with Server() as server:
        client = go_client(server, 10, 0, "1.3")
        time.sleep(1)
        check(server.stop(), "0 cut\n")
        out, err = client.communicate(timeout=60 * SLOW)
        answered, failed = map(int, re.findall(r"\d+", out))
        check((failed, err), (0, ""))
        assert answered > 50, answered


# ---- openssl's server, our client ---------------------------------------------------------------


@test
def our_client_speaks_both_versions():
    for flag, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        with Foreign(flag) as server:
            text, status = get(server.port)
            check(status, 0)
            contains(text, f"{version} ", "peer=CN=site", "HTTP/1.0 200 ok")


@test
def our_client_refuses_older_versions():
    with Foreign("-tls1_1", "-cipher", "ALL:@SECLEVEL=0") as server:
        text, status = get(server.port)
        check(status, 1)
        contains(text, "failed: Protocol error: ")


@test
def our_client_resumes():
    for flag in ("-tls1_2", "-tls1_3"):
        with Foreign(flag) as server:
            text, status = get(server.port, "times=3")
            check(status, 0)
            check(re.findall(r"resumed=\d", text), ["resumed=0", "resumed=1", "resumed=1"])


@test
def our_client_checks_the_server():
    with Foreign() as server:
        text, status = get(server.port, roots="other")
        check(status, 1)
        contains(text, "failed: Key was rejected by service: certificate verify failed: ")
        contains(get(server.port, "name=example.org")[0], "hostname mismatch")
        check(get(server.port, host="127.0.0.1")[1], 0)
        contains(get(server.port, "name=192.0.2.1")[0], "IP address mismatch")


@test
def our_client_offers_protocols():
    with Foreign("-alpn", "b,c") as server:
        contains(get(server.port, "alpn=a,b,c")[0], "alpn=b ")
        contains(get(server.port)[0], "alpn= ")


@test
def our_client_shows_its_certificate():
    for flag in ("-tls1_2", "-tls1_3"):
        with Foreign(flag, "-Verify", "1", "-verify_return_error", "-CAfile",
                     certs / "ca.pem") as server:
            text, status = get(server.port, *pair("alice"))
            check(status, 0)
            contains(text, "Subject: CN=alice")
            text, status = get(server.port)
            check(status, 1)
            contains(text, "the peer refused: ")


@test
def our_client_and_a_server_without_tls():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        process = subprocess.Popen([peer, "get", f"localhost:{s.getsockname()[1]}"],
                                   stdout=subprocess.PIPE, text=True)
        client, _ = s.accept()
        client.sendall(b"220 mail.example.org ESMTP\r\n")
        text, _ = process.communicate(timeout=LIMIT)
        client.close()
        contains(text, "the peer does not speak TLS")


def make_certs():
    make_cert("ca")
    make_cert("site", "ca", "DNS:localhost,IP:127.0.0.1")
    make_cert("rsa", "ca", "DNS:localhost,IP:127.0.0.1", kind="rsa")
    make_cert("wild", "ca", "DNS:*.example.org")
    make_cert("exact", "ca", "DNS:a.example.org")
    make_cert("alice", "ca", "DNS:alice")
    make_cert("other", None, "DNS:localhost")


def main():
    global certs, peer
    if "--list" in sys.argv:
        print("\n".join(function.__name__ for function in tests))
        return 0
    peer = Path(sys.argv[1]).resolve() / "tests" / "tls_peer"
    only = sys.argv[2:]
    if not peer.exists() or not shutil.which("openssl"):
        print(f"skipped: there is no {peer if shutil.which('openssl') else 'openssl'}")
        print(f"0 passed, 0 failed, {len(tests)} skipped")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        certs = Path(folder)
        make_certs()
        return play([test for test in tests if not only or test.__name__ in only],
                    lambda function: function())


if __name__ == "__main__":
    sys.exit(main())
