/* SPDX-License-Identifier: MIT */
/*
 * aglet/trace.h - what ran where and when: the execution trace, the flight recorder, and the
 * program's own regions and tasks in both.
 *
 *     FILE *f = fopen("trace.out", "w");
 *     ag_trace_start(f);
 *     ...                                     // what is to be looked at
 *     ag_trace_stop();                        // then: go tool trace trace.out
 *     fclose(f);
 *
 * A *trace* has every event of every goroutine: created, started, stopped and why, readied by whom,
 * ended; processors and threads; what was handed on. While one runs a switch costs some 150 ns
 * more. The *flight recorder* is always on and costs next to nothing: it notes what is rare -
 * hand-ons, steals, threads that sleep and wake, regions and tasks - and of the switches one in 250
 * us of each processor, with the number of those in between. Its last seconds are a snapshot away,
 * after the fact. AGLET_RECORD=0 turns it off; a number above 1 is how many events it keeps of each
 * thread (4,096).
 *
 * Two formats: Go's (1.23), for `go tool trace`, and the JSON of Chrome's tracer, which
 * https://ui.perfetto.dev opens.
 */
#ifndef AGLET_TRACE_H
#define AGLET_TRACE_H

#include <aglet/base.h>
#include <aglet/defer.h>
#include <stdio.h>

AG__BEGIN

/**
 * Starts a trace that is written to `out` in Go's format, by a thread of its own, until
 * ag_trace_stop, or until ag_run returns. It may be started before ag_run.
 * Where the writing does not keep up goroutines wait for it, up to 50 ms each time; then events are
 * left out.
 * Owns: `out` stays the caller's, who must not use it before ag_trace_stop has returned.
 * Returns: 0, -EBUSY while another one runs or was not stopped, -ENOMEM, -EAGAIN without a thread.
 * From: goroutine, any thread. Go: runtime/trace.Start.
 */
AG_API int ag_trace_start(FILE *out);
/** The same in the JSON format of Chrome's tracer. */
AG_API int ag_trace_start_json(FILE *out);

/**
 * Ends the trace. It is complete in `out`, and flushed, when this returns.
 * Waits: until all is written. Returns: 0; -ENOBUFS if events were left out, so that what is shown
 * has gaps; -EIO if `out` failed, -ENOMEM: what was written is cut; -ESRCH if no trace was started.
 * From: goroutine, any thread.
 */
AG_API int ag_trace_stop(void);

/**
 * Writes what the flight recorder has: of each thread the last events. Stops nobody; may be called
 * at any time, by several at once, and while a trace runs.
 * Returns: 0, -ENOMEM, -EIO if `out` failed. From: goroutine, any thread.
 */
AG_API int ag_trace_snapshot(FILE *out);
/** The same in the JSON format of Chrome's tracer. */
AG_API int ag_trace_snapshot_json(FILE *out);

/**
 * ag_trace_keep(fmt, ...): writes such a snapshot, in Go's format, to a new file in the folder that
 * AGLET_RECORD_DIR names, and tells of it as a finding (aglet/debug.h) of the kind "kept", whose
 * text is fmt: for what a program finds remarkable itself, such as a request that took too long.
 * There are 16 names, aglet-1.trace ...; when all are taken nothing is written or told.
 * Waits: for the disk, some milliseconds; the other goroutines go on.
 * Returns: 0; -ENOENT if no folder is named, -ENOSPC if no file can be made there, -ENOMEM, -EIO.
 * From: goroutine, any thread.
 */
AG_API int ag_trace_keep(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * ag_region(name): what this goroutine does from here to the end of the enclosing block, however
 * that ends, is shown under this name. Regions nest.
 * `name` is copied: 63 bytes of it, and of up to 4,096 different ones in the life of the process;
 * the rest is shown as `?`. From: goroutine; elsewhere it does nothing. Go: trace.WithRegion.
 */
#define ag_region(name) ag_defer(ag__region_end, ag__region_begin(name))

/**
 * A task is one piece of work, whichever goroutines see to it: a request, an order. Begins one, as
 * part of the task `parent` (0: of none). Returns: its number, for as many goroutines as it takes.
 * From: goroutine; elsewhere the task is not shown. Go: trace.NewTask.
 */
AG_API uint32_t ag_task_begin(uint32_t parent, const char *name);
/** Ends it. Which regions belong to it is not affected. */
AG_API void ag_task_end(uint32_t task);
/** ag_task_region(task, name): ag_region, in that task. */
#define ag_task_region(task, name) ag_defer(ag__region_end, ag__task_region_begin(task, name))
/** ag_task(name): the rest of this block is a task of its own, and a region in it. */
#define ag_task(name) ag_defer(ag__task_over, ag__task_open(name))
/** Puts a word into the trace, at this time, as said by this goroutine. Go: trace.Log. */
AG_API void ag_trace_log(uint32_t task, const char *text);

/* For the macros. A region: name | task << 32; 0: nobody looks. */
AG_API uint64_t ag__region_begin(const char *name);
AG_API uint64_t ag__task_region_begin(uint32_t task, const char *name);
AG_API void ag__region_end(uint64_t region);
AG_API uint64_t ag__task_open(const char *name);
AG_API void ag__task_over(uint64_t region);

AG__END
#endif
