/* SPDX-License-Identifier: MIT */
/*
 * process.c (Linux) - what the system counts of this process: proc(5), getrusage, getrlimit.
 *
 * The time of the start is in clock ticks since boot, and the time of that in whole seconds; both
 * are constant, and so is their sum.
 */
#include "os/os.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Fields 20, 22, 23 and 24 of stat: behind the name, which may hold anything, and its bracket. */
static void read_stat(ag__os_process *p, int64_t *ret_start_ticks) {
    char text[1024];
    long long threads, start, bytes, pages;
    FILE *f = fopen("/proc/self/stat", "re");
    if (!f)
        return;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    const char *rest = strrchr(text, ')');
    if (rest && sscanf(rest + 1,
                       " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %lld "
                       "%*d %lld %lld %lld",
                       &threads, &start, &bytes, &pages) == 4) {
        p->threads = threads;
        p->virtual_bytes = bytes;
        p->resident = pages * (int64_t)ag__os_page();
        *ret_start_ticks = start;
    }
}

static int64_t boot_seconds(void) {
    char line[256];
    long long seconds = -1;
    FILE *f = fopen("/proc/stat", "re");
    if (!f)
        return -1;
    while (seconds < 0 && fgets(line, sizeof line, f))
        if (sscanf(line, "btime %lld", &seconds) != 1)
            seconds = -1;
    fclose(f);
    return seconds;
}

/* Without the one that is open for the count. */
static int64_t count_fds(void) {
    int64_t n = -1;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return -1;
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int64_t limit_of(int what) {
    struct rlimit l;
    return getrlimit((__rlimit_resource_t)what, &l) != 0 || l.rlim_cur == RLIM_INFINITY
               ? -1
               : (int64_t)l.rlim_cur;
}

static double seconds_of(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

void ag__os_process_read(ag__os_process *ret_process) {
    int saved = errno;
    struct rusage used;
    int64_t start = -1, boot = boot_seconds();
    ag__os_process p = {-1, -1, -1, -1, -1, -1, -1, -1};
    if (getrusage(RUSAGE_SELF, &used) == 0)
        p.cpu_seconds = seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
    read_stat(&p, &start);
    if (start >= 0 && boot >= 0)
        p.start_seconds = (double)boot + (double)start / (double)sysconf(_SC_CLK_TCK);
    p.fds = count_fds();
    p.fds_max = limit_of(RLIMIT_NOFILE);
    p.virtual_max = limit_of(RLIMIT_AS);
    *ret_process = p;
    errno = saved;
}
