#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets examples/http_fetch ask servers that others have written: nginx, Go's net/http, Python's
http.server; directly, by TLS, by HTTP/2, and through tinyproxy.

    tests/e2e/http_client.py BUILD_DIR [--list]

The last line is `N passed, N failed[, N skipped]`.
"""
import contextlib
import functools
import hashlib
import http.server
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from cases import Skip, play, test, tests

HERE = Path(__file__).resolve().parent
SLOW = float(os.environ.get("AG_TEST_SLOW", "1"))
PLACE = None  # a folder for this run
FETCH = None  # the client


def check(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r:.500}, got {actual!r:.500}")


def need(*programs):
    for program in programs:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Skip(program)


def fetch(url, **environment):
    """(exit status, what it printed)"""
    clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = subprocess.run([FETCH, url], capture_output=True, timeout=60 * SLOW,
                          env={**clean, **environment})
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process):
    for _ in range(int(1000 * SLOW)):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if process.poll() is not None:
            raise AssertionError(process.stderr.read())
        time.sleep(0.01)
    raise AssertionError("the server does not answer")


@contextlib.contextmanager
def running(*command):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30 * SLOW)


def own_address():
    """One of this machine's that is not the loopback, for which no proxy is asked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError as why:
            raise Skip("address but the loopback") from why
        return s.getsockname()[0]


@functools.cache
def go_program():
    need("go")
    program = PLACE / "server"
    subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / "http_server", check=True,
                   env={**os.environ, "GOFLAGS": "-buildvcs=false"})
    return program


@functools.cache
def certificate():
    need("openssl")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test",
                    "-addext", f"subjectAltName=DNS:localhost,IP:127.0.0.1,IP:{own_address()}",
                    "-keyout", PLACE / "key.pem", "-out", PLACE / "cert.pem"],
                   check=True, capture_output=True)
    return PLACE / "cert.pem", PLACE / "key.pem"


@contextlib.contextmanager
def go_server(*args):
    with running(go_program(), *args) as process:
        yield int(process.stdout.readline())


@contextlib.contextmanager
def nginx(how="", more=""):
    need("nginx")
    port, site = free_port(), PLACE / "site"
    site.mkdir(exist_ok=True)
    (site / "small.txt").write_text("small\n")
    (site / "large.txt").write_text("".join(f"line {i}\n" for i in range(100000)))
    conf = PLACE / "nginx.conf"
    conf.write_text(f"""daemon off; pid {PLACE}/nginx.pid; error_log {PLACE}/nginx.log;
        events {{}}
        http {{ access_log off; gzip on; gzip_types text/plain; gzip_proxied any;
            client_body_temp_path {PLACE}/t1; proxy_temp_path {PLACE}/t2;
            fastcgi_temp_path {PLACE}/t3; uwsgi_temp_path {PLACE}/t4; scgi_temp_path {PLACE}/t5;
            types {{ text/plain txt; }}
            server {{ listen 127.0.0.1:{port} {how}; root {site}; {more}
                location /moved {{ return 301 /small.txt; }}
                location /proto {{ return 200 $server_protocol; }} }} }}""")
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    with running(program, "-c", conf, "-e", PLACE / "nginx.log") as process:
        wait_for(port, process)
        yield f"{'https' if how else 'http'}://127.0.0.1:{port}"


@contextlib.contextmanager
def tinyproxy():
    need("tinyproxy")
    port, conf = free_port(), PLACE / "tinyproxy.conf"
    conf.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\n"
                    "BasicAuth me pass\n")
    with running("tinyproxy", "-d", "-c", conf) as process:
        wait_for(port, process)
        yield f"http://me:pass@127.0.0.1:{port}"


@test
def nginx_is_asked():
    with nginx() as url:
        check(fetch(url + "/small.txt"), (0, "200\nsmall\n"))
        check(fetch(url + "/moved"), (0, "200\nsmall\n"))
        status, text = fetch(url + "/none")
        check((status, text.split("\n")[0]), (0, "404"))


@test
def nginx_packs_what_is_large():
    """In chunks, because it does not know how much it will be."""
    with nginx() as url:
        status, text = fetch(url + "/large.txt")
        want = "200\n" + (PLACE / "site" / "large.txt").read_text()
        check((status, hashlib.md5(text.encode()).hexdigest()),
              (0, hashlib.md5(want.encode()).hexdigest()))


@test
def go_is_asked():
    with go_server() as port:
        url = f"http://localhost:{port}"
        check(fetch(url + "/hello"), (0, "200\nhello from localhost by aglet\n"))
        check(fetch(url + "/away"), (0, "200\nhello from localhost by aglet\n"))
        check(fetch(url + "/chunks"), (0, "200\n" + "".join(f"line {i}\n" for i in range(1000))))
        status, text = fetch(url + "/loop")
        check(status, 1)
        assert "stopped after 10 redirects" in text, text


@test
def an_answer_that_go_cuts_is_an_error():
    with go_server() as port:
        status, text = fetch(f"http://localhost:{port}/cut")
        check(status, 1)
        assert "the answer was cut: Connection reset" in text, text


@test
def go_is_asked_by_tls():
    cert, key = certificate()
    with go_server(cert, key) as port:
        url = f"https://localhost:{port}/hello"
        status, text = fetch(url)
        if "no TLS" in text:
            raise Skip("TLS in this build")
        check(status, 1)
        assert "verify failed" in text, text
        check(fetch(url, SSL_CERT_FILE=str(cert)), (0, "200\nhello from localhost by aglet\n"))
        status, text = fetch(url.replace("https", "http"))
        check((status, text.split("\n")[0]), (0, "400"))


def fetch_safely(url, **environment):
    """What it printed, by https."""
    status, text = fetch(url, SSL_CERT_FILE=str(certificate()[0]), **environment)
    if "no TLS" in text:
        raise Skip("TLS in this build")
    return status, text


def need_http2(text):
    if text == "200\nHTTP/1.1\n" or text == "200\nHTTP/1.1":
        raise Skip("HTTP/2 in this build")


@test
def go_is_asked_by_http2():
    with go_server(*certificate()) as port:
        url = f"https://localhost:{port}"
        status, text = fetch_safely(url + "/proto")
        need_http2(text)
        check((status, text), (0, "200\nHTTP/2.0\n"))
        check(fetch_safely(url + "/away"), (0, "200\nhello from localhost by aglet\n"))
        check(fetch_safely(url + "/chunks"),
              (0, "200\n" + "".join(f"line {i}\n" for i in range(1000))))
        status, text = fetch_safely(url + "/cut")
        check(status, 1)
        assert "the server has reset it: INTERNAL_ERROR: Connection reset" in text, text
        status, text = fetch_safely(url + "/loop")
        check(status, 1)
        assert "stopped after 10 redirects" in text, text


@test
def nginx_is_asked_by_http2():
    cert, key = certificate()
    with nginx("ssl http2", f"ssl_certificate {cert}; ssl_certificate_key {key};") as url:
        status, text = fetch_safely(url + "/proto")
        need_http2(text)
        check((status, text), (0, "200\nHTTP/2.0"))
        check(fetch_safely(url + "/small.txt"), (0, "200\nsmall\n"))
        check(fetch_safely(url + "/moved"), (0, "200\nsmall\n"))
        want = "200\n" + (PLACE / "site" / "large.txt").read_text()
        status, text = fetch_safely(url + "/large.txt")
        check((status, hashlib.md5(text.encode()).hexdigest()),
              (0, hashlib.md5(want.encode()).hexdigest()))


@test
def http2_goes_through_a_tunnel():
    with go_server(*certificate()) as port, tinyproxy() as proxy:
        status, text = fetch_safely(f"https://{own_address()}:{port}/proto", HTTPS_PROXY=proxy)
        need_http2(text)
        check((status, text), (0, "200\nHTTP/2.0\n"))


@test
def python_is_asked():
    """HTTP/1.0: the end of the body is the end of the connection."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"python\n" * 10000)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            check(fetch(f"http://127.0.0.1:{server.server_port}/"),
                  (0, "200\n" + "python\n" * 10000))
        finally:
            server.shutdown()


@test
def a_proxy_is_asked():
    with go_server() as port, tinyproxy() as proxy:
        host = own_address()
        url = f"http://{host}:{port}/hello"
        check(fetch(url, HTTP_PROXY=proxy), (0, f"200\nhello from {host} by aglet\n"))
        status, text = fetch(url, HTTP_PROXY=proxy.replace("pass", "wrong"))
        assert text.startswith("401\n") or text.startswith("407\n"), text
        check(fetch(url, HTTP_PROXY="http://127.0.0.1:1", NO_PROXY=host)[0], 0)
        status, text = fetch(url, HTTP_PROXY="http://127.0.0.1:1")
        check(status, 1)
        assert "connecting to the proxy 127.0.0.1:1: Connection refused" in text, text


@test
def a_proxy_makes_a_tunnel():
    cert, key = certificate()
    with go_server(cert, key) as port, tinyproxy() as proxy:
        host = own_address()
        url = f"https://{host}:{port}/hello"
        trust = {"SSL_CERT_FILE": str(cert)}
        status, text = fetch(url, HTTPS_PROXY=proxy, **trust)
        if "no TLS" in text:
            raise Skip("TLS in this build")
        check((status, text), (0, f"200\nhello from {host} by aglet\n"))
        status, text = fetch(url, HTTPS_PROXY=proxy.replace("pass", "wrong"), **trust)
        check(status, 1)
        assert "the proxy answered CONNECT with 40" in text, text


def main():
    global PLACE, FETCH
    if "--list" in sys.argv:
        print("\n".join(function.__name__ for function in tests))
        return 0
    FETCH = Path(sys.argv[1]).resolve() / "bin" / "http_fetch"
    with tempfile.TemporaryDirectory() as place:
        PLACE = Path(place)
        PLACE.chmod(0o755)
        return play(tests, lambda function: function())


if __name__ == "__main__":
    sys.exit(main())
