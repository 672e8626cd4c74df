# SPDX-License-Identifier: MIT
"""The systems compared: how each is built, where its programs are, which version it is.

A system that can't be built raises Missing with what to install; the runner leaves it out.
"""
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent


# HTTP/1.1 in the clear, over TLS; HTTP/2 in the clear with prior knowledge, over TLS.
MODES = ("clear", "tls", "h2c", "h2")


class Missing(Exception):
    pass


def output(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **more)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        blamed = next((line for line in lines if "error" in line.lower()), lines[-1:] or "no text")
        raise Missing(f"`{' '.join(map(str, command[:4]))} …` failed: {blamed}")
    return done.stdout.strip()


def need(command, how):
    if not shutil.which(command):
        raise Missing(how)


class System:
    """Programs are files named as in rows.py in one folder, after build()."""
    environment = {}
    modes = ("clear",)  # of MODES, what its HTTP server speaks

    def __init__(self, work, aglet_build):
        self.work = work
        self.aglet_build = aglet_build
        self.folder = work / self.name
        self.folder.mkdir(parents=True, exist_ok=True)

    def program(self, name):
        path = self.folder / name
        return path if path.exists() else None

    def server(self, port, mode, certificate, connections):
        """The command line of the HTTP server in a mode of MODES; `certificate` are two files, or
        none in the clear. It must take that many connections."""
        program = self.program("http")
        return [program, "1", str(port), *certificate] if program else None


class Aglet(System):
    name = "aglet"
    modes = MODES

    def build(self):
        build = self.aglet_build or ROOT / "build/release"
        if not self.aglet_build:
            need("cmake", "install cmake")
            output("cmake", "--preset", "release", cwd=ROOT)
            output("cmake", "--build", build, "-j2", cwd=ROOT)
            output("cmake", "--build", build, "-j2", "--target", "benches", cwd=ROOT)
        self.folder = build / "bench"
        if not self.program("yield"):
            raise Missing(f"no benchmark programs in {self.folder}; build the target `benches`")

    def version(self):
        text = (ROOT / "CMakeLists.txt").read_text()
        return "aglet " + re.search(r"VERSION ([0-9][0-9.]*)\s+LANGUAGES", text).group(1)


class Unrecorded(Aglet):
    """aglet without its flight recorder, to see what that costs. Only where it is asked for."""
    name = "unrecorded"
    environment = {"AGLET_RECORD": "0"}


class Go(System):
    name = "go"
    modes = MODES

    def build(self):
        need("go", "install Go (https://go.dev/dl), 1.24 or newer")
        output("go", "build", "-o", f"{self.folder}/", "./...", cwd=BENCH / "peers/go")
        try:
            output("go", "build", "-o", f"{self.folder}/", "./...", cwd=BENCH / "peers/go-x")
        except Missing as e:
            print(f"  left out for want of a module: {e}", file=sys.stderr)

    def version(self):
        return output("go", "env", "GOVERSION").replace("go", "Go ")


class Tokio(System):
    name = "tokio"
    server_program = "http_raw"

    def build(self):
        need("cargo", "install Rust (https://rustup.rs)")
        target = self.work / "tokio"
        output("cargo", "build", "--release", "-j2", cwd=BENCH / "peers/tokio",
               env={**os.environ, "CARGO_TARGET_DIR": str(target)})
        self.folder = target / "release"

    def server(self, port, mode, certificate, connections):
        return [self.program(self.server_program), "1", str(port)]

    def version(self):
        return self._crate("tokio") + ", " + output("rustc", "--version").split(" (")[0]

    @staticmethod
    def _crate(name):
        text = (BENCH / "peers/tokio/Cargo.toml").read_text()
        return name + " " + re.search(rf'^{name} = .*?"=([0-9.]+)"', text, re.M).group(1)


class Hyper(Tokio):
    name = "hyper"
    server_program = "http_hyper"
    modes = ("clear", "h2c")

    def server(self, port, mode, certificate, connections):
        command = super().server(port, mode, certificate, connections)
        return [*command, "h2c"] if mode == "h2c" else command

    def program(self, name):
        return super().program(name) if name == self.server_program else None

    def version(self):
        return self._crate("hyper")


class Boost(System):
    name = "boost"

    def build(self):
        need("g++", "install g++")
        sources = BENCH / "peers/boost"
        try:
            self.header = output("g++", "-E", "-P", "-include", "boost/version.hpp", "-x", "c++",
                                 "-", input="BOOST_LIB_VERSION")
            for source in sorted(sources.glob("*.cpp")):
                program = self.folder / source.stem
                newest = max(f.stat().st_mtime for f in (source, sources / "bench.hpp"))
                if program.exists() and program.stat().st_mtime > newest:
                    continue
                output("g++", "-std=c++17", "-O2", "-DNDEBUG", "-Wall", "-Wextra", "-o", program,
                       source, "-lboost_fiber", "-lboost_context", "-lpthread")
        except Missing as e:
            raise Missing(f"install libboost-fiber-dev ({e})") from None

    def version(self):
        return "Boost.Fiber " + self.header.split()[-1].strip('"').replace("_", ".")


class Epoll(System):
    name = "epoll"

    def build(self):
        need("gcc", "install gcc")
        output("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", self.folder / "http",
               BENCH / "peers/epoll/http.c")

    def version(self):
        return "raw epoll, gcc " + output("gcc", "-dumpfullversion")


class Nginx(System):
    name = "nginx"
    modes = MODES

    def build(self):
        os.environ["PATH"] += ":/usr/sbin"
        need("nginx", "install nginx-light")

    def server(self, port, mode, certificate, connections):
        head, tail = '{"message":"hello","padding":"', '"}'
        speaks = " ssl" * (mode in ("tls", "h2")) + " http2" * (mode in ("h2c", "h2"))
        tls = "ssl_certificate {}; ssl_certificate_key {};".format(*certificate) \
            if certificate else ""
        # It closes idle connections when less than a sixteenth of its room is left.
        room = max(19000, connections + connections // 10)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        words = {"PORT": port, "DIR": self.folder, "SPEAKS": speaks, "TLS": tls,
                 "JSON": head + "x" * (1024 - len(head) - len(tail)) + tail,
                 "CONNECTIONS": room,
                 "FILES": 2 * room if files == resource.RLIM_INFINITY else files}
        conf = (BENCH / "peers/nginx/nginx.conf.in").read_text()
        for word, value in words.items():
            conf = conf.replace(f"@{word}@", str(value))
        path = self.folder / "nginx.conf"
        path.write_text(conf)
        return ["nginx", "-p", self.folder, "-e", "stderr", "-c", path]

    def version(self):
        return "nginx " + output("nginx", "-v").split("/")[-1]


SYSTEMS = {s.name: s for s in (Aglet, Go, Tokio, Boost, Hyper, Nginx, Epoll, Unrecorded)}
USUAL = [name for name in SYSTEMS if name != "unrecorded"]
