/* SPDX-License-Identifier: MIT */
/*
 * dump_view.h - what the files of the text dump share.
 *
 *     dump_look.c     goroutines  ->  views: what each was like at one moment
 *     dump_wait.c     what it waits for, and who could end that
 *     look.c          stacks that are not running (look.h)
 *     dump_frame.c    addresses   ->  names and lines, each looked up once
 *     dump_print.c    one entry a goroutine
 *     dump_group.c    one entry for all that stand at the same place
 *     dump_out.c      stderr without the C library's lock, and with bounded patience
 *     dump.c          the functions that programs call, and the hooks of the floors below
 *     dump_crash.c    the last words of a process that a signal ends
 *
 * A dump first copies all it needs into memory of its own, then prints at leisure.
 */
#ifndef AG_DUMP_VIEW_H
#define AG_DUMP_VIEW_H

#include "ctx/ctx.h"
#include "debug/dump_text.h"
#include "io/io.h"
#include "lang/lang.h"
#include "os/unwind.h"
#include "sched/sched.h"
#include "sync/sync.h"
#include <stdio.h>

enum { AG__FRAMES = 64, AG__DEFERS = 16, AG__FRAME_TEXT = 1024 };

/* A deferred call that is pending. */
typedef struct ag__pending {
    ag__fn fn;
    const struct ag__site *site;
} ag__pending;

/* Where a goroutine stands and what it will call on its way out. Equal ones are one object. */
typedef struct ag__trail {
    struct ag__trail *link; /* in its bucket */
    uint64_t hash;
    int frames, pending;
    uintptr_t words[]; /* the frames' addresses, then fn and site of each pending call */
} ag__trail;

enum { AG__HOLDER_NONE = 0, AG__HOLDER_THREAD = -1 };

/* What a goroutine waits for. */
typedef struct ag__wait {
    int reason;
    const void *object;
    int64_t holder; /* the goroutine that has it, or AG__HOLDER_* */
    int64_t size, taken;
    int fd, events;    /* of a wait for a descriptor; fd -1: unknown */
    const char *about; /* what that is; NULL: unknown */
    union {            /* as much of it as the reason has */
        ag__nest_info nest;
        ag__chan_info chan;
        ag__select_info select;
    };
} ag__wait;

/* A goroutine as it stood at one moment. */
typedef struct ag__view {
    int64_t id, creator, nest_id;
    int64_t since, ends_at; /* ends_at 0: never */
    int64_t timer;          /* when its own timer wakes it; 0: it has none */
    const struct ag__site *site;
    const void *object;     /* what it waits for; NULL: nothing that has an address */
    const void *group;      /* the wait group it was started into; NULL */
    const ag__trail *trail; /* NULL: its stack can't be seen */
    const ag__wait *wait;   /* NULL: nothing is known */
    const char *name, *labels;
    size_t stack_bytes, stack_used; /* 0: unknown */
    uint8_t state, reason;
    bool is_self, is_bound; /* to its thread */
} ag__view;

/* That two views have to do with each other. */
typedef struct ag__edge {
    uintptr_t key;
    uint32_t kind, view;
} ag__edge;
enum { AG__EDGE_SENDS, AG__EDGE_RECEIVES, AG__EDGE_WAITS, AG__EDGE_GROUP, AG__EDGE_NEST };

/* What is kept once. */
enum { AG__TRAIL_BUCKETS = 1024, AG__FRAME_SLOTS = 4096 };
typedef struct ag__dump_tables {
    ag__trail *trails[AG__TRAIL_BUCKETS];
    struct ag__frame_slot {
        uintptr_t pc;
        bool is_return;
        const char *text; /* NULL: the slot is free */
    } frames[AG__FRAME_SLOTS];
} ag__dump_tables;
struct ag__arena;

/* What there is no memory for is left out; one goroutine can always be shown. */
typedef struct ag__dump {
    int64_t now, only; /* only: a goroutine's number; 0: all */
    ag__g *self;       /* the goroutine that dumps; NULL: a thread that is none */
    ag__view *views;   /* sorted by number, once all are there */
    size_t count, room;
    ag__edge *edges; /* sorted */
    size_t edge_count, edge_room;
    struct ag__arena *arena;
    bool only_first; /* looking for `only`, not at the others yet */
    bool no_memory;  /* something was left out */
    uintptr_t self_pcs[AG__FRAMES];
    int self_frames;
    ag__dump_tables *tables; /* NULL: no memory, as what follows */
    unsigned char *stack;
    ag__view one; /* where there is no room for more */
} ag__dump;

/* dump_look.c */
void ag__dump_begin(ag__dump *d);
/* Looks at all goroutines; at the stack of `only` alone, unless that is 0. */
void ag__dump_collect(ag__dump *d, int64_t only);
void ag__dump_end(ag__dump *d);
const ag__view *ag__dump_find(const ag__dump *d, int64_t id);
/* Memory until the dump ends; NULL: there is none, which is noted. */
void *ag__dump_take(ag__dump *d, size_t bytes);

/* dump_wait.c */
/* What g waits for; the caller makes sure that it does so all the time. NULL: unknown. */
const ag__wait *ag__wait_look(ag__dump *d, ag__g *g, int reason, const void *object);
/* Whether what it waits for is its own, even where the object is not. */
bool ag__wait_is_own(const ag__view *v);
/* "channel 0x… (…)", without an end of the line. */
void ag__wait_print(FILE *out, const ag__dump *d, const ag__view *v);
void ag__dump_link(ag__dump *d); /* makes the edges */
/* The edges of this key: *ret_first, and how many. */
size_t ag__dump_edges(const ag__dump *d, int kind, uintptr_t key, const ag__edge **ret_first);

/* dump_frame.c */
/* "function(...)\n\tfile:line +0x12\n", or "" for one of ours, unless `always`. Signal handlers
 * may. */
void ag__frame_text(ag__text *t, uintptr_t pc, bool is_return, bool always);
/* Of a return address, or one that ag__frames_shown has left. d may be NULL. */
void ag__frame_print(FILE *out, ag__dump *d, uintptr_t pc);
/* Leaves those that are printed; returns how many. Ways through the runtime differ from time to
 * time for one and the same wait. */
int ag__frames_shown(ag__dump *d, uintptr_t *pcs, int n, bool is_self);
/* The function of a deferred call; NULL: it is one of ours. */
const char *ag__pending_name(const ag__pending *p);

/* dump_print.c */
void ag__view_print(FILE *out, ag__dump *d, const ag__view *v);
void ag__trail_print(FILE *out, ag__dump *d, const ag__trail *trail);
void ag__labels_print(FILE *out, const char *labels);

/* dump_group.c */
void ag__groups_print(FILE *out, ag__dump *d);

/* dump_out.c */
/* Prints to a stream of its own to stderr, which waits no longer than some seconds for a reader;
 * without memory to stderr itself. */
void ag__dump_to_stderr(void (*print)(FILE *out));

/* dump_crash.c */
void ag__crash(const ag__os_fault *f, bool overflow);

#endif
