#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The pages at /debug/ in a browser: Chromium, without a window.

    tests/pages/check.py BUILD_DIR [--pictures FOLDER] [WORD…]

Compiles program.c of this folder, opens each view, and does what a user does, with mouse and keys.
Each test ends with no complaint in the browser's console and no request to anybody but the program.
--pictures: leaves a picture of each view there, light and dark. WORD: only tests with it in their
names.
"""
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from browser import Browser, find

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VIEWS = ["overview", "goroutines", "tree", "waits", "flame", "timeline", "latency", "answers"]
# What is there once the view has its answer.
FULL = {"overview": "#view tbody tr", "goroutines": "#view tbody tr", "tree": ".rows .row[id]",
        "waits": ".node.circle", "flame": ".frame.frame ~ .frame", "timeline": ".dot",
        "latency": ".bar-of", "answers": "#view tbody tr"}
MANY = 100000


def need(truth, what="it is not so"):
    if not truth:
        raise AssertionError(what)


class Program:
    def __init__(self, build, binary, *args):
        self.command = [binary, *args]
        self.env = {"AGLET_PROCS": "2", "AGLET_NO_SOCKET": "1", "AGLET_HEAP_RATE": "1",
                    "LD_PRELOAD": str(build / "libaglet-heap.so")}

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        env=self.env)
        port = self.process.stdout.readline()
        need(port.strip().isdigit(), "the program did not start")
        self.url = f"http://localhost:{int(port)}/debug/"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class User(Browser):
    """A browser at a program's pages."""

    def begin(self, program):
        """As if nothing had been before."""
        self.open("about:blank")
        self.url = program.url
        self.set_dark(False)
        self.call("Storage.clearDataForOrigin", origin=self.url.partition("/debug")[0],
                  storageTypes="all")
        self.errors.clear()
        self.requests.clear()

    def see(self, view):
        """Opens the view and waits until it has something to show."""
        if self.js("location.href").partition("#")[0] != self.url:
            self.open(f"{self.url}#{view}")
        self.js(f"location.hash = '{view}'")
        self.wait(f"aglet.current?.id === '{view}' && document.querySelector('{FULL[view]}')")

    def text(self, selector="#view"):
        return self.js(f"(one => one.innerText ?? one.textContent)(document.querySelector("
                       f"'{selector}'))")

    def count(self, selector):
        return self.js(f"document.querySelectorAll('{selector}').length")

    def has_no_complaint(self):
        self.js("1")
        need(not self.errors, f"the browser complains: {self.errors[:3]}")
        strange = [url for url in self.requests if not url.startswith((self.url, "data:"))]
        need(not strange, f"it asks others: {strange[:3]}")


# ---- Tests --------------------------------------------------------------------------------------


def every_view_opens(user, pictures):
    for dark in (False, True):
        user.set_dark(dark)
        for view in VIEWS:
            user.see(view)
            need(user.js("document.querySelector('nav a[aria-current]').hash") == f"#{view}")
            need(user.js("document.documentElement.scrollWidth <= innerWidth"),
                 f"{view} is wider than the window")
            if pictures:
                time.sleep(2.5)  # for figures that come with time
                user.picture(pictures / f"{view}-{'dark' if dark else 'light'}.png")
    for width in (480, 1920):
        user.resize(width)
        for view in VIEWS:
            user.see(view)
            need(user.js("document.documentElement.scrollWidth <= innerWidth"),
                 f"{view} is wider than a window of {width}")
            if pictures:
                time.sleep(1.5)
                user.picture(pictures / f"{view}-{width}.png")
    user.resize()
    need(user.count("img") == 0 and "<img src=x" in user.js(
        "aglet.ask('each').then((text) => text)"), "text of the program became an element")


def the_flame_graph_names_what_takes_time(user, _):
    user.see("flame")
    width = "document.querySelector('.flame').clientWidth"
    frame = ("[...document.querySelectorAll('.frame')]"
             ".find((one) => one.node.title === 'crunch_numbers')")
    need(user.wait(f"{frame}?.clientWidth") > user.js(width) / 4)
    # A click makes it as wide as the graph, and its callers stay.
    user.js(f"{frame}.id = 'crunch'")
    user.hover("#crunch")
    tip = user.wait("!document.getElementById('tip').hidden && "
                    "document.getElementById('tip').innerText")
    need(re.search(r"crunch_numbers\n.*program\.c:\d+\n[\d.]+ m?s, [\d.]+ % of all", tip), tip)
    user.click("#crunch")
    need(user.js(f"{frame}.clientWidth >= {width} - 2"), "the zoom is not there")
    need(user.js("document.querySelector('.frame.way').node.title") == "all")
    need("mix_digits" in user.text(".top"))
    user.key("Escape")
    need(user.js(f"{frame}.clientWidth < {width} - 2"), "the zoom does not go")
    # Keys: into the graph, down, in; 0 is the whole.
    user.key("Enter")
    user.key("ArrowDown")
    need(user.js("document.activeElement.getAttribute('aria-level')") == "2")
    need("% of all" in user.text(".line"))
    user.key("Enter")
    need(user.js("document.activeElement.clientWidth >= " + width + " - 2"))
    user.key("0")
    need(user.count(".frame.way") == 0)
    # The search.
    user.key("/")
    user.type("mix_")
    need(user.wait("document.querySelectorAll('.frame.found').length") >= 1)
    need(re.search(r"found [1-9][\d.]* %", user.text(".line")), user.text(".line"))
    user.key("Escape")
    user.key("i")
    need(user.js("document.querySelector('.frame[aria-level=\"2\"]').node.title") == "mix_digits",
         "callees do not come first")


def every_profile_is_drawn(user, _):
    user.see("flame")
    for name in user.js("[...document.querySelector('select[aria-label=Profile]').options]"
                        ".map((one) => one.value)"):
        if name == "profile":
            continue
        user.js("{ const e = document.querySelector('select[aria-label=Profile]');"
                f"e.value = '{name}'; e.dispatchEvent(new Event('change')); }}")
        user.wait("!/asking|recording/.test(document.querySelector('.line').textContent)")
        need("no profile" not in user.text(".line"), f"{name}: {user.text('.line')}")
        frames = user.js("[...document.querySelectorAll('.frame')].map((one) => one.node.title)")
        expected = {"offcpu": "[sync.Mutex.Lock]", "goroutine": "ties_left_first",
                    "spawn": "crunch_numbers", "heap": "keeps_a_book",
                    "allocs": "keeps_a_book"}.get(name)
        need(expected is None or expected in frames, f"{name} shows {frames}")


def the_wait_graph_marks_the_circle(user, _):
    user.see("waits")
    need("1 circle" in user.text(".line.bad"), user.text(".line"))
    marked = user.js("[...document.querySelectorAll('.node.circle')].map((one) => "
                     "one.getAttribute('aria-label'))")
    need(len(marked) == 4 and any("lefty" in one for one in marked) and
         sum(one.startswith("mutex") for one in marked) == 2, str(marked))
    need(user.count(".arrow.circle") == 4, "each of the four points to the next")
    need(any("<img src=x" in one for one in marked))
    # Who waits behind is drawn, but is in no circle; members of the wait group are.
    need("wants_a_shoe" in user.text("svg.picture") and
         user.js("document.querySelectorAll('.node.goroutines:not(.circle)').length") >= 5)
    # No box lies on another one.
    need(user.js("""[...document.querySelectorAll('.node')].every((a, i, all) => all.every((b) => {
        const [p, q] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
        return a === b || p.right <= q.left || q.right <= p.left || p.bottom <= q.top
            || q.bottom <= p.top; }))"""), "boxes overlap")
    # All of it is in the window.
    need(user.js("""(() => { const r = document.querySelector('.picture').getBoundingClientRect();
        return [...document.querySelectorAll('.node')].every((one) => {
            const q = one.getBoundingClientRect();
            return q.left >= r.left && q.right <= r.right && q.top >= r.top
                && q.bottom <= r.bottom; }); })()"""), "nodes are outside of the picture")
    # Its stack, by key; and by name of the search.
    user.js("document.querySelector('.node.goroutines.circle').focus()")
    user.key("Enter")
    need(re.search(r"In a circle.*ties_(left|right)_first\n", user.text(".detail"), re.S))
    user.click(".detail p:last-child button")
    user.wait("/^goroutine \\d+ /.test(document.querySelector('.detail pre').textContent)")
    user.key("Escape")
    need(user.js("document.querySelector('.detail').hidden"))
    user.key("/")
    user.type("lefty")
    need(user.wait("document.querySelectorAll('.node.other').length") >= 8)
    user.key("Escape")
    size = "document.querySelector('.node.circle').getBoundingClientRect().width"
    before = user.js(size)
    user.key("+")
    need(user.js(size) > before)
    user.key("0")
    need(abs(user.js(size) - before) < 1)


def tips_below(user, first):
    """What is told where the pointer is moved over all lanes from y on, standing still."""
    tips = set()
    user.key("p")
    left, top, width, height = user.js(
        "(() => { const r = document.querySelector('canvas').getBoundingClientRect(); "
        "return [r.left, r.top, r.width, r.height]; })()")
    for y in range(first, int(height), 30):
        for part in range(25, 40):
            user.mouse("mouseMoved", left + 108 + (width - 120) * part / 39, top + y)
            tips.add(user.js("[...document.getElementById('tip').children].map((one) => "
                             "one.textContent).join(', ')"))
    user.key("p")
    return tips


def the_regions_are_below(user):
    tips = [tip for tip in tips_below(user, 26 + 20) if ", region of goroutine " in tip]
    need({tip.partition(",")[0] for tip in tips} == {"the night shift", "a slow read"}, str(tips))


def the_time_line_shows_what_ran(user, _):
    user.see("timeline")
    table = user.wait("/crunch_numbers/.test(document.querySelector('#view table').innerText) && "
                      "document.querySelector('#view table').innerText")
    need("program.c" in table, table)
    need("2 processors" in user.text(".line"), user.text(".line"))
    user.wait("/[1-9]\\d* hand-ons?/.test(document.querySelector('.line').textContent)")
    need("P 0" in user.js("document.querySelector('canvas').ariaLabel"))
    colours = """(() => { const c = document.querySelector('canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        const all = new Set();
        for (let i = 0; i < d.length; i += 4) all.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
        return all.size; })()"""
    user.wait(f"{colours} > 5")
    the_regions_are_below(user)
    # It moves on by itself, until it is told to stand still.
    seen = "document.querySelector('canvas').toDataURL()"
    first = user.js(seen)
    user.wait(f"{seen} !== {first!r}")
    user.key("s")
    need("standing still" in user.text(".line"))
    user.key("+")
    need(user.js("document.querySelector('.line').textContent").count("6.00 s") == 1,
         user.text(".line"))
    user.key("f")
    need("following" in user.text(".line"))
    # In detail: each switch, and the goroutine at the pointer.
    user.key("d")
    user.wait("document.querySelector('.line').textContent.startsWith('a recording')")
    table = user.text("#view table")
    need("crunch_numbers" in table and "works" in table and "in turn" not in table, table)
    turns = user.js("[...document.querySelectorAll('#view tbody tr')].map((row) => "
                    "Number(row.cells[4].innerText.replace(/,/g, '')))")
    need(sum(turns) > 200, str(turns))
    left, top, width = user.js("(() => { const r = document.querySelector('canvas')"
                               ".getBoundingClientRect(); return [r.left, r.top, r.width]; })()")
    # Somewhere on the two lanes a goroutine computes.
    for part in range(40):
        for lane in (26 + 20, 26 + 50):
            user.mouse("mouseMoved", left + 110 + (width - 130) * part / 40, top + lane)
            tip = user.js("document.getElementById('tip').innerText")
            if "crunch_numbers" in tip:
                break
        else:
            continue
        break
    need(re.match(r"goroutine \d+ +crunch_numbers\n.*program\.c:\d+\n.* on P [01]", tip), tip)
    for kind in ("mousePressed", "mouseReleased"):
        user.mouse(kind, left + 110 + (width - 130) * part / 40, top + lane, button="left",
                   clickCount=1)
    user.wait("document.querySelector('.detail').innerText.includes('crunch_numbers')")
    user.click(".detail p button")
    user.wait("/^goroutine \\d+ /.test(document.querySelector('.detail pre').textContent)")
    user.key("Escape")
    need(user.js("document.querySelector('.detail').hidden"))


def the_histograms_count(user, _):
    user.see("latency")
    cards = user.js("[...document.querySelectorAll('.card h3')].map((one) => one.innerText)")
    need("job_duration_seconds" in cards and "aglet_sched_wait_seconds" in cards, str(cards))
    count = ("Number([...document.querySelectorAll('.card')].find((one) => "
             "one.innerText.startsWith('job_duration_seconds')).querySelector('.figure b')"
             ".innerText.replace(/,/g, ''))")
    first = user.js(count)
    need(first > 0)
    user.wait(f"{count} > {first}")
    need(user.js("""(() => { const now = aglet.current; return [...document.querySelectorAll(
        '.card .figure')].every((one) => !/NaN|undefined|Infinity/.test(one.innerText)); })()"""))
    # The last seconds are less than all.
    user.key("a")
    recent = user.js(count)
    user.key("a")
    need(recent < user.js(count), "the last seconds have all that ever was")
    need(user.wait("document.querySelectorAll('.card.small').length") == 3, "queues of 2 and all")


def a_hundred_thousand_goroutines(user, _):
    user.see("tree")
    user.wait(f"/^10\\d,\\d\\d\\d goroutines$/.test(document.querySelector('.line').textContent)")
    need(user.count(".rows .row") < 120, "there are too many elements")
    # To the end of the open tree, and open one of the hundred.
    user.js("document.querySelector('.rows').focus()")
    user.key("End")
    need("starts_many" in user.text(".row.at"), user.text(".row.at"))
    user.key("ArrowRight")
    user.key("ArrowDown")
    need("idles" in user.text(".row.at"), user.text(".row.at"))
    user.key("Enter")
    user.wait("/idles\\(/.test(document.querySelector('.detail pre').textContent)")
    user.key("ArrowLeft")
    need("starts_many" in user.text(".row.at"))
    # A search among all of them.
    user.key("/")
    user.type("works")
    user.wait("/^4 of /.test(document.querySelector('.line').textContent)")
    user.js("{ const e = document.querySelector('input[type=search]'); e.value = 'idles';"
            "e.dispatchEvent(new Event('input')); }")
    user.wait("/^100,000 of /.test(document.querySelector('.line').textContent)")
    need(user.count(".rows .row") < 120)
    user.js("document.querySelector('.rows').scrollTop = 1e9")
    user.wait("/idles/.test([...document.querySelectorAll('.rows .row')].at(-1).innerText)")
    user.js("document.querySelector('input[type=search]').blur()")
    # The graph puts them together.
    user.see("waits")
    need("100,000 × idles" in user.text("svg.picture") and user.count(".node") < 20)
    need("1 circle" in user.text(".line"))
    user.see("goroutines")
    need("100,000" in user.text())
    user.has_no_complaint()


def dark_and_light(user, _):
    back = "getComputedStyle(document.body).backgroundColor"
    user.see("overview")
    light = user.js(back)
    user.set_dark(True)
    dark = user.js(back)
    need(light == "rgb(251, 251, 250)" and dark == "rgb(21, 23, 27)", f"{light} {dark}")
    user.set_dark(False)
    user.key("t")
    need(user.js(back) == dark and user.text("#theme") == "Light")
    user.call("Page.reload")
    user.wait("typeof aglet !== 'undefined' && aglet.now")
    need(user.js(back) == dark, "the choice is not kept")
    user.click("#theme")
    need(user.js(back) == light)
    # Whatever is written can be read: at least 4.5 to 1, in each theme.
    for chosen in ("dark", "light"):
        user.js(f"document.documentElement.dataset.theme = '{chosen}'")
        for front in ("--front", "--dim", "--accent", "--bad"):
            for behind in ("--back", "--raised"):
                ratio = user.js(f"""(() => {{
                    const rgb = (name) => aglet.style(name).match(/[0-9a-f]{{2}}/g)
                        .map((hex) => parseInt(hex, 16) / 255)
                        .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
                    const light = (name) => {{ const [r, g, b] = rgb(name);
                        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05; }};
                    const [a, b] = [light('{front}'), light('{behind}')];
                    return Math.max(a, b) / Math.min(a, b); }})()""")
                need(ratio >= 4.5, f"{chosen}: {front} on {behind} has {ratio:.1f}")


def everything_has_a_key(user, _):
    user.see("overview")
    for i, view in enumerate(VIEWS):
        user.key(str(i + 1))
        user.wait(f"aglet.current.id === '{view}'")
    user.key("2")
    user.wait("aglet.current.id === 'goroutines'")
    user.key("?")
    keys = user.wait("document.getElementById('keys').open && "
                     "document.getElementById('keys').innerText")
    need("Goroutines\n" in keys and "next group" in keys and "dark or light" in keys, keys)
    user.key("5")
    need(user.js("aglet.current.id") == "goroutines", "keys work below the dialog")
    user.key("?")
    need(not user.js("document.getElementById('keys').open"))
    user.wait("document.querySelector('#view tbody tr')")
    user.key("/")
    need(user.js("document.activeElement.type") == "search")
    user.type("5?p")
    need(user.js("document.activeElement.value") == "5?p", "a search can't have these letters")
    user.key("Escape")
    user.key("p")
    need(user.js("aglet.paused") and user.text("#pause") == "Go on")
    user.key("p")
    # What has the focus can be seen.
    user.key("Tab")
    need(user.js("getComputedStyle(document.activeElement).outlineStyle") == "solid")
    names = user.js("[...document.querySelectorAll('button, input, select, a')].every((one) => "
                    "(one.ariaLabel || one.innerText || one.title).trim())")
    need(names, "a control has no name")


def nothing_from_outside_is_allowed(user, _):
    user.see("overview")
    policy = user.js("fetch('').then((answer) => answer.headers.get('content-security-policy'))")
    need("default-src 'none'" in policy and "unsafe" not in policy, policy)
    got = user.js("""new Promise((done) => {
        document.addEventListener('securitypolicyviolation', (e) => done(e.violatedDirective));
        const script = document.createElement('script');
        script.textContent = 'window.wrong = 1';
        document.body.append(script);
        setTimeout(() => done('nothing'), 5000); })""")
    need(got.startswith("script-src") and not user.js("window.wrong"), got)
    user.errors.clear()  # of this violation


TESTS = [every_view_opens, the_flame_graph_names_what_takes_time, every_profile_is_drawn,
         the_wait_graph_marks_the_circle, the_time_line_shows_what_ran, the_histograms_count,
         dark_and_light, everything_has_a_key, nothing_from_outside_is_allowed,
         a_hundred_thousand_goroutines]


def compile_program(build, suite, to):
    compiler = re.search(r"^compiler (.*)$", suite, re.M).group(1)
    done = subprocess.run([compiler, "-std=gnu11", "-g", "-O1", f"-I{ROOT}/include",
                           HERE / "program.c", build / "libaglet.a", "-o", to, "-pthread", "-lm"],
                          capture_output=True, check=False)
    need(done.returncode == 0, done.stderr.decode())


def run(test, user, program, pictures):
    user.begin(program)
    test(user, pictures)
    user.has_no_complaint()


def main():
    words = sys.argv[1:]
    build = Path(words.pop(0)).resolve()
    pictures = None
    if "--pictures" in words:
        at = words.index("--pictures")
        pictures = Path(words[at + 1])
        pictures.mkdir(parents=True, exist_ok=True)
        del words[at:at + 2]
    suite = (build / "suite.txt").read_text()
    unfit = re.search(r"^(sanitize|emulator) \S", suite, re.M)
    if unfit or not find():
        print("skipped: " + ("a build whose programs need flags of their own" if unfit
                             else "there is no chromium"))
        print("0 passed, 0 failed, 1 skipped")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="aglet-pages-"))
    passed = failed = 0
    try:
        compile_program(build, suite, folder / "program")
        program = folder / "program"
        with Program(build, program) as few, Program(build, program, str(MANY)) as many, \
                User() as user:
            for test in TESTS:
                if words and not any(word in test.__name__ for word in words):
                    continue
                started = time.monotonic()
                try:
                    at = many if test is a_hundred_thousand_goroutines else few
                    run(test, user, at, pictures)
                    passed += 1
                    print(f"ok {test.__name__} ({time.monotonic() - started:.1f} s)")
                except (AssertionError, OSError, ValueError, KeyError) as why:
                    failed += 1
                    print(f"FAILED {test.__name__}: {why}".replace("\n", "\n    "))
                sys.stdout.flush()
    finally:
        shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
