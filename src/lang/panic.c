/* SPDX-License-Identifier: MIT */
/*
 * panic.c - deferred calls, panics, recovery, ag_try, ag_goexit, ag_exit.
 *
 * A deferred call is a record on the C stack of its block, linked into its goroutine, innermost
 * first. Leaving the block pops and runs it, in code that is compiled into the block (see
 * aglet/defer_inline.h). A panic walks the same list from the top of the panicking stack, so all
 * frames are alive while the deferred calls look at them. Each record is popped before it runs: it
 * runs once, whatever it does. If its block ends all the same, because the call has jumped there,
 * it finds a call of nothing.
 *
 * ag_try puts a marker into the list (fn == try_mark): a panic stops the walk there and throws the
 * stack above away with ag__try_unwind. Without a try, a recovered panic walks to the end of the
 * list and ends the goroutine.
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
 * ag_goexit and ag_exit are walks of the same kind that no ag_try and no ag_recover stops. If A is
 * one, what ends B ends only B: a try passes A on.
 *
 * ag_recover works only from the function that the panic's walk called: the macro passes its own
 * return address, which must be ag__call_panicking_return.
 *
 * A longjmp may leave records behind: in the list there may be what no longer stands, and the
 * next record may lie over it. The code in the blocks never looks at what a link leads to; the walk
 * does. When a record began, all that stood lay at its stack pointer or above, so a link to below
 * leads to what was abandoned. And a record is whole while it names the list of its goroutine and
 * a stack pointer below itself; its end takes the list away. One that is not whole is never
 * followed; the stack above is searched for the next that is.
 *
 * It may leave panics behind, too: a deferred call jumps out of the walk that runs it. Such a panic
 * lies below what stands, or the block of the call has ended since; it is over.
 *
 * Refused: setjmp in users' frames (volatile variables), the C++ unwinder (flags, size, cost).
 */
#include "lang/lang.h"
#include "os/unwind.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ag__panic {
    ag_panic_info info;
    const struct ag__panic *self; /* as long as nothing is written over it */
    struct ag__panic *outer;      /* the panic during which this one was raised */
    const ag__carried *carried;   /* from another goroutine, else NULL */
    struct ag__defer *running;    /* the last that the walk called; its block stands, too */
    bool recovered;
    bool goexit;  /* no panic (any more): ag_goexit or ag_exit walks the list */
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

/* The G is found by code in users' blocks. */
_Static_assert(offsetof(ag__g, defers) == 0 && offsetof(ag__m, g) == 8, "see defer_inline.h");
_Static_assert(sizeof(struct ag__defer_2) == sizeof(struct ag__defer) + sizeof(intptr_t),
               "arguments follow the record");

enum { BELOW_FRAME = 256 }; /* at most, of ASan's function that makes one elsewhere */

/* The place on the stack where the frame of a variable began to be, if ASan keeps the variable
 * elsewhere; else its own. */
static inline uintptr_t place_of(const void *variable) {
#if AG__ASAN
    void *fake = __asan_get_current_fake_stack();
    void *frame = fake ? __asan_addr_is_in_fake_stack(fake, (void *)variable, NULL, NULL) : NULL;
    if (frame)
        return (uintptr_t)frame;
#endif
    return (uintptr_t)variable;
}

/* Reads a word where a record is or was. */
static AG__NO_SANITIZE uintptr_t word_at(const void *at) {
    ag__vg_quiet_begin();
    uintptr_t word = *(const volatile uintptr_t *)at;
    ag__vg_quiet_end();
    ag__vg_defined(&word, sizeof word);
    return word;
}

/* The same of a record. Where ASan says that a frame began to be is some words below the frame's
 * stack pointer; what the frame calls has its own there. The record's stack pointer tells better.
 */
static inline uintptr_t record_place(const struct ag__defer *d) {
    uintptr_t place = place_of(d);
    if (AG__ASAN && place != (uintptr_t)d) {
        uintptr_t sp = word_at(&d->sp);
        if (sp - place < BELOW_FRAME)
            return sp;
    }
    return place;
}

static AG__NO_SANITIZE bool is_whole(const ag__g *g, const struct ag__defer *d) {
    const uintptr_t sp = word_at(&d->sp), place = record_place(d);
    return word_at(&d->head) == (uintptr_t)&g->defers && sp <= place &&
           place - sp < AG__STACK_MAX && sp % 8 == 0;
}

static void try_mark(void) {
}

bool ag__defer_is_try(ag__fn fn) {
    return fn == try_mark;
}

/* Whether what looks like a record on the stack at [lo, lo + bytes) can be one. The list is where
 * its goroutine's record begins, whose address is in many frames. */
static AG__NO_SANITIZE bool may_be_one(const struct ag__defer *d, uintptr_t lo, size_t bytes) {
    const uintptr_t fn = word_at(&d->fn), site = word_at(&d->site);
    if (fn == (uintptr_t)try_mark)
        return site == 0;
    return fn != 0 && site != 0 && fn - lo >= bytes && site - lo >= bytes;
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
        if (is_whole(g, (struct ag__defer *)at) &&
            may_be_one((struct ag__defer *)at, (uintptr_t)lo, bytes))
            return (struct ag__defer *)at;
    return NULL;
}

/* d, or the next that stands, if d lies below `limit`, where nothing stands any more. What such a
 * record says of the next may be written over by the panic itself; not where ASan keeps it. */
static AG__NO_SANITIZE struct ag__defer *standing(const ag__g *g, struct ag__defer *d,
                                                  const void *limit) {
    while (d && AG__UNLIKELY(record_place(d) < (uintptr_t)limit)) {
        if (place_of(d) == (uintptr_t)d || !is_whole(g, d))
            return find_whole(g, limit);
        ag__vg_quiet_begin();
        d->head = NULL; /* so that no circle of them is followed for ever */
        ag__vg_quiet_end();
        d = (struct ag__defer *)word_at(&d->next);
    }
    return d;
}

static inline void link_in(ag__g *g, struct ag__defer *d) {
    d->next = g->defers;
    d->head = &g->defers;
    g->defers = d;
}

/* Pops d because of a panic. */
static inline void pop(ag__g *g, struct ag__defer *d) {
    g->defers = standing(g, d->next, d->sp);
    d->head = &d->next;
}

struct ag__defer **ag__defer_list(void) {
    return &self()->defers;
}

void ag__defer_link(struct ag__defer *d) {
    link_in(self(), d);
}

void ag__defer_unlink(struct ag__defer *d) {
    *d->head = d->next;
    d->head = NULL;
}

static void nothing(void) {
}

AG__COLD void ag__defer_nil(void) {
    ag__panic_text(NULL, "runtime error: invalid memory address or nil pointer dereference");
}

/* --- Panics under way. --- */

static AG__NO_SANITIZE bool is_over(const struct ag__panic *p) {
    const struct ag__defer *d = (const struct ag__defer *)word_at(&p->running);
    return d && word_at(&d->head) != (uintptr_t)&d->next;
}

/* The innermost panic of g that is under way and lies above `limit`. */
static AG__COLD AG__NO_SANITIZE struct ag__panic *under_way(const ag__g *g, uintptr_t limit) {
    struct ag__panic *p = g->panic;
    while (p && word_at(&p->self) == (uintptr_t)p) {
        if (place_of(p) > limit && !is_over(p))
            return p;
        struct ag__panic *outer = (struct ag__panic *)word_at(&p->outer);
        if (outer && place_of(outer) <= place_of(p)) /* so that no circle is followed */
            return NULL;
        p = outer;
    }
    return NULL;
}

/* --- Try. --- */

int ag__try(ag_panic_info *out, ag__fn fn, const intptr_t args[6]) {
    ag__g *g = self();
    struct try t;
    t.marker.fn = try_mark;
    t.marker.site = NULL;
    ag__defer_note_sp(&t.marker.sp);
    /* One that a longjmp has left is not gone back to. */
    t.panic_before = AG__UNLIKELY(g->panic != NULL) ? under_way(g, place_of(&t)) : NULL;
    t.out = out;
    ag__defer_link(&t.marker);
    bool panicked = AG__FRAME_CALL(&t.frame, fn, args);
    /* The goroutine is the same, though perhaps on another thread. */
    g->defers = t.marker.next;
    t.marker.head = NULL;
    return panicked ? AG_PANICKED : 0;
}

static bool is_try(const struct ag__defer *d) {
    return d->fn == try_mark;
}

/* Whether p goes on below the try: as a way out by decision. A panic out of a deferred call of one,
 * which replaced its walk, ends here; the way out does not, and p's walk is now the walk of that.
 */
static AG__COLD bool goes_on(const struct ag__defer *d, struct ag__panic *p) {
    const struct try *t = ag__container_of(d, struct try, marker);
    for (const struct ag__panic *x = p; x && x != t->panic_before; x = x->outer)
        if (x->goexit) {
            p->recovered = false;
            p->goexit = true;
            p->exits = x->exits;
            p->exit_code = x->exit_code;
            return true;
        }
    return false;
}

static AG__COLD __attribute__((noreturn)) void finish_try(ag__g *g, struct ag__defer *d,
                                                          struct ag__panic *p) {
    struct try *t = ag__container_of(d, struct try, marker);
    if (t->out)
        *t->out = p->info;
    g->panic = t->panic_before;
    ag__frame_return(&t->frame);
}

/* p becomes the innermost, whatever was at its place before. */
static void begin(ag__g *g, struct ag__panic *p) {
    struct ag__panic *outer = under_way(g, place_of(p));
    p->self = p;
    p->outer = outer;
    p->running = NULL;
    p->recovered = p->goexit = p->exits = p->in_call = false;
    g->panic = p;
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

/* Where a carried panic comes from. */
static AG__COLD void print_carried(const ag__carried *c) {
    for (int i = 0; i < c->hops; i++) {
        const ag__hop *h = &c->hop[i];
        fprintf(stderr,
                h->name[0] ? "\ngoroutine %lld \"%s\" [panicked]:\n"
                           : "\ngoroutine %lld%s [panicked]:\n",
                (long long)h->id, h->name);
        ag__hooks.print_frames(h->pcs, h->frames);
        if (h->site && h->id != 1)
            fprintf(stderr, "created by %s in goroutine %lld at %s:%d\n", h->site->func,
                    (long long)h->creator, h->site->file, h->site->line);
    }
}

static AG__COLD void print_all(ag__g *g, struct ag__panic *p) {
    print_chain(p);
    if (p->carried)
        print_carried(p->carried);
    print_head(g);
    ag__hooks.backtrace();
    if (g->site && g->id != 1)
        fprintf(stderr, "created by %s in goroutine %lld at %s:%d\n", g->site->func,
                (long long)g->creator, g->site->file, g->site->line);
    fflush(stderr);
}

static AG__COLD void begin_to_die(void) {
    static _Atomic uint32_t dying;
    if (atomic_exchange(&dying, 1)) /* another thread is at it: let it finish */
        for (;;)
            ag__os_sleep(1000000000);
}

static AG__COLD __attribute__((noreturn)) void end_process(const ag_panic_info *info) {
    ag__hooks.dies();
    ag_panic_hook hook = atomic_load(&panic_hook);
    if (hook)
        hook(info);
    if (ag__on_end)
        ag__on_end();
    const char *traceback = getenv("AGLET_TRACEBACK");
    if (traceback && strcmp(traceback, "crash") == 0) {
        ag__os_fault_remove(); /* all is said */
        abort();
    }
    ag__os_exit_now(2);
}

static AG__COLD __attribute__((noreturn)) void die(ag__g *g, struct ag__panic *p) {
    begin_to_die();
    print_all(g, p);
    end_process(&p->info);
}

/* --- The walk. --- */

static void call_deferred(ag__fn fn, const struct ag__defer *d) {
    intptr_t args[6] = {0};
    for (int i = 0; i < d->site->words; i++)
        args[i] = ((const intptr_t *)(d + 1))[i];
    ag__call_panicking(fn, args);
}

/* Pops and runs one deferred call because of p. A panic inside that is recovered inside comes
 * back here, too. */
static void run_one(ag__g *g, struct ag__defer *d, struct ag__panic *p) {
    const intptr_t args[6] = {(intptr_t)d->fn, (intptr_t)d};
    pop(g, d);
    d->fn = nothing;
    p->running = d;
    p->floor = g->defers;
    p->in_call = true;
    (void)AG__FRAME_CALL(&p->call, (ag__fn)call_deferred, args);
    p->in_call = false;
    g->panic = p;
}

/* Runs deferred calls until a try that stops p, a deferred call of an outer panic inside which p
 * was raised and recovered, or the end of the list. Below `limit` is nothing but ours: what a
 * longjmp left there may be whole still, in parts of p that nobody has written to. */
static void walk(ag__g *g, struct ag__panic *p, const void *limit) {
    struct ag__defer *d;
    g->defers = standing(g, g->defers, limit);
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
        if (!goes_on(d, p))
            finish_try(g, d, p);
        pop(g, d);
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

static __attribute__((noreturn)) void start(ag__g *g, struct ag__panic *p, const void *limit) {
    begin(g, p);
    walk(g, p, limit);
    if (!p->recovered && !p->goexit) {
        if (!g->on_panic)
            die(g, p);
        print_all(g, p);
        g->on_panic(&p->info);
    }
    leave(g, p);
}

/* Not inlined, as all that pass their frame's address: it is where the caller's frame begins. */
AG__NOINLINE void ag__panic_at(const char *file, int line, void *value, const char *fmt, ...) {
    struct ag__panic p;
    va_list args;
    va_start(args, fmt);
    vsnprintf(p.info.msg, sizeof p.info.msg, fmt, args);
    va_end(args);
    p.info.value = value;
    p.info.file = file;
    p.info.line = line;
    p.carried = NULL;
    start(self(), &p, __builtin_frame_address(0));
}

void ag__panic_text(void *pc, const char *text) {
    const char *file = "?";
    int line = 0;
    if (pc)
        ag__hooks.line_of(pc, &file, &line);
    ag__panic_at(file, line, NULL, "%s", text);
}

const ag_panic_info *ag__panicking(void) {
    const struct ag__panic *p = under_way(self(), (uintptr_t)__builtin_frame_address(0));
    return p && !p->goexit ? &p->info : NULL;
}

/* --- From one goroutine to another. --- */

static void carried_free(ag__object *o) {
    free(ag__container_of(o, ag__carried, object));
}

ag__carried *ag__panic_carry(void) {
    const ag__g *g = self();
    const struct ag__panic *p = g->panic;
    ag__carried *c = malloc(sizeof *c);
    if (!c)
        return NULL;
    ag__object_init(&c->object, carried_free);
    c->info = p->info;
    c->hops = 0;
    if (p->carried) {
        c->hops = p->carried->hops;
        memcpy(c->hop, p->carried->hop, (size_t)c->hops * sizeof *c->hop);
    }
    if (c->hops == AG__HOPS) {
        memmove(&c->hop[1], &c->hop[2], (AG__HOPS - 2) * sizeof *c->hop);
        c->hops--;
    }
    ag__hop *h = &c->hop[c->hops++];
    h->id = g->id;
    h->creator = g->creator;
    h->site = g->site;
    snprintf(h->name, sizeof h->name, "%s", g->name ? g->name : "");
    h->frames = ag__unwind_here(h->pcs, AG__HOP_FRAMES, 1);
    return c;
}

AG__NOINLINE void ag__panic_raise(const ag__carried *c) {
    struct ag__panic p;
    p.info = c->info;
    p.carried = c;
    start(self(), &p, __builtin_frame_address(0));
}

AG__COLD void ag__panic_unseen(const ag__carried *c) {
    begin_to_die();
    fprintf(stderr, "panic: %s [of a job that nobody awaited]\n", c->info.msg);
    print_carried(c);
    fflush(stderr);
    end_process(&c->info);
}

const ag_panic_info *ag__panic_now(void) {
    const struct ag__panic *p = self()->panic;
    return p && !p->goexit && !p->recovered ? &p->info : NULL;
}

const ag_panic_info *ag__recover(void *return_address) {
    struct ag__panic *p = under_way(self(), (uintptr_t)__builtin_frame_address(0));
    if (!p || p->goexit || p->recovered || !p->in_call ||
        return_address != (const void *)ag__call_panicking_return)
        return NULL;
    p->recovered = true;
    return &p->info;
}

/* --- Leaving by decision. --- */

static AG__NOINLINE __attribute__((noreturn)) void run_all(ag__g *g, bool exits, int code) {
    struct ag__panic p;
    p.exit_code = code;
    begin(g, &p);
    p.goexit = true;
    p.exits = exits;
    walk(g, &p, __builtin_frame_address(0));
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
