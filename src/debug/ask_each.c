/* SPDX-License-Identifier: MIT */
/*
 * ask_each.c - every goroutine in a line, without its stack: for pages that show the tree of who
 * started whom, and search in it. It reads records only, as ask_groups.c does.
 *
 *     {"rows": [[id, creator, site, state, wait_ms, "name"], ...],    site, state: numbers below;
 *      "sites": [["call", "by", "file", line], ...],                  the name only if it has one
 *      "states": [["chan receive", true], ...],                       whether that is a wait
 *      "more": 0}
 *
 * In the order of their numbers: those above ?after=, at most ?limit=; `more` is how many follow.
 */
#include "debug/ask.h"
#include "debug/json.h"
#include "sched/sched.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 1000000, STATES = 256 };

struct row {
    int64_t id, creator, since;
    const struct ag__site *site;
    size_t name; /* in names; 0: it has none */
    uint8_t state, reason;
};

struct census {
    int64_t after;
    struct row *rows;
    size_t count, room;
    char *names;
    size_t name_bytes, name_room;
    const struct ag__site **sites; /* sorted */
    size_t site_count;
    bool failed; /* no memory */
    char name[AG__NAME_BYTES];
};

/* --- Collecting. --- */

/* An array with room for `more` elements behind `count`. NULL: no memory, and it is as before. */
static void *room_for(void *array, size_t count, size_t more, size_t *room, size_t element) {
    if (count + more <= *room)
        return array;
    size_t next = 2 * *room + more + 64;
    void *at = realloc(array, next * element);
    if (at)
        *room = next;
    return at;
}

static size_t keep_name(struct census *c) {
    size_t n = strlen(c->name) + 1;
    if (n == 1)
        return 0;
    if (c->name_bytes == 0)
        c->name_bytes = 1;
    char *names = room_for(c->names, c->name_bytes, n, &c->name_room, 1);
    if (!names) {
        c->failed = true;
        return 0;
    }
    c->names = names;
    memcpy(names + c->name_bytes, c->name, n);
    c->name_bytes += n;
    return c->name_bytes - n;
}

/* TSan does not watch: the goroutine may run. */
static AG__NO_SANITIZE bool take(ag__g *g, void *census) {
    struct census *c = census;
    struct row r = {.id = g->id,
                    .creator = g->creator,
                    .site = g->site,
                    .state = (uint8_t)atomic_load_explicit(&g->state, AG__RLX)};
    if (r.state == AG__G_FREE || r.state == AG__G_WISH || r.id <= c->after)
        return true;
    if (r.state == AG__G_WAITING) {
        r.reason = (uint8_t)atomic_load_explicit(&g->reason, AG__RLX);
        r.since = atomic_load_explicit(&g->wait_since, AG__RLX);
    }
    ag__g_name(g, c->name);
    r.name = keep_name(c);
    struct row *rows = room_for(c->rows, c->count, 1, &c->room, sizeof *rows);
    if (!rows) {
        c->failed = true;
        return false;
    }
    c->rows = rows;
    rows[c->count++] = r;
    return true;
}

static int by_id(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_address(const void *a, const void *b) {
    uintptr_t x = (uintptr_t) * (const struct ag__site *const *)a;
    uintptr_t y = (uintptr_t) * (const struct ag__site *const *)b;
    return (x > y) - (x < y);
}

/* The sites of the first n rows, each once. */
static void list_sites(struct census *c, size_t n) {
    c->sites = malloc((n + 1) * sizeof *c->sites);
    if (!c->sites) {
        c->failed = true;
        return;
    }
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (c->rows[i].site && (i == 0 || c->rows[i].site != c->rows[i - 1].site))
            c->sites[count++] = c->rows[i].site;
    if (count)
        qsort(c->sites, count, sizeof *c->sites, by_address);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || c->sites[i] != c->sites[i - 1])
            c->sites[c->site_count++] = c->sites[i];
}

/* --- Writing. --- */

/* -1: it has none. */
static long long site_of(const struct census *c, const struct ag__site *site) {
    const struct ag__site **at =
        site ? bsearch(&site, c->sites, c->site_count, sizeof *c->sites, by_address) : NULL;
    return at ? (long long)(at - c->sites) : -1;
}

static void put_row(FILE *out, const struct census *c, const struct row *r, int64_t now,
                    int *states) {
    int key =
        r->state == AG__G_WAITING ? STATES / 2 + r->reason % (STATES / 2) : r->state % (STATES / 2);
    int64_t waits = r->since && r->since < now ? (now - r->since) / 1000000 : 0;
    if (states[key + 1] == 0)
        states[key + 1] = ++states[0];
    fprintf(out, "[%lld,%lld,%lld,%d,%lld", (long long)r->id, (long long)r->creator,
            site_of(c, r->site), states[key + 1] - 1, (long long)waits);
    if (r->name) {
        fputc(',', out);
        ag__json_text(out, c->names + r->name);
    }
    fputc(']', out);
}

static void put_sites(FILE *out, const struct census *c) {
    for (size_t i = 0; i < c->site_count; i++) {
        fputs(i ? ",\n" : "\n", out);
        ag__json_site(out, c->sites[i]);
    }
}

/* states: how many there are, then for each key its number + 1, or 0. */
static void put_states(FILE *out, const int *states) {
    for (int number = 1; number <= states[0]; number++)
        for (int key = 0; key < STATES; key++) {
            if (states[key + 1] != number)
                continue;
            bool waits = key >= STATES / 2;
            fputs(number > 1 ? ",[" : "[", out);
            ag__json_text(out, waits ? ag__reason_name(key - STATES / 2) : ag__state_name(key));
            fputs(waits ? ",true]" : ",false]", out);
        }
}

static void put_census(FILE *out, const ag__question *q, const struct census *c, size_t n) {
    int states[STATES + 1] = {0};
    int64_t now = ag__os_now();
    fputs("{\"rows\":[", out);
    for (size_t i = 0; i < n && !((i & 1023) == 0 && ag__question_is_given_up(q)); i++) {
        fputs(i ? ",\n" : "\n", out);
        put_row(out, c, &c->rows[i], now, states);
    }
    fputs("],\n\"sites\":[", out);
    put_sites(out, c);
    fputs("],\n\"states\":[", out);
    put_states(out, states);
    fprintf(out, "],\n\"more\":%zu}\n", c->count - n);
}

int ag__ask_each(const ag__question *q, FILE *out) {
    struct census c = {.after = ag__question_number(q, "after", 0)};
    int64_t limit = ag__question_number(q, "limit", LIMIT);
    if (ag__question_is_given_up(q))
        return 0;
    if (limit < 1 || limit > LIMIT || c.after < 0)
        return -EINVAL;
    ag__g_each(take, &c);
    size_t n = c.count < (size_t)limit ? c.count : (size_t)limit;
    if (c.count)
        qsort(c.rows, c.count, sizeof *c.rows, by_id);
    list_sites(&c, n);
    if (!c.failed)
        put_census(out, q, &c, n);
    free(c.rows);
    free(c.names);
    free(c.sites);
    return c.failed ? -ENOMEM : 0;
}
