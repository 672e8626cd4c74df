/* SPDX-License-Identifier: MIT */
/*
 * stage.h - what bugs.c and legal.c share: programs by name, in which main goes on for ever while
 * others do what they are about. run.py starts them, reads what is reported, and ends them.
 */
#ifndef STAGE_H
#define STAGE_H

#include <aglet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct program {
    const char *name;
    void (*play)(void);
};

#define PROGRAM(name)                                                                              \
    { #name, name }

static const struct program *chosen;

/* Prints a dot every 20 ms: run.py counts them. It ends when nobody reads them. */
static int stage(void *arg) {
    (void)arg;
    chosen->play();
    for (;;) {
        ag_sleep(20 * AG_MS);
        if (putchar('.') == EOF || fflush(stdout) == EOF)
            return 0;
    }
}

static int play(int argc, char **argv, const struct program *all, size_t count) {
    for (size_t i = 0; i < count && argc < 2; i++)
        puts(all[i].name);
    for (size_t i = 0; i < count && argc == 2; i++)
        if (strcmp(all[i].name, argv[1]) == 0)
            chosen = &all[i];
    return argc < 2 ? 0 : !chosen ? 2 : ag_run(stage, NULL);
}

/* Waits until somebody else has come as far. */
static inline void meet(ag_wg *both) {
    ag_wg_done(both);
    ag_wg_wait(both);
}

/* Waits until goroutine `id` waits for that, as a dump words it. */
static inline void until_waits_for(int64_t id, const char *words) {
    for (bool does = false; !does; ag_sleep(AG_MS)) {
        char *text = NULL, state[64];
        size_t size;
        FILE *out = open_memstream(&text, &size);
        if (!out)
            abort();
        ag_dump_goroutine(out, id);
        fclose(out);
        snprintf(state, sizeof state, "[%s", words);
        does = strstr(text, state) != NULL;
        free(text);
    }
}

#endif
