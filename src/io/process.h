/* SPDX-License-Identifier: MIT */
/*
 * process.h - a child process, for process.c, and the table of all that nobody has collected.
 */
#ifndef AG_PROCESS_PRIVATE_H
#define AG_PROCESS_PRIVATE_H

#include "io/io.h"
#include "os/proc.h"
#include <aglet/process.h>
#include <aglet/sync.h>

/*
 * Life: new --ag__children_start--> running --collected--> ended. It is in the table while running.
 * Its memory goes with the last reference, or, if it is running still, when it is collected.
 */
struct ag_process {
    ag__object object;
    ag_process *next; /* Guarded by the table's lock. */
    int pid;          /* Constant once started. */
    bool has_group;   /* Constant. */
    bool ended;       /* Guarded by the table's lock; constant once true, as what follows. */
    bool abandoned;   /* Guarded by the table's lock: nobody has a reference any more. */
    int error;        /* 0, or why there is no status */
    ag__proc_status status;
    _Atomic int ends[3];    /* Atomic; this end of its pipes, -1: none. */
    ag_mutex opening;       /* of `watched` */
    _Atomic int watched;    /* Atomic; readable once it has ended, -1: not opened yet. */
    _Atomic bool is_pidfd;  /* Atomic; that means the process itself. Written after it. */
    _Atomic bool was_ended; /* Atomic; the end of a context has ended it. */
};

/* Starts it, with p->pid and in the table, so that nobody else collects it. Blocks the thread, and
 * needs no runtime. */
int ag__children_start(ag_process *p, const ag__proc_start *start);
/* Whether it has ended; its status is there then. */
bool ag__children_collect(ag_process *p);
/* A signal while nobody has collected it. -ESRCH. */
int ag__children_signal(ag_process *p, int sig, bool group);
/* The last reference has gone. */
void ag__children_abandon(ag_process *p);

/* ag_process_start. The goroutine that ends it with its context, if there is one, counts in
 * `watching` (NULL: nowhere) until it has dropped its reference. */
int ag__process_start(const ag_process_opts *opts, ag_wg *watching, ag_process **ret_process);
/* Waits for its end, although the current context has ended or there is nothing to wait with for a
 * while. 0, -ECHILD. */
int ag__process_join(ag_process *p, ag_process_status *ret_status);

#endif
