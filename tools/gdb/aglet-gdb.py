# SPDX-License-Identifier: MIT
"""gdb's view of goroutines: commands, an unwinder and pretty printers, on a live process or a core.

gdb runs this text by itself: it lies in the section .debug_gdb_scripts of the library, so in every
program that is linked with it (docs/guide/debuggers-and-sanitizers.md tells what gdb wants to be
told first). `help aglet` lists the commands.

Nothing of the program is ever called or written. A goroutine that is not running is shown by an
unwinder: asked how to go on from the thread's innermost frame, it answers with the registers that
the goroutine has saved, so that gdb sees the goroutine's frames behind that one. That works on core
files as well, and what gdb was told can't hurt a process that goes on.

All that this file knows of the library's data comes from its debug information: where members lie,
the values of enumerators, and the texts of states and reasons, which the program carries. gdb runs
all scripts in one name space, so that each name here begins with "aglet".
"""
import contextlib
import itertools
import re
import struct as aglet_struct
import time as aglet_time

import gdb
import gdb.printing
import gdb.unwinder

AGLET_NO_DEBUG = ("libaglet has no debug information here: build it with -g (all presets do), or "
                  "give gdb its separate debug file")
AGLET_NOT_HERE = "there is no aglet in this program, or it has not been started yet"


def aglet_symbol_beside(function, name):
    """The symbol `name` as the source file of the library's `function` sees it."""
    anchor = gdb.lookup_global_symbol(function)
    if anchor is None or anchor.symtab is None:
        raise gdb.GdbError(AGLET_NO_DEBUG if aglet_is_linked() else AGLET_NOT_HERE)
    found = gdb.lookup_symbol(name, anchor.symtab.static_block())[0]
    if found is None:
        raise gdb.GdbError(f"the debug information of libaglet does not tell of {name}")
    return found


def aglet_is_linked():
    try:
        gdb.parse_and_eval("(long)&ag_run_with")
        return True
    except gdb.error:
        return False


def aglet_variable(function, name):
    return aglet_symbol_beside(function, name).value()


def aglet_constant(function, name):
    return int(aglet_symbol_beside(function, name).value())


def aglet_type_beside(function, name):
    """The type `name`, which may be private to the source file of `function`."""
    anchor = gdb.lookup_global_symbol(function)
    if anchor is None or anchor.symtab is None:
        raise gdb.GdbError(AGLET_NO_DEBUG if aglet_is_linked() else AGLET_NOT_HERE)
    return gdb.lookup_type(name, anchor.symtab.static_block())


def aglet_pointer(value):
    """The number in a pointer, also where gdb thinks of it as something else."""
    return int(value.cast(gdb.lookup_type("unsigned long")))


class AgletLayout:
    """Where the members of a struct lie, those of nameless members included."""

    cache = {}

    def __init__(self, type_):
        self.size, self.members = type_.sizeof, {}
        self._add(type_.strip_typedefs().unqualified(), 0)

    @classmethod
    def of(cls, function, name):
        key = (function, name)
        if key not in cls.cache:
            cls.cache[key] = cls(aglet_type_beside(function, name))
        return cls.cache[key]

    def _add(self, type_, base):
        for field in type_.fields():
            at = base + field.bitpos // 8
            inner = field.type.strip_typedefs()
            if not field.name:
                self._add(inner, at)
                continue
            plain = inner.unqualified()
            signed = plain.code == gdb.TYPE_CODE_INT and "unsigned" not in str(plain)
            letter = {1: "b", 2: "h", 4: "i", 8: "q"}.get(inner.sizeof)
            if letter and plain.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_ARRAY):
                self.members[field.name] = (at, "<" + (letter if signed else letter.upper()))
            else:
                self.members[field.name] = (at, None)

    def offset(self, member):
        return self.members[member][0]

    def __contains__(self, member):
        return member in self.members


class AgletRecord:
    """A struct of the program, read at once; its members are numbers."""

    def __init__(self, layout, address, data=None):
        self.layout, self.address = layout, address
        self.data = aglet_read(address, layout.size) if data is None else data

    def __getattr__(self, name):
        try:
            at, how = self.layout.members[name]
        except KeyError:
            raise AttributeError(name) from None
        return aglet_struct.unpack_from(how, self.data, at)[0]

    def place_of(self, member):
        return self.address + self.layout.offset(member)


def aglet_read(address, size):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except gdb.MemoryError:
        raise gdb.GdbError(f"no memory of the program at {address:#x}") from None


def aglet_text_at(address, limit=256):
    """The C string there; None if there is none."""
    if not address:
        return None
    try:
        value = gdb.Value(address).cast(gdb.lookup_type("char").pointer())
        return value.string(errors="replace", length=-1)[:limit]
    except gdb.error:
        return None


# ---- The runtime's tables. ----------------------------------------------------------------------


class AgletG:
    """A goroutine as it is now, or a thread that the runtime did not start."""

    def __init__(self, runtime, record):
        self.runtime, self.record = runtime, record
        self.address, self.number = record.address, record.id
        self.flags = record.flags
        self.state = runtime.states.get(record.state, "?")
        self.is_waiting = record.state == runtime.waiting
        self.is_running = record.state == runtime.running
        self.object = record.wait_object if self.is_waiting else 0
        self.m = None  # who runs it

    @property
    def is_foreign(self):
        return bool(self.flags & self.runtime.foreign_flag)

    @property
    def reason(self):
        return self.runtime.reasons.get(self.record.reason, "?") if self.is_waiting else ""

    @property
    def name(self):
        return aglet_text_at(self.record.name) if self.record.name else None

    @property
    def since_s(self):
        return max(self.runtime.now() - self.record.wait_since, 0) / 1e9

    def title(self):
        if self.is_foreign:
            return f"thread {self.m.tid if self.m else '?'}"
        name = self.name
        return f"goroutine {self.number}" + (f' "{name}"' if name else "")

    def doing(self):
        """What a dump writes between brackets."""
        if self.is_waiting:
            at_least = "" if self.runtime.is_live() else "at least "
            return f"{self.reason}, {at_least}{self.since_s:.3f} s"
        if self.is_running and self.m and not self.is_foreign:
            return f"{self.state}, thread {self.m.tid}"
        return self.state

    def born(self):
        """Where it was created, and what it was given."""
        if not self.record.site:
            return None
        site = AgletRecord(AgletLayout.of("ag__g_each", "struct ag__site"), self.record.site)
        place = f"{aglet_text_at(site.file)}:{site.line}"
        return aglet_text_at(site.call), place

    def saved_registers(self):
        """[(register, value)] of one that does not run, sp and pc among them; None: no stack."""
        if not self.record.sp:
            return None
        return self.runtime.saved_registers(self.record.sp)


class AgletRuntime:
    """The tables as they are now; made anew by each command."""

    def __init__(self):
        self.states = self._texts("ag__state_name")
        self.reasons = self._texts("ag__reason_name")
        self.waiting = aglet_constant("ag__g_each", "AG__G_WAITING")
        self.running = aglet_constant("ag__g_each", "AG__G_RUNNING")
        self.free = aglet_constant("ag__g_each", "AG__G_FREE")
        self.foreign_flag = aglet_constant("ag__g_each", "AG__GF_FOREIGN")
        self.g_layout = AgletLayout.of("ag__g_each", "struct ag__g")
        self.m_layout = AgletLayout.of("ag__g_each", "struct ag__m")
        self.sched = AgletRecord(AgletLayout.of("ag__g_each", "struct ag__sched"),
                                 aglet_pointer(aglet_variable("ag__g_each", "ag__sched").address))
        self._gs, self._last_known = None, 0

    @staticmethod
    def _texts(function):
        """The texts of a .def table, from the function that the program has for them."""
        names = gdb.parse_and_eval(f"'{function}'::names")
        first, last = names.type.range()
        return {i: names[i].string() for i in range(first, last + 1)}

    def reason(self, name):
        return aglet_constant("ag__g_each", "AG__WAIT_" + name)

    @staticmethod
    def is_live():
        """A process on this machine, not a core file, nor elsewhere."""
        connection = getattr(gdb.selected_inferior(), "connection", None)
        return getattr(connection, "type", "") == "native"

    def now(self):
        """The program's clock; of what is not alive here, the last time that it knew."""
        if self.is_live():
            return aglet_time.monotonic_ns()
        if not self._last_known:
            self._last_known = max([self.sched.coarse_now] + [g.record.wait_since
                                                              for g in self.all() if g.is_waiting])
        return self._last_known

    def threads(self):
        """The records of the threads that run goroutines, then of those that came from outside."""
        for head in (self.sched.all_m, aglet_pointer(aglet_variable("ag__foreign_prepare",
                                                                    "foreign"))):
            while head:
                m = AgletRecord(self.m_layout, head)
                yield m
                head = m.all_link

    def procs(self):
        layout = AgletLayout.of("ag__g_each", "struct ag__p")
        made = self.sched.p_made
        if not made:
            return
        for at in aglet_struct.unpack(f"<{made}Q", aglet_read(self.sched.p_all, 8 * made)):
            yield AgletRecord(layout, at)

    def all(self):
        """Every goroutine, by number, then the threads from outside."""
        if self._gs is None:
            self._gs = self._find_all()
        return self._gs

    def _find_all(self):
        found, size = {}, self.g_layout.size
        layout = AgletLayout.of("ag__g_each", "struct slab")
        at = aglet_pointer(aglet_variable("ag__g_each", "slabs"))
        while at:
            slab = AgletRecord(layout, at)
            records = slab.place_of("records")
            data = memoryview(aglet_read(records, slab.used * size))
            for i in range(slab.used):
                record = AgletRecord(self.g_layout, records + i * size,
                                     data[i * size:(i + 1) * size])
                if record.state != self.free and record.id > 0:
                    found[record.address] = AgletG(self, record)
            at = slab.next
        strangers = []
        for m in self.threads():
            if m.g in found:
                found[m.g].m = m
            elif m.foreign:
                g = AgletG(self, AgletRecord(self.g_layout, m.place_of("own_g")))
                g.m = m
                strangers.append(g)
        return sorted(found.values(), key=lambda g: g.number) + strangers

    def at(self, address):
        return next((g for g in self.all() if g.address == address), None)

    def numbered(self, number):
        for g in self.all():
            if not g.is_foreign and g.number == number:
                return g
        raise gdb.GdbError(f"there is no goroutine {number}")

    @staticmethod
    def saved_registers(sp):
        """What the switch left at the saved stack pointer: src/arch/*/cpu.h draws it."""
        name = gdb.selected_frame().architecture().name()
        if name.startswith("i386:x86-64"):
            _, rbp, pc = aglet_struct.unpack("<3Q", aglet_read(sp, 24))
            return [("rsp", sp + 24), ("rip", pc), ("rbp", rbp)]
        if name.startswith("aarch64"):
            words = aglet_struct.unpack("<12Q", aglet_read(sp, 96))
            return [("sp", sp + 176), ("pc", words[11]),
                    *((f"x{19 + i}", word) for i, word in enumerate(words))]
        raise gdb.GdbError(f"aglet does not run on {name}")


# ---- A goroutine's frames. ----------------------------------------------------------------------


class AgletFrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class AgletUnwinder(gdb.unwinder.Unwinder):
    """Behind the innermost frame of this thread comes the goroutine that is being looked at."""

    def __init__(self):
        super().__init__("aglet goroutine")
        self.saved, self.here, self.number = None, None, 0

    def look_at(self, g):
        """From the newest frame of the selected thread on; returns the goroutine's first frame."""
        self.look_away()
        saved = g.saved_registers()
        if saved is None:
            raise gdb.GdbError(f"{g.title()} has no stack: it has not run yet"
                               if not g.is_running else f"{g.title()} runs, on no thread known here")
        newest = gdb.newest_frame()
        self.here = tuple(aglet_pointer(newest.read_register(r)) for r, _ in saved[:2])
        self.saved, self.number = saved, g.number
        gdb.invalidate_cached_frames()
        return self.first_frame()

    def look_away(self):
        if self.saved:
            self.saved = None
            gdb.invalidate_cached_frames()

    def first_frame(self):
        frame = gdb.newest_frame()
        sp, value = self.saved[0]
        while frame and aglet_pointer(frame.read_register(sp)) != value:
            frame = frame.older()
        if frame is None:
            raise gdb.GdbError("gdb does not find the goroutine's frames")
        return frame

    def __call__(self, pending):
        if not self.saved:
            return None
        at = tuple(aglet_pointer(pending.read_register(r)) for r, _ in self.saved[:2])
        if at != self.here:
            return None
        place = gdb.lookup_type("void").pointer()
        # Further in than any frame of the goroutine, as gdb expects of the next frame.
        info = pending.create_unwind_info(AgletFrameId(gdb.Value(self.saved[0][1]).cast(place),
                                                       gdb.Value(at[1]).cast(place)))
        for register, value in self.saved:
            kind = pending.read_register(register).type
            info.add_saved_register(register, gdb.Value(value).cast(kind))
        return info


class AgletFrameFilter:
    """Hides the thread's own frames while a goroutine is being looked at."""

    def __init__(self):
        self.name, self.priority, self.enabled = "aglet goroutine", 100, True
        gdb.frame_filters[self.name] = self

    def filter(self, frames):
        if not aglet_unwinder.saved:
            return frames
        first = aglet_unwinder.first_frame()
        return itertools.dropwhile(lambda f: f.inferior_frame() != first, frames)


def aglet_need_thread():
    thread = gdb.selected_thread()
    if thread is None:
        raise gdb.GdbError("there is neither a process nor a core file")
    if thread.is_running():
        raise gdb.GdbError("the program runs: stop it first")
    return thread


def aglet_thread_of(tid):
    return next((t for t in gdb.selected_inferior().threads() if tid in t.ptid[1:]), None)


@contextlib.contextmanager
def aglet_context_of(g):
    """Within it the user's innermost frame of the goroutine is selected; then all is as before."""
    thread, level = aglet_need_thread(), gdb.selected_frame().level()
    before = (aglet_unwinder.saved, aglet_unwinder.here, aglet_unwinder.number)
    try:
        aglet_unwinder.look_away()
        its_thread = aglet_thread_of(g.m.tid) if g.m else None
        if its_thread:
            its_thread.switch()
            frame = gdb.newest_frame()
        else:
            frame = aglet_unwinder.look_at(g)
        aglet_user_frame(frame).select()
        yield
    finally:
        aglet_unwinder.saved, aglet_unwinder.here, aglet_unwinder.number = before
        thread.switch()
        gdb.invalidate_cached_frames()
        frame = gdb.newest_frame()
        while frame.level() < level and frame.older():
            frame = frame.older()
        frame.select()


def aglet_is_library(frame):
    """Whether a frame is the runtime's, not the user's."""
    name = frame.name()
    if name and re.match(r"ag_?_", name):
        return True
    symtab = frame.find_sal().symtab
    if not symtab:
        return False
    # Two, since a cache of compilers may have written one path and not the other.
    roots = tuple(gdb.lookup_global_symbol(known).symtab.filename.rsplit("sched/", 1)[0]
                  for known in ("ag__g_each", "ag_run_with"))
    return symtab.filename.startswith(roots) or "/include/aglet/" in symtab.filename


def aglet_user_frame(frame):
    """The innermost frame of the user's, from this one on. If there is none with debug information:
    one without, else that of the library's public function, which the user's has jumped to."""
    bare, public, at = None, None, frame
    while at:
        if not aglet_is_library(at):
            if at.find_sal().symtab:
                return at
            bare = bare or at
        elif re.match(r"ag_[^_]", at.name() or ""):
            public = public or at
        at = at.older()
    return bare or public or frame


def aglet_where():
    """What the selected frame is."""
    frame = gdb.selected_frame()
    sal = frame.find_sal()
    place = f" at {sal.symtab.filename.rsplit('/', 1)[-1]}:{sal.line}" if sal.symtab else ""
    return (frame.name() or f"{frame.pc():#x}") + place


# ---- What a user asks for. ----------------------------------------------------------------------


def aglet_options(text, known):
    """({option: value}, the rest) of "-option value … rest"."""
    given, rest = {}, text.strip()
    while rest.startswith("-"):
        word, _, rest = rest.partition(" ")
        name = word.lstrip("-")
        if name not in known:
            raise gdb.GdbError(f"no option {word}; there are: " + " ".join("-" + k for k in known))
        value, rest = True, rest.strip()
        if known[name]:
            words = gdb.string_to_argv(rest)
            if not words:
                raise gdb.GdbError(f"{word} wants {known[name]}")
            value = words[0]
            rest = re.sub(r"^(\"[^\"]*\"|'[^']*'|\S+)\s*", "", rest, count=1)
        given[name] = value
    return given, rest


def aglet_number(text, what):
    try:
        return float(text)
    except ValueError:
        raise gdb.GdbError(f"{what} is a number, not {text}") from None


class AgletCommand(gdb.Command):
    """Debugging goroutines of aglet, Go's concurrency for C."""

    def __init__(self, name="aglet", kind=gdb.COMMAND_USER, prefix=True):
        super().__init__(name, kind, prefix=prefix)

    def invoke(self, text, from_tty):
        gdb.execute("help aglet")


class AgletCore(AgletCommand):
    """Write a core file of a process that goes on, with the stacks of its goroutines.
aglet core [FILE]
The commands generate-core-file and gcore leave the stacks out on Linux 6.13 and newer, because the
guard pages between them can't be read. (The core files of the kernel itself are complete.)"""

    CHUNK = 4096

    def __init__(self):
        super().__init__("aglet core", gdb.COMMAND_DATA, prefix=False)

    def invoke(self, text, from_tty):
        aglet_need_thread()
        words = gdb.string_to_argv(text)
        name = words[0] if words else f"core.{gdb.selected_inferior().pid}"
        gdb.execute(f"generate-core-file {name}", False, True)
        stacks = sum(self.put(name, g) for g in AgletRuntime().all())
        gdb.write(f"saved {name}, with {stacks} stacks of goroutines\n")

    def put(self, name, g):
        """Writes a stack into the file, from its warm end down to its guard page."""
        at, low = g.record.stack_hi, g.record.sp or g.record.stack_lo
        if not at:
            return False
        with open(name, "r+b") as file:
            segments = list(self.segments(file))
            while at > low:
                at -= self.CHUNK
                try:
                    data = gdb.selected_inferior().read_memory(at, self.CHUNK)
                except gdb.MemoryError:
                    break
                for address, size, offset in segments:
                    if address <= at and at + self.CHUNK <= address + size:
                        file.seek(offset + at - address)
                        file.write(data)
        return True

    @staticmethod
    def segments(file):
        """(address, bytes, offset in the file) of the memory in a core file."""
        header = file.read(64)
        offset, = aglet_struct.unpack_from("<Q", header, 32)
        size, count = aglet_struct.unpack_from("<2H", header, 54)
        for i in range(count):
            file.seek(offset + i * size)
            kind, _, at, address, _, filed = aglet_struct.unpack("<2I4Q", file.read(40))
            if kind == 1:
                yield address, filed, at


class AgletGoroutines(AgletCommand):
    """List goroutines: number, name, what each does, since when, and where in the user's code.
goroutines [OPTIONS]
  -state TEXT      only those whose state or reason contains TEXT: running, chan, Mutex
  -name TEXT       only those whose name contains TEXT
  -at TEXT         only those whose place, or place of creation, contains TEXT
  -object EXPR     only those that wait for this object
  -longer SECONDS  only those that have waited so long
  -limit N         not more than N
  -quick           the place of creation only: no stack is unwound"""

    OPTIONS = {"state": "a text", "name": "a text", "at": "a text", "object": "an expression",
               "longer": "seconds", "limit": "a number", "quick": None}

    def __init__(self):
        super().__init__("goroutines", gdb.COMMAND_STACK, prefix=False)

    def line(self, g, quick):
        place = ""
        if not quick:
            try:
                with aglet_context_of(g):
                    place = " in " + aglet_where()
            except gdb.error:
                place = ""
        born = g.born()
        place += f", created at {born[1]}" if born and g.number != 1 else ""
        waits_for = f" for {g.object:#x}" if g.object else ""
        return f"{g.title()} [{g.doing()}]{waits_for}{place}"

    def invoke(self, text, from_tty):
        given, rest = aglet_options(text, self.OPTIONS)
        if rest:
            raise gdb.GdbError(f"what is {rest}? See: help goroutines")
        aglet_need_thread()
        runtime, shown = AgletRuntime(), 0
        limit = aglet_number(given["limit"], "-limit") if "limit" in given else None
        longer = aglet_number(given.get("longer", "0"), "-longer")
        wanted = aglet_object(given["object"]) if "object" in given else None
        for g in runtime.all():
            if g.is_foreign and not g.is_waiting:
                continue
            if given.get("state", "") not in f"{g.state} {g.reason}":
                continue
            if given.get("name", "") not in (g.name or ""):
                continue
            if longer and not (g.is_waiting and g.since_s >= longer):
                continue
            if wanted and not wanted.is_awaited_by(g):
                continue
            line = self.line(g, "quick" in given)
            if given.get("at", "") not in line:
                continue
            if limit is not None and shown >= limit:
                gdb.write("and more\n")
                return
            shown += 1
            gdb.write(line + "\n")
        if not shown:
            gdb.write("no such goroutine\n" if given else "no goroutines\n")


class AgletGoroutine(AgletCommand):
    """Look at a goroutine, whether it runs or not.
goroutine N COMMAND      run any command of gdb in its context: bt, info locals, frame 3, p x
goroutine all COMMAND    for each goroutine
goroutine N              stay with it: bt, up, frame, info locals show its frames, until the
                         program goes on, or `goroutine off`
goroutine                which one that is"""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK, prefix=False)

    def invoke(self, text, from_tty):
        who, _, command = text.strip().partition(" ")
        if who == "off":
            aglet_unwinder.look_away()
            return
        thread = aglet_need_thread()
        if not who:
            self.tell(thread)
            return
        runtime = AgletRuntime()
        if who == "all":
            if not command:
                raise gdb.GdbError("goroutine all COMMAND")
            for g in runtime.all():
                gdb.write(f"{g.title()} [{g.doing()}]:\n")
                try:
                    self.within(g, command)
                except gdb.error as error:
                    gdb.write(f"{error}\n")
                gdb.write("\n")
            return
        if not who.isdigit():
            raise gdb.GdbError("goroutine N, goroutine all COMMAND, or goroutine off")
        g = runtime.numbered(int(who))
        if command:
            self.within(g, command)
        else:
            self.stay(g)

    @staticmethod
    def within(g, command):
        with aglet_context_of(g):
            gdb.execute(command, False)

    @staticmethod
    def stay(g):
        aglet_unwinder.look_away()
        thread = aglet_thread_of(g.m.tid) if g.m else None
        if thread:
            thread.switch()
            frame = gdb.newest_frame()
        else:
            frame = aglet_unwinder.look_at(g)
        aglet_user_frame(frame).select()
        gdb.write(f"{g.title()} [{g.doing()}]\n")
        gdb.execute("frame", False)

    @staticmethod
    def tell(thread):
        if aglet_unwinder.saved:
            gdb.write(f"goroutine {aglet_unwinder.number} is being looked at\n")
            return
        for g in AgletRuntime().all():
            if g.m and g.m.tid in thread.ptid[1:] and not g.is_foreign:
                gdb.write(f"{g.title()} [{g.doing()}]\n")
                return
        gdb.write("this thread runs no goroutine\n")


class AgletObject:
    """Something that goroutines wait for, and its type if that is known."""

    def __init__(self, address, type_):
        self.address, self.type = address, type_
        self.end = address + max(type_.sizeof if type_ else 1, 1)

    def is_awaited_by(self, g):
        if g.is_waiting and g.object and self.address <= g.object < self.end:
            return True
        return any(w.chan == self.address for w in aglet_select_of(g))


def aglet_object(text):
    """What an expression of the user's means: a pointer to the object, or the object itself."""
    value = gdb.parse_and_eval(text)
    plain = value.type.strip_typedefs()
    if plain.code == gdb.TYPE_CODE_PTR:
        target = plain.target().strip_typedefs()
        known = target.code == gdb.TYPE_CODE_STRUCT and target.fields()
        return AgletObject(aglet_pointer(value), target if known else None)
    if plain.code == gdb.TYPE_CODE_STRUCT and value.address is not None:
        return AgletObject(aglet_pointer(value.address), plain)
    if plain.code == gdb.TYPE_CODE_INT:
        return AgletObject(int(value), None)
    raise gdb.GdbError(f"{text} is no object that one could wait for")


def aglet_waiters_in(queue_at, limit=100000):
    """The ag__waiter records of a channel's queue."""
    layout = AgletLayout.of("ag__chan_send", "struct ag__waiter")
    at = aglet_struct.unpack("<Q", aglet_read(queue_at, 8))[0]
    while at and limit > 0:
        waiter = AgletRecord(layout, at)
        yield waiter
        at, limit = waiter.next, limit - 1


def aglet_select_of(g):
    """The ag__waiter records of a goroutine that waits in a select: its work lies on its stack."""
    if not g.is_waiting or g.record.reason != g.runtime.reason("SELECT") or not g.record.unlink_arg:
        return
    work = AgletRecord(AgletLayout.of("ag_select_n", "struct work"), g.record.unlink_arg)
    layout = AgletLayout.of("ag__chan_send", "struct ag__waiter")
    order = aglet_struct.unpack(f"<{work.channels}H", aglet_read(work.order, 2 * work.channels))
    for index in order:
        waiter = AgletRecord(layout, work.waiters + index * layout.size)
        if waiter.chan:
            yield waiter


class AgletChannel(AgletCommand):
    """Show a channel: its capacity, what is buffered, who waits.
channel [-as TYPE] C
C is an ag_chan(T), or any pointer to a channel; then -as tells the type of its elements."""

    def __init__(self):
        super().__init__("channel", gdb.COMMAND_DATA, prefix=False)

    def invoke(self, text, from_tty):
        given, text = aglet_options(text, {"as": "a type"})
        if not text:
            raise gdb.GdbError("channel [-as TYPE] C")
        value = gdb.parse_and_eval(text)
        element = aglet_element_of(value.type)
        if "as" in given:
            element = gdb.lookup_type(given["as"]) if " " not in given["as"] else \
                gdb.parse_and_eval(f"({given['as']} *)0").type.target()
        address = aglet_pointer(value)
        if not address:
            gdb.write("a nil channel: who sends or receives waits for ever\n")
            return
        chan = aglet_chan_at(address)
        if element is not None and element.sizeof != chan.elem_size:
            element = None
        kind = f"of {element}" if element is not None else f"of {chan.elem_size} bytes"
        closed = ", closed" if chan.closed else ""
        gdb.write(f"channel {address:#x} {kind}, {chan.count} of {chan.cap} buffered{closed}\n")
        for i in range(chan.count):
            at = (chan.recv_at + i) % chan.cap
            place = chan.place_of("buffer") + at * chan.elem_size
            gdb.write(f"  [{i}] {aglet_show(place, element, chan.elem_size)}\n")
        runtime = AgletRuntime()
        for queue, what in (("receivers", "receive"), ("senders", "send")):
            for waiter in aglet_waiters_in(chan.place_of(queue)):
                g = runtime.at(waiter.g)
                value = ""
                if queue == "senders" and waiter.elem:
                    value = " " + aglet_show(waiter.elem, element, chan.elem_size)
                who = f"{g.title()} [{g.doing()}]" if g else f"{waiter.g:#x}"
                gdb.write(f"waits to {what}{value}: {who}\n")


def aglet_element_of(type_):
    """T of an ag_chan(T), which is T **const *; None: another type."""
    type_ = type_.strip_typedefs()
    if type_.code != gdb.TYPE_CODE_PTR:
        return None
    middle = type_.target()
    if str(middle).endswith("* const") and middle.strip_typedefs().code == gdb.TYPE_CODE_PTR:
        inner = middle.strip_typedefs().target().strip_typedefs()
        if inner.code == gdb.TYPE_CODE_PTR:
            return inner.target()
    return None


def aglet_chan_at(address):
    """The record of a channel, if one is there."""
    chan = AgletRecord(AgletLayout.of("ag__chan_send", "struct ag__chan"), address)
    first = aglet_struct.unpack_from("<Q", chan.data)[0]
    if first != aglet_pointer(aglet_variable("ag__chan_send", "chan_free").address):
        raise gdb.GdbError(f"there is no channel at {address:#x}")
    return chan


def aglet_show(address, type_, size):
    """A value of the program: as its type says, else its bytes."""
    if type_ is not None:
        value = gdb.Value(address).cast(type_.pointer()).dereference()
        return value.format_string(max_elements=32)
    return " ".join(f"{byte:02x}" for byte in aglet_read(address, min(size, 64)))


class AgletWaiters(AgletCommand):
    """Tell who waits for an object, and who has it.
waiters OBJECT
A mutex, wait group, channel, condition, semaphore, scope, job …: the object itself or a pointer."""

    def __init__(self):
        super().__init__("waiters", gdb.COMMAND_DATA, prefix=False)

    def invoke(self, text, from_tty):
        if not text.strip():
            raise gdb.GdbError("waiters OBJECT")
        aglet_need_thread()
        what, runtime, found = aglet_object(text), AgletRuntime(), 0
        holders = {}
        for g in runtime.all():
            if not what.is_awaited_by(g):
                continue
            found += 1
            gdb.write(f"{g.title()} [{g.doing()}]\n")
            holders.update({(h.title(), why): None for h, why in aglet_waits_for(runtime, g)})
        for title, why in holders:
            gdb.write(f"{title} {why}\n")
        if not found:
            gdb.write("nobody waits for it\n")


def aglet_nest_children(runtime, nest):
    """The goroutines that belong to a scope or a job."""
    child = aglet_constant("ag__g_each", "AG__GF_CHILD")
    return [g for g in runtime.all() if g.flags & child and g.record.nest == nest]


def aglet_waits_for(runtime, g):
    """[(goroutine, why)]: all of these must go on before g can. Of what nobody owns - channels,
    wait groups, conditions - nothing is known."""
    if not g.is_waiting or not g.object:
        return []
    reason, found = g.record.reason, []
    mutex = AgletLayout.of("ag_mutex_lock", "struct mutex")
    if reason == runtime.reason("MUTEX"):
        found = [(AgletRecord(mutex, g.object).owner, "has locked the mutex")]
    elif reason in (runtime.reason("RWMUTEX_READ"), runtime.reason("RWMUTEX")):
        layout = AgletLayout.of("ag_rwmutex_lock", "struct rwmutex")
        owner = AgletRecord(mutex, g.object + layout.offset("writers")).owner
        if owner != g.address:
            found = [(owner, "has locked it for writing, or is about to")]
        found += [(other.address, "has locked it for reading") for other in runtime.all()
                  if other is not g and (g.object, False) in aglet_held(other)]
    elif reason == runtime.reason("SCOPE"):
        found = [(c.address, "belongs to the scope")
                 for c in aglet_nest_children(runtime, g.object)]
    elif reason == runtime.reason("JOB"):
        at = g.object + AgletLayout.of("ag_job_start", "struct ag_job").offset("nest")
        found = [(c.address, "runs the job") for c in aglet_nest_children(runtime, at)]
    return [(runtime.at(address), why) for address, why in found if runtime.at(address)]


def aglet_held(g):
    """{(address, for writing)} of the locks it holds; known under AGLET_CHECK only."""
    if not g.record.held:
        return set()
    held = AgletRecord(AgletLayout.of("ag__check_locked", "struct held"), g.record.held)
    layout = AgletLayout.of("ag__check_locked", "struct ag__hold")
    holds = [AgletRecord(layout, held.locks + i * layout.size) for i in range(held.count)]
    return {(hold.address_of_lock, bool(hold.writes)) for hold in map(AgletHold, holds)}


class AgletHold:
    """ag__hold, whose member `address` has the name of one of the record's own."""

    def __init__(self, record):
        at, how = record.layout.members["address"]
        self.address_of_lock = aglet_struct.unpack_from(how, record.data, at)[0]
        self.writes = record.writes


def aglet_cycles(edges):
    """The strongly connected parts of a graph {node: [(node, …)]} that are cycles (Tarjan)."""
    index, low, stack, found, counter = {}, {}, [], [], itertools.count()
    for root in edges:
        if root in index:
            continue
        work = [(root, iter(edges[root]))]
        index[root] = low[root] = next(counter)
        stack.append(root)
        while work:
            node, rest = work[-1]
            following = next(rest, None)
            if following is not None:
                to = following[0]
                if to not in index:
                    index[to] = low[to] = next(counter)
                    stack.append(to)
                    work.append((to, iter(edges.get(to, []))))
                elif to in stack:
                    low[node] = min(low[node], index[to])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == index[node]:
                part = stack[stack.index(node):]
                del stack[stack.index(node):]
                if len(part) > 1 or any(to == node for to, _ in edges.get(node, [])):
                    found.append(part)
    return found


class AgletDeadlock(AgletCommand):
    """Find goroutines that wait for each other in a circle.
Seen are mutexes and write locks by their owners, scopes and jobs by what belongs to them, and read
locks in a library with its debug checks on (AGLET_CHECK=1). Of channels, wait groups, conditions
and semaphores nobody knows who will send or give back: `goroutines` and `waiters` show who waits."""

    def __init__(self):
        super().__init__("deadlock", gdb.COMMAND_STACK, prefix=False)

    def invoke(self, text, from_tty):
        aglet_need_thread()
        runtime = AgletRuntime()
        edges = {g: aglet_waits_for(runtime, g) for g in runtime.all()}
        cycles = aglet_cycles(edges)
        stuck = {g for cycle in cycles for g in cycle}
        for cycle in cycles:
            gdb.write(f"deadlock of {len(cycle)}:\n" if len(cycle) > 1 else
                      "deadlock with itself:\n")
            for g in sorted(cycle, key=lambda g: g.number):
                for to, why in edges[g]:
                    if to in cycle:
                        line = aglet_goroutines.line(g, False)
                        gdb.write(f"  {line}\n    {to.title()} {why}\n")
        behind, grows = [], True
        while grows:
            more = [g for g in edges if g not in stuck and any(to in stuck for to, _ in edges[g])]
            behind += more
            stuck.update(more)
            grows = bool(more)
        for g in sorted(behind, key=lambda g: g.number):
            gdb.write(f"waits behind it: {aglet_goroutines.line(g, False)}\n")
        if not cycles:
            waiting = sum(g.is_waiting for g in edges)
            gdb.write(f"no circle: {waiting} goroutines wait, {sum(map(bool, edges.values()))} of "
                      "them for somebody in particular\n")


class AgletProcs(AgletCommand):
    """Show the runtime's processors: who has each, what is queued there, and the global queue."""

    def __init__(self):
        super().__init__("procs", gdb.COMMAND_STACK, prefix=False)

    def invoke(self, text, from_tty):
        aglet_need_thread()
        runtime = AgletRuntime()
        sched, by_m = runtime.sched, {m.address: m for m in runtime.threads()}
        for p in runtime.procs():
            m = by_m.get(p.m)
            g = runtime.at(m.g) if m and m.g else None
            doing = "retired" if p.retired else "idle" if p.idle else "in use"
            who = f", thread {m.tid}" if m else ""
            what = f" runs {g.title()}" if g else ""
            queue = [runtime.at(at) for at in self.queued(p)]
            names = ", ".join(g.title() for g in queue[:8] if g)
            more = ", …" if len(queue) > 8 else ""
            gdb.write(f"processor {p.index}: {doing}{who}{what}; "
                      f"{len(queue)} queued{': ' if names else ''}{names}{more}\n")
        gdb.write(f"global queue: {sched.queue_count}; idle processors: {sched.idle_count}; "
                  f"threads that search: {sched.searching}; in the poller: {sched.polling}\n")

    @staticmethod
    def queued(p):
        """The goroutines on a processor's queue, the next one first."""
        at = p.layout.offset("ring")
        ring = aglet_type_beside("ag__g_each", "struct ag__p")["ring"].type.range()[1] + 1
        found = [p.next] if p.next else []
        count = (p.tail - p.head) & 0xffffffff
        if count > ring:  # caught in the middle of a change
            count = 0
        for i in range(p.head, p.head + count):
            found.append(aglet_struct.unpack_from("<Q", p.data, at + 8 * (i % ring))[0])
        return found


class AgletThreads(AgletCommand):
    """Show the threads that the runtime knows: gdb's number, what each is doing."""

    def __init__(self):
        super().__init__("threads", gdb.COMMAND_STACK, prefix=False)

    def invoke(self, text, from_tty):
        aglet_need_thread()
        runtime = AgletRuntime()
        procs = {p.address: p for p in runtime.procs()}
        for m in runtime.threads():
            thread = aglet_thread_of(m.tid)
            number = f" (gdb's {thread.num})" if thread else ""
            if m.helper_fn:
                doing = "a helper of the runtime"
            elif m.foreign:
                doing = "not started by the runtime"
            else:
                g = runtime.at(m.g) if m.g else None
                doing = f"runs {g.title()}" if g else "looks for work, or sleeps"
                if m.p in procs:
                    doing += f", on processor {procs[m.p].index}"
                doing += ", inside the runtime" if m.inside else ""
            gdb.write(f"thread {m.tid}{number}: {doing}\n")


# ---- Pretty printers. ---------------------------------------------------------------------------


class AgletPrinter:
    """Prints a value as the text that `tell` makes of it; p/r shows the members."""

    def __init__(self, value, tell):
        self.value, self.tell = value, tell

    def to_string(self):
        try:
            return self.tell(self.value)
        except (gdb.error, RuntimeError) as error:
            return f"{{{error}}}"


def aglet_owner(value):
    """ " by goroutine N" of a pointer to a G."""
    address = aglet_pointer(value)
    if not address:
        return ""
    g = AgletRecord(AgletLayout.of("ag__g_each", "struct ag__g"), address)
    return f" by goroutine {g.id}" if g.id else " by a thread"


def aglet_count(head, function, layout, limit=100000):
    """How many are in a list of a waiter's."""
    layout, at, n = AgletLayout.of(function, layout), aglet_pointer(head), 0
    while at and n < limit:
        at, n = AgletRecord(layout, at).next, n + 1
    return n


def aglet_tell_mutex(value):
    state = int(value["ag__state"])
    waiting = aglet_count(value["ag__head"], "ag_mutex_lock", "struct ag__mutex_waiter")
    locked = state & aglet_constant("ag_mutex_lock", "LOCKED")
    text = "locked" + aglet_owner(value["ag__owner"]) if locked else "unlocked"
    return f"{{{text}{f', {waiting} wait' if waiting else ''}}}"


def aglet_tell_rwmutex(value):
    state = int(value["ag__state"])
    readers = state & aglet_constant("ag_rwmutex_lock", "READERS")
    owner = aglet_owner(value["ag__writers"]["ag__owner"])
    if not state & aglet_constant("ag_rwmutex_lock", "WRITER"):
        return f"{{{readers} readers}}" if readers else "{unlocked}"
    if aglet_pointer(value["ag__writer"]):
        return f"{{a writer waits{owner.replace(' by', ',')}, for {int(value['ag__leaving'])} " \
               "readers to leave}"
    return f"{{locked for writing{owner}{f', {readers} readers wait' if readers else ''}}}"


def aglet_tell_wg(value):
    waiting = aglet_count(value["ag__head"], "ag_wg_wait", "struct waiter")
    return f"{{counter {int(value['ag__counter'])}{f', {waiting} wait' if waiting else ''}}}"


def aglet_tell_once(value):
    if int(value["ag__done"]):
        return "{done}"
    return "{not done}" if not int(value["ag__mutex"]["ag__state"]) else "{under way}"


def aglet_tell_cond(value):
    return f"{{{aglet_count(value['ag__head'], 'ag_cond_wait', 'struct waiter')} wait}}"


def aglet_tell_sem(value):
    waiting = aglet_count(value["ag__head"], "ag_sem_acquire", "struct waiter")
    return (f"{{{int(value['ag__taken'])} of {int(value['ag__size'])} taken"
            f"{f', {waiting} wait' if waiting else ''}}}")


def aglet_tell_time(value):
    ns = int(value.cast(gdb.lookup_type("long")))
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if abs(ns) >= size:
            return f"{ns} ({ns / size:.3f} {unit})"
    return f"{ns} (ns)"


def aglet_tell_chan(value):
    address = aglet_pointer(value)
    if not address:
        return "(nil channel)"
    chan = aglet_chan_at(address)
    closed = ", closed" if chan.closed else ""
    return f"(channel {address:#x} of {aglet_element_of(value.type)}, {chan.count} of {chan.cap}" \
           f" buffered{closed})"


AGLET_TELL = {"ag_mutex": aglet_tell_mutex, "ag_rwmutex": aglet_tell_rwmutex,
              "ag_wg": aglet_tell_wg, "ag_once": aglet_tell_once, "ag_cond": aglet_tell_cond,
              "ag_sem": aglet_tell_sem}


class AgletPrinters(gdb.printing.PrettyPrinter):
    def __init__(self):
        super().__init__("aglet")

    def __call__(self, value):
        if value.type.name == "ag_time":
            return AgletPrinter(value, aglet_tell_time)
        plain = value.type.strip_typedefs()
        if plain.code == gdb.TYPE_CODE_STRUCT:
            tell = AGLET_TELL.get(plain.unqualified().tag)
            return AgletPrinter(value, tell) if tell else None
        if plain.code == gdb.TYPE_CODE_PTR and aglet_element_of(plain) is not None:
            with contextlib.suppress(gdb.error, RuntimeError):
                aglet_chan_at(aglet_pointer(value))
                return AgletPrinter(value, aglet_tell_chan)
        return None


# ---- Made known to gdb. -------------------------------------------------------------------------


def aglet_forget(event):
    """The program goes on, or is another one: what was learned of it is no longer so."""
    aglet_unwinder.saved = None
    AgletLayout.cache.clear()


aglet_unwinder = AgletUnwinder()
gdb.unwinder.register_unwinder(None, aglet_unwinder, replace=True)
aglet_frame_filter = AgletFrameFilter()
gdb.printing.register_pretty_printer(None, AgletPrinters(), replace=True)
AgletCommand()
AgletCore()
aglet_goroutines = AgletGoroutines()
for aglet_class in (AgletGoroutine, AgletChannel, AgletWaiters, AgletDeadlock, AgletProcs,
                    AgletThreads):
    aglet_class()
for aglet_event in (gdb.events.cont, gdb.events.exited, gdb.events.new_objfile):
    aglet_event.connect(aglet_forget)
