# SPDX-License-Identifier: MIT
"""Walks inside gdb, for tests/gdb/run.py: whether the frames are right, and end where they begin.
Each prints one line that begins with `walk:`."""
import gdb

BOTTOM = "ag__switch_bottom"
ADA = "ag."  # what gdb makes of ag__ in assembly that clang has compiled
CLEAN_ENDS = (gdb.FRAME_UNWIND_OUTERMOST, gdb.FRAME_UNWIND_NO_REASON)


def names_of(frame):
    """([function], whether the last one is an end) from this frame outwards."""
    names = []
    while True:
        names.append((frame.name() or hex(frame.pc())).replace(ADA, "ag__"))
        older = frame.older() if len(names) < 200 else None
        if older is None:
            return names, frame.unwind_stop_reason() in CLEAN_ENDS
        frame = older


def walk_all():
    """Every goroutine's frames end at the bottom of its stack."""
    good = 0
    for g in AgletRuntime().all():
        if g.is_foreign:
            continue
        with aglet_context_of(g):
            first = aglet_unwinder.first_frame() if aglet_unwinder.saved else gdb.newest_frame()
            names, ends = names_of(first)
        if not ends or names[-1] != BOTTOM:
            print(f"walk: {g.title()} ends wrongly: {names}")
            return
        good += 1
    print(f"walk: {good} goroutines end at the bottom")


def walk_steps(limit):
    """Single steps, until `other` has run and switched back to `walker`: at every instruction the
    frames lead to the bottom of a goroutine, or to where the thread began."""
    ends, seen = {}, set()
    for _ in range(limit):
        gdb.execute("stepi", to_string=True)
        frame = gdb.newest_frame()
        names, is_end = names_of(frame)
        if not is_end or names[-1] not in (BOTTOM, "_start", "__libc_start_main", "clone3",
                                           "__clone3", "clone"):
            print(f"walk: wrong at {frame.pc():#x} in {names}")
            return
        ends[names[-1]] = ends.get(names[-1], 0) + 1
        seen.update(names)
        if "clock_gettime" in names[0]:
            # Read anew while the kernel moves it on: at one step at a time that has no end.
            gdb.execute("with scheduler-locking on -- finish", to_string=True)
        if "other" in seen and "walker" in names:
            break
    print(f"walk: {ends.get(BOTTOM, 0)} steps on goroutines; seen {' '.join(sorted(seen))}")
