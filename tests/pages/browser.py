# SPDX-License-Identifier: MIT
"""Chromium without a window, driven over its DevTools protocol through two pipes."""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
LIMIT_S = 60


def find():
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in a browser of its own, until the block ends. `errors`, `requests`: what the page
    complained of and what it asked for."""

    def __init__(self, width=1280, height=860, dark=False):
        self.size, self.dark = (width, height), dark
        self.errors, self.requests, self.last, self.rest, self.events = [], [], 0, b"", []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="aglet-pages-")
        to_read, self.write_fd = os.pipe()
        self.read_fd, to_write = os.pipe()

        def fds():
            # In the child: the browser reads from 3 and writes to 4.
            a, b = os.dup(to_read), os.dup(to_write)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [find(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage",
             "--hide-scrollbars", f"--user-data-dir={self.folder}",
             f"--window-size={self.size[0]},{self.size[1]}", "about:blank"],
            preexec_fn=fds, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.session = None
        target = next(one for one in self.call("Target.getTargets")["targetInfos"]
                      if one["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"],
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize()
        self.set_dark(self.dark)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.read_fd)
        os.close(self.write_fd)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- The protocol.

    def message(self):
        while b"\0" not in self.rest:
            more = os.read(self.read_fd, 1 << 20)
            if not more:
                raise OSError("the browser has ended")
            self.rest += more
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def call(self, method, **params):
        self.last += 1
        question = {"id": self.last, "method": method, "params": params}
        if self.session:
            question["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(question).encode() + b"\0")
        while True:
            got = self.message()
            if got.get("id") == self.last:
                if "error" in got:
                    raise OSError(f"{method}: {got['error']['message']}")
                return got["result"]
            self.note(got)

    def note(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"].get("exception", {})
                               .get("description", params["exceptionDetails"]["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    # -- What a user does.

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def resize(self, width=None, height=None):
        self.call("Emulation.setDeviceMetricsOverride", width=width or self.size[0],
                  height=height or self.size[1], deviceScaleFactor=1, mobile=False)

    def set_dark(self, dark):
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def js(self, code):
        got = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in got:
            raise AssertionError(f"{code}: {got['exceptionDetails']['exception']['description']}")
        return got["result"].get("value")

    def wait(self, code, limit=LIMIT_S):
        """Until the expression is true; returns its value."""
        end = time.monotonic() + limit
        while True:
            value = self.js(f"(v => v instanceof Node || v)({code})")
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"never true: {code}\n" + str(self.js(
                    "document.getElementById('view')?.innerText.slice(0, 1000)")))
            time.sleep(0.05)

    def key(self, key, text=None):
        text = key if text is None and len(key) == 1 else text or ""
        code = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37,
                "ArrowRight": 39, "Tab": 9, "End": 35, "Home": 36}.get(key, 0)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code,
                      **({"text": text} if text and kind == "keyDown" else {}))

    def type(self, text):
        self.call("Input.insertText", text=text)

    def point(self, selector):
        """The middle of the element."""
        return self.wait(f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
                         "if (!e) return null; e.scrollIntoView({block: 'nearest'});"
                         "const r = e.getBoundingClientRect();"
                         "return r.width && [r.left + r.width / 2, r.top + r.height / 2]; })()")

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def hover(self, selector):
        self.mouse("mouseMoved", *self.point(selector))

    def click(self, selector):
        x, y = self.point(selector)
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def picture(self, path):
        Path(path).write_bytes(base64.b64decode(
            self.call("Page.captureScreenshot", format="png")["data"]))
