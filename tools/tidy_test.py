#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of tidy.py: each rule finds what it is there for, and leaves good code alone."""
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tidy  # noqa: E402 (found through the line above)

FLOORS = """
base:
os: base      # the machine
sched: os
lang: sched
http: lang
debug: http
door os/poll.h
public http
thread-local sched/tls.c
file debug/dump*.c: lang
pointer panic_report: lang debug
"""
SPDX = "/* SPDX-License-Identifier: MIT */\n"
HEAD = (SPDX + "/*\n * A queue. What it is for, the idea in some lines, invariants, and refused "
        "ideas.\n */\n")


class Tidy(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.root = Path(self.dir.name)
        self.write("src/floors.txt", FLOORS)

    def tearDown(self):
        self.dir.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def found(self, name=None, text=None):
        """What tidy says about this file, as `line: text` in one string."""
        if name:
            self.write(name, text)
        problems, _ = tidy.check(self.root)
        return "\n".join(f"{line}: {words}" for file, line, words in problems
                         if name in (None, file))

    def source(self, code, name="src/lang/chan.c"):
        return self.found(name, HEAD + code)

    def test_good_file(self):
        self.write("src/lang/lang.h", SPDX)
        self.assertEqual(self.source('#include "lang/lang.h"\n#include "os/poll.h"\n'
                                     '#include "base/base.h"\n#include <errno.h>\n'
                                     '#include <aglet/chan.h>\n'
                                     'int f(void) {\n    return 1;\n}\n'), "")

    def test_floors(self):
        self.assertIn("5: debug is not below lang", self.source('#include "debug/debug.h"\n'))
        self.assertIn('door is "sched/sched.h"', self.source('#include "sched/runq.h"\n'))
        self.assertIn("write the folder", self.source('#include "lang.h"\n'))
        self.assertIn("public headers alone",
                      self.source('#include "lang/lang.h"\n', "src/http/http.c"))
        self.assertIn("not in src/floors.txt", self.source('#include "os/os.h"\n', "src/new/n.c"))
        self.assertIn("lang is not below os", self.source('#include "lang/lang.h"\n', "src/os/o.c"))

    def test_lowered_file(self):
        good, bad = '#include "lang/lang.h"\n', '#include "http/http.h"\n'
        self.assertEqual(self.source(good, "src/debug/dump.c"), "")
        self.assertIn("http is not below", self.source(bad, "src/debug/dump.c"))
        self.assertEqual(self.source(bad, "src/debug/web.c"), "")

    def test_system_headers(self):
        self.assertIn("system header", self.source("#include <unistd.h>\n"))
        self.assertEqual(self.source("#include <unistd.h>\n", "src/os/linux/os.c"), "")
        self.assertEqual(self.found("src/lang/chan_test.c", SPDX + "#include <unistd.h>\n"
                                    '#include "ag_test.h"\n'), "")

    def test_layout(self):
        self.assertIn("5: 101 columns", self.source("//" + "x" * 99 + "\n"))
        self.assertEqual(self.source("//" + "ä" * 98 + "\n"), "")
        self.assertIn("space at the end", self.source("int x; \n"))
        self.assertIn("tab;", self.source("\tint x;\n"))
        self.assertIn("no newline", self.source("int x;"))
        self.assertIn("leftover", self.source("/* TO" "DO later */\n"))
        self.assertIn("more than 1000 lines", self.source("\n" * 1000))
        self.assertEqual(self.found("Makefile", "# SPDX-License-Identifier: MIT\nall:\n\tcc\n"), "")

    def test_head(self):
        self.assertIn("1: the first line", self.found("src/os/a.h", "int x;\n"))
        self.assertIn("no design comment", self.found("src/os/a.c", SPDX + "int x;\n"))
        self.assertIn("no design comment", self.found("src/os/a.c", SPDX + "/* A queue. */\n"))
        self.assertEqual(self.found("tools/x.py", "#!/usr/bin/env python3\n"
                                    "# SPDX-License-Identifier: MIT\n"), "")

    def test_calls(self):
        self.assertIn("strcpy is banned; use memcpy", self.source("int x = strcpy(a, b);\n"))
        self.assertEqual(self.source("/* strcpy(a) */ char *s = \"gets(\"; // gets(\n"), "")
        self.assertEqual(self.source("ag_signal(1); x.signal(2); p->rand(3); fgets(s);\n"), "")
        self.assertIn("errno is read", self.source("int f(void) { return errno; }\n"))
        self.assertEqual(self.source("int f(void) { return errno; }\n", "src/os/x.c"), "")
        self.assertIn("thread-locals", self.source("static __thread int x;\n"))
        self.assertEqual(self.source("static __thread int x;\n", "src/sched/tls.c"), "")
        self.assertIn("arch, os", self.source("#if defined(__x86_64__)\n#endif\n"))
        self.assertIn("strcat is banned", self.found("examples/x.c", SPDX + "f(strcat(a, b));\n"))
        self.assertEqual(self.found("examples/x.c", SPDX + "f(atoi(a));\n"), "")

    def test_functions(self):
        def body(n):
            return "    x();\n" * n

        code = ("struct s {\n" + body(80) + "};\n"
                "static const int t[] = {\n" + body(80) + "};\n"
                "#define M(x) \\\n    do { \\\n" + "    x; \\\n" * 80 + "    } while (0)\n"
                "int declared(int a);\n"
                "static int good(int a,\n                int b) {\n" + body(67) + "}\n"
                'extern "C" {\nint bad(int a) {\n' + body(69) + "}\n}\n"
                "AG_TEST(long_one) {\n    if (x) {\n" + body(69) + "    }\n}\n")
        found = self.source(code)
        self.assertIn("bad has 71 lines", found)
        self.assertIn("AG_TEST(long_one) has 73 lines", found)
        self.assertEqual(len(found.splitlines()), 2, found)

    def test_ratchet(self):
        ratchet = self.root / "tools/tidy_ratchet.txt"
        self.write("tools/tidy_ratchet.txt", "src/lang/chan.c:f 80\nsrc/lang/chan.c:gone 90\n")
        self.assertIn("gone is gone", self.source("int f(void) {\n" + "    x();\n" * 78 + "}\n"))
        self.assertIn("limit is 80", self.source("int f(void) {\n" + "    x();\n" * 79 + "}\n"))
        shorter = self.source("int f(void) {\n" + "    x();\n" * 73 + "}\n")
        self.assertIn("f has got shorter", shorter)
        tidy.shrink(ratchet, tidy.load(self.root), tidy.read_ratchet(ratchet))
        self.assertEqual(tidy.read_ratchet(ratchet), {"src/lang/chan.c:f": 75})
        self.assertEqual(self.found(), "")
        self.source("int f(void) {\n" + "    x();\n" * 90 + "}\n")
        tidy.shrink(ratchet, tidy.load(self.root), tidy.read_ratchet(ratchet))
        self.assertIn("limit is 75", self.found())

    def test_public_functions_want_a_comment(self):
        self.write("include/aglet/x.h", SPDX + "/** Does it. */\nAG_API int ag_a(int x);\n"
                   "AG_API int ag_b(int x);\n\nAG_API ag_chan(int) ag_c(void);\nint ag__d(void);\n"
                   "#define ag_e(x) \\\n    f(x)\n")
        _, warnings = tidy.check(self.root)
        self.assertEqual([text for _, _, text in warnings],
                         ["ag_c has no comment", "ag_e has no comment"])

    def test_links(self):
        self.write("docs/a.md", "# The one & only `x`\n")
        text = ("[a](docs/a.md) [b](docs/a.md#the-one--only-x) [c](https://x.org/) [d](#here)\n"
                "# Here\n`[no](link)`\n```\n[no](link)\n```\n")
        self.assertEqual(self.found("README.md", text), "")
        self.assertIn("1: the link leads nowhere: b.md", self.found("README.md", "[x](b.md)\n"))
        self.assertIn("no such heading", self.found("README.md", "[x](docs/a.md#two)\n"))

    def test_dead_header(self):
        self.assertIn("nobody includes it", self.found("src/lang/old.h", SPDX))
        self.source('#include "lang/old.h"\n')
        self.assertEqual(self.found(), "")

    @unittest.skipUnless(shutil.which("cc"), "needs a compiler")
    def test_symbols(self):
        build = self.root / "build/dev"
        build.mkdir(parents=True)
        self.write("include/aglet.h", SPDX + "int ag_good(void);\n")
        (self.root / "build/x.c").write_text(
            "int ag_good(void) { return 0; }\nint ag_secret(void) { return 0; }\n"
            "int bare(void) { return 0; }\n__attribute__((visibility(\"hidden\"))) int low;\n")
        for command in ("cc -shared -fPIC ../x.c -o libaglet.so", "cc -c ../x.c",
                        "ar rc libaglet.a x.o"):
            subprocess.run(command.split(), cwd=build, check=True)
        found = self.found()
        self.assertIn("exports bare; exported names begin with ag_", found)
        self.assertIn("exports ag_secret, which no public header declares", found)
        self.assertIn("low is neither static", found)
        self.assertNotIn("ag_good", found)
        # A library with a map of its own may export what that names.
        self.write("cmake/aglet-x.map", SPDX + "{\n    bare;\n};\n")
        subprocess.run("cc -shared -fPIC ../x.c -o libaglet-x.so".split(), cwd=build, check=True)
        found = self.found()
        self.assertEqual(found.count("exports bare;"), 1)
        self.assertEqual(found.count("exports ag_secret"), 2)


if __name__ == "__main__":
    result = unittest.main(exit=False, argv=sys.argv[:1]).result
    failed = len(result.failures) + len(result.errors)
    print(f"{max(result.testsRun - failed, 0)} passed, {failed} failed")
    sys.exit(1 if failed else 0)
