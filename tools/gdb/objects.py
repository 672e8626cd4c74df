# SPDX-License-Identifier: MIT
# What goroutines wait for: channels, locks, scopes; and who waits for whom.


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
        owner = runtime.numbered_or_none(AgletRecord(mutex, g.object).owner)
        found = [(owner, "has locked the mutex")]
    elif reason in (runtime.reason("RWMUTEX_READ"), runtime.reason("RWMUTEX")):
        layout = AgletLayout.of("ag_rwmutex_lock", "struct rwmutex")
        writers = g.object + layout.offset("writers")
        owner = runtime.numbered_or_none(AgletRecord(mutex, writers).owner)
        if owner is not g:
            found = [(owner, "has locked it for writing, or is about to")]
        found += [(other, "has locked it for reading") for other in runtime.all()
                  if other is not g and (other.record.read_lock == g.object or
                                         (g.object, False) in aglet_held(other))]
    elif reason == runtime.reason("SCOPE"):
        found = [(c, "belongs to the scope") for c in aglet_nest_children(runtime, g.object)]
    elif reason == runtime.reason("JOB"):
        at = g.object + AgletLayout.of("ag_job_start", "struct ag_job").offset("nest")
        found = [(c, "runs the job") for c in aglet_nest_children(runtime, at)]
    return [(other, why) for other, why in found if other]


def aglet_held(g):
    """{(address, for writing)} of the locks it holds; known under AGLET_CHECK only."""
    if not g.record.held:
        return set()
    held = AgletRecord(AgletLayout.of("ag__check_locked", "struct held"), g.record.held)
    layout = AgletLayout.of("ag__check_locked", "struct ag__hold")
    holds = [AgletRecord(layout, held.locks + i * layout.size) for i in range(held.count)]
    return {(hold.member("address"), bool(hold.writes)) for hold in holds}


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
