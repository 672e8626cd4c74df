/* SPDX-License-Identifier: MIT */
/*
 * hooks.c - exit hooks: once, whatever way the process ends.
 *
 * Three ways lead here: the end of ag_serve; exit(), by a handler of the C library, where no
 * runtime need run any more; and an unrecovered panic, by the runtime's hook. Each hook is taken
 * off the list before it runs, so whoever comes second finds it gone, also when a hook itself
 * panics or exits: the rest runs then.
 */
#include "svc/svc.h"

#include <aglet/defer.h>
#include <errno.h>
#include <stdlib.h>

struct hook {
    struct hook *next;
    void (*fn)(void *arg);
    void *arg;
};

static ag_mutex lock;
static struct hook *hooks; /* Guarded by lock: the last one first. */
static bool installed;     /* Guarded by lock. */
static ag_panic_hook before;

static struct hook *take(void) {
    ag_mutex_lock(&lock);
    struct hook *h = hooks;
    if (h)
        hooks = h->next;
    ag_mutex_unlock(&lock);
    return h;
}

void ag__svc_hooks_run(void) {
    for (struct hook *h; (h = take()) != NULL;) {
        void (*fn)(void *) = h->fn;
        void *arg = h->arg;
        free(h);
        fn(arg);
    }
}

static void on_panic(const ag_panic_info *info) {
    ag__svc_hooks_run();
    if (before)
        before(info);
}

int ag_svc_at_exit(void (*fn)(void *arg), void *arg) {
    struct hook *h = malloc(sizeof *h);
    if (!h)
        return -ENOMEM;
    ag_mutex_lock(&lock);
    if (!installed && atexit(ag__svc_hooks_run) != 0) {
        ag_mutex_unlock(&lock);
        free(h);
        return -ENOMEM;
    }
    if (!installed)
        before = ag_on_panic(on_panic);
    installed = true;
    *h = (struct hook){hooks, fn, arg};
    hooks = h;
    ag_mutex_unlock(&lock);
    return 0;
}
