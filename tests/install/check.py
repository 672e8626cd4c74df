#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs a build into an empty prefix, moves it, and uses it as a stranger would: a program built
with find_package and with pkg-config, with the shared and with the static library.

    tests/install/check.py BUILD_DIR
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = r"""
#include <aglet.h>
#include <stdio.h>

static void twice(ag_chan(int) in, ag_chan(int) out) {
    int v;
    while (ag_recv(in, &v))
        ag_send(out, 2 * v);
    ag_close(out);
}

static int app(void *arg) {
    ag_chan(int) in = ag_make(int, 0), out = ag_make(int, 0);
    int v = 0;
    (void)arg;
    ag_go(twice, in, out);
    ag_send(in, 21);
    ag_recv(out, &v);
    printf("%d\n", v);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
"""
TEST_PROGRAM = r"""
#include <aglet/test.h>
#include <stdio.h>
#include <stdlib.h>

static int got, not_got;

static void take(void) {
    void *volatile p = malloc(10);
    if (p)
        got++;
    else
        not_got++;
    free(p);
}

static void test(void) {
    ag_test_walk(AG_FAIL_ALLOC, 0, take);
}

int main(void) {
    if (ag_test_run("take", 10 * AG_SEC, test) != 0)
        return 1;
    printf("%d\n", got == 1 && not_got == 1 ? 42 : 0);
    return 0;
}
"""
HEAP_PROGRAM = r"""
#include <aglet/profile.h>
#include <stdio.h>

int main(void) {
    printf("%d\n", ag_profile_heap_rate(-1) == 512 * 1024 ? 42 : 0);
    return 0;
}
"""
TLS_PROGRAM = r"""
#include <aglet/tls.h>
#include <stdio.h>

int main(void) {
    ag_tls_config *tls = ag_tls_config_new();
    printf("%d\n", tls && ag_tls_config_alpn(tls, "http/1.1") == 0 ? 42 : 0);
    ag_unref(tls);
    return 0;
}
"""
PROJECT = """
cmake_minimum_required(VERSION 3.20)
project(user LANGUAGES C)
find_package(aglet 0.1 REQUIRED)
foreach(kind IN ITEMS aglet aglet_static)
    add_executable(with_${kind} main.c)
    target_link_libraries(with_${kind} PRIVATE aglet::${kind})
endforeach()
add_executable(with_test test.c)
target_link_libraries(with_test PRIVATE aglet::test)
if(TARGET aglet::heap)
    add_executable(with_heap heap.c)
    target_link_libraries(with_heap PRIVATE aglet::aglet_static aglet::heap)
endif()
if(TARGET aglet::net)
    add_executable(with_net tls.c)
    target_link_libraries(with_net PRIVATE aglet::net)
    add_executable(with_net_static tls.c)
    target_link_libraries(with_net_static PRIVATE aglet::net_static)
endif()
if(TARGET aglet::http)
    add_executable(with_http main.c)
    target_link_libraries(with_http PRIVATE aglet::http)
endif()
"""


class Check:
    def __init__(self, work, prefix):
        self.work, self.prefix, self.passed, self.failed = work, prefix, 0, 0
        libs = prefix / "lib"
        self.env = {**os.environ, "PKG_CONFIG_PATH": str(libs / "pkgconfig"),
                    "LD_LIBRARY_PATH": str(libs)}

    def run(self, *command):
        done = subprocess.run(list(map(str, command)), cwd=self.work, env=self.env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        return done.returncode == 0, done.stdout

    def expect(self, name, good, output):
        self.passed += good
        self.failed += not good
        print(f"{'ok' if good else 'FAILED'} {name}")
        if not good:
            print("    " + output.replace("\n", "\n    "))

    def program(self, name, *command):
        try:
            good, output = self.run(*command)
        except OSError as error:
            good, output = False, str(error)
        self.expect(name, good and output == "42\n", output)

    def find_package(self):
        self.expect("cmake: configure", *self.run("cmake", "-S", ".", "-B", "build",
                                                  f"-DCMAKE_PREFIX_PATH={self.prefix}"))
        self.expect("cmake: build", *self.run("cmake", "--build", "build"))
        self.program("cmake: shared", self.work / "build/with_aglet")
        self.program("cmake: static", self.work / "build/with_aglet_static")
        self.program("cmake: test", self.work / "build/with_test")
        if (self.prefix / "lib/libaglet-http.so").exists():
            self.program("cmake: http", self.work / "build/with_http")
        if (self.prefix / "lib/libaglet-net.so").exists():
            self.program("cmake: net", self.work / "build/with_net")
            self.program("cmake: net_static", self.work / "build/with_net_static")
        if (self.prefix / "lib/libaglet-heap.so").exists():
            self.program("cmake: heap", self.work / "build/with_heap")

    def pkg_config(self):
        for package in sorted((self.prefix / "lib/pkgconfig").glob("*.pc")):
            name = package.stem
            good, flags = self.run("pkg-config", "--cflags", "--libs", name)
            self.expect(f"pkg-config {name}", good, flags)
            source = {"aglet-test": "test.c", "aglet-heap": "heap.c",
                      "aglet-net": "tls.c"}.get(name, "main.c")
            self.expect(f"cc with {name}", *self.run("cc", source, "-o", name, *flags.split()))
            self.program(f"program with {name}", self.work / name)

    def preload(self):
        """As the error of a program without the library says."""
        good, flags = self.run("pkg-config", "--cflags", "--libs", "aglet")
        self.expect("cc for preload", *self.run("cc", "heap.c", "-o", "plain", *flags.split()))
        self.program("preloaded", "sh", "-c", "LD_PRELOAD=$(pkg-config --variable=libdir "
                     "aglet-heap)/libaglet-heap.so ./plain")


def main():
    build = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as temp:
        work = Path(temp)
        check = Check(work, work / "moved")
        (work / "main.c").write_text(PROGRAM)
        (work / "test.c").write_text(TEST_PROGRAM)
        (work / "heap.c").write_text(HEAP_PROGRAM)
        (work / "tls.c").write_text(TLS_PROGRAM)
        (work / "CMakeLists.txt").write_text(PROJECT)
        check.expect("install", *check.run("cmake", "--install", build, "--prefix", work / "first"))
        if not check.failed:
            script = work / "first/share/aglet/gdb/aglet-gdb.py"
            check.expect("gdb's script", *check.run("python3", "-m", "py_compile", script))
            # The package must not remember where it was installed first.
            shutil.move(work / "first", work / "moved")
            check.find_package()
            check.pkg_config()
            if (work / "moved/lib/libaglet-heap.so").exists():
                check.preload()
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
