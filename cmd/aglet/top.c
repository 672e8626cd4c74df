/* SPDX-License-Identifier: MIT */
/*
 * top.c - `aglet top PID`: what a running program's goroutines do, again every second.
 *
 * It asks for counters, groups and processors, never for a dump: looking must not cost more than
 * what is looked at. Rates are differences of counters over the time between two looks by the
 * program's own clock. On a terminal the screen is drawn over itself and keys work (q, p, s);
 * elsewhere one block is printed for each look, and with --once only one.
 */
#include "peer.h"
#include "tool.h"
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { GROUPS_MAX = 500, PROCS_MAX = 64, PATIENCE_S = 10 };

struct row {
    long long count, longest_ns;
    char state[40], call[60], where[120];
};

struct look {
    long long now_ns, goroutines, created, threads, procs, handed_on, stolen, polls, stack_bytes;
    long long queued, idle;
    long long proc_queued[PROCS_MAX], proc_runs[PROCS_MAX];
    int proc_count, row_count, rows_left_out;
    struct row rows[GROUPS_MAX];
};

/* --- Looking. --- */

/* "NAME": "text" behind `at`, without what it is quoted with. */
static void text_of(const char *at, const char *name, char *text, size_t size) {
    char key[40];
    snprintf(key, sizeof key, "\"%s\": \"", name);
    const char *from = strstr(at, key);
    size_t n = 0;
    for (from = from ? from + strlen(key) : ""; *from && *from != '"' && n + 1 < size; from++) {
        if (*from == '\\' && from[1])
            from++;
        text[n++] = *from;
    }
    text[n] = 0;
}

static void read_groups(char *text, struct look *l) {
    char *rest = NULL;
    l->row_count = l->rows_left_out = 0;
    for (char *at = strtok_r(text, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest)) {
        if (!strchr(at, '{'))
            continue;
        if (l->row_count == GROUPS_MAX) {
            l->rows_left_out++;
            continue;
        }
        struct row *row = &l->rows[l->row_count++];
        char file[80];
        row->count = peer_json(at, "count");
        row->longest_ns = peer_json(at, "longest_ns");
        text_of(at, "state", row->state, sizeof row->state);
        text_of(at, "call", row->call, sizeof row->call);
        text_of(at, "file", file, sizeof file);
        const char *name = strrchr(file, '/');
        snprintf(row->where, sizeof row->where, "%s:%lld", name ? name + 1 : file,
                 (long long)peer_json(at, "line"));
    }
}

static void read_procs(const char *text, struct look *l) {
    l->queued = peer_json(text, "queued");
    l->idle = peer_json(text, "idle");
    l->proc_count = 0;
    for (const char *at = text; (at = strstr(at, "{\"index\"")) != NULL; at++) {
        if (l->proc_count == PROCS_MAX)
            break;
        l->proc_queued[l->proc_count] = peer_json(at, "queued");
        l->proc_runs[l->proc_count++] = peer_json(at, "runs");
    }
}

static void read_stats(const char *text, struct look *l) {
    l->now_ns = peer_json(text, "now_ns");
    l->goroutines = peer_json(text, "goroutines");
    l->created = peer_json(text, "created");
    l->threads = peer_json(text, "threads");
    l->procs = peer_json(text, "procs");
    l->handed_on = peer_json(text, "handed_on");
    l->stolen = peer_json(text, "stolen");
    l->polls = peer_json(text, "polls");
    l->stack_bytes = peer_json(text, "stack_bytes");
}

static bool look_at(long pid, struct look *l, struct peer_answer *ret_answer) {
    static const char *const targets[] = {"/debug/stats", "/debug/procs", "/debug/groups"};
    for (int i = 0; i < 3; i++) {
        char *text = peer_text(pid, targets[i], PATIENCE_S, ret_answer);
        if (!text)
            return false;
        if (i == 0)
            read_stats(text, l);
        else if (i == 1)
            read_procs(text, l);
        else
            read_groups(text, l);
        free(text);
    }
    return true;
}

/* --- Showing. --- */

enum { BY_COUNT, BY_WAIT, BY_STATE, ORDERS };
static const char *const order_names[] = {"count", "longest wait", "state"};
static int order;

static int compare(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    long long d = 0;
    if (order == BY_WAIT)
        d = y->longest_ns - x->longest_ns;
    else if (order == BY_STATE)
        d = strcmp(x->state, y->state);
    if (d == 0)
        d = y->count - x->count;
    return d < 0 ? -1 : d > 0;
}

static void print_time(char *text, size_t size, long long ns) {
    double s = (double)ns / 1e9;
    if (ns <= 0)
        snprintf(text, size, "-");
    else if (s < 1)
        snprintf(text, size, "%.0fms", s * 1000);
    else if (s < 120)
        snprintf(text, size, "%.1fs", s);
    else if (s < 7200)
        snprintf(text, size, "%.0fm", s / 60);
    else
        snprintf(text, size, "%.1fh", s / 3600);
}

/* Counters of 32 bits come round. */
static double rate(long long now, long long before, double seconds) {
    long long d = now - before;
    return seconds > 0 && d > 0 ? (double)d / seconds : 0;
}

struct screen {
    int lines, columns; /* 0: no limit */
    const char *end;    /* of each line */
    int used;
};

__attribute__((format(printf, 2, 3))) static void show(struct screen *s, const char *format, ...) {
    char text[512];
    va_list args;
    if (s->lines > 0 && s->used >= s->lines - 1)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int width = s->columns > 0 ? s->columns : (int)sizeof text;
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?'; /* what could steer a terminal */
    printf("%.*s%s", width, text, s->end);
    s->used++;
}

static void show_procs(struct screen *s, const struct look *l, const struct look *before,
                       double seconds) {
    char text[400] = "";
    size_t n = 0;
    for (int i = 0; i < l->proc_count && n < sizeof text - 40; i++) {
        uint32_t runs = (uint32_t)l->proc_runs[i] - (uint32_t)before->proc_runs[i];
        if (i >= before->proc_count)
            runs = 0;
        n += (size_t)snprintf(text + n, sizeof text - n, "  P%d %lld (%.0f/s)", i,
                              l->proc_queued[i], seconds > 0 ? runs / seconds : 0);
    }
    show(s, "queues (runs)  global %lld%s", l->queued, text);
}

static void show_all(struct screen *s, long pid, const char *command, struct look *l,
                     const struct look *before) {
    double seconds = before->now_ns > 0 ? (double)(l->now_ns - before->now_ns) / 1e9 : 0;
    show(s, "process %ld  %s", pid, command);
    show(s,
         "goroutines %lld  threads %lld  processors %lld, %lld idle  stacks %.1f MiB of address "
         "space",
         l->goroutines, l->threads, l->procs, l->idle, (double)l->stack_bytes / 1048576);
    if (seconds > 0)
        show(s, "per second     started %.0f  stolen %.0f  handed on %.0f  polls %.0f",
             rate(l->created, before->created, seconds), rate(l->stolen, before->stolen, seconds),
             rate(l->handed_on, before->handed_on, seconds),
             rate(l->polls, before->polls, seconds));
    show_procs(s, l, before, seconds);
    show(s, "%s", "");
    show(s, "%9s %8s  %-22s %-28s %s", "COUNT", "LONGEST", "STATE", "FUNCTION", "STARTED AT");
    qsort(l->rows, (size_t)l->row_count, sizeof *l->rows, compare);
    for (int i = 0; i < l->row_count; i++) {
        char longest[32];
        print_time(longest, sizeof longest, l->rows[i].longest_ns);
        show(s, "%9lld %8s  %-22.22s %-28.28s %s", l->rows[i].count, longest, l->rows[i].state,
             l->rows[i].call, l->rows[i].where);
    }
    if (l->rows_left_out > 0)
        show(s, "and %d more groups", l->rows_left_out);
}

/* --- The terminal. --- */

static struct termios terminal_before;
static volatile sig_atomic_t stopped;

static void on_signal(int sig) {
    (void)sig;
    stopped = 1;
}

static void terminal_restore(void) {
    static const char text[] = "\033[?25h\033[?1049l";
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
    (void)!write(STDOUT_FILENO, text, sizeof text - 1);
}

/* Returns whether keys and screen are there. */
static bool terminal_begin(void) {
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
        tcgetattr(STDIN_FILENO, &terminal_before) != 0)
        return false;
    struct termios keys = terminal_before;
    keys.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &keys);
    fputs("\033[?1049h\033[?25l", stdout);
    return true;
}

static struct screen screen_of(bool is_terminal) {
    struct winsize size;
    if (!is_terminal)
        return (struct screen){0, 0, "\n", 0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0)
        return (struct screen){24, 80, "\033[K\r\n", 0};
    return (struct screen){size.ws_row, size.ws_col, "\033[K\r\n", 0};
}

/* Waits for so long, or for a key, which it returns; 0 without one, 'q' for the end. */
static char wait_for_key(double seconds, bool has_keys) {
    struct pollfd p = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN};
    int n = poll(&p, 1, (int)(seconds * 1000));
    char key = 0;
    if (n > 0 && read(STDIN_FILENO, &key, 1) != 1)
        key = 'q';
    return stopped ? 'q' : key;
}

struct options {
    double interval_s;
    bool once;
};

static bool take_options(int argc, char **argv, struct options *ret) {
    *ret = (struct options){1, false};
    for (int i = 2; i < argc; i++) {
        char *end = NULL;
        if (strcmp(argv[i], "--once") == 0) {
            ret->once = true;
        } else if (strcmp(argv[i], "--interval") == 0 && i + 1 < argc) {
            ret->interval_s = strtod(argv[++i], &end);
            if (end == argv[i] || *end || !(ret->interval_s >= 0.1) || ret->interval_s > 3600) {
                fprintf(stderr, "aglet top: --interval is in seconds, 0.1 to 3600\n");
                return false;
            }
        } else {
            fprintf(stderr, "aglet top: '%s' is not understood; `aglet help` tells the arguments\n",
                    argv[i]);
            return false;
        }
    }
    return true;
}

/* Until somebody or something ends it. Returns whether the last look was a good one. */
static bool go_on(long pid, const struct options *o, bool is_terminal,
                  struct peer_answer *ret_answer) {
    static struct look looks[2];
    char command[200];
    bool is_paused = false;
    peer_command(pid, command, sizeof command);
    for (int i = 0;; i ^= !is_paused) {
        struct look *l = &looks[i], *before = &looks[!i];
        if (!is_paused && !look_at(pid, l, ret_answer))
            return false;
        struct screen s = screen_of(is_terminal);
        if (is_terminal)
            fputs("\033[H", stdout);
        show_all(&s, pid, command, l, before);
        if (is_terminal)
            printf("\033[J\033[%d;1H q quit  p %s  s sort (by %s)\033[K", s.lines,
                   is_paused ? "go on" : "pause", order_names[order]);
        else
            puts("");
        if (fflush(stdout) != 0 || o->once)
            return true;
        char key = wait_for_key(o->interval_s, is_terminal);
        if (key == 'q')
            return true;
        if (key == 'p')
            is_paused = !is_paused;
        if (key == 's')
            order = (order + 1) % ORDERS;
    }
}

int tool_top(int argc, char **argv) {
    long pid;
    struct options o;
    struct peer_answer a;
    if (!peer_number(argv[0], argc > 1 ? argv[1] : NULL, &pid) || !take_options(argc, argv, &o))
        return TOOL_USAGE;
    bool is_terminal = !o.once && terminal_begin();
    bool is_good = go_on(pid, &o, is_terminal, &a);
    if (is_terminal) {
        fflush(stdout);
        terminal_restore();
    }
    if (!is_good)
        fprintf(stderr, "aglet: %s\n", a.error[0] ? a.error : "there is no memory");
    return is_good ? TOOL_OK : TOOL_FAILED;
}
