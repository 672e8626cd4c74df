/* SPDX-License-Identifier: MIT */
/*
 * What the conformance tests share: waiting for a condition instead of sleeping for luck, and
 * running a test of the same program as a child to look at how
 * it ended and what it printed.
 */
#ifndef CONFORMANCE_COMMON_H
#define CONFORMANCE_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ag_test.h"
#include "waits.h"
#include <aglet.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static inline int names_in(const char *folder) {
    DIR *d = opendir(folder);
    int n = -2; /* . and .. */
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* How another run of this program ended. */
struct child {
    int status;         /* exit status; 128 + n: killed by signal n */
    size_t size;        /* of text */
    char text[1 << 18]; /* what it wrote on stderr */
};

/* Runs the test `name` of this program as a child process. Call it outside of the runtime. */
static inline void run_child(struct child *child, const char *name) {
    char self[4096], *argv[32],
        *words = strdup(getenv("AG_TEST_EXEC") ? getenv("AG_TEST_EXEC") : "");
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    ag_check(length > 0);
    self[length] = 0;
    int argc = 0, status, ends[2];
    for (char *rest = words, *word; argc < 28 && (word = strtok_r(rest, " ", &rest));)
        argv[argc++] = word;
    argv[argc++] = self;
    argv[argc++] = (char *)"--run";
    argv[argc++] = (char *)name;
    argv[argc] = NULL;
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_adddup2(&files, ends[1], 2);
    pid_t pid;
    ag_check_int(posix_spawnp(&pid, argv[0], &files, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    child->size = 0;
    for (ssize_t n = 1; n > 0 && child->size < sizeof child->text - 1; child->size += (size_t)n)
        if ((n = read(ends[0], child->text + child->size, sizeof child->text - 1 - child->size)) <
            0)
            n = 0;
    child->text[child->size] = 0;
    close(ends[0]);
    ag_check_int(waitpid(pid, &status, 0), pid);
    child->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    free(words);
}

#endif
