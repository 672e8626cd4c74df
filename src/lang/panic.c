/* SPDX-License-Identifier: MIT */
/*
 * panic.c - deferred calls, panics, recovery, ag_try, ag_goexit, ag_exit.
 *
 * A deferred call is a record on the C stack of its block, linked into its goroutine, innermost
 * first. Leaving the block pops and runs it (ag__defer_end, by the cleanup attribute). A panic
 * walks the same list from the top of the panicking stack, so all frames are alive while the
 * deferred calls look at them. Each record is popped before it runs: it runs once, whatever it
 * does.
 *
 * ag_try puts a marker into the list (fn == NULL, args[0] = the try's data): a panic stops the
 * walk there and throws the stack above away with ag__try_unwind. Without a try, a recovered
 * panic walks to the end of the list and ends the goroutine.
 *
 * Nested panics. Each running panic is a struct on the stack, linked from g->panic. A deferred
 * call that panics starts a new one, which goes on with the rest of the list: the walk of the
 * old one never resumes; the old one is "aborted" and printed with the new one if that is not
 * recovered.
 *
 *     A runs D1, D1 panics B. B first meets the deferred calls that D1 made itself: recovered
 *     there, D1 is over and A's walk goes on. Then it meets those that A had left: A is replaced,
 *     and recovering B ends both.
 *
 * ag_recover works only from the function that the panic's walk called: the macro passes its own
 * return address, which must be ag__call_panicking_return.
 *
 * A longjmp may leave records behind: they lie below the frame that works now, or under a newer
 * frame that has written over them. So a record carries a seal while it stands. One whose seal
 * is broken is never followed; the stack above is searched for the next that is whole.
 *
 * Refused: setjmp in users' frames (volatile variables), the C++ unwinder (flags, size, cost).
 */
#include "lang/lang.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ag__panic {
    ag_panic_info info;
    struct ag__panic *outer; /* the panic during which this one was raised */
    bool recovered;
    bool goexit;  /* no panic at all: ag_goexit or ag_exit walks the list */
    bool exits;   /* goexit by ag_exit(exit_code) */
    bool in_call; /* a deferred call of this walk runs now */
    int exit_code;
    ag__frame call;          /* of that call, and */
    struct ag__defer *floor; /* what was left of the list when it began */
};

struct try {
    struct ag__defer marker;
    ag__frame frame;
    struct ag__panic *panic_before;
    ag_panic_info *out;
};

static _Atomic(ag_panic_hook) panic_hook;

ag_panic_hook ag_on_panic(ag_panic_hook hook) {
    return atomic_exchange(&panic_hook, hook);
}

/* The goroutine, or the stand-in of a foreign thread. */
static ag__g *self(void) {
    ag__m *m = ag__m_now();
    if (AG__UNLIKELY(!m->g)) {
        m = ag__enter();
        ag__leave(m);
    }
    return m->g;
}

/* --- Deferred calls. --- */

static inline uintptr_t seal_of(const struct ag__defer *d, const ag__g *g) {
    return (uintptr_t)d ^ (uintptr_t)g ^ (uintptr_t)0x9E3779B97F4A7C15;
}

static AG__NO_SANITIZE bool is_whole(const ag__g *g, const struct ag__defer *d) {
    return *(const volatile uintptr_t *)&d->seal == seal_of(d, g);
}

/* The innermost record that stands at `from` or above it. */
static AG__COLD AG__NO_SANITIZE struct ag__defer *find_whole(const ag__g *g, const void *from) {
    const void *lo = g->stack_lo;
    size_t bytes = (size_t)(g->stack_hi - g->stack_lo);
    if (!lo)
        ag__os_thread_stack(&lo, &bytes);
    uintptr_t at = (uintptr_t)from & ~(sizeof(void *) - 1), end = (uintptr_t)lo + bytes;
    if (at < (uintptr_t)lo || at >= end) /* of a variable that ASan keeps elsewhere */
        at = (uintptr_t)__builtin_frame_address(0);
    for (; at + sizeof(struct ag__defer) <= end; at += sizeof(void *))
        if (is_whole(g, (struct ag__defer *)at))
            return (struct ag__defer *)at;
    return NULL;
}

/* The place on the stack where the frame of a variable began to be, if ASan keeps the variable
 * elsewhere; else 0. */
static inline uintptr_t place_of_fake(const void *variable) {
#if AG__ASAN
    void *fake = __asan_get_current_fake_stack();
    if (fake)
        return (uintptr_t)__asan_addr_is_in_fake_stack(fake, (void *)variable, NULL, NULL);
#else
    (void)variable;
#endif
    return 0;
}

/* Whether longjmp has left the frame of d. `newer` is a record of a frame that stands, or NULL;
 * all other frames below `frame` do not. */
static inline bool is_abandoned(const struct ag__defer *d, const struct ag__defer *newer,
                                const void *frame) {
    uintptr_t place = place_of_fake(d);
    if (AG__UNLIKELY(place))
        return newer && place < place_of_fake(newer);
    return (uintptr_t)d < (uintptr_t)frame;
}

static inline void drop_abandoned(ag__g *g, const struct ag__defer *newer, const void *frame) {
    while (g->defers && AG__UNLIKELY(is_abandoned(g->defers, newer, frame)))
        g->defers = is_whole(g, g->defers) ? g->defers->next : find_whole(g, frame);
}

static inline void link_in(ag__g *g, struct ag__defer *d) {
    d->next = g->defers;
    d->seal = seal_of(d, g);
    g->defers = d;
}

void ag__defer_begin(struct ag__defer *d) {
    ag__g *g = self();
    drop_abandoned(g, d, __builtin_frame_address(0));
    d->head = &g->defers;
    link_in(g, d);
}

static AG__COLD void nil_call(void) {
    ag__panic_text(NULL, "runtime error: invalid memory address or nil pointer dereference");
}

AG__ANY_CALL void ag__defer_end(struct ag__defer *d) {
    if (AG__UNLIKELY(!d->head)) /* a panic or ag_goexit has run it */
        return;
    *d->head = d->next;
    d->seal = 0;
    if (AG__UNLIKELY(!d->fn))
        nil_call();
    typedef void (*six)(intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t);
    ((six)d->fn)(d->args[0], d->args[1], d->args[2], d->args[3], d->args[4], d->args[5]);
}

/* --- Try. --- */

int ag__try(ag_panic_info *out, ag__fn fn, const intptr_t args[6]) {
    ag__g *g = self();
    struct try t;
    t.marker.fn = NULL;
    t.marker.args[0] = (intptr_t)&t;
    t.marker.site = NULL;
    t.marker.head = NULL;
    t.panic_before = g->panic;
    t.out = out;
    link_in(g, &t.marker);
    bool panicked = AG__FRAME_CALL(&t.frame, fn, args);
    /* The goroutine is the same, though perhaps on another thread. */
    g->defers = t.marker.next;
    t.marker.seal = 0;
    return panicked ? AG_PANICKED : 0;
}

static bool is_try(const struct ag__defer *d) {
    return d->head == NULL && d->fn == NULL;
}

static AG__COLD __attribute__((noreturn)) void finish_try(ag__g *g, struct ag__defer *d,
                                                          struct ag__panic *p) {
    struct try *t = (struct try *)d->args[0];
    if (t->out)
        *t->out = p->info;
    g->panic = t->panic_before;
    ag__frame_return(&t->frame);
}

/* --- Printing. --- */

/* Go's order: the oldest first, each newer one indented. */
static void print_chain(const struct ag__panic *p) {
    if (p->outer && !p->outer->goexit) {
        print_chain(p->outer);
        fputs("\t", stderr);
    }
    fputs("panic: ", stderr);
    for (const char *c = p->info.msg; *c; c++) {
        fputc(*c, stderr);
        if (*c == '\n')
            fputc('\t', stderr);
    }
    fputs(p->recovered ? " [recovered]\n" : "\n", stderr);
}

static void print_head(const ag__g *g) {
    if (g->flags & AG__GF_FOREIGN)
        fprintf(stderr, "\nthread %d (not a goroutine) [running]:\n", ag__os_tid());
    else if (g->name)
        fprintf(stderr, "\ngoroutine %lld \"%s\" [running]:\n", (long long)g->id, g->name);
    else
        fprintf(stderr, "\ngoroutine %lld [running]:\n", (long long)g->id);
}

static AG__COLD void print_all(ag__g *g, struct ag__panic *p) {
    print_chain(p);
    print_head(g);
    ag__hooks.backtrace();
    if (g->site && g->id != 1)
        fprintf(stderr, "created by %s in goroutine %lld at %s:%d\n", g->site->func,
                (long long)g->creator, g->site->file, g->site->line);
    fflush(stderr);
}

static AG__COLD __attribute__((noreturn)) void die(ag__g *g, struct ag__panic *p) {
    static _Atomic uint32_t dying;
    if (atomic_exchange(&dying, 1)) /* another thread is at it: let it finish */
        for (;;)
            ag__os_sleep(1000000000);
    print_all(g, p);
    ag_panic_hook hook = atomic_load(&panic_hook);
    if (hook)
        hook(&p->info);
    const char *traceback = getenv("AGLET_TRACEBACK");
    if (traceback && strcmp(traceback, "crash") == 0)
        abort();
    ag__os_exit_now(2);
}

/* --- The walk. --- */

static void call_deferred(struct ag__defer *d) {
    ag__call_panicking(d->fn, d->args);
}

/* Pops and runs one deferred call because of p. A panic inside that is recovered inside comes
 * back here, too. */
static void run_one(ag__g *g, struct ag__defer *d, struct ag__panic *p) {
    g->defers = d->next;
    d->head = NULL;
    d->seal = 0;
    if (!d->fn)
        nil_call();
    const intptr_t args[6] = {(intptr_t)d};
    p->floor = g->defers;
    p->in_call = true;
    (void)AG__FRAME_CALL(&p->call, (ag__fn)call_deferred, args);
    p->in_call = false;
    g->panic = p;
}

/* Runs deferred calls until a try that stops p, a deferred call of an outer panic inside which p
 * was raised and recovered, or the end of the list. */
static void walk(ag__g *g, struct ag__panic *p) {
    struct ag__defer *d;
    for (;;) {
        struct ag__panic *outer = p->outer;
        if (p->recovered && outer && outer->in_call && g->defers == outer->floor)
            ag__frame_return(&outer->call);
        if ((d = g->defers) == NULL)
            return;
        if (AG__UNLIKELY(!is_whole(g, d))) {
            g->defers = find_whole(g, d + 1);
            continue;
        }
        if (!is_try(d)) {
            run_one(g, d, p);
            continue;
        }
        if (!p->goexit)
            finish_try(g, d, p);
        g->defers = d->next;
    }
}

/* All deferred calls have run: the goroutine is over, or the process if that was under way. */
static __attribute__((noreturn)) void leave(ag__g *g, struct ag__panic *p) {
    for (; p; p = p->outer)
        if (p->exits)
            exit(p->exit_code);
    g->panic = NULL;
    if (g->flags & AG__GF_FOREIGN)
        ag__throw("aglet: a panic was recovered on a foreign thread outside ag_try");
    ag__g_end();
}

static __attribute__((noreturn)) void start(ag__g *g, struct ag__panic *p) {
    p->outer = g->panic;
    p->recovered = p->goexit = p->exits = p->in_call = false;
    g->panic = p;
    drop_abandoned(g, NULL, __builtin_frame_address(0));
    walk(g, p);
    if (!p->recovered) {
        if (!g->on_panic)
            die(g, p);
        print_all(g, p);
        g->on_panic(&p->info);
    }
    leave(g, p);
}

void ag__panic_at(const char *file, int line, void *value, const char *fmt, ...) {
    struct ag__panic p;
    va_list args;
    va_start(args, fmt);
    vsnprintf(p.info.msg, sizeof p.info.msg, fmt, args);
    va_end(args);
    p.info.value = value;
    p.info.file = file;
    p.info.line = line;
    start(self(), &p);
}

void ag__panic_text(void *pc, const char *text) {
    const char *file = "?";
    int line = 0;
    if (pc)
        ag__hooks.line_of(pc, &file, &line);
    ag__panic_at(file, line, NULL, "%s", text);
}

const ag_panic_info *ag__recover(void *return_address) {
    ag__g *g = self();
    struct ag__panic *p = g->panic;
    if (!p || p->goexit || p->recovered || !p->in_call ||
        return_address != (const void *)ag__call_panicking_return)
        return NULL;
    p->recovered = true;
    return &p->info;
}

/* --- Leaving by decision. --- */

static __attribute__((noreturn)) void run_all(ag__g *g, bool exits, int code) {
    struct ag__panic p;
    memset(&p, 0, sizeof p);
    p.goexit = true;
    p.exits = exits;
    p.exit_code = code;
    p.outer = g->panic;
    g->panic = &p;
    walk(g, &p);
    leave(g, &p);
}

void ag_goexit(void) {
    ag__g *g = self();
    if (g->flags & AG__GF_FOREIGN)
        ag__panic_text(__builtin_return_address(0), "ag_goexit on a thread that is no goroutine");
    if (g == ag__sched.main_g)
        g->end_fn = NULL; /* the others go on */
    run_all(g, false, 0);
}

void ag_exit(int code) {
    run_all(self(), true, code);
}
