# SPDX-License-Identifier: MIT
# The commands. Their doc strings are what `help` prints.


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
goroutine                which one that is
N is a number or an expression of the program's, such as a variable that holds one."""

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
        g = runtime.numbered(int(gdb.parse_and_eval(who)))
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
        aglet_go_to(g)
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


class AgletWaiters(AgletCommand):
    """Tell who waits for an object, and who has it.
waiters OBJECT
A mutex, wait group, channel, condition, semaphore, scope, job and so on: the object itself, or a
pointer to it."""

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


class AgletDeadlock(AgletCommand):
    """Find goroutines that wait for each other in a circle.
Seen are mutexes and write locks by their owners, scopes and jobs by what belongs to them, and read
locks in a library with its debug checks on (AGLET_CHECK=1). Of channels, wait groups, conditions
and semaphores nobody knows who will send or give back: `goroutines` and `waiters` show who
waits."""

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
            more = ", ..." if len(queue) > 8 else ""
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
