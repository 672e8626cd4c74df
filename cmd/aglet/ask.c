/* SPDX-License-Identifier: MIT */
/*
 * ask.c - the words that ask a running program one thing: dump, get, metrics, pprof, trace.
 *
 * Text goes to stdout. A profile or a trace is for another program, so it goes into a file, whose
 * name and reader are told; the file is there only once it is whole.
 */
#include "peer.h"
#include "tool.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long a program may take for what it has: a dump of a million goroutines begins at once. */
enum { PATIENCE_S = 20 };

int tool_dump(int argc, char **argv) {
    long pid, id = 0;
    char target[64] = "/debug/goroutines", *end = NULL;
    if (!peer_number(argv[0], argc > 1 ? argv[1] : NULL, &pid))
        return TOOL_USAGE;
    if (argc > 2)
        id = strtol(argv[2], &end, 10);
    if (argc > 3 || (argc > 2 && (end == argv[2] || *end || id <= 0))) {
        fprintf(stderr,
                "aglet dump: after the process comes the number of a goroutine, or nothing\n");
        return TOOL_USAGE;
    }
    if (argc > 2)
        snprintf(target, sizeof target, "/debug/goroutines?id=%ld", id);
    return peer_ask(pid, target, PATIENCE_S, stdout);
}

int tool_get(int argc, char **argv) {
    long pid;
    if (!peer_number(argv[0], argc > 1 ? argv[1] : NULL, &pid))
        return TOOL_USAGE;
    if (argc > 3 || (argc > 2 && argv[2][0] != '/')) {
        fprintf(stderr, "aglet get: after the process comes a path, /debug/… with its query\n");
        return TOOL_USAGE;
    }
    const char *target = argc > 2 ? argv[2] : "/debug/list";
    const char *seconds = strstr(target, "seconds=");
    double patience = PATIENCE_S + (seconds ? strtod(seconds + 8, NULL) : 30);
    return peer_ask(pid, target, patience, stdout);
}

int tool_metrics(int argc, char **argv) {
    long pid;
    if (!peer_number(argv[0], argc > 1 ? argv[1] : NULL, &pid) || argc > 2)
        return TOOL_USAGE;
    return peer_ask(pid, "/debug/metrics", PATIENCE_S, stdout);
}

/* --- Into a file. --- */

struct options {
    const char *file;
    long seconds; /* 0: not given */
    bool as_text;
};

/* Takes the options out of the words behind `from`. Returns whether there were no others. */
static bool take_options(int argc, char **argv, int from, struct options *ret) {
    *ret = (struct options){0};
    for (int i = from; i < argc; i++) {
        char *end = NULL;
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--text") == 0) {
            ret->as_text = true;
        } else if (strcmp(argv[i], "-o") == 0 && has_value) {
            ret->file = argv[++i];
        } else if (strcmp(argv[i], "--seconds") == 0 && has_value) {
            ret->seconds = strtol(argv[++i], &end, 10);
            if (end == argv[i] || *end || ret->seconds <= 0 || ret->seconds > 86400) {
                fprintf(stderr, "aglet %s: --seconds is a whole number, 1 to 86400\n", argv[0]);
                return false;
            }
        } else {
            fprintf(stderr, "aglet %s: '%s' is not understood; `aglet help` tells the arguments\n",
                    argv[0], argv[i]);
            return false;
        }
    }
    return true;
}

/* The answer under a name of its own until it is whole. */
static int ask_into(long pid, const char *target, double patience_s, const char *file) {
    char part[4200];
    if ((size_t)snprintf(part, sizeof part, "%s.part", file) >= sizeof part) {
        fprintf(stderr, "aglet: the name of the file is too long\n");
        return TOOL_FAILED;
    }
    FILE *out = fopen(part, "we");
    if (!out) {
        fprintf(stderr, "aglet: can't write %s: %s\n", part, strerror(errno));
        return TOOL_FAILED;
    }
    int status = peer_ask(pid, target, patience_s, out);
    bool closed = fclose(out) == 0;
    if (status == TOOL_OK && (!closed || rename(part, file) != 0)) {
        fprintf(stderr, "aglet: can't write %s: %s\n", file, strerror(errno));
        status = TOOL_FAILED;
    }
    if (status != TOOL_OK)
        unlink(part);
    return status;
}

static int ask_for_file(long pid, const char *target, const struct options *o, double usual_s,
                        const char *usual_file, const char *reader) {
    double patience = (o->seconds > 0 ? (double)o->seconds : usual_s) + PATIENCE_S;
    const char *file = o->file ? o->file : usual_file;
    if (strcmp(file, "-") == 0)
        return peer_ask(pid, target, patience, stdout);
    int status = ask_into(pid, target, patience, file);
    if (status == TOOL_OK)
        fprintf(stderr, "%s; %s %s shows it\n", file, reader, file);
    return status;
}

int tool_pprof(int argc, char **argv) {
    long pid;
    struct options o;
    char target[256], file[128];
    if (!peer_number(argv[0], argc > 1 ? argv[1] : NULL, &pid))
        return TOOL_USAGE;
    const char *name = argc > 2 ? argv[2] : "";
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz") != strlen(name) || !name[0] ||
        strlen(name) > 40) {
        fprintf(stderr, "aglet pprof: which profile? `aglet get %ld` lists /debug/pprof/NAME\n",
                pid);
        return TOOL_USAGE;
    }
    if (!take_options(argc, argv, 3, &o))
        return TOOL_USAGE;
    int n = snprintf(target, sizeof target, "/debug/pprof/%s", name);
    char sign = '?';
    if (o.seconds > 0) {
        n += snprintf(target + n, sizeof target - (size_t)n, "?seconds=%ld", o.seconds);
        sign = '&';
    }
    if (o.as_text) {
        snprintf(target + n, sizeof target - (size_t)n, "%cdebug=1", sign);
        o.file = o.file ? o.file : "-";
    }
    snprintf(file, sizeof file, "%ld.%s.pb.gz", pid, name);
    return ask_for_file(pid, target, &o, 30, file, "go tool pprof");
}

int tool_trace(int argc, char **argv) {
    long pid;
    struct options o;
    char target[64], file[64];
    if (!peer_number(argv[0], argc > 1 ? argv[1] : NULL, &pid) || !take_options(argc, argv, 2, &o))
        return TOOL_USAGE;
    snprintf(target, sizeof target, "/debug/pprof/trace");
    if (o.seconds > 0)
        snprintf(target, sizeof target, "/debug/pprof/trace?seconds=%ld", o.seconds);
    snprintf(file, sizeof file, "%ld.trace", pid);
    return ask_for_file(pid, target, &o, 1, file, "go tool trace");
}
