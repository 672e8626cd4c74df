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


def aglet_block_of(function):
    """What the source file of the library's `function` sees."""
    anchor = gdb.lookup_global_symbol(function)
    if anchor is None or anchor.symtab is None:
        raise gdb.GdbError(AGLET_NO_DEBUG if aglet_is_linked() else AGLET_NOT_HERE)
    return anchor.symtab.static_block()


def aglet_symbol_beside(function, name):
    """The symbol `name` as the source file of the library's `function` sees it."""
    found = gdb.lookup_symbol(name, aglet_block_of(function))[0]
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
    return gdb.lookup_type(name, aglet_block_of(function))


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
            return self.member(name)
        except KeyError:
            raise AttributeError(name) from None

    def member(self, name):
        """Also where the record has an attribute of that name."""
        at, how = self.layout.members[name]
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
