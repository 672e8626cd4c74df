/* SPDX-License-Identifier: MIT */
/*
 * lab.c - `aglet lab`: lists the labs; `aglet lab NAME`: becomes one of them.
 *
 * A lab is a program `lab-NAME` beside this one, or in ../libexec/aglet once installed. There is
 * no list to keep: what is found there is a lab, and says itself what it shows (`--about`).
 */
#include "tool.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char prefix[] = "lab-";
/* Where labs are, seen from the folder of this program. */
static const char *const places[] = {".", "../libexec/aglet"};
enum { PLACES = sizeof places / sizeof *places, LABS_MAX = 100, PATH_BYTES = PATH_MAX + 64 };

/* The folder of this program. Returns: false if it isn't known. */
static int own_folder(char folder[PATH_MAX]) {
    ssize_t n = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (n <= 0)
        return 0;
    folder[n] = '\0';
    char *slash = strrchr(folder, '/');
    if (!slash)
        return 0;
    *slash = '\0';
    return 1;
}

/* Is it a lab? Not a folder or a note that happens to have such a name. */
static int is_lab(const struct dirent *entry) {
    const char *name = entry->d_name;
    return strncmp(name, prefix, strlen(prefix)) == 0 && name[strlen(prefix)] != '\0' &&
           !strchr(name, '.') && strlen(name) < 64;
}

/* Asks a lab what it shows and prints that; "" if it doesn't say. */
static void print_about(const char *program) {
    int ends[2];
    char about[256] = "";
    if (pipe(ends) != 0)
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl(program, program, "--about", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *answer = fdopen(ends[0], "r");
    if (!answer || !fgets(about, sizeof about, answer))
        about[0] = '\0';
    if (answer)
        fclose(answer);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    about[strcspn(about, "\n")] = '\0';
    printf("%s\n", about);
}

static int list(const char *folder) {
    int found = 0;
    for (int place = 0; place < PLACES; place++) {
        char path[PATH_BYTES];
        struct dirent **entries;
        snprintf(path, sizeof path, "%s/%s", folder, places[place]);
        int n = scandir(path, &entries, is_lab, alphasort);
        for (int i = 0; i < n; i++) {
            char program[PATH_BYTES + 80];
            snprintf(program, sizeof program, "%s/%.64s", path, entries[i]->d_name);
            if (access(program, X_OK) == 0 && found++ < LABS_MAX) {
                printf("    %-14s ", entries[i]->d_name + strlen(prefix));
                print_about(program);
            }
            free(entries[i]);
        }
        if (n >= 0)
            free(entries);
    }
    if (found == 0)
        fprintf(stderr, "aglet: there are no labs beside %s/aglet\n", folder);
    return found > 0 ? TOOL_OK : TOOL_FAILED;
}

int tool_lab(int argc, char **argv) {
    char folder[PATH_MAX];
    if (!own_folder(folder)) {
        fprintf(stderr, "aglet: can't tell where the labs are\n");
        return TOOL_FAILED;
    }
    if (argc < 2)
        return list(folder);
    const char *name = argv[1];
    for (int place = 0; place < PLACES && !strchr(name, '/') && strlen(name) < 60; place++) {
        char program[PATH_BYTES + 80];
        snprintf(program, sizeof program, "%s/%s/%s%.60s", folder, places[place], prefix, name);
        argv[1] = program;
        execv(program, argv + 1);
    }
    fprintf(stderr, "aglet: there is no lab '%s'; `aglet lab` lists them\n", name);
    return TOOL_USAGE;
}
