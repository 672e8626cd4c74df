#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of header_to_manual.py: what the headers say is in the pages, and they are in order."""
import html.parser
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))
import header_to_manual as manual  # noqa: E402

SAMPLE = """/* SPDX-License-Identifier: MIT */
/*
 * aglet/knot.h - knots, for tests. Second sentence.
 *
 *     ag_knot_tie(3);
 */
#ifndef AGLET_KNOT_H
#define AGLET_KNOT_H

AG__BEGIN

/* ---- Tying ---- */

/** A knot. Usable when zero: yes. Copyable: no. */
typedef struct ag_knot {
    int turns; /* < 3 */
    void *ag__secret;
} ag_knot;

enum { AG_LOOSE = 1, AG_TIGHT };

/**
 * Ties a knot of `turns` turns, unlike ag_knot_cut.
 * - one
 * - two
 *
 * Waits: for the lace. Returns: 0; -EINVAL. Owns: the caller. Go: no knots.
 */
AG_API int ag_knot_tie(int turns) __attribute__((pure));
/* Not a manual's comment. */
AG_API void ag__knot_secret(void);

/** ag_knot_cut(k, how): cuts. Panics: `cut of nil knot`. */
#define ag_knot_cut(k, ...) ag__cut(k, __VA_ARGS__)

AG_API extern const int ag_knot_max;
static inline int ag_knot_free(ag_knot *k) {
    return k->turns < 3;
}
typedef void (*ag_knot_hook)(int);

AG__END
#endif
"""


def check(truth, what):
    if not truth:
        raise AssertionError(what)


def independent_names(text):
    """Public names in code, found without the parser: every such word outside of comments."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)
    return set(re.findall(r"\b(?:ag|AG)_(?!_)\w+", text)) - manual.HIDDEN


class Page(html.parser.HTMLParser):
    """Names of anchors, targets of links; refuses tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.anchors, self.links, self.terms = [], set(), [], set()
        self.feed(text)
        check(not self.open, f"never closed: {self.open}")

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            check(values["id"] not in self.anchors, f"twice: {values['id']}")
            self.anchors.add(values["id"])
        if "href" in values:
            self.links.append(values["href"])
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        check(self.open and self.open.pop() == tag, f"</{tag}> closes something else")

    def handle_data(self, data):
        if self.open and self.open[-1] == "dt":
            self.terms.add(data)


def make(include, place):
    headers = manual.load(include)
    manual.Html(headers).write(place / "html")
    manual.write_man(headers, place / "man" / "man3")
    return {path.name: path.read_text() for path in (place / "html").glob("*.html")}


def sample(place):
    include = place / "include" / "aglet"
    include.mkdir(parents=True)
    (include / "knot.h").write_text(SAMPLE)
    return make(place / "include", place)


def every_public_name_is_in_the_pages(place):
    pages = make(ROOT / "include", place)
    anchors = set().union(*(Page(text).anchors for text in pages.values()))
    index = Page(pages["index.html"]).links
    count = 0
    for path in sorted((ROOT / "include").rglob("*.h")):
        if "Nothing here is for direct use" in path.read_text():
            continue
        for name in independent_names(path.read_text()):
            count += 1
            check(name in anchors, f"{path.name}: {name} is in no page")
            check(any(link.endswith("#" + name) for link in index), f"{name} is not in the index")
            check((place / "man" / "man3" / f"{name}.3").exists(), f"{name} has no man page")
    check(count > 200, f"only {count} names were looked for")


def every_label_of_the_headers_is_a_term(place):
    pages = make(ROOT / "include", place)
    terms = set().union(*(Page(text).terms for text in pages.values()))
    for label in manual.LABELS:
        used = any(re.search(rf"\b{label}: ", path.read_text())
                   for path in (ROOT / "include").rglob("*.h"))
        check(not used or label in terms, f"`{label}:` is not a term anywhere")
    for name, text in pages.items():
        left = re.search(r"[.>] (Returns|Waits|Panics|Owns): ", text)
        check(not left, f"{name}: a label in the middle of a text: {left and left.group()}")


def links_lead_somewhere(place):
    pages = make(ROOT / "include", place)
    parsed = {name: Page(text) for name, text in pages.items()}
    for name, page in parsed.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            check(target in parsed, f"{name}: {link}")
            check(not anchor or anchor in parsed[target].anchors, f"{name}: {link}")


def the_bare_words_are_there_and_hide_no_man_page(place):
    pages = make(ROOT / "include", place)
    check({"go", "close", "select", "try"} <= Page(pages["short.html"]).anchors, "no bare words")
    check(not (place / "man" / "man3" / "close.3").exists(), "close.3 hides the system's")


def a_header_becomes_what_it_says(place):
    page = sample(place)["knot.html"]
    check("<p>Ties a knot of <code>turns</code> turns, unlike "
          '<a href="knot.html#ag_knot_cut">ag_knot_cut</a>.</p>' in page, page)
    check("<li>one</li>\n<li>two</li>" in page, page)
    for label, text in (("Waits", "for the lace."), ("Returns", "0; -EINVAL."),
                        ("Owns", "the caller."), ("Go", "no knots."), ("Copyable", "no.")):
        check(f"<dt>{label}</dt><dd>{text}</dd>" in page, f"{label}: {page}")
    check("<h2>Tying</h2>" in page, page)
    check("int ag_knot_tie(int turns);" in page, page)
    check("<pre>ag_knot_cut(k, how)</pre>\n<p>Cuts.</p>" in page, page)
    check("int ag_knot_free(ag_knot *k);" in page, page)
    check("/* &lt; 3 */" in page, page)
    check("<pre>ag_knot_tie(3);</pre>" in page, page)


def what_is_private_stays_out(place):
    pages = sample(place)
    for text in pages.values():
        check("ag__" not in text and "Not a manual" not in text, text)
    anchors = Page(pages["knot.html"]).anchors
    check(anchors == {"ag_knot", "AG_LOOSE", "AG_TIGHT", "ag_knot_tie", "ag_knot_cut",
                      "ag_knot_max", "ag_knot_free", "ag_knot_hook"}, str(anchors))


def man_pages_are_sound(place):
    make(ROOT / "include", place)
    man = place / "man" / "man3"
    check((man / "ag_send.3").read_text() == ".so man3/aglet-chan.3\n", "ag_send.3")
    send = (man / "aglet-chan.3").read_text()
    check("\n.SS ag_send\n" in send and "\n.B Waits\n" in send, send)
    for path in man.glob("aglet*.3"):
        for line in path.read_text().splitlines():
            known = re.match(r"\.(\\\"|TH|SH|SS|PP|TP|IP|B|nf|fi|RS|RE|$)", line)
            check(not line.startswith((".", "'")) or known, f"{path.name}: {line}")
        if shutil.which("groff"):
            done = subprocess.run(["groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-z", path],
                                  capture_output=True, text=True)
            wrong = [line for line in done.stderr.splitlines() if "can't break" not in line and
                     "cannot break" not in line]
            check(done.returncode == 0 and not wrong, done.stderr)


def a_name_that_is_missing_would_be_noticed(place):
    """The negative control of the first test."""
    check("ag_nowhere" in independent_names(SAMPLE + "void ag_nowhere(void);"), "not seen")
    check("ag_nowhere" not in independent_names(SAMPLE + "/* ag_nowhere */"), "seen in a comment")
    try:
        Page("<p><b>x</p></b>")
    except AssertionError:
        return
    raise AssertionError("tags that are closed in the wrong order are taken")


TESTS = [every_public_name_is_in_the_pages, every_label_of_the_headers_is_a_term,
         links_lead_somewhere, the_bare_words_are_there_and_hide_no_man_page,
         a_header_becomes_what_it_says, what_is_private_stays_out, man_pages_are_sound,
         a_name_that_is_missing_would_be_noticed]


def main():
    failed = 0
    for test in TESTS:
        try:
            with tempfile.TemporaryDirectory() as place:
                test(Path(place))
            print(f"ok {test.__name__}")
        except Exception:  # a test that breaks has failed
            failed += 1
            print(f"FAILED {test.__name__}\n{traceback.format_exc()}")
    print(f"{len(TESTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
