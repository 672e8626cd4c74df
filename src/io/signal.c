/* SPDX-License-Identifier: MIT */
/*
 * signal.c - signals as values on channels, and the dump at SIGQUIT.
 *
 * A handler may do next to nothing. Ours counts the signal and wakes a thread that is there for
 * this alone; that one sends the number into every channel that asked for it, and never waits:
 *
 *     any thread, handler        thread of signals
 *     caught[sig]++              takes caught[sig] to 0, and as often:
 *     alarm++, futex wake          under the lock, tries to send to each listener
 *
 * Counting, not marking: of signals that come in quick succession none is lost that the kernel
 * did not merge already. The thread unblocks what is listened to, so that signals arrive although
 * the program blocked them in every thread of its own. It starts with the first need for it and
 * stays, through all worlds; it is a foreign thread to the scheduler, but not one that could wake
 * a goroutine out of the blue, so it does not count as such: `outside` waits are counted for the
 * listeners instead.
 *
 * ag_notify_stop first gives the signals back, then lets what was caught before go out, and then
 * takes the channel off the list.
 *
 * A context that listens (ag_notify_ctx) is a listener of which nobody holds the other: whichever
 * way it ends, it is taken off the list, and the signals have their old action again.
 *
 * SIGQUIT without a listener runs the hook; the second within two seconds ends the process in the
 * handler itself, should the hook be stuck.
 *
 * SIGPIPE needs nothing here: no write of this library raises it (os/sock.h, os/file.h).
 */
#include "ctx/ctx.h"
#include "io/io.h"
#include "lang/lang.h"
#include "os/sig.h"
#include <aglet/signal.h>
#include <errno.h>
#include <stdlib.h>

/* A channel or a context, and what it listens to. */
struct listener {
    struct listener *next;
    void *chan;
    ag_ctx *ctx;      /* without a reference: its end takes the listener off the list */
    uint64_t signals; /* bit sig - 1 */
    bool stopping;    /* ag_notify_stop is at it */
};

static ag__lock lock;
static struct listener *listeners;  /* Guarded by lock. */
static int wanted[AG__SIG_MAX + 1]; /* Guarded by lock: listeners, and the hook of SIGQUIT. */
static bool has_thread;             /* Guarded by lock. */
static _Atomic uint64_t receives;   /* Written under lock: the thread's signals. */
static void (*quit_fn)(void);       /* Guarded by lock. */
static bool quit_installed;         /* Guarded by lock. */

static _Atomic uint32_t caught[AG__SIG_MAX + 1]; /* Atomic; handlers add, the thread takes. */
static _Atomic uint32_t alarm_word;              /* Futex: grows with every signal and change. */
static _Atomic uint32_t busy;                    /* Atomic; the thread delivers. */
static _Atomic bool quit_hooked;                 /* Atomic; SIGQUIT is for the hook. */
static _Atomic int64_t quit_last;                /* Atomic; when the last one came, or 0. */

enum { QUIT_AGAIN_NS = 2000000000 };

static uint64_t bit_of(int sig) {
    return (uint64_t)1 << (sig - 1);
}

/* --- The handler: async-signal-safe. --- */

static void on_signal(int sig) {
    if (sig == ag__sig_quit() && atomic_load(&quit_hooked)) {
        int64_t now = ag__os_now();
        int64_t last = atomic_exchange(&quit_last, now);
        if (last && now - last < QUIT_AGAIN_NS)
            ag__os_exit_now(2);
    }
    atomic_fetch_add(&caught[sig], 1);
    atomic_fetch_add(&alarm_word, 1);
    ag__os_futex_wake(&alarm_word, 1);
}

/* --- The thread. --- */

/* A context that listens to sig and has not been told, with a reference. */
static ag_ctx *next_context(int sig) {
    ag_ctx *c = NULL;
    ag__lock_acquire(&lock);
    for (struct listener *l = listeners; l && !c; l = l->next) {
        if (!l->ctx || l->stopping || !(l->signals & bit_of(sig)) || !ag__ctx_try_ref(l->ctx))
            continue;
        l->stopping = true;
        c = l->ctx;
    }
    ag__lock_release(&lock);
    return c;
}

static void deliver(int sig, uint32_t times) {
    ag__lock_acquire(&lock);
    bool hook = sig == ag__sig_quit() && atomic_load(&quit_hooked);
    void (*fn)(void) = hook ? quit_fn : NULL;
    /* This thread has no processor: to send may ready a goroutine, but never parks here. */
    for (struct listener *l = listeners; l && !hook; l = l->next)
        if (l->chan && l->signals & bit_of(sig))
            for (uint32_t i = 0; i < times && ag__chan_try_send(l->chan, &sig); i++)
                continue;
    ag__lock_release(&lock);
    ag_ctx *c;
    while (!hook && (c = next_context(sig)) != NULL) {
        ag_ctx_cancel_cause(c, sig);
        ag_unref(c);
    }
    if (fn)
        fn();
}

static void signal_thread(void) {
    uint64_t receiving = 0;
    ag__sig_receive_only(0);
    for (;;) {
        uint32_t seen = atomic_load(&alarm_word);
        if (receiving != atomic_load(&receives)) {
            receiving = atomic_load(&receives);
            ag__sig_receive_only(receiving);
        }
        bool any = false;
        atomic_store(&busy, 1);
        for (int sig = 1; sig <= AG__SIG_MAX; sig++) {
            uint32_t times = atomic_exchange(&caught[sig], 0);
            if (times > 0) {
                deliver(sig, times);
                any = true;
            }
        }
        atomic_store(&busy, 0);
        if (!any)
            ag__os_futex_wait(&alarm_word, seen, -1);
    }
}

/* Lock held. */
static int need_thread(void) {
    if (has_thread)
        return 0;
    int r = ag__helper_start(signal_thread, "aglet-signals");
    has_thread = r == 0;
    return r;
}

static void nudge_thread(void) {
    atomic_fetch_add(&alarm_word, 1);
    ag__os_futex_wake(&alarm_word, 1);
}

/* --- Who wants what. Lock held. --- */

static int want(int sig) {
    if (wanted[sig] == 0) {
        int r = ag__sig_catch(sig, on_signal);
        if (r != 0)
            return r;
        atomic_fetch_or(&receives, bit_of(sig));
    }
    wanted[sig]++;
    return 0;
}

static void unwant(int sig) {
    if (--wanted[sig] > 0)
        return;
    atomic_fetch_and(&receives, ~bit_of(sig));
    ag__sig_release(sig);
}

/* SIGQUIT is the hook's while no channel asked for it. */
static void note_quit(void) {
    atomic_store(&quit_hooked, quit_installed && wanted[ag__sig_quit()] == 1);
}

static struct listener *find(const void *chan) {
    struct listener *l = listeners;
    while (l && (l->chan != chan || l->stopping))
        l = l->next;
    return l;
}

/* --- ag_notify. --- */

static int signals_of(const int *sigs, int count, uint64_t *ret_signals) {
    uint64_t signals = 0;
    for (int i = 0; i < count; i++) {
        if (!ag__sig_can_catch(sigs[i]))
            return -EINVAL;
        signals |= bit_of(sigs[i]);
    }
    for (int sig = 1; sig <= AG__SIG_MAX && count == 0; sig++)
        if (ag__sig_can_catch(sig))
            signals |= bit_of(sig);
    *ret_signals = signals;
    return 0;
}

/* All of them or none. */
static int want_all(uint64_t signals) {
    for (int sig = 1; sig <= AG__SIG_MAX; sig++) {
        int r = signals & bit_of(sig) ? want(sig) : 0;
        if (r == 0)
            continue;
        while (--sig > 0)
            if (signals & bit_of(sig))
                unwant(sig);
        return r;
    }
    return 0;
}

int ag__notify(ag_chan(int) c, const int *sigs, int count) {
    uint64_t signals;
    if (!c)
        ag__panic_text(__builtin_return_address(0), "os/signal: Notify using nil channel");
    int r = signals_of(sigs, count, &signals);
    if (r != 0)
        return r;
    struct listener *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        return -ENOMEM;
    ag__lock_acquire(&lock);
    r = need_thread();
    struct listener *l = find(c);
    if (r == 0)
        r = want_all(l ? signals & ~l->signals : signals);
    if (r == 0 && !l) {
        ag__ref(c);
        ag__outside_waits(1);
        l = fresh;
        fresh = NULL;
        l->chan = (void *)c;
        l->next = listeners;
        listeners = l;
    }
    if (r == 0)
        l->signals |= signals;
    note_quit();
    AG__HB_RELEASE(&listeners);
    ag__lock_release(&lock);
    nudge_thread();
    free(fresh);
    return r;
}

/* The context has ended, or is gone. Inside the runtime. */
static void stop_context(void *listener) {
    struct listener *l = listener, **at = &listeners;
    ag__lock_acquire(&lock);
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    for (int sig = 1; sig <= AG__SIG_MAX; sig++)
        if (l->signals & bit_of(sig))
            unwant(sig);
    note_quit();
    ag__lock_release(&lock);
    nudge_thread();
    ag__outside_waits(-1);
    free(l);
}

ag_ctx *ag__notify_ctx(ag_ctx *parent, const int *sigs, int count) {
    uint64_t signals;
    if (signals_of(sigs, count, &signals) != 0)
        return NULL;
    struct listener *l = calloc(1, sizeof *l);
    ag_ctx *c = l ? ag_ctx_with_cancel(parent) : NULL;
    if (!c) {
        free(l);
        return NULL;
    }
    l->ctx = c;
    ag__outside_waits(1);
    ag__lock_acquire(&lock);
    l->next = listeners;
    listeners = l;
    int r = need_thread();
    if (r == 0)
        r = want_all(signals);
    if (r == 0)
        l->signals = signals;
    note_quit();
    AG__HB_RELEASE(&listeners);
    ag__lock_release(&lock);
    nudge_thread();
    /* A signal, or the parent's end, may have come first. */
    if (!ag__ctx_on_end(c, stop_context, l))
        stop_context(l);
    if (r == 0)
        return c;
    ag_unref(c);
    return NULL;
}

/* What was caught up to now goes out. Bounded, because the hook of SIGQUIT takes its time. */
static void wait_until_delivered(uint64_t signals) {
    int64_t until = ag__os_now() + 100000000;
    for (int round = 0; ag__os_now() < until; round++) {
        bool left = atomic_load(&busy);
        for (int sig = 1; sig <= AG__SIG_MAX && !left; sig++)
            left = signals & bit_of(sig) && atomic_load(&caught[sig]) > 0;
        if (!left)
            return;
        if (round < 20)
            ag__os_yield();
        else
            ag__os_sleep(50000);
    }
}

void ag_notify_stop(ag_chan(int) c) {
    ag__lock_acquire(&lock);
    struct listener *l = find(c);
    uint64_t signals = l ? l->signals : 0;
    if (l)
        l->stopping = true;
    for (int sig = 1; sig <= AG__SIG_MAX; sig++)
        if (signals & bit_of(sig))
            unwant(sig);
    ag__lock_release(&lock);
    if (!l)
        return;
    nudge_thread();
    wait_until_delivered(signals);
    ag__lock_acquire(&lock);
    struct listener **at = &listeners;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    note_quit();
    AG__HB_ACQUIRE(&listeners);
    ag__lock_release(&lock);
    ag__outside_waits(-1);
    ag_unref(l->chan);
    free(l);
}

/* --- SIGQUIT. --- */

static void install_quit(void) {
    ag__lock_acquire(&lock);
    if (!ag__sched.no_signals && quit_fn && !quit_installed &&
        (wanted[ag__sig_quit()] > 0 || !ag__sig_is_handled(ag__sig_quit())) && need_thread() == 0 &&
        want(ag__sig_quit()) == 0)
        quit_installed = true;
    atomic_store(&quit_last, 0);
    note_quit();
    ag__lock_release(&lock);
    nudge_thread();
}

static void remove_quit(void) {
    ag__lock_acquire(&lock);
    if (quit_installed) {
        quit_installed = false;
        unwant(ag__sig_quit());
    }
    note_quit();
    ag__lock_release(&lock);
    nudge_thread();
    /* The hook may be looking at the world that ends. */
    for (int round = 0; atomic_load(&busy) && round < 5000; round++)
        ag__os_sleep(1000000);
}

void ag__on_quit(void (*fn)(void)) {
    ag__lock_acquire(&lock);
    quit_fn = fn;
    ag__lock_release(&lock);
    ag__on_start = install_quit;
    ag__on_stop = remove_quit;
}
