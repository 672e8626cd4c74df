/* SPDX-License-Identifier: MIT */
/*
 * lab.h - what the lab programs share. A lab repeats an experiment that an article on Go describes
 * and prints one table: what the article says, what Go does here, what aglet does here.
 *
 * Every measurement is a process of its own, so that none warms, fills or limits another's memory:
 * a lab starts itself again with `--part NAME NUMBER` for aglet's side, and builds and runs
 * go/LAB/main.go for Go's. Both print lines `name value`, which become cells of the table; what
 * could not be measured is shown with the reason, never left out.
 *
 *     lab-NAME              the table
 *     lab-NAME --quick      the same with less work
 *     lab-NAME --full       the same with more: minutes, gigabytes
 *     lab-NAME --about      one line: what it shows
 */
#ifndef LAB_H
#define LAB_H

#include <aglet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAB_VALUES = 32, LAB_ROWS = 16, LAB_COLUMNS = 6, LAB_TEXT = 96 };
/* What hangs is given up: a measurement, a build of Go's standard library for the first time. */
enum { LAB_LIMIT_S = 120, LAB_BUILD_LIMIT_S = 600 };

/** What a measurement printed; or why there is nothing. */
struct lab_values {
    int count;
    struct {
        char name[40];
        double value;
    } at[LAB_VALUES];
    char missing[LAB_TEXT]; /* "" if it ran */
};

/** One measurement of aglet's side, run in a process of its own with a number. */
struct lab_part {
    const char *name;
    int (*fn)(long n);
};

/** A lab; `table` measures and prints. */
struct lab {
    const char *name, *about;
    const struct lab_part *parts; /* ends with a NULL name */
    int (*table)(void);
};

/** A cell; a struct so that it can be returned. */
struct lab_cell {
    char text[LAB_TEXT];
};

static const struct lab *lab_self_lab;
static bool lab_quick, lab_full;
static char lab_tmp[PATH_MAX];        /* the built Go program lives here */
static char lab_go_program[PATH_MAX]; /* "" until built */
static char lab_go_missing[LAB_TEXT]; /* why it could not be */
static char lab_rows[LAB_ROWS][LAB_COLUMNS][LAB_TEXT];
static int lab_row_count, lab_column_count;

/* ---- The table --------------------------------------------------------------------------------
 */

/** Begins a table with a title and its column heads. */
#define lab_begin(title, ...)                                                                      \
    lab_begin_with(title, sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *),            \
                   (const char *[]){__VA_ARGS__})
/** Adds a row: as many texts as there are columns. */
#define lab_row(...) lab_row_with((const char *[LAB_COLUMNS]){__VA_ARGS__})

static inline void lab_row_with(const char *const *texts) {
    for (int c = 0; c < lab_column_count && lab_row_count < LAB_ROWS; c++)
        snprintf(lab_rows[lab_row_count][c], LAB_TEXT, "%s", texts[c] ? texts[c] : "");
    lab_row_count++;
}

static inline void lab_begin_with(const char *title, size_t columns, const char *const *heads) {
    lab_column_count = columns < LAB_COLUMNS ? (int)columns : LAB_COLUMNS;
    lab_row_count = 0;
    printf("%s\n\n", title);
    const char *texts[LAB_COLUMNS] = {0};
    memcpy(texts, heads, (size_t)lab_column_count * sizeof *texts);
    lab_row_with(texts);
}

/** Prints the table and what it means. */
static inline void lab_end(const char *meaning) {
    int width[LAB_COLUMNS] = {0};
    for (int r = 0; r < lab_row_count; r++)
        for (int c = 0; c < lab_column_count; c++)
            if ((int)strlen(lab_rows[r][c]) > width[c])
                width[c] = (int)strlen(lab_rows[r][c]);
    for (int r = 0; r < lab_row_count; r++) {
        for (int c = 0; c < lab_column_count; c++)
            printf("%s%-*s", c ? " | " : "", c + 1 < lab_column_count ? width[c] : 0,
                   lab_rows[r][c]);
        printf("\n");
        for (int c = 0; r == 0 && c < lab_column_count; c++)
            printf("%s%.*s%s", c ? "-|-" : "", width[c],
                   "----------------------------------------------------------------------------",
                   c + 1 < lab_column_count ? "" : "\n");
    }
    printf("\n%s\n", meaning);
}

/** The value, NAN if it is not there. */
static inline double lab_get(const struct lab_values *v, const char *name) {
    for (int i = 0; i < v->count; i++)
        if (strcmp(v->at[i].name, name) == 0)
            return v->at[i].value;
    return NAN;
}

/** value * scale by a printf format for one double. */
static inline __attribute__((format(printf, 4, 0))) struct lab_cell
lab_scaled(const struct lab_values *v, const char *name, double scale, const char *fmt) {
    struct lab_cell cell;
    double value = lab_get(v, name);
    if (isnan(value))
        snprintf(cell.text, sizeof cell.text, "%s", v->missing[0] ? v->missing : "n/a");
    else
        snprintf(cell.text, sizeof cell.text, fmt, value * scale);
    return cell;
}

#define lab_cell(v, name, fmt) lab_scaled(v, name, 1.0, fmt).text

/* ---- Running measurements ---------------------------------------------------------------------
 */

/** Prints one value of a part. */
static inline void lab_print(const char *name, double value) {
    printf("%s %.6f\n", name, value);
    fflush(stdout);
}

static inline void lab_parse(struct lab_values *v, char *text) {
    char *rest, *line = strtok_r(text, "\n", &rest);
    for (; line && v->count < LAB_VALUES; line = strtok_r(NULL, "\n", &rest))
        if (sscanf(line, "%39s %lf", v->at[v->count].name, &v->at[v->count].value) == 2)
            v->count++;
}

/* Reads to the end or the time limit. Returns: false if time was up. */
static inline bool lab_read_all(int fd, char *text, size_t size, int limit_s) {
    size_t n = 0;
    for (ag_time end = ag_now() + limit_s * AG_SEC;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int left = (int)((end - ag_now()) / AG_MS);
        int ready = left <= 0 ? 0 : poll(&p, 1, left);
        ssize_t got = ready > 0 ? read(fd, text + n, size - 1 - n) : 0;
        if ((ready < 0 || got < 0) && errno == EINTR)
            continue;
        if (got <= 0) {
            text[n] = '\0';
            return ready > 0;
        }
        n += (size_t)got;
    }
}

/** Runs a program, in a folder if one is given, and keeps what it prints, up to a size; with
 * `errors`, also what it writes on stderr.
 * Returns: its status as of waitpid; -1 with the reason in `missing` if there is none. */
static inline int lab_run_text(const char *folder, char *const argv[], bool errors, char *text,
                               size_t size, char missing[LAB_TEXT]) {
    const int limit_s = folder ? LAB_BUILD_LIMIT_S : LAB_LIMIT_S;
    int pipe_fd[2], status = 0;
    missing[0] = text[0] = '\0';
    if (pipe(pipe_fd) != 0) {
        snprintf(missing, LAB_TEXT, "no pipe");
        return -1;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_fd[1], STDOUT_FILENO);
        if (errors)
            dup2(pipe_fd[1], STDERR_FILENO);
        close(pipe_fd[0]);
        close(pipe_fd[1]);
        if (folder && chdir(folder) != 0)
            _exit(126);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(pipe_fd[1]);
    bool ended = pid > 0 && lab_read_all(pipe_fd[0], text, size, limit_s);
    close(pipe_fd[0]);
    if (pid > 0 && !ended)
        kill(pid, SIGKILL);
    if (pid > 0)
        waitpid(pid, &status, 0);
    if (pid < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 127))
        snprintf(missing, LAB_TEXT, "not installed");
    else if (!ended)
        snprintf(missing, LAB_TEXT, "longer than %d s", limit_s);
    return missing[0] ? -1 : status;
}

/** Runs a program, or a build in a folder if one is given, and reads the values it prints. */
static inline struct lab_values lab_run(const char *folder, char *const argv[]) {
    struct lab_values v = {.count = 0};
    static char text[16384];
    int status = lab_run_text(folder, argv, false, text, sizeof text, v.missing);
    if (status > 0)
        snprintf(v.missing, sizeof v.missing, "failed, status %#x", (unsigned)status);
    else if (status == 0)
        lab_parse(&v, text);
    return v;
}

/** Runs a part of this lab in a process of its own. */
static inline struct lab_values lab_self(const char *part, long n) {
    char number[24];
    snprintf(number, sizeof number, "%ld", n);
    return lab_run(NULL, (char *[]){"/proc/self/exe", "--part", (char *)part, number, NULL});
}

/* ---- Go ---------------------------------------------------------------------------------------
 */

/* Writes a path. Returns: false if it is too long. */
static inline __attribute__((format(printf, 2, 3))) bool lab_path(char *ret_path, const char *fmt,
                                                                  ...) {
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(ret_path, PATH_MAX, fmt, args);
    va_end(args);
    return n >= 0 && n < PATH_MAX;
}

/* Where the Go programs are: named by the environment, installed, or beside this header. */
static inline bool lab_go_folder(char *ret_path) {
    const char *named = getenv("AGLET_LAB_GO");
    char exe[PATH_MAX], file[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    char *end = strrchr(exe, '/');
    int here = (int)(strlen(__FILE__) - strlen("/lab.h"));
    if (named)
        return lab_path(ret_path, "%s", named);
    if (end && lab_path(ret_path, "%.*s/../../share/aglet/lab/go", (int)(end - exe), exe) &&
        lab_path(file, "%s/go.mod", ret_path) && access(file, R_OK) == 0)
        return true;
    return lab_path(ret_path, "%.*s/go", here, __FILE__) && lab_path(file, "%s/go.mod", ret_path) &&
           access(file, R_OK) == 0;
}

static inline void lab_clean_up(void) {
    if (lab_go_program[0])
        unlink(lab_go_program);
    if (lab_tmp[0])
        rmdir(lab_tmp);
}

static inline void lab_go_build(void) {
    char folder[PATH_MAX], package[PATH_MAX];
    const char *tmp = getenv("TMPDIR");
    if (!lab_go_folder(folder)) {
        snprintf(lab_go_missing, LAB_TEXT, "no source");
        return;
    }
    if (!lab_path(lab_tmp, "%s/aglet-lab-XXXXXX", tmp && tmp[0] ? tmp : "/tmp") ||
        !mkdtemp(lab_tmp)) {
        lab_tmp[0] = '\0';
        snprintf(lab_go_missing, LAB_TEXT, "no temporary folder");
        return;
    }
    atexit(lab_clean_up);
    setenv("GOTOOLCHAIN", "local", 0);
    setenv("GOWORK", "off", 0);
    struct lab_values built = {.missing = "no temporary folder"};
    /* One that needs other people's packages is a module of its own. */
    bool own =
        lab_path(package, "%s/%s/go.mod", folder, lab_self_lab->name) && access(package, R_OK) == 0;
    if (lab_path(package, "%s/%s", own ? folder : ".", lab_self_lab->name) &&
        lab_path(lab_go_program, "%s/%s", lab_tmp, lab_self_lab->name))
        built = lab_run(own ? package : folder,
                        (char *[]){"go", "build", "-o", lab_go_program, own ? "." : package, NULL});
    if (built.missing[0]) {
        bool none = strcmp(built.missing, "not installed") == 0;
        snprintf(lab_go_missing, LAB_TEXT, "%s", none ? "not installed" : "did not build");
    }
}

/** Builds Go's side once; false with the reason in lab_go_missing. */
static inline bool lab_go_ready(void) {
    if (!lab_tmp[0] && !lab_go_missing[0])
        lab_go_build();
    return !lab_go_missing[0];
}

/** Runs a part of Go's side. */
static inline struct lab_values lab_go(const char *part, long n) {
    char number[24];
    if (!lab_go_ready()) {
        struct lab_values v = {.count = 0};
        memcpy(v.missing, lab_go_missing, sizeof v.missing);
        return v;
    }
    snprintf(number, sizeof number, "%ld", n);
    return lab_run(NULL, (char *[]){lab_go_program, (char *)part, number, NULL});
}

/* ---- For the parts ----------------------------------------------------------------------------
 */

/** A field of a /proc file with lines `Name: N`; 0 if it is not there. */
static inline double lab_proc(const char *file, const char *field) {
    char line[256];
    double value = 0;
    FILE *f = fopen(file, "r");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
            value = atof(line + strlen(field) + 1);
    fclose(f);
    return value;
}

/** The resident set and the page tables of this process, in bytes. */
static inline double lab_memory(void) {
    return 1024 * (lab_proc("/proc/self/status", "VmRSS") + lab_proc("/proc/self/status", "VmPTE"));
}

/** How many threads this process has. */
static inline double lab_threads(void) {
    return lab_proc("/proc/self/status", "Threads");
}

/** How much to do: a little, what ten seconds allow, or all. */
static inline long lab_much(long quick, long normal, long full) {
    return lab_quick ? quick : lab_full ? full : normal;
}

/** main of a lab. */
static inline int lab_main(int argc, char **argv, const struct lab *lab) {
    lab_self_lab = lab;
    if (argc == 2 && strcmp(argv[1], "--about") == 0)
        return printf("%s\n", lab->about) < 0;
    if (argc == 4 && strcmp(argv[1], "--part") == 0)
        for (const struct lab_part *p = lab->parts; p->name; p++)
            if (strcmp(p->name, argv[2]) == 0)
                return p->fn(atol(argv[3]));
    lab_quick = argc == 2 && strcmp(argv[1], "--quick") == 0;
    lab_full = argc == 2 && strcmp(argv[1], "--full") == 0;
    if (argc > 1 && !lab_quick && !lab_full) {
        fprintf(stderr, "usage: lab-%s [--quick | --full | --about]\n", lab->name);
        return 2;
    }
    return lab->table();
}

#endif
