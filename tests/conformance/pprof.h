/* SPDX-License-Identifier: MIT */
/*
 * What `go tool pprof` says about a profile, written or asked for.
 */
#ifndef CONFORMANCE_PPROF_H
#define CONFORMANCE_PPROF_H

#include "common.h"

#include "answer.h"

/* Where the program is: asked for once, for `go tool` looks at much each time. */
static char pprof_program[4096];

/* Skips where there is no Go, or it can't run its tools. */
static inline void needs_go(void) {
    FILE *in = popen("go tool -n pprof 2>/dev/null", "r");
    if (!in || !fgets(pprof_program, sizeof pprof_program, in))
        *pprof_program = 0;
    if (in)
        pclose(in);
    pprof_program[strcspn(pprof_program, "\n")] = 0;
    if (access(pprof_program, X_OK) != 0)
        ag_skip("go tool pprof is not installed");
}

/* Skips where a thread can't have a timer of its own, which the CPU profile needs. */
static inline void needs_thread_timers(void) {
    if (ag_test_under("valgrind") || ag_test_under("qemu"))
        ag_skip("timers of single threads");
}

/* A file that does not exist yet. */
static inline char *new_path(void) {
    char *path = NULL;
    const char *folder = getenv("TMPDIR");
    ag_check(asprintf(&path, "%s/aglet-profile-XXXXXX", folder ? folder : "/tmp") > 0);
    int fd = mkstemp(path);
    ag_check(fd >= 0);
    close(fd);
    return path;
}

/* Writes this profile to a new file. */
static inline char *profile_of(const char *name) {
    char *path = new_path();
    FILE *out = fopen(path, "w");
    ag_check_int(ag_profile_write(name, out), 0);
    ag_check_int(fclose(out), 0);
    return path;
}

static inline void forget(char *path) {
    unlink(path);
    free(path);
}

/* What pprof prints with these options; free it. Fails when pprof does. */
static inline char *pprof(const char *path, const char *options) {
    char command[8192], *text = NULL;
    size_t size = 0;
    snprintf(command, sizeof command, "'%s' -symbolize=none %s '%s' 2>&1", pprof_program, options,
             path);
    FILE *in = popen(command, "r"), *out = open_memstream(&text, &size);
    ag_check(in && out);
    for (int c; (c = fgetc(in)) != EOF;)
        fputc(c, out);
    fclose(out);
    int status = pclose(in);
    if (status != 0)
        ag_fail("%s: status %d\n%s", command, status, text);
    return text;
}

/* What the answer says as pprof reads it, with these options; or, without, as it is. */
static inline char *asked(const char *target, const char *options) {
    struct answer a = {0};
    ag_check_int(ask_within(&a, target), 0);
    if (!options)
        return a.text;
    ag_check_int(a.status, 200);
    ag_check_str(a.type, "application/octet-stream");
    char *path = new_path();
    FILE *out = fopen(path, "w");
    ag_check_int(fwrite(a.text, 1, a.size, out), a.size);
    ag_check_int(fclose(out), 0);
    free(a.text);
    char *text = pprof(path, options);
    forget(path);
    return text;
}

/* A column of the line `flat flat% sum% cum cum%  function` of -top; 0: there is none. */
static inline double pprof_value(const char *text, const char *function, int column) {
    char line[1024];
    for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
        char *rest = NULL, *words[6];
        int n = 0;
        for (char *word = strtok_r(line, " ", &rest); word && n < 6;
             word = strtok_r(NULL, " ", &rest))
            words[n++] = word;
        if (n == 6 && !strtok_r(NULL, " ", &rest) && strcmp(words[5], function) == 0)
            return strtod(words[column], NULL);
    }
    return 0;
}
static inline double pprof_flat(const char *text, const char *function) {
    return pprof_value(text, function, 0);
}
static inline double pprof_cum(const char *text, const char *function) {
    return pprof_value(text, function, 3);
}

#endif
