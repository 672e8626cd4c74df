/* SPDX-License-Identifier: MIT */
/*
 * procs.h - making, retiring and counting processors.
 */
#ifndef AG_PROCS_H
#define AG_PROCS_H

#include "sched/sched.h"

int ag__procs_make(int n); /* records for n Ps, retired at first; -ENOMEM */
void ag__procs_free(void);
int ag__procs_set(int n); /* while a world runs */
/* Puts p on the idle list, or retires it. sched.lock held. */
void ag__p_put_idle_locked(ag__p *p);
/* m's P is beyond the number: empties it and lets go of it. */
void ag__p_retire(ag__m *m);

#endif
