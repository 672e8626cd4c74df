# SPDX-License-Identifier: MIT
"""The server that clients talk to: examples/http_hello, until a block ends."""
import os
import signal
import socket
import subprocess

from cases import check

SLOW = float(os.environ.get("AG_TEST_SLOW", "1"))


class Server:
    """http_hello on a free port, until the block ends."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, "0"], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.url = line.split()[-1]
        self.port = int(self.url.rpartition(":")[2])

    def __enter__(self):
        return self

    def stop(self):
        """What it printed at its end."""
        self.process.send_signal(signal.SIGTERM)
        text, _ = self.process.communicate(timeout=30 * SLOW)
        check(self.process.returncode, 0)
        return text

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20 * SLOW)

    def raw(self, request):
        """The whole answer to these bytes, up to the end of the connection."""
        with self.connect() as s:
            s.sendall(request)
            parts = []
            while part := s.recv(65536):
                parts.append(part)
            return b"".join(parts)
