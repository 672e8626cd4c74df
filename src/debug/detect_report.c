/* SPDX-License-Identifier: MIT */
/*
 * detect_report.c - putting what the detector found into words.
 *
 *     aglet: deadlock: 2 goroutines wait for each other
 *       goroutine 7 [sync.Mutex.Lock] transfer created at bank.c:31
 *         waits for the lock at 0x55d0c8, which goroutine 8 holds
 *           transfer at bank.c:12
 */
#include "debug/detect.h"
#include "debug/look.h"
#include "lang/report.h"
#include "os/unwind.h"
#include "sync/sync.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES = 24, SHOWN = 6 };

/* --- Where it waits. --- */

/* Where one that waits stands; nothing, if it has moved since. */
static int frames_of(const ag__node *n, uintptr_t *ret_pcs) {
    ag__stack_shape shape;
    unsigned char *copy = malloc(AG__LOOK_BYTES);
    int count = copy ? ag__look_at_stack(n->g, copy, ret_pcs, FRAMES, &shape) : 0;
    ag__scan_free(copy, AG__LOOK_BYTES);
    return atomic_load_explicit(&n->g->resumes, memory_order_acquire) == n->resumes ? count : 0;
}

/* The program's frames are below the last public function at the top, and above where a goroutine
 * begins. */
static void add_frames(ag__report *r, const ag__node *n) {
    uintptr_t pcs[FRAMES];
    ag__symbol_info symbol;
    int count = frames_of(n, pcs), from = 0, to = count;
    for (int i = 0; i < count; i++) {
        if (ag__symbol(pcs[i], i > 0, &symbol) != 0)
            continue;
        if (strcmp(symbol.name, "ag__call") == 0 || strcmp(symbol.name, "goroutine_main") == 0) {
            to = i;
            break;
        }
        if (strncmp(symbol.name, "ag_", 3) == 0 && i < SHOWN)
            from = i + 1;
    }
    for (int i = from; i < to && i < from + SHOWN; i++) {
        ag__report_detail(r, "      ");
        ag__report_place(r, pcs[i]);
    }
}

/* --- What it waits for. --- */

static const char *thing(int reason) {
    switch (reason) {
    case AG__WAIT_MUTEX:
    case AG__WAIT_RWMUTEX:
    case AG__WAIT_RWMUTEX_READ:
        return "lock";
    case AG__WAIT_WAIT_GROUP:
        return "wait group";
    case AG__WAIT_SCOPE:
        return "scope";
    case AG__WAIT_JOB:
        return "job";
    case AG__WAIT_FLIGHT:
        return "single flight";
    case AG__WAIT_SEM:
    case AG__WAIT_SEM_NEVER:
        return "semaphore";
    case AG__WAIT_COND:
        return "condition";
    default:
        return "channel";
    }
}

static const char *relation(int reason) {
    switch (reason) {
    case AG__WAIT_MUTEX:
    case AG__WAIT_RWMUTEX_READ:
        return "holds";
    case AG__WAIT_RWMUTEX:
        return "reads";
    case AG__WAIT_FLIGHT:
        return "runs";
    default:
        return "belongs to";
    }
}

static bool is_lock(int reason) {
    return reason == AG__WAIT_MUTEX || reason == AG__WAIT_RWMUTEX ||
           reason == AG__WAIT_RWMUTEX_READ;
}

/* `before` waits for what n has. */
static void add_holding(ag__report *r, const ag__node *before, const ag__node *n) {
    uintptr_t pc = is_lock(before->reason) ? ag__check_taken_at(n->g, before->object) : 0;
    if (!pc)
        return;
    ag__report_detail(r, "    holds the lock at %p, taken by ", before->object);
    ag__report_place(r, pc);
}

static void add_waiting(ag__report *r, const ag__node *n, const ag__node *next) {
    ag__report_detail(r, "    waits for ");
    if (n->object)
        ag__report_detail(r, "the %s at %p", thing(n->reason), n->object);
    else
        ag__report_detail(r, n->reason == AG__WAIT_SELECT ? "channels" : "a nil channel");
    if (next)
        ag__report_detail(r, ", which goroutine %lld %s", (long long)next->id, relation(n->reason));
    ag__report_detail(r, "\n");
    add_frames(r, n);
}

static const char *words_alone(const ag__node *n) {
    if (!n->alone)
        return "a goroutine waits for others that can never go on";
    switch (n->reason) {
    case AG__WAIT_SEM_NEVER:
        return "a goroutine waits for more of a semaphore than there is";
    case AG__WAIT_CHAN_SEND:
    case AG__WAIT_CHAN_RECV:
    case AG__WAIT_SELECT:
        return "a goroutine waits for a channel that nobody has any more";
    case AG__WAIT_SEM:
        return "a goroutine waits for a semaphore that nobody has any more";
    case AG__WAIT_COND:
        return "a goroutine waits for a condition that nobody has any more";
    case AG__WAIT_WAIT_GROUP:
        return "a goroutine waits for a group that nobody has any more";
    case AG__WAIT_MUTEX:
    case AG__WAIT_RWMUTEX:
    case AG__WAIT_RWMUTEX_READ:
        return "a goroutine waits for a lock that nobody has any more";
    default:
        return "a goroutine waits for a nil channel";
    }
}

static const char *words_own(int reason) {
    switch (reason) {
    case AG__WAIT_MUTEX:
    case AG__WAIT_RWMUTEX:
    case AG__WAIT_RWMUTEX_READ:
        return "a goroutine waits for a lock that it holds";
    case AG__WAIT_JOB:
        return "a job waits for itself";
    case AG__WAIT_FLIGHT:
        return "a goroutine waits for a call that it runs itself";
    default:
        return "a goroutine waits for its own end";
    }
}

ag__report *ag__detect_report(const ag__look *l, const int *path, int count) {
    const ag__node *first = &l->nodes[path[0]];
    bool is_circle = first->in_cycle;
    ag__report *r = ag__report_new(is_circle ? "deadlock" : "leak");
    if (!r)
        return NULL;
    if (count > 1)
        snprintf(r->text, sizeof r->text, "%d goroutines wait for each other", count);
    else
        snprintf(r->text, sizeof r->text, "%s",
                 is_circle ? words_own(first->reason) : words_alone(first));
    for (int i = 0; i < count; i++) {
        const ag__node *n = &l->nodes[path[i]];
        ag__report_goroutine(r, (ag__who){n->id, n->site});
        if (is_circle)
            add_holding(r, &l->nodes[path[(i + count - 1) % count]], n);
        add_waiting(r, n, is_circle ? &l->nodes[path[(i + 1) % count]] : NULL);
    }
    return r;
}
