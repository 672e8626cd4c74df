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

enum kind { TEXT, NUMBER };

static const struct option {
    const char *name, *value, *help;
    enum kind kind;
    size_t at; /* in struct options */
    int min, max;
} table[] = {
#define AT(member) offsetof(struct options, member)
    {"--addr", "HOST:PORT", "where to listen (127.0.0.1:8080, or AGLET_ORDERS_ADDR)", TEXT,
     AT(addr), 0, 0},
    {"--cert", "FILE", "TLS: the certificate and those that have signed it, PEM", TEXT, AT(cert), 0,
     0},
    {"--key", "FILE", "its key", TEXT, AT(key), 0, 0},
    {"--client-ca", "FILE", "take orders only from who has a certificate signed by one of these",
     TEXT, AT(client_ca), 0, 0},
    {"--db", "FILE", "the database (orders.db in this directory)", TEXT, AT(db), 0, 0},
    {"--workers", "N", "how many ship orders at a time (4)", NUMBER, AT(workers), 1, 1000},
    {"--queue", "N", "orders that may wait for a worker; more are answered 503 (1024)", NUMBER,
     AT(queue), 1, 1000000},
    {"--max-requests", "N", "requests at a time; more are answered 503 (256)", NUMBER,
     AT(max_requests), 1, 100000},
    {"--timeout-ms", "N", "for a request, in all (5000)", NUMBER, AT(timeout_ms), 1, 600000},
    {"--carrier-ms", "N", "how long the simulated carrier takes for an order (20)", NUMBER,
     AT(carrier_ms), 0, 600000},
    {"--drain-ms", "N", "when stopping, for what is queued, then for what the carriers have (5000)",
     NUMBER, AT(drain_ms), 0, 600000},
#undef AT
};

enum { OPTIONS = sizeof table / sizeof *table };

static void print_help(void) {
    printf("usage: orders [OPTION...]\n\n"
           "An order desk over HTTP, on an SQLite file, written with aglet.\n\n");
    for (int i = 0; i < OPTIONS; i++)
        printf("  %-14s %-9s  %s\n", table[i].name, table[i].value, table[i].help);
    printf("  %-14s %-9s  this\n\n", "--help", "");
    printf(
        "SIGTERM and SIGINT stop it gracefully, a second one at once; SIGUSR2 restarts it and\n"
        "SIGHUP reads the certificates again; SIGQUIT prints all goroutines. AGLET_STOP_MS,\n"
        "AGLET_STOP_DELAY_MS, AGLET_RESTART_MS: how long a stop, the time before it in which\n"
        "/readyz says so, and a restart may take. AGLET_LOG_LEVEL=4: warnings and errors only.\n");
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
    if (o->kind == NUMBER)
        return set_number(o, place, value);
    if (!*value) {
        fprintf(stderr, "orders: %s wants %s\n", o->name, o->value);
        return false;
    }
    *(const char **)place = value;
    return true;
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
    if (!equals && left < 2) {
        fprintf(stderr, "orders: %s wants %s\n", name, o->value);
        return 0;
    }
    if (!set(o, options, equals ? equals + 1 : argv[1]))
        return 0;
    return equals ? 1 : 2;
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
        .successor = getenv("AGLET_PREDECESSOR") != NULL, /* docs/guide/service.md, A restart */
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
    if (!options.cert != !options.key || (options.client_ca && !options.cert)) {
        fprintf(stderr, "orders: --cert and --key belong together, and --client-ca to both\n");
        return BAD_USAGE;
    }
    *ret_options = options;
    return -1;
}
