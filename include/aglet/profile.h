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
 * Writes a profile. The names are Go's, and two more:
 *
 *   goroutine      where each goroutine stands; labels say what it waits for, its name, and where
 *                  it was made
 *   offcpu         goroutines that wait, by how long they have waited so far
 *   spawn          goroutines, by where they were made
 *
 * Nobody is stopped; a profile of what is there now is no snapshot of one moment.
 * Waits: no. Works when every thread is stuck.
 * Returns: 0; -ENOENT there is no such name; -ENOMEM; -EIO out can't be written.
 * From: goroutine, any thread.
 */
AG_API int ag_profile_write(const char *name, FILE *out);

AG__END
#endif
