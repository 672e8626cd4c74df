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
 * takes the channel off the list. A signal must not fall in between: it is sent, or it has the
 * action that was put back. The handler may have been called for, and its thread have lost the CPU
 * before the first instruction. So it says that it has `entered`, and looks whether the signal is
 * wanted; if not it sends it again, for the action that is there now. Whoever stops waits until no
 * handler is about to count.
 *
 * A context that listens (ag_notify_ctx) is a listener of which nobody holds the other: whichever
 * way it ends, it is taken off the list, and the signals have their old action again.
 *
 * ag_notify_reset and ag_notify_ignore do the same for some signals of all listeners: these are
 * `leaving` until what was caught before has gone out.
 *
 * A context of ag_stop_ctx leaves something behind when a signal has ended it: the next one ends
 * the process, in the handler itself, because the rest of the program may be stuck. So the handler
 * knows these signals (stop_signals) and when the first of them came.
 *
 * SIGQUIT without a listener runs the hook; the second within two seconds ends the process in the
 * handler itself, should the hook be stuck. One that was sent while a world ran asked for a dump
 * and must not end the process although that world is over when a thread takes it: the end of the
 * world waits until it is taken, and a handler that has not begun by then drops it (quit_gone).
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
    uint64_t signals; /* bit sig - 1; each is counted in wanted */
    uint64_t leaving; /* not any more, but what was caught before still comes */
    uint64_t number;  /* of a context: they are numbered as they come */
    bool stopping;    /* ag_notify_stop is at it; of a context: it was told */
    bool stops;       /* of ag_stop_ctx */
    bool mute;        /* nothing can come any more: not counted in the outside waits */
};

static ag__lock lock;
static struct listener *listeners;  /* Guarded by lock. */
static int wanted[AG__SIG_MAX + 1]; /* Guarded by lock: listeners, and the hook of SIGQUIT. */
static uint64_t numbers;            /* Guarded by lock: the last number. */
static bool has_thread;             /* Guarded by lock. */
static _Atomic uint64_t receives;   /* Written under lock: the thread's signals. */
static void (*quit_fn)(void);       /* Guarded by lock. */
static bool quit_installed;         /* Guarded by lock. */
static void (*child_fn)(void);      /* Guarded by lock. */
static uint64_t ignoring;           /* Guarded by lock: by ag_notify_ignore. */
static uint64_t forced; /* Guarded by lock: counted in wanted, for the second signal's sake. */

static _Atomic uint32_t caught[AG__SIG_MAX + 1]; /* Atomic; handlers add, the thread takes. */
static _Atomic uint32_t alarm_word;              /* Futex: grows with every signal and change. */
static _Atomic uint32_t entered;                 /* Atomic; handlers that are about to count. */
enum { DELIVERS = 1, HOOK = 2 };
static _Atomic uint32_t busy;     /* Atomic; the thread delivers. */
static _Atomic bool quit_hooked;  /* Atomic; SIGQUIT is for the hook. */
static _Atomic bool quit_gone;    /* Atomic; written under lock: the hook was last to want it. */
static _Atomic int64_t quit_last; /* Atomic; when the last one came, or 0. */

static _Atomic uint64_t stop_signals; /* Atomic; written under lock: the second ends the process. */
static _Atomic int64_t stop_first;    /* Atomic; when the first of them came, or 0. */

enum { HOOK_WAIT_NS = 100000000, QUIT_AGAIN_NS = 2000000000, STOP_SAME_NS = 100000000 };

static uint64_t bit_of(int sig) {
    return (uint64_t)1 << (sig - 1);
}

/* --- The handler: async-signal-safe. Not watched by sanitizers, which are not: it may come while
 * the thread holds a lock of theirs, which a report would take once more. It touches atomics only.
 */

/* The last who asked has gone meanwhile: it takes the action that is there now; but what asked for
 * a dump ends no process. */
static AG__NO_SANITIZE bool is_late(int sig) {
    atomic_fetch_add(&entered, 1);
    if (atomic_load(&receives) & bit_of(sig))
        return false;
    atomic_fetch_sub(&entered, 1);
    if (sig != ag__sig_quit() || !atomic_load(&quit_gone))
        ag__sig_resend(sig);
    return true;
}

static AG__NO_SANITIZE void on_signal(int sig) {
    if (is_late(sig))
        return;
    if (sig == ag__sig_quit() && atomic_load(&quit_hooked)) {
        int64_t now = ag__os_now();
        int64_t last = atomic_exchange(&quit_last, now);
        if (last && now - last < QUIT_AGAIN_NS)
            ag__os_exit_now(2);
    }
    if (atomic_load(&stop_signals) & bit_of(sig)) {
        int64_t now = ag__os_now(), first = 0;
        if (!atomic_compare_exchange_strong(&stop_first, &first, now) &&
            now - first >= STOP_SAME_NS)
            ag__os_exit_now(128 + sig);
    }
    atomic_fetch_add(&caught[sig], 1);
    atomic_fetch_sub(&entered, 1);
    atomic_fetch_add(&alarm_word, 1);
    ag__os_futex_wake(&alarm_word, 1);
}

/* --- The thread. --- */

static bool listens(const struct listener *l, int sig) {
    return (l->signals | l->leaving) & bit_of(sig);
}

/* A context that listens to sig since `last` or before and has not been told, with a reference. */
static ag_ctx *next_context(int sig, uint64_t last) {
    ag_ctx *c = NULL;
    ag__lock_acquire(&lock);
    for (struct listener *l = listeners; l && !c; l = l->next) {
        if (!l->ctx || l->stopping || l->number > last || !listens(l, sig) ||
            !ag__object_try_ref(&l->ctx->object))
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
    void (*fn)(void) = hook ? quit_fn : sig == SIGCHLD ? child_fn : NULL;
    /* This thread has no processor: to send may ready a goroutine, but never parks here. */
    for (struct listener *l = listeners; l && !hook; l = l->next)
        if (l->chan && listens(l, sig))
            for (uint32_t i = 0; i < times && ag__chan_try_send(l->chan, &sig); i++)
                continue;
    uint64_t last = numbers; /* who has heard of the first may have made another one */
    ag__lock_release(&lock);
    ag_ctx *c;
    while (!hook && (c = next_context(sig, last)) != NULL) {
        ag_ctx_cancel_cause(c, sig);
        ag_unref(c);
    }
    if (hook)
        atomic_store(&busy, HOOK);
    if (fn)
        fn();
    atomic_store(&busy, DELIVERS);
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
        atomic_store(&busy, DELIVERS);
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
        atomic_fetch_or(&receives, bit_of(sig)); /* before the first can come */
        int r = ag__sig_catch(sig, on_signal);
        if (r != 0) {
            atomic_fetch_and(&receives, ~bit_of(sig));
            return r;
        }
    }
    if (sig == ag__sig_quit())
        atomic_store(&quit_gone, false);
    wanted[sig]++;
    return 0;
}

static void unwant(int sig) {
    if (--wanted[sig] > 0)
        return;
    ag__sig_release(sig);
    atomic_fetch_and(&receives, ~bit_of(sig)); /* after the last could come: see is_late */
}

static void unwant_all(uint64_t signals) {
    for (int sig = 1; sig <= AG__SIG_MAX; sig++)
        if (signals & bit_of(sig))
            unwant(sig);
}

static void note_stop(void) {
    uint64_t signals = forced;
    for (struct listener *l = listeners; l; l = l->next)
        if (l->stops)
            signals |= l->signals;
    atomic_store(&stop_signals, signals);
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

/* Lock held. */
static void take_out(struct listener *l) {
    struct listener **at = &listeners;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    if (!l->mute)
        ag__outside_waits(-1);
}

/* What a context of ag_stop_ctx that a signal has ended keeps: one count of each signal. Lock held.
 * Returns the others. */
static uint64_t keep_forced(const struct listener *l) {
    if (!l->stops || atomic_load(&stop_first) == 0)
        return l->signals;
    uint64_t again = l->signals & forced;
    forced |= l->signals;
    return again;
}

/* The context has ended, or is gone. Inside the runtime. */
static void stop_context(void *listener) {
    struct listener *l = listener;
    ag__lock_acquire(&lock);
    take_out(l);
    unwant_all(keep_forced(l));
    note_quit();
    note_stop();
    ag__lock_release(&lock);
    nudge_thread();
    free(l);
}

/* The first of its kind begins anew. Lock held. */
static void begin_stop(void) {
    for (struct listener *l = listeners; l; l = l->next)
        if (l->stops)
            return;
    unwant_all(forced);
    forced = 0;
    atomic_store(&stop_first, 0);
}

/* Lock held. Linked in any case: the context's end takes it out again. */
static int add_context(struct listener *l, uint64_t signals) {
    int r = need_thread();
    if (r == 0)
        r = want_all(signals);
    if (r == 0 && l->stops)
        begin_stop();
    if (r == 0)
        l->signals = signals;
    l->number = ++numbers;
    l->next = listeners;
    listeners = l;
    ag__outside_waits(1);
    note_quit();
    note_stop();
    return r;
}

static ag_ctx *notify_ctx(ag_ctx *parent, uint64_t signals, bool stops) {
    struct listener *l = calloc(1, sizeof *l);
    ag_ctx *c = l ? ag_ctx_with_cancel(parent) : NULL;
    if (!c) {
        free(l);
        return NULL;
    }
    l->ctx = c;
    l->stops = stops;
    ag__lock_acquire(&lock);
    int r = add_context(l, signals);
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

ag_ctx *ag__notify_ctx(ag_ctx *parent, const int *sigs, int count) {
    uint64_t signals;
    return signals_of(sigs, count, &signals) == 0 ? notify_ctx(parent, signals, false) : NULL;
}

ag_ctx *ag_stop_ctx(ag_ctx *parent) {
    return notify_ctx(parent, bit_of(SIGINT) | bit_of(SIGTERM), true);
}

/* --- Stopping. --- */

/* What was caught up to now goes out; but the hook of SIGQUIT takes its time. */
static void wait_until_delivered(uint64_t signals) {
    int64_t until = ag__os_now() + HOOK_WAIT_NS;
    for (int round = 0; atomic_load(&busy) != HOOK || ag__os_now() < until; round++) {
        bool left = atomic_load(&entered) > 0;
        for (int sig = 1; sig <= AG__SIG_MAX && !left; sig++)
            left = signals & bit_of(sig) && atomic_load(&caught[sig]) > 0;
        /* In this order: the thread is busy before it takes what was caught. */
        if (!left && !atomic_load(&busy))
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
    unwant_all(signals);
    ag__lock_release(&lock);
    if (!l)
        return;
    nudge_thread();
    wait_until_delivered(signals);
    ag__lock_acquire(&lock);
    take_out(l);
    note_quit();
    AG__HB_ACQUIRE(&listeners);
    ag__lock_release(&lock);
    ag_unref(l->chan);
    free(l);
}

/* From here on they are caught for nobody who was there. Lock held. Returns those that were. */
static uint64_t let_leave(uint64_t signals) {
    uint64_t left = forced & signals;
    unwant_all(left);
    forced &= ~left;
    for (struct listener *l = listeners; l; l = l->next) {
        /* The signals of a channel that ag_notify_stop is at are not counted any more. */
        uint64_t taken = l->chan && l->stopping ? 0 : l->signals & signals;
        unwant_all(taken);
        l->signals &= ~taken;
        l->leaving |= taken;
        left |= taken;
    }
    return left;
}

/* What was caught has gone out. Lock held. Returns the channels to which nothing comes now. */
static struct listener *have_left(uint64_t signals) {
    struct listener *gone = NULL, *next;
    for (struct listener *l = listeners; l; l = next) {
        next = l->next;
        l->leaving &= ~signals;
        if (l->signals || l->leaving || l->mute || (l->chan && l->stopping))
            continue;
        if (l->ctx) {
            l->mute = true;
            ag__outside_waits(-1);
            continue;
        }
        take_out(l);
        l->next = gone;
        gone = l;
    }
    return gone;
}

static void reset(uint64_t signals) {
    ag__lock_acquire(&lock);
    uint64_t left = let_leave(signals);
    note_quit();
    note_stop();
    ag__lock_release(&lock);
    nudge_thread();
    wait_until_delivered(left);
    ag__lock_acquire(&lock);
    struct listener *gone = have_left(signals);
    AG__HB_ACQUIRE(&listeners);
    ag__lock_release(&lock);
    for (struct listener *l; (l = gone) != NULL;) {
        gone = l->next;
        ag_unref(l->chan);
        free(l);
    }
}

static void install_quit(void);

int ag__notify_reset(const int *sigs, int count) {
    uint64_t signals;
    int r = signals_of(sigs, count, &signals);
    if (r != 0)
        return r;
    ag__lock_acquire(&lock);
    bool quit = ignoring & signals & bit_of(ag__sig_quit());
    for (int sig = 1; sig <= AG__SIG_MAX; sig++)
        if (ignoring & signals & bit_of(sig))
            ag__sig_unignore(sig);
    ignoring &= ~signals;
    ag__lock_release(&lock);
    reset(signals);
    if (quit && atomic_load(&ag__sched.running) == 1)
        install_quit();
    return 0;
}

/* Before its listeners go, so that there is no moment with the default action. SIGCHLD is dropped
 * in any case, and the hook needs it. Lock held. */
static int ignore(int sig) {
    int r = sig == SIGCHLD && child_fn ? 0 : ag__sig_ignore(sig);
    if (r != 0)
        return r;
    ignoring |= bit_of(sig);
    if (sig == ag__sig_quit() && quit_installed) {
        quit_installed = false;
        note_quit();
        unwant(sig);
    }
    return 0;
}

/* All of them or none. Lock held. */
static int ignore_all(uint64_t signals) {
    uint64_t before = ignoring;
    for (int sig = 1; sig <= AG__SIG_MAX; sig++) {
        int r = signals & ~before & bit_of(sig) ? ignore(sig) : 0;
        if (r == 0)
            continue;
        while (--sig > 0)
            if (signals & ~before & bit_of(sig))
                ag__sig_unignore(sig);
        ignoring = before;
        return r;
    }
    return 0;
}

int ag__notify_ignore(const int *sigs, int count) {
    uint64_t signals;
    int r = signals_of(sigs, count, &signals);
    if (r != 0)
        return r;
    ag__lock_acquire(&lock);
    r = ignore_all(signals);
    ag__lock_release(&lock);
    if (r == 0)
        reset(signals);
    return r;
}

bool ag_notify_ignored(int sig) {
    if (sig < 1 || sig > AG__SIG_MAX)
        return false;
    ag__lock_acquire(&lock);
    bool ignored = ag__sig_is_ignored(sig);
    if (sig == SIGCHLD && ignoring & bit_of(sig))
        ignored = wanted[sig] == (child_fn ? 1 : 0);
    ag__lock_release(&lock);
    return ignored;
}

/* --- SIGQUIT. --- */

static void install_quit(void) {
    ag__lock_acquire(&lock);
    if (!ag__sched.no_signals && quit_fn && !quit_installed &&
        !(ignoring & bit_of(ag__sig_quit())) &&
        (wanted[ag__sig_quit()] > 0 || !ag__sig_is_handled(ag__sig_quit())) && need_thread() == 0 &&
        want(ag__sig_quit()) == 0)
        quit_installed = true;
    atomic_store(&quit_last, 0);
    note_quit();
    ag__lock_release(&lock);
    nudge_thread();
}

static void remove_quit(void) {
    int sig = ag__sig_quit();
    for (int i = 0; atomic_load(&quit_hooked) && ag__sig_is_pending(sig) && i < 5000; i++)
        ag__os_sleep(1000000);
    ag__lock_acquire(&lock);
    if (quit_installed) {
        quit_installed = false;
        atomic_store(&quit_gone, wanted[sig] == 1); /* before unwant */
        unwant(sig);
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

/* --- SIGCHLD. --- */

int ag__on_child(void (*fn)(void)) {
    ag__lock_acquire(&lock);
    int r = 0;
    if (fn && !child_fn) {
        r = need_thread();
        if (r == 0)
            r = want(SIGCHLD);
    } else if (!fn && child_fn) {
        unwant(SIGCHLD);
    }
    if (r == 0)
        child_fn = fn;
    ag__lock_release(&lock);
    nudge_thread();
    return r;
}
