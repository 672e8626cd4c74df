#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of the test runners: what ag_test.c and run_suite.py report about tests that fail, crash,
hang, leak or end early. A runner that takes a failure for a success would hide everything else."""
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPILER = os.environ.get("AG_TEST_HOST_COMPILER", "cc")
SAMPLE = r"""
#include "ag_test.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
AG_TEST(passes) {
    ag_check(1 + 1 == 2);
    ag_check_int(-3, -3);
    ag_check_str("a", "a");
    ag_check_str(NULL, NULL);
    ag_check_contains("abc", "bc");
    ag_check_mem("abc", "abd", 2);
    ag_check_ptr(NULL, NULL);
}
AG_TEST(sees_world) { ag_check_str(getenv("AGLET_PROCS"), "8"); }
AG_TEST(has_default_signals) { ag_check(signal(SIGQUIT, SIG_IGN) == SIG_DFL); }
AG_TEST(bad_cond) { printf("words before\n"); ag_check(1 > 2); }
AG_TEST(bad_int) { ag_check_int(-EAGAIN, -ETIMEDOUT); }
AG_TEST(bad_str) { ag_check_str("abc", NULL); }
AG_TEST(bad_contains) { ag_check_contains("abc", "x"); }
AG_TEST(bad_mem) { ag_check_mem("abc", "abd", 3); }
static void *thread(void *arg) { ag_check_ptr(arg, &errno); return NULL; }
AG_TEST(bad_in_thread) {
    pthread_t t;
    pthread_create(&t, NULL, thread, NULL);
    pthread_join(t, NULL);
}
AG_TEST(leaks_fd) { ag_check(open("/dev/null", O_RDONLY) >= 0); }
AG_TEST(leaks_allowed) { AG_TEST_LEAKY_FDS(); ag_check(open("/dev/null", O_RDONLY) >= 0); }
AG_TEST(early) { exit(0); }
AG_TEST(skips) { ag_skip("no %s here", "sqlite"); }
AG_TEST(crashes) { abort(); }
AG_TEST(hangs) { printf("hanging\n"); for (;;) pause(); }
AG_TEST(leaves_process) { if (fork() == 0) for (;;) pause(); }
AG_TEST(loud) { for (int i = 0; i < 300000; i++) puts("0123456789"); }
AG_TEST_DEATH(dies, 2, "panic: x") { fprintf(stderr, "panic: x\n"); exit(2); }
AG_TEST_DEATH(dies_by_signal, 134, "") { abort(); }
AG_TEST_DEATH(dies_not, 2, "") { }
AG_TEST_DEATH(dies_other_status, 2, "") { exit(3); }
AG_TEST_DEATH(dies_on_stdout, 2, "panic: x") { printf("panic: x\n"); exit(2); }
"""


class Runner(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory()
        cls.path = Path(cls.dir.name)
        (cls.path / "tests").mkdir()
        cls.program = cls.path / "tests/sample"
        (cls.path / "sample.c").write_text(SAMPLE)
        flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{HERE}"]
        subprocess.run([COMPILER, *flags, cls.path / "sample.c", HERE / "ag_test.c",
                        "-o", cls.program], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.dir.cleanup()

    def run_it(self, *args, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AG_TEST_")}
        done = subprocess.run([*args], env={**clean, **env}, text=True, capture_output=True)
        return done.stdout, done.returncode

    def expect(self, name, *expected, status=1, **env):
        out, code = self.run_it(self.program, "--filter", name, **env)
        for words in expected:
            self.assertIn(words, out)
        self.assertEqual(code, status, out)
        return out

    def test_good_ones(self):
        for name in ("passes", "leaks_allowed", "dies_by_signal", "loud"):
            out = self.expect(name, f"ok {name}", status=0)
            self.assertTrue(out.endswith("\n1 passed, 0 failed\n"), out)

    def test_failed_checks_show_place_and_values(self):
        self.expect("bad_cond", "FAILED bad_cond: ended with status 1", "words before",
                  "sample.c:", "not true: 1 > 2", "--run bad_cond", "\n0 passed, 1 failed\n")
        self.expect("bad_int", "-EAGAIN is -11 (-EAGAIN), expected -110 (-ETIMEDOUT)")
        self.expect("bad_str", '"abc" is abc, expected NULL')
        self.expect("bad_contains", 'does not contain "x"')
        self.expect("bad_mem", "byte 2 of 3 is 0x63, expected 0x64")
        self.expect("bad_in_thread", "arg is (nil)")

    def test_ways_to_end(self):
        self.expect("leaks_fd", "is still open: /dev/null", "FAILED")
        self.expect("early", "FAILED early: the process ended before the test did")
        self.expect("crashes", "FAILED crashes: killed by SIGABRT")
        self.expect("hangs", "time is up after 1", "hanging", AG_TEST_TIMEOUT="1")
        self.expect("skips", "skipped skips: no sqlite here", "0 passed, 0 failed, 1 skipped",
                    status=0)

    def test_process_left_behind_is_killed(self):
        out = self.expect("leaves_process", "1 passed", status=0)
        self.assertNotIn(" s)", out)

    def test_deaths(self):
        self.expect("dies", "ok dies\n", "FAILED dies_not: ended with status 0, expected 2",
                  "FAILED dies_other_status: ended with status 3, expected 2",
                  'FAILED dies_on_stdout: stderr does not contain "panic: x"', "2 passed, 3 failed")

    def test_ignored_signals_are_not_inherited(self):
        before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGQUIT, before)
        self.expect("has_default_signals", "1 passed, 0 failed", status=0)

    def test_worlds(self):
        out, _ = self.run_it(self.program, "--filter", "sees_world", "--worlds", "1,8")
        self.assertIn("FAILED sees_world [procs 1]", out)
        self.assertIn("ok sees_world [procs 8]", out)
        self.expect("sees_world", "ok sees_world\n", status=0, AG_TEST_WORLDS="8")

    def test_suite_adds_up(self):
        suite = self.path / "suite.txt"
        suite.write_text(f"source {self.path}\ncpu x\nsanitize \nemulator \ncompiler cc\n"
                         "test sample\ntest missing\n")
        out, code = self.run_it(sys.executable, HERE / "run_suite.py", self.path,
                                AG_TEST_TIMEOUT="1")
        self.assertEqual(code, 1)
        self.assertIn("FAILED missing", out)
        self.assertIn("    FAILED bad_cond", out)
        self.assertNotIn("ok passes", out)
        # 9 good ones less sees_world; the missing program is one more failure.
        self.assertEqual(out.splitlines()[-1], "7 passed, 15 failed, 1 skipped")
        out, _ = self.run_it(sys.executable, HERE / "run_suite.py", self.path,
                             "--filter", "nothing,miss")
        self.assertEqual(out.splitlines()[-1], "0 passed, 1 failed")
        self.assertIn("FAILED missing", out)
        self.assertNotIn("sample", out)
        suite.write_text(suite.read_text().replace("test sample\ntest missing\n", ""))
        out, code = self.run_it(sys.executable, HERE / "run_suite.py", self.path)
        self.assertEqual((code, out.splitlines()[-1]), (1, "0 passed, 1 failed"))


if __name__ == "__main__":
    result = unittest.main(exit=False, argv=sys.argv[:1]).result
    failed = len(result.failures) + len(result.errors)
    print(f"{max(result.testsRun - failed, 0)} passed, {failed} failed")
    sys.exit(1 if failed else 0)
