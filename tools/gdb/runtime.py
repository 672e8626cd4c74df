# SPDX-License-Identifier: MIT
# The runtime's tables: goroutines, threads, processors.


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
        self.waiting = aglet_constant("ag__g_each", "AG__G_WAITING")
        self.running = aglet_constant("ag__g_each", "AG__G_RUNNING")
        self.free = aglet_constant("ag__g_each", "AG__G_FREE")
        self.foreign_flag = aglet_constant("ag__g_each", "AG__GF_FOREIGN")
        self.states = self._texts("ag__state_name")
        self.reasons = self._texts("ag__reason_name")
        self.g_layout = AgletLayout.of("ag__g_each", "struct ag__g")
        self.m_layout = AgletLayout.of("ag__g_each", "struct ag__m")
        self.sched = AgletRecord(AgletLayout.of("ag__g_each", "struct ag__sched"),
                                 aglet_pointer(aglet_variable("ag__g_each", "ag__sched").address))
        self._gs, self._by_address, self._by_number, self._last_known = None, {}, {}, 0

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
            self._by_address = {g.address: g for g in self._gs}
            self._by_number = {g.number: g for g in self._gs if not g.is_foreign}
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
        self.all()
        return self._by_address.get(address)

    def numbered_or_none(self, number):
        self.all()
        return self._by_number.get(number)

    def numbered(self, number):
        g = self.numbered_or_none(number)
        if g is None:
            raise gdb.GdbError(f"there is no goroutine {number}")
        return g

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
