/* SPDX-License-Identifier: MIT */
/*
 * aglet/profile.h - profiles: where goroutines stand, where time and memory go. They are files in
 * the format of pprof, which `go tool pprof FILE` and many viewers open; docs/guide/profiles.md
 * shows how. The same profiles are answers to questions at /debug/pprof/ (aglet/debug.h).
 */
#ifndef AGLET_PROFILE_H
#define AGLET_PROFILE_H

#include <aglet/base.h>
#include <stdio.h>

AG__BEGIN

/**
 * Writes a profile. The names are Go's, and some more:
 *
 *   goroutine      where each goroutine stands; labels say what it waits for, its name, and where
 *                  it was made
 *   offcpu         goroutines that wait, by how long they have waited so far
 *   spawn          goroutines, by where they were made
 *   profile        CPU time, by where it was used, as far as ag_profile_start had it watched: up to
 *                  now, or up to the last ag_profile_stop
 *   block          where goroutines waited, how often and how long, since ag_profile_block_rate
 *   mutex          where locks were given up for which others waited, and how long those had, since
 *                  ag_profile_mutex_fraction
 *   threadcreate   what made the threads that run goroutines
 *   heap           memory in use, by who allocated it, sampled and scaled up; see
 *                  ag_profile_heap_rate
 *   allocs         the same, where one looks first at what was allocated so far
 *
 * Nobody is stopped; a profile of what is there now is no snapshot of one moment.
 * Waits: no. Works when every thread is stuck.
 * Returns: 0; -ENOENT there is no such name; -ENOMEM; -EIO out can't be written; heap and allocs:
 * -ENOSYS, -EOPNOTSUPP as ag_profile_heap_rate.
 * From: goroutine, any thread.
 */
AG_API int ag_profile_write(const char *name, FILE *out);

/**
 * Begins a CPU profile: each thread is asked where it is, `hz` times a second of the CPU time it
 * uses, 0 stands for 100. What was recorded before is forgotten. A sample has the whole stack of
 * the goroutine, also inside other libraries, its name and where it was made. Threads that are not
 * the runtime's are asked, too, if they are there now or call the library later.
 *
 * It uses SIGPROF, whose handler then stays; threads that block it are not asked. System calls are
 * restarted; on Linux before 5.9, poll, epoll_wait, nanosleep and those that signal(7) names
 * beside them may return EINTR while a profile runs.
 * Returns: 0; -EBUSY a profile is under way, or the program handles SIGPROF itself; -EINVAL hz is
 * negative or above 1000; -EAGAIN, -ENOMEM.
 * From: goroutine, any thread.
 * Limit: 4096 different stacks, of their innermost 64 frames; what is lost is said in the file.
 * Go: one call writes what was recorded, ag_profile_write("profile", out).
 */
AG_API int ag_profile_start(int hz);

/** Ends it; what was recorded stays. Returns: 0, -ESRCH none was under way. From: goroutine, any
 * thread. */
AG_API int ag_profile_stop(void);

/**
 * From now on waits are recorded when they are over: for channels, locks, wait groups, conditions,
 * semaphores, scopes, jobs - not sleeps, and not input and output. Those of `ns` and longer all
 * are, of shorter ones so many that one is recorded for each `ns` spent waiting, and the profile
 * makes up for the others. 1 records all of them. 0, as at the start, records nothing; then a wait
 * costs one load and a branch more than without this. Labels tell what was waited for. What was
 * recorded stays. Returns: the rate before; a negative `ns` changes nothing. -ENOMEM. From:
 * goroutine, any thread. Limit: 4096 different stacks. Go: SetBlockProfileRate.
 */
AG_API int64_t ag_profile_block_rate(int64_t ns);

/**
 * From now on one of `n` times in which somebody gave up a lock (mutex, rwmutex) for which others
 * waited is recorded, with the time that they had waited; the profile makes up for the others. 1
 * records all, 0, as at the start, nothing. What was recorded stays.
 * Returns: the number before; a negative `n` changes nothing. -ENOMEM. From: goroutine, any thread.
 * Limit: 4096 different stacks.
 * Go: SetMutexProfileFraction.
 */
AG_API int ag_profile_mutex_fraction(int n);

/**
 * From now on one block is sampled for each `bytes` allocated, on an average: malloc and its
 * relatives, and so C++'s new, of the whole process, from its start on. Large blocks are as good as
 * always seen, small ones rarely, and what is seen stands for the rest: the sums of the profiles
 * heap and allocs are right on an average, whatever the sizes. 1: every block; 0: none from now on;
 * those that were sampled are still watched, and leave the profile when they are freed. At the
 * start it is AGLET_HEAP_RATE, 512 KiB if that is not set. A thread goes by the new rate once it
 * has allocated what the old one, or 1 MiB if that was 0, lets pass.
 *
 * Needs the library aglet-heap: `LD_PRELOAD=.../libaglet-heap.so`, or linked
 * (docs/guide/profiles.md). Without it nothing is watched, and nothing costs anything.
 * Returns: the rate before; negative `bytes` change nothing. -ENOSYS the library is not there;
 * -EOPNOTSUPP malloc is not its own but another library's, or a sanitizer is in the process.
 * From: goroutine, any thread.
 * Limit: 16384 different stacks, of their innermost 64 frames; further ones are counted without a
 * stack, and the file says so.
 * Go: MemProfileRate, which must be set once and first; here it may be changed.
 */
AG_API int64_t ag_profile_heap_rate(int64_t bytes);

AG__END
#endif
