/* SPDX-License-Identifier: MIT */
/*
 * cpus.c (Linux) - how many processors this process may use.
 *
 * The least of: the affinity mask; and for every cgroup from the process's own up to the root
 * that is visible, v1 (cpu.cfs_quota_us / cpu.cfs_period_us) and v2 (cpu.max), the quota. A
 * fractional quota is rounded up, but never below 2 while the machine has 2: as Go 1.25 does,
 * because one processor would serialise everything for a fraction. The mount points come from
 * /proc/self/mountinfo, the groups from /proc/self/cgroup.
 */
#include "os/os.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int affinity(void) {
    for (size_t cpus = 1024; cpus <= 65536; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set)
            break;
        size_t size = CPU_ALLOC_SIZE(cpus);
        int r = sched_getaffinity(0, size, set);
        int n = r == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (n > 0)
            return n;
        if (errno != EINVAL)
            break;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

static bool read_numbers(const char *dir, const char *name, char *text, size_t size) {
    char path[8448];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool ok = fgets(text, (int)size, f) != NULL;
    fclose(f);
    return ok;
}

/* The quota of one group, in processors rounded up; 0: none. */
static int quota_of(const char *dir, bool v2) {
    char text[64];
    long long quota = -1, period = 0;
    if (v2) {
        if (!read_numbers(dir, "cpu.max", text, sizeof text) ||
            sscanf(text, "%lld %lld", &quota, &period) != 2)
            return 0;
    } else {
        if (!read_numbers(dir, "cpu.cfs_quota_us", text, sizeof text))
            return 0;
        quota = atoll(text);
        if (!read_numbers(dir, "cpu.cfs_period_us", text, sizeof text))
            return 0;
        period = atoll(text);
    }
    if (quota <= 0 || period <= 0)
        return 0;
    long long n = (quota + period - 1) / period;
    return n > 1000000 ? 0 : (int)n;
}

/* Walks from mount + group up to the mount point, keeping the least quota in *least. */
static void walk(const char *mount, const char *root, const char *group, bool v2, int *least) {
    char dir[8192];
    size_t root_len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (root_len && strncmp(group, root, root_len) == 0)
        group += root_len;
    snprintf(dir, sizeof dir, "%s%s", mount, strcmp(group, "/") == 0 ? "" : group);
    size_t floor = strlen(mount);
    for (;;) {
        int n = quota_of(dir, v2);
        if (n > 0 && n < *least)
            *least = n;
        char *slash = strrchr(dir, '/');
        if (!slash || strlen(dir) <= floor)
            return;
        *slash = 0;
        if (strlen(dir) < floor)
            return;
    }
}

/* Whether `word` is in a list with commas. */
static bool has_word(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *at = list; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
        if (strncmp(at, word, n) == 0 && (at[n] == 0 || at[n] == ','))
            return true;
    return false;
}

/* The mount point of the v2 hierarchy, or of the v1 one with the cpu controller. */
static bool find_mount(bool v2, char *ret_mount, char *ret_root) {
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return false;
    char line[4096], options[1024], type[64];
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) {
        char *dash = strstr(line, " - ");
        if (!dash || sscanf(line, "%*s %*s %*s %1023s %1023s", ret_root, ret_mount) != 2 ||
            sscanf(dash, " - %63s %*s %1023s", type, options) != 2)
            continue;
        if (v2)
            found = strcmp(type, "cgroup2") == 0;
        else if (strcmp(type, "cgroup") == 0)
            found = has_word(options, "cpu");
    }
    fclose(f);
    return found;
}

static bool find_group(bool v2, char *ret_group) {
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return false;
    char line[4096];
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        names++;
        if (v2)
            found = *names == 0;
        else
            found = has_word(names, "cpu");
        if (found)
            snprintf(ret_group, 4096, "%s", path);
    }
    fclose(f);
    return found;
}

int ag__os_cpus(void) {
    int saved = errno;
    int have = affinity(), least = 1 << 20;
    static const bool kinds[] = {false, true};
    for (int i = 0; i < 2; i++) {
        char mount[1024], root[1024], group[4096];
        if (find_mount(kinds[i], mount, root) && find_group(kinds[i], group))
            walk(mount, root, group, kinds[i], &least);
    }
    if (least < 2 && have >= 2)
        least = 2;
    errno = saved;
    return least < have ? least : have;
}
