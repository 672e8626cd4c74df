#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The server behind nginx: the labs 502 and keepalive, and the recorded verdicts of the corpus.

    tests/e2e/proxies.py BUILD_DIR

Each lab must show both: what goes wrong in the wrong way, and that nothing does in ours. A lab that
could no longer lose a request would prove nothing. The last line is `N passed, N failed[, N
skipped]`.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cases import Skip, play, test, tests

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(sys.argv[1]).resolve()
CORPUS = ROOT / "tests" / "http_corpus"
LIMIT_S = 300
NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")


def need(truth, what):
    if not truth:
        raise AssertionError(what)


def table(lab):
    """The cells of the table that a lab prints, row by row, and all it printed."""
    program = BUILD / "bin" / f"lab-{lab}"
    if not program.exists():
        raise Skip(f"lab-{lab} in this build")
    with tempfile.TemporaryDirectory(prefix="aglet-e2e-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)  # the database runs as somebody else
        env = {**os.environ, "AGLET_LAB_GO": str(ROOT / "examples/lab/go"), "TMPDIR": folder}
        done = subprocess.run([program, "--quick"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                              timeout=LIMIT_S, env=env)
        left = [path for path in glob.glob(folder + "/*") if "/aglet-lab-" in path]
    need(done.returncode == 0, f"status {done.returncode}:\n{done.stdout}")
    need(not left, f"left behind: {left}")
    rows = [[cell.strip() for cell in line.split(" | ")]
            for line in done.stdout.splitlines() if " | " in line]
    return rows, done.stdout


def has_postgres():
    return any(glob.glob(place) for place in ("/usr/lib/postgresql/*/bin/postgres",
                                              "/usr/bin/postgres"))


@test
def a_pool_that_runs_dry_is_seen_and_mended():
    if not NGINX:
        raise Skip("nginx")
    if not has_postgres():
        raise Skip("PostgreSQL")
    rows, text = table("502")
    counts = {row[0]: row[1:] for row in rows}
    for column in (0, 2):  # ours, and Go's if there is its driver
        if counts["200 OK"][column] == "n/a":
            continue
        held, early = column, column + 1
        number = {status: [int(cell) if cell != "n/a" else None for cell in counts[status]]
                  for status in ("200 OK", "502 Bad Gateway", "504 Gateway Timeout")}
        failed = number["502 Bad Gateway"][held] + number["504 Gateway Timeout"][held]
        need(failed > number["200 OK"][held] > 0, text)
        need(number["200 OK"][early] == number["200 OK"][held] + failed, text)
    waiting = re.search(r"  (\d+) goroutines \[chan receive\]:\n.*receivers wait.*\n  take\(", text)
    need(waiting and int(waiting.group(1)) > 4, text)
    # Who has just got his connection is still at the query, or has not counted it yet.
    holders = r"  [1-4] goroutines? \[sleep\]:\n(?:  .*\n)*  deferred: give_back at"
    need(re.search(holders, text), text)
    need(re.search(r"pool_in_use [1-4]\n", text) and re.search(r"pool_waiting [1-9]", text), text)
    need(re.search(r"block profile.*\n.*\n(?:  .*\n)*  #\t\S+\ttake\t", text), text)


@test
def three_ways_to_lose_a_request_are_closed():
    if not NGINX:
        raise Skip("nginx")
    rows, text = table("keepalive")
    need(len(rows) == 4, text)
    for row in rows[1:]:
        lost, asked = map(int, re.findall(r"\d+", row[2]))
        need(lost * 2 > asked > 0, text)
        need(re.fullmatch(r"0 of \d+", row[4]), text)


def recorded_version(server):
    """What README.md says the verdicts are of."""
    words = {"go": r"the same of Go ([\d.]+)", "nginx": r"the same of nginx ([\d.]+)"}
    return re.search(words[server], (CORPUS / "README.md").read_text()).group(1)


def installed_version(server):
    command = {"go": ["go", "version"], "nginx": [NGINX, "-v"]}[server]
    done = subprocess.run(command, capture_output=True, text=True)
    return re.search(r"(?:go|nginx/)(\d+\.\d+)", done.stdout + done.stderr).group(1)


def verdicts_are_up_to_date(server):
    if not shutil.which("go"):
        raise Skip("go")
    if server == "nginx" and not NGINX:
        raise Skip("nginx")
    if recorded_version(server) != installed_version(server):
        raise Skip(f"{server} {recorded_version(server)}")
    with tempfile.TemporaryDirectory() as folder:
        program = folder + "/corpus"
        subprocess.run(["go", "build", "-o", program, "."], cwd=CORPUS / "go", check=True,
                       env={**os.environ, "GOFLAGS": "-buildvcs=false"})
        files = sorted(map(str, CORPUS.glob("*.txt")))
        done = subprocess.run([program, "-servers", server, *files], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S)
        need(done.returncode == 0, done.stdout)
        # The opposite: a verdict that is wrong is noticed.
        wrong = Path(folder, "wrong.txt")
        wrong.write_text("case a\nsend GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\nours ok:0\n"
                         "go 400\nnginx 400\n")
        done = subprocess.run([program, "-servers", server, wrong], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S)
        need(done.returncode == 1 and f"{server} says ok:0, the data 400" in done.stdout,
             done.stdout)


@test
def the_verdicts_of_go_are_up_to_date():
    verdicts_are_up_to_date("go")


@test
def the_verdicts_of_nginx_are_up_to_date():
    verdicts_are_up_to_date("nginx")


def main():
    return play(tests, lambda function: function())


if __name__ == "__main__":
    sys.exit(main())
