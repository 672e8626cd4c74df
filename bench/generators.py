# SPDX-License-Identifier: MIT
"""The load generators: how each is told what to do, and what is read from what it says.

All of them run on core 1, with one thread. A generator is called with the port, a Load (rows.py)
and seconds, and returns a Report.
"""
import contextlib
import os
import re
import statistics
import subprocess
from dataclasses import dataclass

from systems import BENCH, Missing, need, output

UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}
# What all generators insist upon, so that all servers encrypt alike.
CIPHER = "TLS_AES_128_GCM_SHA256"
GROUP = "X25519"
# Those that are packages; the others are programs of this folder, which need libraries: name ->
# package.
PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}
LIBRARIES = {"tls_connect": {"ssl": "libssl-dev", "crypto": "libssl-dev"}}
CLIENT_CNF = f"""openssl_conf = top
[top]
ssl_conf = kinds
[kinds]
system_default = tls
[tls]
MinProtocol = TLSv1.3
Ciphersuites = {CIPHER}
Groups = {GROUP}
"""


def find(pattern, text):
    match = re.search(pattern, text, re.M)
    if not match:
        raise Missing(f"no {pattern!r} in {text[-300:]!r}")
    return match


@dataclass(frozen=True)
class Report:
    count: int
    seconds: float
    p50: float  # us
    p99: float


class Generators:
    """What the generators need on disk: the programs of this folder, built; certificates."""

    def __init__(self, work):
        self.folder = work / "load"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.client_cnf = self.folder / "client.cnf"
        self.client_cnf.write_text(CLIENT_CNF)
        self.environment = {**os.environ, "OPENSSL_CONF": str(self.client_cnf)}
        self.loads = {"paced": self.closed, "wrk": self.wrk, "h2load": self.h2load}

    def need(self, name):
        """Raises Missing, with what to install."""
        if name in PACKAGES:
            need(name, f"install {PACKAGES[name]}")
        else:
            self.program(name)

    def program(self, name):
        """Builds bench/NAME.c unless that was done."""
        program, source = self.folder / name, BENCH / f"{name}.c"
        newest = max(f.stat().st_mtime for f in (source, BENCH / "load.h"))
        if not program.exists() or program.stat().st_mtime < newest:
            need("gcc", "install gcc")
            libraries = LIBRARIES.get(name, {})
            try:
                output("gcc", "-std=gnu11", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-o",
                       program, source, *(f"-l{library}" for library in libraries))
            except Missing as e:
                raise Missing(f"install {', '.join(set(libraries.values()))} ({e})"
                              if libraries else str(e)) from None
        return program

    def certificate(self):
        """Returns the files of a certificate for 127.0.0.1 and of its key, ECDSA P-256."""
        need("openssl", "install openssl")
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        if not hasattr(self, "made"):
            output("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                   "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=localhost",
                   "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert)
            self.made = True
        return cert, key

    def run(self, *command):
        done = subprocess.run(["taskset", "-c", "1", *map(str, command)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace",
                              env=self.environment, timeout=180)
        if done.returncode:
            words = (done.stderr or done.stdout).strip()[-200:]
            raise Missing(f"{os.path.basename(command[0])} ended with {done.returncode}: {words}")
        return done.stdout

    def check_cipher(self, port):
        """wrk does not say what was agreed on; OpenSSL's client, told the same, does."""
        need("openssl", "install openssl")
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, errors="replace", timeout=10,
                              env=self.environment)
        agreed = find(r"^New, (TLS\S+), Cipher is (\S+)", done.stdout)
        if agreed.groups() != ("TLSv1.3", CIPHER):
            raise Missing(f"the server speaks {agreed[1]} with {agreed[2]}")

    def paced(self, port, path, connections, rate, seconds):
        """Returns what bench/paced.c prints, by name."""
        text = self.run(self.program("paced"), f"127.0.0.1:{port}", path, connections, rate,
                        seconds)
        return {name: float(value) for name, value, _ in map(str.split, text.splitlines())}

    def closed(self, port, load, seconds):
        values = self.paced(port, load.path, load.connections, 0, seconds)
        return Report(int(values["requests"]), seconds, values["p50"], values["p99"])

    def wrk(self, port, load, seconds):
        self.check_cipher(port)
        return read_wrk(self.run("wrk", "-t1", f"-c{load.connections}", "--latency",
                                 f"-d{seconds}s", f"https://127.0.0.1:{port}{load.path}"))

    def h2load(self, port, load, seconds):
        log = self.folder / "h2load.log"
        log.unlink(missing_ok=True)
        scheme = "https" if load.mode == "h2" else "http"
        text = self.run("h2load", "-t1", f"-c{load.connections}", f"-m{load.streams}",
                        f"-D{seconds}", f"--log-file={log}", f"--tls13-ciphers={CIPHER}",
                        f"--groups={GROUP}", f"{scheme}://127.0.0.1:{port}{load.path}")
        report = read_h2load(text, log.read_text(), load, seconds)
        log.unlink()
        return report

    @contextlib.contextmanager
    def idle(self, port, path, connections):
        """Holds that many connections that had one answer (bench/idle.c). Yields a function: all
        of them ask once more; returns the seconds until all have their answer."""
        client = subprocess.Popen(
            ["taskset", "-c", "1", str(self.program("idle")), f"127.0.0.1:{port}", path,
             str(connections)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

        def say(word):
            line = client.stdout.readline()
            if not line.startswith(word):
                raise Missing(f"idle: {client.stderr.read().strip()[-200:]}")
            return float(line.split()[1])

        def again():
            client.stdin.write("\n")
            client.stdin.flush()
            return say("again")

        with client:
            try:
                say("open")
                yield again
            finally:
                client.kill()

    def connections(self, port, concurrency, kind, seconds):
        """New TLS connections per second, `resumed` or `full`, by bench/tls_connect.c."""
        text = self.run(self.program("tls_connect"), f"127.0.0.1:{port}", seconds, concurrency,
                        kind)
        return float(find(rf"^tls_{kind} ([\d.]+) /s", text)[1])


def read_wrk(text):
    bad = re.search(r"(Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0, timeout 0).*)",
                    text)
    if bad:
        raise Missing(f"wrk saw errors: {bad.group(1)}")
    count, seconds, unit = find(r"(\d+) requests in ([\d.]+)([a-z]+)", text).groups()
    if not int(count):
        raise Missing("wrk got no answer")
    p50, p99 = (float(m[1]) * UNITS[m[2]] for m in
                (find(rf"^\s*{share}%\s+([\d.]+)([a-z]+)", text) for share in (50, 99)))
    return Report(int(count), float(seconds) * UNITS[unit] / 1e6, p50, p99)


def read_h2load(text, log, load, seconds):
    """Its summary has no percentiles, its log has each request: start, status, microseconds."""
    done = find(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    count, *bad = map(int, done.groups())
    if any(bad) or not count:
        raise Missing(f"h2load saw errors: {done[0]}")
    bytes_each = int(find(r"\((\d+)\) data", text)[1]) / count
    if not load.bytes <= bytes_each < load.bytes * 1.1:
        raise Missing(f"{load.path} has {bytes_each:.1f} bytes, not {load.bytes}")
    if load.mode == "h2" and find(r"^Cipher: (\S+)", text)[1] != CIPHER:
        raise Missing(find(r"^Cipher: .*", text)[0])
    times = [int(line.split()[2]) for line in log.splitlines()]
    cuts = statistics.quantiles(times, n=100)
    return Report(count, seconds, cuts[49], cuts[98])
