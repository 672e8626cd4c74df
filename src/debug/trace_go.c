/* SPDX-License-Identifier: MIT */
/*
 * trace_go.c - the story in the format of Go's execution traces, as `go tool trace` reads it.
 *
 * The format is that of Go 1.23, described by the readers' source, internal/trace in Go's library:
 * a head of 16 bytes, then batches. A batch of events belongs to one thread; strings, stacks and
 * the clock's frequency have batches of their own. An event is a byte and numbers of 7 bits a byte,
 * the first being the time since the one before. All is one generation, so each goroutine and
 * processor says its state once, when it first appears.
 *
 * How our world is told in Go's words:
 *   - A goroutine whose processor is handed on is in a system call (GoSyscallBegin), and the
 *     processor is stolen from its thread (ProcSteal); coming back is GoSyscallEndBlocked.
 *   - Where a goroutine was started is the creator's stack, one frame; what it runs the new stack.
 *   - A goroutine that comes from a thread without a processor is just there, runnable: in Go
 *     there is no such thing.
 *   - Steals, timers and the poller have no event.
 */
#include "debug/prof_bytes.h"
#include "debug/trace.h"
#include <stdlib.h>
#include <string.h>

enum {
    EV_BATCH = 1,
    EV_STACKS,
    EV_STACK,
    EV_STRINGS,
    EV_STRING,
    EV_FREQUENCY = 8,
    EV_PROC_START = 10,
    EV_PROC_STOP,
    EV_PROC_STEAL,
    EV_PROC_STATUS,
    EV_GO_CREATE,
    EV_GO_START = 16,
    EV_GO_DESTROY,
    EV_GO_STOP = 19,
    EV_GO_BLOCK,
    EV_GO_UNBLOCK,
    EV_GO_SYSCALL_BEGIN,
    EV_GO_SYSCALL_END_BLOCKED = 24,
    EV_TASK_BEGIN = 40,
    EV_TASK_END,
    EV_REGION_BEGIN,
    EV_REGION_END,
    EV_LOG,
    EV_GO_STATUS_STACK = 48
};
enum { PROC_IDLE = 2, GO_RUNNABLE = 1, GO_WAITING = 4 };
/* A reader takes 64 KiB, and Go's splits strings of more than 1 KiB. */
enum { BATCH_BYTES = 48 << 10, EVENT_BYTES = 128, TEXT_BYTES = 1000 };

struct batch {
    struct batch *next; /* of all threads' */
    int tid;
    int64_t began, last;
    size_t n;
    unsigned char bytes[BATCH_BYTES + EVENT_BYTES];
};

/* Strings and sites by number, in tables that only grow. */
struct table {
    size_t count, room; /* room is a power of two */
    struct entry {
        uint64_t key; /* a hash, or an address; 0: free */
        uint64_t id;
        char *text;
    } * all;
};

struct go_trace {
    ag__teller teller;
    struct batch *batches;
    struct table strings, sites;
};

/* --- Bytes. --- */

static void write_batch(FILE *out, uint64_t thread, int64_t when, const void *bytes, size_t n) {
    unsigned char head[64];
    size_t at = 0;
    head[at++] = EV_BATCH;
    at += ag__varint(head + at, 1); /* the generation */
    at += ag__varint(head + at, thread);
    at += ag__varint(head + at, (uint64_t)when);
    at += ag__varint(head + at, n);
    fwrite(head, 1, at, out);
    fwrite(bytes, 1, n, out);
}

static void flush(struct go_trace *t, struct batch *b) {
    if (b->n)
        write_batch(t->teller.out, (uint64_t)b->tid, b->began, b->bytes, b->n);
    b->n = 0;
}

static struct batch *batch_of(struct go_trace *t, ag__trace_thread *thread) {
    struct batch *b = thread->own;
    if (b)
        return b;
    b = malloc(sizeof *b);
    if (!b) {
        t->teller.failed = true;
        return NULL;
    }
    b->tid = thread->tid;
    b->n = 0;
    b->next = t->batches;
    t->batches = b;
    return thread->own = b;
}

static void event(struct go_trace *t, ag__trace_thread *thread, int64_t when, int kind, int count,
                  const uint64_t *args) {
    struct batch *b = batch_of(t, thread);
    if (!b)
        return;
    if (b->n > BATCH_BYTES)
        flush(t, b);
    if (b->n == 0)
        b->began = b->last = when;
    b->bytes[b->n++] = (unsigned char)kind;
    b->n += ag__varint(b->bytes + b->n, (uint64_t)(when - b->last));
    for (int i = 0; i < count; i++)
        b->n += ag__varint(b->bytes + b->n, args[i]);
    b->last = when;
}
#define EVENT(t, thread, when, kind, ...)                                                          \
    event(t, thread, when, kind, (int)(sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)),      \
          (uint64_t[]){__VA_ARGS__})

/* --- Tables. --- */

static struct entry *find(struct table *t, uint64_t key, const char *text) {
    size_t at = (size_t)((key * 0x9E3779B97F4A7C15ull) >> 20) & (t->room - 1);
    for (;; at = (at + 1) & (t->room - 1)) {
        struct entry *e = &t->all[at];
        if (e->key == 0 || (e->key == key && (!text || strcmp(e->text, text) == 0)))
            return e;
    }
}

static bool grow(struct table *t) {
    if (2 * (t->count + 1) <= t->room)
        return true;
    struct table more = {t->count, t->room ? 2 * t->room : 64, NULL};
    more.all = calloc(more.room, sizeof *more.all);
    if (!more.all)
        return false;
    for (size_t i = 0; i < t->room; i++)
        if (t->all[i].key)
            *find(&more, t->all[i].key, t->all[i].text) = t->all[i];
    free(t->all);
    *t = more;
    return true;
}

static uint64_t string_of(struct go_trace *t, const char *text) {
    char cut[TEXT_BYTES + 1];
    snprintf(cut, sizeof cut, "%s", text ? text : "?");
    uint64_t key = 1469598103934665603ull;
    for (const char *c = cut; *c; c++)
        key = (key ^ (unsigned char)*c) * 1099511628211ull;
    struct entry *e = grow(&t->strings) ? find(&t->strings, key | 1, cut) : NULL;
    if (e && !e->key) {
        e->text = strdup(cut);
        if (e->text) {
            e->key = key | 1;
            e->id = ++t->strings.count;
        }
    }
    if (!e || !e->key) {
        t->teller.failed = true;
        return 0;
    }
    return e->id;
}

/* The stack of what a goroutine of this site runs; one more: where it was created. 0: none. */
static uint64_t stack_of(struct go_trace *t, const struct ag__site *site) {
    if (!site)
        return 0;
    struct entry *e = grow(&t->sites) ? find(&t->sites, (uintptr_t)site, NULL) : NULL;
    if (!e) {
        t->teller.failed = true;
        return 0;
    }
    if (!e->key) {
        e->key = (uintptr_t)site;
        e->id = 1 + 2 * t->sites.count++;
        string_of(t, site->call);
        string_of(t, site->func);
        string_of(t, site->file);
    }
    return e->id;
}

/* --- Steps. --- */

static const struct ag__site turns_site = {"?", "?", "(goroutines in turn)", 0, 0};

static const struct ag__site *site_of(const ag__trace_go *g) {
    return g->id >= AG__TURNS ? &turns_site : g->site;
}

static void status(struct go_trace *t, const ag__tell *s, int state) {
    s->g->seq = 0;
    EVENT(t, s->thread, s->when, EV_GO_STATUS_STACK, (uint64_t)s->g->id, (uint64_t)-1,
          (uint64_t)state, stack_of(t, site_of(s->g)));
}

static void create(struct go_trace *t, const ag__tell *s) {
    uint64_t stack = stack_of(t, s->g->site);
    s->g->seq = 0;
    EVENT(t, s->thread, s->when, EV_GO_CREATE, (uint64_t)s->g->id, stack,
          s->thread->g && stack ? stack + 1 : 0);
}

static void step_go(struct go_trace *t, const ag__tell *s) {
    ag__trace_thread *m = s->thread;
    ag__trace_go *g = s->g;
    switch (s->kind) {
    case AG__TELL_GO_RUNNABLE:
        status(t, s, GO_RUNNABLE);
        return;
    case AG__TELL_GO_WAITING:
        status(t, s, GO_WAITING);
        return;
    case AG__TELL_GO_CREATE:
        create(t, s);
        return;
    case AG__TELL_GO_START:
        EVENT(t, m, s->when, EV_GO_START, (uint64_t)g->id, ++g->seq);
        return;
    case AG__TELL_GO_STOP:
        if (s->detail == AG__WAIT_YIELD)
            EVENT(t, m, s->when, EV_GO_STOP, string_of(t, "runtime.Gosched"), 0);
        else /* known by name; channels and selects have names of their own there */
            EVENT(t, m, s->when, EV_GO_BLOCK, string_of(t, ag__trace_reason(s->detail)), 0);
        return;
    case AG__TELL_GO_END:
        event(t, m, s->when, EV_GO_DESTROY, 0, NULL);
        return;
    case AG__TELL_GO_READY:
        EVENT(t, m, s->when, EV_GO_UNBLOCK, (uint64_t)g->id, ++g->seq, 0);
        return;
    case AG__TELL_GO_BACK:
        event(t, m, s->when, EV_GO_SYSCALL_END_BLOCKED, 0, NULL);
        return;
    default:
        return;
    }
}

static void step_user(struct go_trace *t, const ag__tell *s) {
    uint64_t name = string_of(t, ag__name_text((uint32_t)s->x));
    switch (s->kind) {
    case AG__TELL_REGION:
        EVENT(t, s->thread, s->when, EV_REGION_BEGIN, s->n, name, 0);
        return;
    case AG__TELL_REGION_END:
        EVENT(t, s->thread, s->when, EV_REGION_END, s->n, name, 0);
        return;
    case AG__TELL_TASK:
        EVENT(t, s->thread, s->when, EV_TASK_BEGIN, s->n, s->x >> 32, name, 0);
        return;
    case AG__TELL_TASK_END:
        EVENT(t, s->thread, s->when, EV_TASK_END, s->n, 0);
        return;
    default:
        EVENT(t, s->thread, s->when, EV_LOG, s->n, string_of(t, "log"), name, 0);
    }
}

static void step(ag__teller *teller, const ag__tell *s) {
    struct go_trace *t = (struct go_trace *)teller;
    uint64_t *seq = s->p >= 0 ? &teller->story->procs[s->p].seq : NULL;
    switch (s->kind) {
    case AG__TELL_PROC_IDLE:
        EVENT(t, s->thread, s->when, EV_PROC_STATUS, (uint64_t)s->p, PROC_IDLE);
        return;
    case AG__TELL_PROC_START:
        EVENT(t, s->thread, s->when, EV_PROC_START, (uint64_t)s->p, ++*seq);
        return;
    case AG__TELL_PROC_STOP:
        event(t, s->thread, s->when, EV_PROC_STOP, 0, NULL);
        return;
    case AG__TELL_PROC_TAKEN:
        EVENT(t, s->other, s->when, EV_GO_SYSCALL_BEGIN, ++*seq, 0);
        EVENT(t, s->thread, s->when + 1, EV_PROC_STEAL, (uint64_t)s->p, ++*seq,
              (uint64_t)s->other->tid);
        return;
    case AG__TELL_REGION:
    case AG__TELL_REGION_END:
    case AG__TELL_TASK:
    case AG__TELL_TASK_END:
    case AG__TELL_LOG:
        step_user(t, s);
        return;
    default:
        step_go(t, s);
    }
}

/* --- The end. --- */

static void write_strings(struct go_trace *t) {
    struct batch *b = t->batches; /* its bytes are on their way, its room serves */
    unsigned char *bytes = b->bytes;
    size_t n = 0;
    for (size_t i = 0; i < t->strings.room; i++) {
        struct entry *e = &t->strings.all[i];
        if (!e->key)
            continue;
        if (n == 0)
            bytes[n++] = EV_STRINGS;
        size_t length = strlen(e->text);
        bytes[n++] = EV_STRING;
        n += ag__varint(bytes + n, e->id);
        n += ag__varint(bytes + n, length);
        memcpy(bytes + n, e->text, length);
        n += length;
        if (n > BATCH_BYTES - TEXT_BYTES - EVENT_BYTES) {
            write_batch(t->teller.out, (uint64_t)-1, b->last, bytes, n);
            n = 0;
        }
    }
    if (n)
        write_batch(t->teller.out, (uint64_t)-1, b->last, bytes, n);
}

static size_t put_stack(struct go_trace *t, unsigned char *to, uint64_t id, uint64_t pc,
                        const char *func, const struct ag__site *site) {
    size_t n = 0;
    to[n++] = EV_STACK;
    n += ag__varint(to + n, id);
    n += ag__varint(to + n, 1);
    n += ag__varint(to + n, pc);
    n += ag__varint(to + n, string_of(t, func));
    n += ag__varint(to + n, string_of(t, site->file));
    n += ag__varint(to + n, (uint64_t)site->line);
    return n;
}

static void write_stacks(struct go_trace *t) {
    struct batch *b = t->batches;
    unsigned char *bytes = b->bytes;
    size_t n = 0;
    for (size_t i = 0; i < t->sites.room; i++) {
        struct entry *e = &t->sites.all[i];
        if (!e->key)
            continue;
        if (n == 0)
            bytes[n++] = EV_STACKS;
        const struct ag__site *site = (const struct ag__site *)(uintptr_t)e->key;
        n += put_stack(t, bytes + n, e->id, 2 * e->key, site->call, site);
        n += put_stack(t, bytes + n, e->id + 1, 2 * e->key + 1, site->func, site);
        if (n > BATCH_BYTES - 2 * EVENT_BYTES) {
            write_batch(t->teller.out, (uint64_t)-1, b->last, bytes, n);
            n = 0;
        }
    }
    if (n)
        write_batch(t->teller.out, (uint64_t)-1, b->last, bytes, n);
}

static void stop(ag__teller *teller, int64_t when) {
    struct go_trace *t = (struct go_trace *)teller;
    for (struct batch *b = t->batches; b; b = b->next)
        flush(t, b);
    unsigned char frequency[16] = {EV_FREQUENCY};
    write_batch(teller->out, (uint64_t)-1, when, frequency,
                1 + ag__varint(frequency + 1, 1000000000));
    if (t->batches) {
        write_stacks(t);
        write_strings(t);
    }
    while (t->batches) {
        struct batch *b = t->batches;
        t->batches = b->next;
        free(b);
    }
    for (size_t i = 0; i < t->strings.room; i++)
        free(t->strings.all[i].text);
    free(t->strings.all);
    free(t->sites.all);
    free(t);
}

static void head(ag__teller *t) {
    fwrite("go 1.23 trace\0\0\0", 1, 16, t->out);
}

ag__teller *ag__tell_go(FILE *out) {
    struct go_trace *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->teller = (ag__teller){.out = out, .begin = head, .step = step, .stop = stop};
    return &t->teller;
}
