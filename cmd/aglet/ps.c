/* SPDX-License-Identifier: MIT */
/*
 * ps.c - `aglet ps`: the programs that can be asked, one line each; and clears away the sockets
 * that killed programs have left.
 *
 * Programs are looked for among the processes, not among the sockets: so one without a socket is
 * told of, too, with the reason why it can't be asked.
 */
#include "peer.h"
#include "tool.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int by_number(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return x < y ? -1 : x > y;
}

/* All processes of this user, of everybody for root; to be freed. */
static long *all_processes(size_t *ret_count) {
    DIR *proc = opendir("/proc");
    long *all = NULL;
    size_t count = 0, room = 0;
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        long pid = isdigit((unsigned char)entry->d_name[0]) ? strtol(entry->d_name, NULL, 10) : 0;
        long user = pid > 0 ? peer_status(pid, "\nUid:") : -1;
        if (user < 0 || (geteuid() != 0 && (uid_t)user != geteuid()))
            continue;
        if (count == room) {
            room = room ? room * 2 : 256;
            long *more = realloc(all, room * sizeof *all);
            if (!more)
                break;
            all = more;
        }
        all[count++] = pid;
    }
    if (proc)
        closedir(proc);
    if (count > 0)
        qsort(all, count, sizeof *all, by_number);
    *ret_count = count;
    return all;
}

static void print_uptime(double s) {
    char text[32] = "-";
    if (s >= 86400)
        snprintf(text, sizeof text, "%.0fd%02.0fh", s / 86400 - 0.5,
                 (double)((long)s % 86400 / 3600));
    else if (s >= 3600)
        snprintf(text, sizeof text, "%ldh%02ldm", (long)s / 3600, (long)s % 3600 / 60);
    else if (s >= 60)
        snprintf(text, sizeof text, "%ldm%02lds", (long)s / 60, (long)s % 60);
    else if (s >= 0)
        snprintf(text, sizeof text, "%.1fs", s);
    printf(" %8s", text);
}

/* Prints the line of this process if it is an aglet program. */
static bool print_one(long pid, bool is_first) {
    char path[128], command[200];
    struct peer_answer answer;
    bool has_socket = peer_socket(pid, path, 108);
    char *stats = has_socket ? peer_text(pid, "/debug/stats", 2, &answer) : NULL;
    if (!stats && !peer_is_aglet(pid))
        return false;
    if (is_first)
        printf("%7s %10s %7s %8s  %s\n", "PID", "GOROUTINES", "THREADS", "UPTIME", "COMMAND");
    printf("%7ld", pid);
    if (stats)
        printf(" %10lld", (long long)peer_json(stats, "goroutines"));
    else
        printf(" %10s", has_socket ? "silent" : "no socket");
    printf(" %7ld", peer_status(pid, "\nThreads:"));
    print_uptime(peer_uptime(pid));
    peer_command(pid, command, sizeof command);
    printf("  %s\n", command);
    free(stats);
    return true;
}

/* --- Clearing away. --- */

/* Whether nobody listens there, and nobody is about to. */
static bool is_stale(const char *folder, const char *name) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char *end;
    long pid = strtol(name, &end, 10);
    int n = snprintf(at.sun_path, sizeof at.sun_path, "%s/%s", folder, name);
    bool is_new = strcmp(end, ".sock~") == 0; /* one that is being opened has this name */
    if (pid <= 0 || (strcmp(end, ".sock") != 0 && !is_new) || (size_t)n >= sizeof at.sun_path ||
        (is_new && (kill((pid_t)pid, 0) == 0 || errno != ESRCH)))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused =
        fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return refused;
}

static void clear(const char *folder) {
    char path[4096];
    DIR *d = opendir(folder);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (is_stale(folder, entry->d_name))
            unlink(path);
    }
    if (d)
        closedir(d);
}

static void clear_all(void) {
    char folder[2048];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && runtime[0] == '/') {
        snprintf(folder, sizeof folder, "%.2000s/aglet", runtime);
        clear(folder);
    }
    snprintf(folder, sizeof folder, "/run/user/%ld/aglet", (long)geteuid());
    clear(folder);
    snprintf(folder, sizeof folder, "/tmp/aglet-%ld", (long)geteuid());
    clear(folder);
}

int tool_ps(int argc, char **argv) {
    if (argc > 1) {
        fprintf(stderr, "aglet %s: it takes no arguments\n", argv[0]);
        return TOOL_USAGE;
    }
    size_t count;
    long *all = all_processes(&count);
    bool is_first = true;
    for (size_t i = 0; i < count; i++)
        is_first &= !print_one(all[i], is_first);
    free(all);
    if (is_first)
        fprintf(stderr, "aglet: no aglet program of this user is running\n");
    clear_all();
    return TOOL_OK;
}
