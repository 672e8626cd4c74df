# SPDX-License-Identifier: MIT
# A goroutine's frames, seen by an unwinder, and what "in its context" means.


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
            why = "runs, on no thread known here" if g.is_running else "has not run yet"
            raise gdb.GdbError(f"{g.title()} {why}: it has no saved frames")
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


def aglet_go_to(g):
    """Selects the user's innermost frame of the goroutine."""
    aglet_unwinder.look_away()
    thread = aglet_thread_of(g.m.tid) if g.m else None
    if thread:
        thread.switch()
        frame = gdb.newest_frame()
    else:
        frame = aglet_unwinder.look_at(g)
    aglet_user_frame(frame).select()


@contextlib.contextmanager
def aglet_context_of(g):
    """Within it the user's innermost frame of the goroutine is selected; then all is as before."""
    thread, level = aglet_need_thread(), gdb.selected_frame().level()
    before = (aglet_unwinder.saved, aglet_unwinder.here, aglet_unwinder.number)
    try:
        aglet_go_to(g)
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
    if name and re.match(r"ag(__|\.)", name):  # gdb may take ag__ of assembly for Ada's
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
