# SPDX-License-Identifier: MIT
# Pretty printers; and all that gdb is told of this script.


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
    """ " by goroutine N" of the number that a mutex keeps; a thread that is none has -1."""
    number = int(value)
    return f" by goroutine {number}" if number > 0 else " by a thread" if number else ""


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
        return f"{{locked by {readers} readers}}" if readers else "{unlocked}"
    if aglet_pointer(value["ag__writer"]):
        return f"{{locked by {int(value['ag__leaving'])} readers, to be locked{owner}}}"
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
