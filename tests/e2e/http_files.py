#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Asks examples/http_file_server for files with clients that others have written - curl, wget,
Python's http.client - and puts the same conditional and range requests to nginx and to Go's
FileServer: every verdict is the same, or one of those that are explained below.

    tests/e2e/http_files.py BUILD_DIR
    tests/e2e/http_files.py BUILD_DIR --table     the verdicts of all three, as a table

The last line is `N passed, N failed[, N skipped]`.
"""
import gzip
import http.client
import os
import re
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
TIME = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT


def make_tree(root):
    files = {"ten.txt": b"0123456789", "empty.txt": b"",
             "text.html": b"<p>the same again and again</p>\n" * 3000,
             "large.bin": bytes(i * 7 % 251 for i in range(3000000)),
             "sub/index.html": b"<p>sub\n"}
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (TIME, TIME))
    return files


class Ours:
    name = "ours"

    def __init__(self, build, root):
        self.process = subprocess.Popen([build / "bin" / "http_file_server", "0", root],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True)
        self.url = self.process.stdout.readline().split()[-1]
        self.port = int(self.url.rpartition(":")[2])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        text, _ = self.process.communicate(timeout=30 * SLOW)
        check((self.process.returncode, text), (0, "stopped, 0 connections cut\n"))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Go(Ours):
    name = "go"

    def __init__(self, folder, root):
        need("go")
        program = folder / "file_server"
        subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / "file_server", check=True,
                       env={**os.environ, "GOFLAGS": "-buildvcs=false"})
        self.process = subprocess.Popen([program, root], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().strip().rpartition(":")[2])


class Nginx(Ours):
    name = "nginx"

    def __init__(self, folder, root):
        need("nginx")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        config = folder / "nginx.conf"
        paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config.write_text(f"""
            daemon off; master_process off; pid {folder}/pid; error_log {folder}/error;
            events {{}}
            http {{ {paths} access_log off; max_ranges 16; absolute_redirect off;
                server {{ listen 127.0.0.1:{self.port}; root {root}; index index.html;
                          types {{ text/plain txt; text/html html; }} }} }}""")
        self.process = subprocess.Popen(["nginx", "-p", folder, "-c", config],
                                        stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20 * SLOW
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


# ---- The same questions to all -----------------------------------------------------------------

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
RFC850, ASCTIME = "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"
E = "{etag}"  # each server's own
CASES = [
    # path, method, fields
    ("ten.txt", "GET", {}),
    ("ten.txt", "HEAD", {}),
    ("empty.txt", "GET", {}),
    ("none.txt", "GET", {}),
    ("sub/", "GET", {}),
    ("sub", "GET", {}),
    ("ten.txt/", "GET", {}),
    ("%2e%2e/%2e%2e/etc/passwd", "GET", {}),
    ("..%2f..%2fetc%2fpasswd", "GET", {}),
] + [("ten.txt", "GET", {"Range": "bytes=" + r}) for r in (
    "0-0", "0-9", "0-", "9-", "5-7", "-1", "-10", "-100", "3-1000", "10-", "10-20", "-0", "5-4",
    "a-b", "1", "", ",", "0-1,3-4", "0-1, 3-4", "0-1,100-", "100-,200-", "0-,0-", "0-4,3-9",
    "0-1,2-3,4-5,6-7,8-9", "0-1,5-4", "00-01", "99999999999999999999-", "0-99999999999999999999",
    " 1-2", "1 - 2", "+1-2", ",".join(["0-0"] * 10), ",".join(["0-0"] * 17))
] + [
    ("ten.txt", "GET", {"Range": "items=0-1"}),
    ("ten.txt", "GET", {"Range": "BYTES=0-1"}),
    ("ten.txt", "HEAD", {"Range": "bytes=0-1"}),
    ("empty.txt", "GET", {"Range": "bytes=0-"}),
    ("empty.txt", "GET", {"Range": "bytes=-5"}),
    ("empty.txt", "GET", {"Range": "bytes=3-4"}),
] + [("ten.txt", "GET", fields) for fields in (
    {"If-None-Match": E}, {"If-None-Match": "W/" + E}, {"If-None-Match": "*"},
    {"If-None-Match": '"a", "b,c", ' + E}, {"If-None-Match": '"a"'},
    {"If-None-Match": "a, " + E}, {"If-None-Match": '"a"', "If-Modified-Since": DATE},
    {"If-None-Match": E, "If-Modified-Since": EARLIER},
    {"If-Modified-Since": DATE}, {"If-Modified-Since": LATER}, {"If-Modified-Since": EARLIER},
    {"If-Modified-Since": RFC850}, {"If-Modified-Since": ASCTIME}, {"If-Modified-Since": "never"},
    {"If-Match": E}, {"If-Match": "*"}, {"If-Match": '"a"'}, {"If-Match": "W/" + E},
    {"If-Match": '"a", ' + E}, {"If-Match": E, "If-Unmodified-Since": EARLIER},
    {"If-Unmodified-Since": EARLIER}, {"If-Unmodified-Since": DATE},
    {"If-Unmodified-Since": "never"}, {"If-Match": '"a"', "If-None-Match": E},
    {"If-Match": E, "If-None-Match": E}, {"If-None-Match": E, "Range": "bytes=0-1"},
    {"If-Match": '"a"', "Range": "bytes=0-1"},
    {"If-Range": E, "Range": "bytes=0-1"}, {"If-Range": "W/" + E, "Range": "bytes=0-1"},
    {"If-Range": '"a"', "Range": "bytes=0-1"}, {"If-Range": DATE, "Range": "bytes=0-1"},
    {"If-Range": EARLIER, "Range": "bytes=0-1"}, {"If-Range": LATER, "Range": "bytes=0-1"},
    {"If-Range": "never", "Range": "bytes=0-1"}, {"If-Range": '"a"', "Range": "bytes=90-"},
    {"If-Range": E, "Range": "bytes=90-"}, {"If-Range": E})
] + [("ten.txt", "HEAD", {"If-None-Match": E}), ("ten.txt", "HEAD", {"If-Modified-Since": DATE}),
     ("ten.txt", "HEAD", {"If-Match": '"a"'})]

# Where they differ from us: their verdict, and why ours is another one.
R, T = "GET ten.txt Range: bytes=", "GET ten.txt "
DIFFERENCES = {
    "nginx": {
        "GET %2e%2e/%2e%2e/etc/passwd": ("400", "the router redirects to the clean path, as Go's"),
        "GET ..%2f..%2fetc%2fpasswd": ("400", "no such file, as any other name"),
        R + ",": ("416 bytes */10", "a list without elements asks for nothing (9110 5.6.1.2)"),
        R + "0-1,5-4": ("206 bytes 0-1/10 01", "a malformed list is refused as a whole"),
        R + "0-99999999999999999999":
            ("416 bytes */10", "a last position beyond the end is cut (14.1.2), however large"),
        "HEAD ten.txt Range: bytes=0-1":
            ("206 bytes 0-1/10 length 2", "Range is for GET only (14.2)"),
        "GET empty.txt Range: bytes=3-4":
            ("416 bytes */0", "of nothing, nothing is all there is: 200, as Go"),
        T + "If-None-Match: a, {etag}": ("304", "behind a malformed tag nothing counts"),
        T + f"If-None-Match: {E}, If-Modified-Since: {EARLIER}":
            ("200 0123456789", "If-Modified-Since is ignored beside If-None-Match (13.1.3)"),
        T + f"If-Modified-Since: {LATER}":
            ("200 0123456789", "not modified since then (13.1.3); nginx compares for equality"),
        T + f"If-Match: {E}, If-Unmodified-Since: {EARLIER}":
            ("412", "If-Unmodified-Since is ignored beside If-Match (13.1.4)"),
        T + "If-Unmodified-Since: never": ("412", "a date that is none is ignored (13.1.4)"),
    },
    "go": {
        "GET sub": ("301 sub/", "the same place, named from the root"),
        "GET ten.txt/": ("301 ../ten.txt", "a file is no folder: 404, as nginx"),
        "GET %2e%2e/%2e%2e/etc/passwd": ("404", "this program has no ServeMux, which redirects"),
        R + "-0": ("206 bytes 10-9/10 ", "nothing can't be had (14.1.2): 416"),
        R + "5-4": ("416 text/plain", "the size is told with every 416 (14.4)"),
        R + "a-b": ("416 text/plain", "the same"),
        R + "1": ("416 text/plain", "the same"),
        R + "0-1,5-4": ("416 text/plain", "the same"),
        R + "99999999999999999999-": ("416 text/plain", "the same"),
        R + "0-99999999999999999999":
            ("416 text/plain", "a last position beyond the end is cut (14.1.2), however large"),
        R + "+1-2": ("206 bytes 1-2/10 12", "a sign is no digit (14.1.1)"),
        T + "Range: items=0-1": ("416 text/plain", "units that are not known are ignored (14.2)"),
        T + "Range: BYTES=0-1": ("416 text/plain", "units have no case (14.1)"),
        "HEAD ten.txt Range: bytes=0-1":
            ("206 bytes 0-1/10 length 2", "Range is for GET only (14.2)"),
        "GET empty.txt Range: bytes=-5": ("206 bytes 0--1/0 ", "there is no such range: 200"),
    },
}


def verdict(server, path, method, fields):
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20 * SLOW)
    c.request("HEAD", "/" + path)
    first = c.getresponse()
    first.read()
    etag = first.getheader("ETag") or '"none"'
    c.close()
    c.request(method, "/" + path, headers={k: v.replace(E, etag) for k, v in fields.items()})
    r = c.getresponse()
    body = r.read()
    kind = (r.getheader("Content-Type") or "").partition(";")[0]
    text = str(r.status)
    if r.status in (206, 416):
        text += " " + (r.getheader("Content-Range") or kind)
    if r.status == 206 and kind == "multipart/byteranges":
        boundary = r.getheader("Content-Type").partition("boundary=")[2].encode()
        parts = body.split(b"--" + boundary)[1:-1]
        text += " " + ",".join(p.partition(b"\r\n\r\n")[2][:-2].decode() for p in parts)
        check(len(body), int(r.getheader("Content-Length")))
    elif r.status in (200, 206):
        length = "length " + r.getheader("Content-Length")
        text += " " + (body.decode() if method == "GET" else length)
    elif r.status == 304:
        check((body, r.getheader("ETag")), (b"", etag))
    elif r.status in (301, 307):
        text += " " + r.getheader("Location")
    c.close()
    return text


def words(case):
    path, method, fields = case
    return f"{method} {path} " + ", ".join(f"{k}: {v}" for k, v in fields.items())


def compare(ours, theirs):
    wrong, explained = [], 0
    for case in CASES:
        a, b = verdict(ours, *case), verdict(theirs, *case)
        why = DIFFERENCES.get(theirs.name, {}).get(words(case).strip())
        if a != b and (not why or why[0] != b):
            wrong.append(f"{words(case)}: ours {a!r}, {theirs.name} {b!r}")
        elif a == b and why:
            wrong.append(f"{words(case)}: no difference any more")
        explained += a != b
    if wrong:
        raise AssertionError("\n".join(wrong))
    return explained


@test
def nginx_answers_the_same(s):
    theirs = Nginx(s.folder, s.root)
    try:
        compare(s, theirs)
    finally:
        theirs.kill()


@test
def go_answers_the_same(s):
    theirs = Go(s.folder, s.root)
    try:
        compare(s, theirs)
    finally:
        theirs.kill()


# ---- Clients -----------------------------------------------------------------------------------

def curl(*args):
    need("curl")
    done = subprocess.run(["curl", "-sS", "--http1.1", *args], capture_output=True,
                          timeout=60 * SLOW)
    check((done.returncode, done.stderr.decode()), (0, ""))
    return done.stdout


@test
def curl_gets_ranges(s):
    large = s.files["large.bin"]
    check(curl(s.url + "/large.bin"), large)
    check(curl("-r", "1000-1999", s.url + "/large.bin"), large[1000:2000])
    check(curl("-r", "-5", s.url + "/ten.txt"), b"56789")
    parts = curl("-r", "0-99,1000000-1099999", s.url + "/large.bin")
    assert large[:100] in parts and large[1000000:1100000] in parts
    check(curl("-o", "/dev/null", "-w", "%{http_code}", "-r", "50-", s.url + "/ten.txt"), b"416")


@test
def curl_goes_on_where_it_was_cut(s):
    target = s.folder / "part"
    target.write_bytes(s.files["large.bin"][:1234567])
    curl("-C", "-", "-o", str(target), s.url + "/large.bin")
    check(target.read_bytes(), s.files["large.bin"])


@test
def curl_asks_for_what_is_newer(s):
    code = ("-o", "/dev/null", "-w", "%{http_code} %{size_download}")
    check(curl(*code, "-z", DATE, s.url + "/ten.txt"), b"304 0")
    check(curl(*code, "-z", EARLIER, s.url + "/ten.txt"), b"200 10")
    check(curl(*code, "-z", "-" + EARLIER, s.url + "/ten.txt"), b"412 41")
    etag = s.folder / "etag"
    curl("--etag-save", str(etag), "-o", "/dev/null", s.url + "/ten.txt")
    check(curl(*code, "--etag-compare", str(etag), s.url + "/ten.txt"), b"304 0")


@test
def curl_decodes_what_is_compressed(s):
    text = s.files["text.html"]
    check(curl("--compressed", s.url + "/text.html"), text)
    raw = curl("-H", "Accept-Encoding: gzip", s.url + "/text.html")
    check(gzip.decompress(raw), text)
    assert len(raw) < len(text) / 10, len(raw)
    check(curl("--compressed", s.url + "/large.bin"), s.files["large.bin"])
    check(curl("--compressed", "-r", "0-4", s.url + "/text.html"), text[:5])
    head = curl("-I", "--compressed", s.url + "/text.html").decode().lower()
    assert "content-encoding: gzip" in head and "content-length" not in head, head


@test
def wget_goes_on_where_it_was_cut(s):
    need("wget")
    target = s.folder / "wget" / "large.bin"
    target.parent.mkdir()
    target.write_bytes(s.files["large.bin"][:777])
    subprocess.run(["wget", "-q", "-c", s.url + "/large.bin"], cwd=target.parent, check=True,
                   timeout=60 * SLOW)
    check(target.read_bytes(), s.files["large.bin"])
    subprocess.run(["wget", "-q", "-N", s.url + "/large.bin"], cwd=target.parent, check=True,
                   timeout=60 * SLOW)


@test
def python_keeps_its_connection(s):
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW)
    socket_of = None
    for name in list(s.files) * 5:
        c.request("GET", "/" + name)
        check(c.getresponse().read(), s.files[name])
        socket_of = socket_of or c.sock
        assert c.sock is socket_of
    c.close()


@test
def a_stream_of_events_ends_with_the_server(s):
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW)
    c.request("GET", "/events", headers={"Accept-Encoding": "identity"})
    r = c.getresponse()
    check(r.getheader("Content-Type"), "text/event-stream")
    lines = [r.readline() for _ in range(4)]
    assert re.match(rb"id: \d+\n", lines[0]), lines
    check(lines[1], b"event: time\n")
    check(lines[3], b"\n")
    begin = time.monotonic()
    s.stop()
    assert time.monotonic() - begin < 5 * SLOW
    r.read()
    c.close()


@test
def half_a_client_gets_the_whole_file(s):
    with socket.create_connection(("127.0.0.1", s.port), timeout=20 * SLOW) as c:
        c.sendall(b"GET /large.bin HTTP/1.0\r\n\r\n")
        c.shutdown(socket.SHUT_WR)
        answer = b""
        while part := c.recv(1 << 20):
            answer += part
    check(answer.partition(b"\r\n\r\n")[2], s.files["large.bin"])


def table(build):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "root"
        make_tree(root)
        servers = [Ours(build, root), Nginx(folder, root), Go(folder, root)]
        try:
            for case in CASES:
                print(f"| {words(case)} | " +
                      " | ".join(verdict(s, *case).replace("\n", " ") for s in servers) + " |")
        finally:
            for s in servers:
                s.kill()


def main():
    build = Path(sys.argv[1]).resolve()
    if "--table" in sys.argv:
        table(build)
        return 0

    def call(function):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = make_tree(folder / "root")
            server = Ours(build, folder / "root")
            server.folder, server.root, server.files = folder, folder / "root", files
            try:
                function(server)
                if server.process.poll() is None:
                    server.stop()
            finally:
                server.kill()

    return play(tests, call)


if __name__ == "__main__":
    sys.exit(main())
