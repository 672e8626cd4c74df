/* SPDX-License-Identifier: MIT */
/*
 * The command line: one table, from which it is read, checked and explained.
 */
#include "desk.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BAD_USAGE = 2 };

enum kind { TEXT, NUMBER, SWITCH_OFF };

static const struct option {
    const char *name, *value, *help;
    enum kind kind;
    size_t at; /* in struct options */
    int min, max;
} table[] = {
#define AT(member) offsetof(struct options, member)
    {"--addr", "HOST:PORT", "where to listen (127.0.0.1:8080, or AGLET_ORDERS_ADDR)", TEXT,
     AT(addr), 0, 0},
    {"--db", "FILE", "the database (orders.db in this directory)", TEXT, AT(db), 0, 0},
    {"--workers", "N", "how many ship orders at a time (4)", NUMBER, AT(workers), 1, 1000},
    {"--queue", "N", "orders that may wait for a worker; more are answered 503 (1024)", NUMBER,
     AT(queue), 1, 1000000},
    {"--max-requests", "N", "requests at a time; more are answered 503 (256)", NUMBER,
     AT(max_requests), 1, 100000},
    {"--timeout-ms", "N", "for a request, in all (5000)", NUMBER, AT(timeout_ms), 1, 600000},
    {"--carrier-ms", "N", "how long the simulated carrier takes for an order (20)", NUMBER,
     AT(carrier_ms), 0, 600000},
    {"--grace-ms", "N", "from a signal, when /readyz turns 503, to the end of listening (0)",
     NUMBER, AT(grace_ms), 0, 600000},
    {"--drain-ms", "N", "for open requests, then for the queue, when stopping (5000)", NUMBER,
     AT(drain_ms), 1, 600000},
    {"--no-log", NULL, "no line for each request", SWITCH_OFF, AT(log), 0, 0},
#undef AT
};

enum { OPTIONS = sizeof table / sizeof *table };

static void print_help(void) {
    printf("usage: orders [OPTION...]\n\n"
           "An order desk over HTTP, on an SQLite file, written with aglet.\n\n");
    for (int i = 0; i < OPTIONS; i++)
        printf("  %-14s %-9s  %s\n", table[i].name, table[i].value ? table[i].value : "",
               table[i].help);
    printf("  %-14s %-9s  this\n\n", "--help", "");
    printf("SIGTERM and SIGINT stop it gracefully, a second one at once; SIGQUIT prints all\n"
           "goroutines.\n");
}

static const struct option *find(const char *name, size_t n) {
    for (int i = 0; i < OPTIONS; i++)
        if (strlen(table[i].name) == n && strncmp(table[i].name, name, n) == 0)
            return &table[i];
    return NULL;
}

static bool set_number(const struct option *o, int *place, const char *value) {
    char *end;
    errno = 0;
    long n = strtol(value, &end, 10);
    if (end == value || *end || errno || n < o->min || n > o->max) {
        fprintf(stderr, "orders: %s wants a number from %d to %d, not \"%s\"\n", o->name, o->min,
                o->max, value);
        return false;
    }
    *place = (int)n;
    return true;
}

static bool set(const struct option *o, struct options *options, const char *value) {
    void *place = (char *)options + o->at;
    switch (o->kind) {
    case SWITCH_OFF:
        *(bool *)place = false;
        return true;
    case NUMBER:
        return set_number(o, place, value);
    case TEXT:
        if (!*value) {
            fprintf(stderr, "orders: %s wants %s\n", o->name, o->value);
            return false;
        }
        *(const char **)place = value;
        return true;
    }
    return false;
}

/* `--name value` and `--name=value`. Returns: how many arguments it took, 0 if it is wrong. */
static int read_one(struct options *options, char **argv, int left) {
    const char *name = argv[0], *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const struct option *o = find(name, n);
    if (!o) {
        fprintf(stderr, "orders: there is no option %s; try --help\n", name);
        return 0;
    }
    bool has_value = o->kind != SWITCH_OFF, next = has_value && !equals;
    if ((!has_value && equals) || (next && left < 2)) {
        fprintf(stderr, "orders: %s wants %s\n", o->name, o->value ? o->value : "no value");
        return 0;
    }
    if (!set(o, options, equals ? equals + 1 : next ? argv[1] : ""))
        return 0;
    return 1 + next;
}

int options_read(struct options *ret_options, int argc, char **argv) {
    const char *addr = getenv("AGLET_ORDERS_ADDR");
    struct options options = {
        .addr = addr && *addr ? addr : "127.0.0.1:8080",
        .db = "orders.db",
        .workers = 4,
        .queue = 1024,
        .max_requests = 256,
        .timeout_ms = 5000,
        .carrier_ms = 20,
        .drain_ms = 5000,
        .log = true,
    };
    for (int i = 1, taken; i < argc; i += taken) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return 0;
        }
        taken = read_one(&options, argv + i, argc - i);
        if (taken == 0)
            return BAD_USAGE;
    }
    *ret_options = options;
    return -1;
}
