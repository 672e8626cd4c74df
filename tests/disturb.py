#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a command while the test programs of a build are disturbed, as by a busy machine.

    tests/disturb.py build/release starve python3 tests/run_suite.py build/release --no-scripts
    tests/disturb.py build/release stop   python3 tests/run_suite.py build/release --no-scripts

starve: single threads get next to no processor for a while, because every processor has something
        to do that is worth more to the scheduler. Finds what one thread does not expect of others
        between any two of its steps.
stop:   whole processes stand still for a while, and go on. Finds tests that take it that little
        time passes. (The kernel ends epoll's waits with EINTR then, so a test of exactly that
        fails: no_system_call_is_interrupted.)

Ends with the command's status. Some tests are slow enough to reach their time limit.
"""
import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path


def processes(folder):
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/exe").startswith(folder):
                yield int(entry)
        except OSError:
            continue  # it has ended, or is not ours


def threads(folder):
    for process in processes(folder):
        try:
            yield from map(int, os.listdir(f"/proc/{process}/task"))
        except OSError:
            continue


def quietly(call, *args):
    try:
        call(*args)
    except OSError:
        pass  # it has ended meanwhile


def starve(thread, begins):
    policy = os.SCHED_IDLE if begins else os.SCHED_OTHER
    quietly(os.sched_setscheduler, thread, policy, os.sched_param(0))


def stop(process, begins):
    quietly(os.kill, process, signal.SIGSTOP if begins else signal.SIGCONT)


def keep_busy(processor):
    os.sched_setaffinity(0, {processor})
    while True:
        pass


def disturb(folder, how, args):
    act, those = (starve, threads) if how == "starve" else (stop, processes)
    while True:
        chosen = [x for x in those(folder) if random.random() < args.share]
        for x in chosen:
            act(x, True)
        time.sleep(random.uniform(0.1, 1.9) * args.ms / 1000)
        for x in chosen:
            act(x, False)
        time.sleep(random.uniform(0.1, 1.9) * args.rest / 1000)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("how", choices=["starve", "stop"])
    parser.add_argument("--ms", type=float, default=120, help="how long, on average (120)")
    parser.add_argument("--rest", type=float, default=150, help="and how long not (150)")
    parser.add_argument("--share", type=float, default=0.3, help="of the threads, processes (0.3)")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if not args.command:
        parser.error("which command is to be run?")
    folder = str((args.build / "tests").resolve()) + "/"
    if not os.path.isdir(folder):
        parser.error(f"{folder} is missing: build the tests first")
    helpers = [multiprocessing.Process(target=disturb, args=(folder, args.how, args))]
    if args.how == "starve":
        helpers += [multiprocessing.Process(target=keep_busy, args=(p,))
                    for p in os.sched_getaffinity(0)]
    for helper in helpers:
        helper.daemon = True
        helper.start()
    status = subprocess.run(args.command).returncode
    for helper in helpers:
        helper.terminate()
        helper.join()
    for process in processes(folder):  # the helper may have been ended between the two
        stop(process, False)
    sys.exit(status)


if __name__ == "__main__":
    main()
