/* SPDX-License-Identifier: MIT */
/*
 * ask_groups.c - the state of all goroutines and processors in a few lines, cheap enough to be
 * asked for every second: how many goroutines of each creation site are in which state, and what
 * lies in the queues. It reads records and unwinds no stack: 100,000 goroutines take some
 * milliseconds.
 *
 * Nobody is stopped. A record that is given to another goroutine while it is read is counted in one
 * of its two groups, or in one that mixes them; sums are what they were at some moment near.
 */
#include "debug/ask.h"
#include "debug/json.h"
#include "sched/sched.h"
#include <errno.h>
#include <stdlib.h>

/* --- Groups. --- */

struct group {
    const struct ag__site *site; /* NULL in a free place of the table */
    int state, reason;
    int64_t count;
    int64_t since; /* how long the one that waits longest does; 0: none waits */
    int64_t example;
};

struct table {
    struct group *groups; /* open addressing, at most half full */
    size_t room, used;
    bool is_full; /* no memory: further groups are left out */
};

static const struct ag__site no_site = {"?", "?", "?", 0, 0};

static struct group *place_of(struct group *groups, size_t room, const struct ag__site *site,
                              int state, int reason) {
    size_t at = ((uintptr_t)site >> 3) * 31 + (size_t)state * 7 + (size_t)reason;
    for (;; at++) {
        struct group *g = &groups[at & (room - 1)];
        if (!g->site || (g->site == site && g->state == state && g->reason == reason))
            return g;
    }
}

static bool grow(struct table *t) {
    size_t room = t->room ? t->room * 2 : 128;
    struct group *groups = calloc(room, sizeof *groups);
    if (!groups)
        return false;
    for (size_t i = 0; i < t->room; i++)
        if (t->groups[i].site)
            *place_of(groups, room, t->groups[i].site, t->groups[i].state, t->groups[i].reason) =
                t->groups[i];
    free(t->groups);
    t->groups = groups;
    t->room = room;
    return true;
}

/* TSan does not watch: the goroutine may run. */
static AG__NO_SANITIZE bool count_in(ag__g *g, void *table) {
    struct table *t = table;
    int state = atomic_load_explicit(&g->state, AG__RLX);
    int64_t id = g->id;
    if (state == AG__G_FREE || state == AG__G_WISH || id <= 0)
        return true;
    if (t->used * 2 >= t->room && !grow(t)) {
        t->is_full = true;
        return false;
    }
    bool waits = state == AG__G_WAITING;
    int reason = waits ? atomic_load_explicit(&g->reason, AG__RLX) : 0;
    const struct ag__site *site = g->site ? g->site : &no_site;
    struct group *group = place_of(t->groups, t->room, site, state, reason);
    if (!group->site) {
        *group = (struct group){.site = site, .state = state, .reason = reason};
        t->used++;
    }
    int64_t since = waits ? atomic_load_explicit(&g->wait_since, AG__RLX) : 0;
    if (group->count++ == 0 || (since && since < group->since)) {
        group->since = since;
        group->example = id;
    }
    return true;
}

static int by_count(const void *a, const void *b) {
    const struct group *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->example < y->example ? -1 : x->example > y->example;
}

static void print_group(FILE *out, const struct group *g, int64_t now) {
    bool waits = g->state == AG__G_WAITING;
    fprintf(out, "{\"count\": %lld, \"state\": ", (long long)g->count);
    ag__json_text(out, ag__doing_name(g->state, g->reason));
    fprintf(out, ", \"waits\": %s, \"call\": ", waits ? "true" : "false");
    ag__json_text(out, g->site->call);
    fprintf(out, ", \"by\": ");
    ag__json_text(out, g->site->func);
    fprintf(out, ", \"file\": ");
    ag__json_text(out, g->site->file);
    int64_t longest = g->since && now > g->since ? now - g->since : 0;
    fprintf(out, ", \"line\": %d, \"longest_ns\": %lld, \"example\": %lld}", g->site->line,
            (long long)longest, (long long)g->example);
}

int ag__ask_groups(const ag__question *q, FILE *out) {
    (void)q;
    struct table t = {0};
    if (!grow(&t))
        return -ENOMEM;
    ag__g_each(count_in, &t);
    if (t.is_full) {
        free(t.groups);
        return -ENOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < t.room; i++)
        if (t.groups[i].site)
            t.groups[n++] = t.groups[i];
    qsort(t.groups, n, sizeof *t.groups, by_count);
    int64_t now = ag__os_now();
    for (size_t i = 0; i < n; i++) {
        fputs(i ? ",\n " : "[", out);
        print_group(out, &t.groups[i], now);
    }
    fputs(n ? "]\n" : "[]\n", out);
    free(t.groups);
    return 0;
}

/* --- Processors. --- */

static AG__NO_SANITIZE int64_t running_on(const ag__p *p) {
    ag__m *m = atomic_load_explicit(&p->m, memory_order_acquire);
    ag__g *g = m ? __atomic_load_n(&m->g, __ATOMIC_RELAXED) : NULL; /* both are never freed */
    return g ? g->id : 0;
}

int ag__ask_procs(const ag__question *q, FILE *out) {
    (void)q;
    const struct ag__sched *s = &ag__sched;
    int n = atomic_load(&s->running) ? atomic_load(&s->p_count) : 0;
    int made = atomic_load(&s->p_made);
    fprintf(out, "{\"queued\": %u, \"idle\": %u, \"searching\": %u, \"procs\": [",
            n ? atomic_load(&s->queue_count) : 0, n ? atomic_load(&s->idle_count) : 0,
            n ? atomic_load(&s->searching) : 0);
    for (int i = 0; i < n && i < made; i++) {
        const ag__p *p = s->p_all[i];
        uint32_t queued =
            atomic_load_explicit(&p->tail, AG__RLX) - atomic_load_explicit(&p->head, AG__RLX);
        queued += atomic_load_explicit(&p->next, AG__RLX) != NULL;
        fprintf(out,
                "%s\n  {\"index\": %d, \"queued\": %u, \"runs\": %u, \"stolen\": %lld, "
                "\"goroutine\": %lld}",
                i ? "," : "", i, queued, atomic_load_explicit(&p->tick, AG__RLX),
                (long long)atomic_load_explicit(&p->stolen, AG__RLX), (long long)running_on(p));
    }
    fputs("]}\n", out);
    return 0;
}
