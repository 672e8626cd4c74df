/* SPDX-License-Identifier: MIT */
/*
 * restart.c - the successor: this program anew, with the listening sockets.
 *
 *     we                                     the successor
 *     sockets, two pipes --posix_spawn-->    begins, starts its parts, serves
 *     wait  <---------------- 'R' by "ready" ----|
 *     close our sockets
 *     close "alive" -------- end of file ------->  the sockets are its own
 *     stop (phases 2 to 4)
 *
 * A successor that crashes, exits or closes the pipe gives an end of file instead of the 'R', one
 * that hangs gives nothing within the limit: it is ended, and we go on as if nothing had been.
 * Until our sockets are closed it must not do to them what would stop them for us, so it waits for
 * the end of "alive", which comes as well if we are killed.
 *
 * Which program: the words of this one, and the file by which it was started, taken at the start,
 * because what is at /proc/self/exe is called "… (deleted)" once a new version has been installed.
 * The name in argv[0] counts, not what a link led to, if it leads there: a new version may be
 * another target of the link.
 *
 * Refused: exec in this process, which would end what is under way; a trampoline that sets
 * LISTEN_PID, one more program to find and to go wrong.
 */
#include "svc/svc.h"

#include <aglet/file.h>
#include <aglet/io.h>
#include <aglet/log.h>
#include <aglet/run.h>
#include <aglet/signal.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

#define END_NS (2 * AG_SEC) /* for a failed successor to end by itself, before it is killed */

/* ---- How this program was started ----------------------------------------------------------- */

enum { WORDS_MAX = 4096 };

static char *words_text; /* the words, each ended by a NUL */
static char **words;     /* ended by NULL */
static char *program;

static void split_words(size_t n) {
    size_t count = 0, at = 0;
    words = calloc(WORDS_MAX + 1, sizeof *words);
    while (words && at < n && count < WORDS_MAX) {
        words[count++] = words_text + at;
        at += strlen(words_text + at) + 1;
    }
}

static void read_words(void) {
    char buf[4096];
    size_t n = 0, got;
    FILE *in = fopen("/proc/self/cmdline", "re"), *out = open_memstream(&words_text, &n);
    while (in && out && (got = fread(buf, 1, sizeof buf, in)) > 0)
        fwrite(buf, 1, got, out);
    if (in)
        fclose(in);
    if (out && fclose(out) == 0 && words_text)
        split_words(n);
}

/* A path that stays right when the folder of the process changes. */
static char *absolute(const char *path) {
    char *here = path[0] == '/' ? NULL : realpath(".", NULL), *full = NULL;
    size_t n = strlen(path) + 2 + (here ? strlen(here) : 0);
    if ((path[0] == '/' || here) && (full = malloc(n)) != NULL)
        snprintf(full, n, "%s%s%s", here ? here : "", here ? "/" : "", path);
    free(here);
    return full;
}

void ag__svc_restart_init(void) {
    if (words)
        return;
    read_words();
    char *exe = realpath("/proc/self/exe", NULL);
    const char *name = words && words[0] && strchr(words[0], '/') ? words[0] : NULL;
    char *real = name ? realpath(name, NULL) : NULL;
    if (exe && real && strcmp(exe, real) == 0)
        program = absolute(name);
    if (!program) {
        program = exe;
        exe = NULL;
    }
    free(exe);
    free(real);
}

/* ---- Its environment ------------------------------------------------------------------------ */

static bool is_ours(const char *variable) {
    static const char *const names[] = {"LISTEN_", "WATCHDOG_PID=", "AGLET_LISTEN_FDS=",
                                        "AGLET_LISTEN_FDNAMES=", "AGLET_PREDECESSOR="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

struct successor_env {
    char fds[48], pipes[64];
    char *names;
    const char **all;
};

static int env_make(struct successor_env *env, const ag__svc_handed *h) {
    size_t n = 0, at = 0, size = strlen(h->words) + 32;
    while (environ[n])
        n++;
    env->all = malloc((n + 4) * sizeof *env->all);
    env->names = malloc(size);
    if (!env->all || !env->names) {
        free(env->all);
        free(env->names);
        return -ENOMEM;
    }
    snprintf(env->fds, sizeof env->fds, "AGLET_LISTEN_FDS=%d", h->count);
    snprintf(env->names, size, "AGLET_LISTEN_FDNAMES=%s", h->words);
    snprintf(env->pipes, sizeof env->pipes, "AGLET_PREDECESSOR=%d,%d", 3 + h->count, 4 + h->count);
    for (size_t i = 0; i < n; i++)
        if (!is_ours(environ[i]))
            env->all[at++] = environ[i];
    env->all[at++] = env->fds;
    env->all[at++] = env->names;
    env->all[at++] = env->pipes;
    env->all[at] = NULL;
    return 0;
}

/* ---- Starting it ---------------------------------------------------------------------------- */

static void close_pipe(int ends[2]) {
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            ag_fd_close(ends[i]);
    ends[0] = ends[1] = -1;
}

/* With the descriptors of h, which has room for two more. */
static int spawn_with(const ag__svc *s, ag__svc_handed *h, int ready, int alive, ag_process **ret) {
    struct successor_env env;
    int r = env_make(&env, h);
    if (r != 0)
        return r;
    h->fds[h->count] = ready;
    h->fds[h->count + 1] = alive;
    const char *const *argv = s->opt.argv ? s->opt.argv : (const char *const *)words;
    r = ag_process_start(&(ag_process_opts){.argv = argv,
                                            .path = s->opt.program ? s->opt.program : program,
                                            .env = env.all,
                                            .fds = h->fds,
                                            .fd_count = h->count + 2},
                         ret);
    free(env.all);
    free(env.names);
    return r;
}

static int spawn(const ag__svc *s, int ready[2], int alive[2], ag_process **ret) {
    ag__svc_handed h;
    int r = ag__svc_sockets_collect(&h);
    if (r != 0)
        return r;
    r = ag_pipe(ready);
    if (r == 0)
        r = ag_pipe(alive);
    if (r == 0)
        r = spawn_with(s, &h, ready[1], alive[0], ret);
    if (r == 0) { /* these ends are the child's alone */
        ag_fd_close(ready[1]);
        ag_fd_close(alive[0]);
        ready[1] = alive[0] = -1;
    }
    ag__svc_handed_free(&h);
    return r;
}

/* Waits for its word. Returns: 0, -EPIPE if it will not come, or the error of the wait. */
static int wait_ready(ag__svc *s, int fd) {
    char word = 0;
    ag_ctx_enter(s->restart_ctx);
    ag_within(s->opt.restart_ns);
    ssize_t n = ag_fd_read(fd, &word, 1);
    return n == 1 && word == 'R' ? 0 : n < 0 ? (int)n : -EPIPE;
}

static int wait_end(ag_process *p, ag_time ns, ag_process_status *ret_status) {
    ag_within(ns);
    return ag_process_wait(p, ret_status);
}

/* It has failed: how, and it must be gone. */
static void give_up(ag__svc *s, ag_process *p, int r, ag__svc_outcome *o) {
    ag_process_status status;
    char how[64];
    bool ended = r == -EPIPE && wait_end(p, END_NS, &status) == 0;
    if (ended) {
        ag_process_status_text(&status, how, sizeof how);
        snprintf(o->why, sizeof o->why, "it ended before it was ready: %s", how);
        return;
    }
    if (r == -ETIMEDOUT)
        snprintf(o->why, sizeof o->why, "it was not ready within %.1f s",
                 (double)s->opt.restart_ns / (double)AG_SEC);
    else if (r == -ECANCELED)
        snprintf(o->why, sizeof o->why, "the service stops");
    else
        snprintf(o->why, sizeof o->why, "it closed its end of the pipe");
    ag_process_signal(p, SIGTERM);
    if (wait_end(p, END_NS, &status) == -ETIMEDOUT) {
        ag_process_kill(p);
        ag_process_wait(p, NULL);
    }
}

/* In a goroutine of its own. */
static void start_successor(ag__svc *s) {
    ag__svc_outcome o = {.alive = -1};
    int ready[2] = {-1, -1}, alive[2] = {-1, -1};
    o.error = spawn(s, ready, alive, &o.p);
    if (o.error != 0)
        snprintf(o.why, sizeof o.why, "it can't be started: %s", strerror(-o.error));
    else
        o.error = wait_ready(s, ready[0]);
    if (o.p && o.error != 0)
        give_up(s, o.p, o.error, &o);
    if (o.error == 0) {
        o.alive = alive[1];
        alive[1] = -1;
    }
    close_pipe(ready);
    close_pipe(alive);
    if (o.error != 0) {
        ag_unref(o.p);
        o.p = NULL;
    }
    ag_send(s->outcome, o);
    ag__svc_unref(s);
}

int ag__svc_restart_begin(ag__svc *s) {
    static const ag_go_opts opts = {.name = "successor"};
    bool none = false;
    if (ag_process_pid(NULL) == 1)
        return -EPERM;
    if (atomic_load(&s->state) != AG__SVC_SERVING ||
        !atomic_compare_exchange_strong(&s->successor, &none, true))
        return -EBUSY;
    if (ag_go_with(&opts, start_successor, ag__svc_ref(s)) < 0) {
        atomic_store(&s->successor, false);
        ag__svc_unref(s);
        return -ENOMEM;
    }
    return 0;
}

int ag_svc_restart(void) {
    ag__svc *s = ag__svc_current();
    int r = s ? ag__svc_restart_begin(s) : -ESRCH;
    ag__svc_unref(s);
    return r;
}

/* ---- Being one ------------------------------------------------------------------------------ */

/* Until the predecessor has closed its sockets, or is gone. */
static void wait_for_predecessor(int alive) {
    char byte;
    while (ag_fd_read(alive, &byte, 1) > 0)
        continue;
    ag_fd_close(alive);
    ag__svc_sockets_are_ours();
}

void ag__svc_tell_predecessor(void) {
    static const ag_go_opts opts = {.name = "predecessor"};
    int ready, alive;
    ag__svc_predecessor(&ready, &alive);
    if (alive >= 0 && ag_go_with(&opts, wait_for_predecessor, alive) < 0)
        ag_fd_close(alive);
    if (ready >= 0) {
        (void)ag_fd_write(ready, "R", 1); /* it may be gone */
        ag_fd_close(ready);
    }
}
