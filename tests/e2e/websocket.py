#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sets WebSockets of others upon ours, both ways: Autobahn's test suite, Python's websockets,
Node's ws.

    tests/e2e/websocket.py BUILD_DIR [TEST…]
    tests/e2e/websocket.py --list

The others are installed below build/e2e-websocket by pip and npm; a test whose peer can't be had is
skipped. Autobahn's suite needs Python 2.7. The last line is `N passed, N failed[, N skipped]`.
"""
import asyncio
import collections
import contextlib
import functools
import json
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

from cases import Skip, check, play, test, tests

HERE = Path(__file__).resolve().parent
WORK = HERE.parent.parent / "build" / "e2e-websocket"
SLOW = float(os.environ.get("AG_TEST_SLOW", "1"))
peer = None  # the program ws_peer


def install(*command, **options):
    """Whether that is possible is not ours to say: a registry may be out of reach."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(int(200 * SLOW)):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise AssertionError(f"nobody listens on port {port}")


def ours(*arguments):
    """What ws_peer prints."""
    done = subprocess.run([peer, *arguments], capture_output=True, text=True, timeout=120 * SLOW)
    check((done.returncode, done.stderr), (0, ""))
    return done.stdout


class Server:
    """`ws_peer serve`, until the block ends."""

    def __enter__(self):
        self.process = subprocess.Popen([peer, "serve", "0"], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]
        return self

    def stop(self):
        """What it printed at its end."""
        self.process.send_signal(signal.SIGTERM)
        text, _ = self.process.communicate(timeout=60 * SLOW)
        check(self.process.returncode, 0)
        return text

    def __exit__(self, *error):
        try:
            if self.process.poll() is None and error[0] is None:
                self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


# ---- Autobahn -----------------------------------------------------------------------------------

CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
COMPRESSED = ["12.1.1", "12.2.5", "12.3.3", "12.5.2", "13.1.1", "13.4.4", "13.7.1"]


def python2():
    for name in ("python2.7", "python2"):
        if path := shutil.which(name):
            yield path
    yield from sorted(Path.home().glob(".pyenv/versions/2.7*/bin/python2.7"))


@functools.lru_cache(None)
def autobahn():
    """The command that runs Autobahn's wstest."""
    folder = WORK / "autobahn"
    run = (f"import site; site.addsitedir({str(folder)!r}); "
           "from autobahntestsuite.wstest import run; run()")
    for python in python2():
        if not install(python, "--version"):
            continue
        if not (folder / "done").exists():
            if not install(python, "-m", "pip", "install", "--target", folder,
                           "autobahntestsuite==0.8.2"):
                continue
            (folder / "done").touch()
        return [python, "-c", run]
    raise Skip("Autobahn test suite (Python 2.7 with autobahntestsuite 0.8.2)")


def judge(reports):
    """All verdicts must be good; how many there are is printed."""
    cases = json.loads((reports / "index.json").read_text())["aglet"]
    good = ("OK", "INFORMATIONAL")
    bad = {name: (c["behavior"], c["behaviorClose"]) for name, c in cases.items()
           if c["behavior"] not in good or c["behaviorClose"] not in good}
    check(bad, {})
    assert len(cases) > 0
    verdicts = collections.Counter(c["behavior"] for c in cases.values())
    print("    " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items())))
    return len(cases)


def play_autobahn(path, cases):
    command = autobahn()
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        spec = {"options": {"failByDrop": False}, "outdir": folder + "/reports", "cases": cases,
                "servers": [{"agent": "aglet", "url": server.url + path}],
                "exclude-cases": [], "exclude-agent-cases": {}}
        Path(folder, "spec.json").write_text(json.dumps(spec))
        done = subprocess.run([*command, "-m", "fuzzingclient", "-s", "spec.json"], cwd=folder,
                              capture_output=True, text=True, timeout=300 * SLOW)
        check(done.returncode, 0)
        return judge(Path(folder, "reports"))


@test
def autobahn_finds_nothing_wrong_with_our_server():
    check(play_autobahn("/", CASES), 301)


@test
def autobahn_finds_nothing_wrong_with_wishes():
    play_autobahn("/when", ["2.*", "3.*", "5.*", "7.*"])


@test
def autobahn_finds_nothing_wrong_with_our_compression():
    check(play_autobahn("/", COMPRESSED), 7)


@test
def autobahn_finds_nothing_wrong_with_our_client():
    command = autobahn()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        spec = {"url": f"ws://127.0.0.1:{port}", "outdir": folder + "/reports",
                "cases": CASES + ["12.1.1", "12.2.5"], "exclude-cases": [],
                "exclude-agent-cases": {}}
        Path(folder, "spec.json").write_text(json.dumps(spec))
        server = subprocess.Popen([*command, "-m", "fuzzingserver", "-s", "spec.json"], cwd=folder,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            check(ours("autobahn", f"ws://127.0.0.1:{port}"), "303 cases\n")
            check(judge(Path(folder, "reports")), 303)
        finally:
            server.kill()
            server.wait()


# ---- Python's websockets ------------------------------------------------------------------------


@functools.lru_cache(None)
def websockets():
    folder = WORK / "python3"
    if not (folder / "done").exists():
        if not install(sys.executable, "-m", "pip", "install", "--target", folder,
                       "websockets>=13,<18"):
            raise Skip("Python package websockets")
        (folder / "done").touch()
    sys.path.insert(0, str(folder))
    import websockets
    return websockets


def with_client(talk, path="/", **options):
    """Runs talk(connection) of websockets against our server."""
    library = websockets()

    async def run(url):
        options.setdefault("compression", None)
        async with library.connect(url, max_size=2 ** 22, **options) as c:
            return await asyncio.wait_for(talk(c), 60 * SLOW)

    with Server() as server:
        return asyncio.run(run(server.url + path))


@test
def python_gets_back_what_it_sends():
    async def talk(c):
        for n in (0, 1, 125, 126, 127, 4095, 4096, 65535, 65536, 3000000):
            for message in ("ä" * (n // 2), b"\x80" * n):
                await c.send(message)
                check(await c.recv() == message, True)
        await c.send(["frag", "ments", " and ", "pieces"])
        check(await c.recv(), "fragments and pieces")
        await (await c.ping(b"are you there?"))

    for path in ("/", "/when"):
        with_client(talk, path)
        with_client(talk, path, compression="deflate")


@test
def python_compresses_and_is_compressed_for():
    async def talk(c):
        check([type(e).__name__ for e in c.protocol.extensions], ["PerMessageDeflate"])
        message = "message " * 100000
        for _ in range(10):
            await c.send(message)
            check(await c.recv() == message, True)

    with_client(talk, compression="deflate")


@test
def python_agrees_on_a_protocol_and_a_close():
    async def talk(c):
        check(c.subprotocol, "chat.v1")
        await c.close(4000, "enough")
        return c.close_code, c.close_reason

    websockets()
    check(with_client(talk, subprotocols=["soap", "chat.v1"]), (4000, ""))


@test
def python_is_refused_with_a_foreign_origin():
    library = websockets()
    try:
        with_client(None, origin="http://elsewhere.example")
    except library.exceptions.InvalidStatus as refused:
        check(refused.response.status_code, 403)
    else:
        raise AssertionError("it was let in")


@test
def python_serves_our_client():
    library = websockets()

    async def echo(c):
        async for message in c:
            await c.send(message)

    async def run(compression):
        async with library.serve(echo, "127.0.0.1", 0, subprotocols=["chat.v1"],
                                 compression=compression) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            return await asyncio.to_thread(ours, "ask", f"ws://127.0.0.1:{port}/a?b")

    for compression in (None, "deflate"):
        check(asyncio.run(run(compression)), '23 messages, "chat.v1", closed 0 1000\n')


@test
def python_tells_our_client_why_it_closes():
    library = websockets()

    async def leave(c):
        await c.send("hello")
        check(await c.recv(), "hello")
        await c.close(4321, "gone fishing")

    async def run():
        async with library.serve(leave, "127.0.0.1", 0, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            return await asyncio.to_thread(ours, "echo", f"ws://127.0.0.1:{port}/")

    check(asyncio.run(run()), "0 4321 gone fishing\n")


@test
def a_stop_says_good_bye_to_all():
    library = websockets()

    async def run(server):
        many = [await library.connect(server.url + path, compression=None)
                for path in ("/", "/when") for _ in range(50)]
        for c in many:
            await c.send("x")
        for c in many:
            check(await c.recv(), "x")
        text = await asyncio.to_thread(server.stop)
        for c in many:
            await c.wait_closed()
        return text, {(c.close_code, c.close_reason) for c in many}

    with Server() as server:
        check(asyncio.run(run(server)), ("stopped, 0 connections cut\n", {(1001, "")}))


# ---- Node's ws ----------------------------------------------------------------------------------

NODE_CLIENT = """
const {WebSocket} = require('ws');
const options = {perMessageDeflate: process.argv[2] === 'deflate'};
const c = new WebSocket(process.argv[1], ['chat.v2'], options);
const sizes = [0, 1, 125, 126, 65535, 65536, 1000000];
let i = 0, pongs = 0;
const next = () => i < sizes.length ? c.send(Buffer.alloc(sizes[i], 7)) : c.close(3001, 'done');
c.on('open', () => { c.ping('p'); next(); });
c.on('pong', data => { pongs += data.toString() === 'p'; });
c.on('message', (data, binary) => {
    if (!binary || data.length !== sizes[i] || data.some(b => b !== 7)) process.exit(1);
    i++; next();
});
c.on('close', code => console.log(i, pongs, c.protocol, code));
"""
NODE_SERVER = """
const {WebSocketServer} = require('ws');
const s = new WebSocketServer({host: '127.0.0.1', port: 0,
                               perMessageDeflate: {threshold: 0}});
s.on('listening', () => console.log(s.address().port));
s.on('connection', c => c.on('message', (data, binary) => c.send(data, {binary})));
"""


@functools.lru_cache(None)
def node():
    folder = WORK / "node"
    if not shutil.which("node") or not shutil.which("npm"):
        raise Skip("node with npm")
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if not install("npm", "install", "--no-audit", "--no-fund", "ws@8", cwd=folder):
            raise Skip("Node package ws")
        (folder / "done").touch()
    return {**os.environ, "NODE_PATH": str(folder / "node_modules")}


@test
def node_gets_back_what_it_sends():
    environment = node()
    for how in ("plain", "deflate"):
        with Server() as server:
            done = subprocess.run(["node", "-e", NODE_CLIENT, server.url, how], env=environment,
                                  text=True, capture_output=True, timeout=60 * SLOW)
            check((done.returncode, done.stderr, done.stdout), (0, "", "7 1 chat.v2 3001\n"))


@test
def node_serves_our_client():
    server = subprocess.Popen(["node", "-e", NODE_SERVER], env=node(), stdout=subprocess.PIPE,
                              text=True)
    try:
        port = int(server.stdout.readline())
        text = ours("ask", f"ws://127.0.0.1:{port}/")
        assert re.fullmatch(r'23 messages, "chat.v2", closed 0 1000\n', text), text
    finally:
        server.kill()
        server.wait()


def main():
    global peer
    if sys.argv[1:] == ["--list"]:
        print("\n".join(function.__name__ for function in tests))
        return 0
    peer = Path(sys.argv[1]).resolve() / "tests" / "ws_peer"
    WORK.mkdir(parents=True, exist_ok=True)
    return play([test for test in tests if not sys.argv[2:] or test.__name__ in sys.argv[2:]],
                lambda function: function())


if __name__ == "__main__":
    sys.exit(main())
