/* SPDX-License-Identifier: MIT */
/*
 * What survives of a buffered write, by the way in which the program ends.
 *
 * A process writes 1000 bytes into a buffer of 4096, and ends in one of seven ways; then somebody
 * else looks at how many of them are in the file. That the end really comes before the bytes are
 * written is shown by the ends that save nothing; that they can be written, by those that save all.
 */
#include "lab.h"

enum { BYTES = 1000, BUFFER = 4096 };
enum { RETURNS, PANICS, AG_EXITS, EXITS, TERMINATED, ASKED_TO_END, KILLED, ENDINGS };

static long ending;
static const char *path;
static char text[BYTES];

/* ---- The process that ends ---------------------------------------------------------------------
 */

static int end_now(void) {
    ag_ctx *asked;
    switch (ending) {
    case PANICS:
        ag_panic("the end");
    case AG_EXITS:
        ag_exit(0);
    case EXITS:
        exit(0);
    case ASKED_TO_END:
        asked = ag_notify_ctx(NULL, SIGTERM);
        raise(SIGTERM);
        ag_select(AG_DONE(asked));
        ag_unref(asked);
        return 0;
    case TERMINATED:
        return raise(SIGTERM);
    case KILLED:
        return raise(SIGKILL);
    default:
        return 0;
    }
}

static int open_file(void) {
    return open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
}

static int by_stdio(void *arg) {
    FILE *f = fopen(path, "we");
    (void)arg;
    fwrite(text, 1, BYTES, f);
    return end_now();
}

static int without_close(void *arg) {
    static char buf[BUFFER];
    static ag_writer out;
    (void)arg;
    ag_writer_init_fd(&out, open_file(), buf, BUFFER, 0);
    ag_writer_write(&out, text, BYTES);
    return end_now();
}

static int with_deferred_close(void *arg) {
    char buf[BUFFER];
    ag_writer out;
    (void)arg;
    ag_writer_init_fd(&out, open_file(), buf, BUFFER, 0);
    ag_defer(ag_writer_done, &out);
    ag_writer_write(&out, text, BYTES);
    return end_now();
}

static int with_sync(void *arg) {
    static char buf[BUFFER];
    static ag_writer out;
    (void)arg;
    ag_writer_init_fd(&out, open_file(), buf, BUFFER, 0);
    ag_writer_write(&out, text, BYTES);
    return ag_writer_sync(&out) != 0 ? 1 : end_now();
}

/* ---- The one that looks ------------------------------------------------------------------------
 */

static int look(int (*fn)(void *), long n) {
    char file[] = "/tmp/aglet-lab-flush-XXXXXX";
    int fd = mkstemp(file), status;
    if (fd < 0)
        return 1;
    path = file;
    ending = n;
    pid_t pid = fork();
    if (pid == 0) {
        int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(quiet, STDERR_FILENO);
        exit(ag_run(fn, NULL));
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    lab_print("bytes", (double)lseek(fd, 0, SEEK_END));
    close(fd);
    unlink(file);
    return pid < 0;
}

static int stdio_part(long n) {
    return look(by_stdio, n);
}
static int without_part(long n) {
    return look(without_close, n);
}
static int deferred_part(long n) {
    return look(with_deferred_close, n);
}
static int synced_part(long n) {
    return look(with_sync, n);
}

/* ---- The table --------------------------------------------------------------------------------
 */

static struct lab_cell survives(const struct lab_values *v) {
    struct lab_cell cell;
    double bytes = lab_get(v, "bytes");
    if (isnan(bytes))
        snprintf(cell.text, sizeof cell.text, "%s", v->missing[0] ? v->missing : "n/a");
    else if (bytes < 0)
        snprintf(cell.text, sizeof cell.text, "(there is none)");
    else if (bytes == 0)
        snprintf(cell.text, sizeof cell.text, "nothing");
    else if (bytes == BYTES)
        snprintf(cell.text, sizeof cell.text, "all");
    else
        snprintf(cell.text, sizeof cell.text, "%.0f bytes", bytes);
    return cell;
}

static int table(void) {
    static const char *const ends[ENDINGS] = {
        [RETURNS] = "main returns", [PANICS] = "a panic",
        [AG_EXITS] = "ag_exit",     [EXITS] = "exit (Go: os.Exit)",
        [TERMINATED] = "SIGTERM",   [ASKED_TO_END] = "SIGTERM that ends a context",
        [KILLED] = "SIGKILL",
    };
    bool missing = false;
    lab_begin(
        "What survives of 1000 bytes that were written into a buffer, when the program ends by",
        "the end", "FILE *", "ag_writer, no close", "ag_writer, deferred close",
        "after ag_writer_sync", "Go here, deferred Flush");
    for (long i = 0; i < ENDINGS; i++) {
        struct lab_values by_stdio = lab_self("stdio", i), without = lab_self("without", i);
        struct lab_values deferred = lab_self("deferred", i), synced = lab_self("synced", i);
        struct lab_values go = lab_go("deferred", i);
        lab_row(ends[i], survives(&by_stdio).text, survives(&without).text,
                survives(&deferred).text, survives(&synced).text, survives(&go).text);
        missing |= isnan(lab_get(&deferred, "bytes"));
    }
    lab_end("A deferred close runs whenever the block is left: by a return, a panic, ag_exit. exit "
            "saves what stdio holds\nand runs no deferred call; a signal that nobody takes saves "
            "nothing. What must not be lost is synced before\nit is acknowledged.");
    return missing;
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"stdio", stdio_part},
                                            {"without", without_part},
                                            {"deferred", deferred_part},
                                            {"synced", synced_part},
                                            {NULL, NULL}};
    static const struct lab lab = {"flush", "what survives of a buffered write when a program ends",
                                   parts, table};
    memset(text, 'x', sizeof text);
    return lab_main(argc, argv, &lab);
}
