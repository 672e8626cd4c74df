/* SPDX-License-Identifier: MIT */
/*
 * The articles' pictures of how a panic propagates, drawn by programs that do it. Each picture is a
 * process of its own, in Go and here, that prints a line for each step, indented by the depth of
 * the function; the columns stand beside each other, so that a difference shows. Beside them is
 * what the article's picture, table or output says.
 *
 * Where a Go function returns to its caller after a recovery, ours has an ag_try around the call.
 */
#include "lab.h"

/* ---- Steps ----------------------------------------------------------------------------------
 */

static void show(int depth, const char *text) {
    printf("|%*s%s\n", 2 * depth, "", text);
    fflush(stdout);
}

static void recover_at(int depth) {
    const ag_panic_info *p = ag_recover();
    char text[LAB_TEXT];
    snprintf(text, sizeof text, "deferred: recovers %.40s", p ? p->msg : "nothing");
    show(depth, text);
}

static void panic_at(int depth, const char *what) {
    char text[LAB_TEXT];
    snprintf(text, sizeof text, "panics: %s", what);
    show(depth, text);
    ag_panic("%s", what);
}

/* ---- The pictures ---------------------------------------------------------------------------
 */

static void f_returns(void) {
    ag_defer(show, 1, "deferred 1");
    ag_defer(show, 1, "deferred 2");
    show(1, "normal execution");
}

static int returns(void *arg) {
    (void)arg;
    show(0, "main calls f");
    f_returns();
    show(0, "main goes on");
    return 0;
}

static void g_recovers(void) {
    ag_defer(show, 2, "deferred 1");
    ag_defer(recover_at, 2);
    ag_defer(show, 2, "deferred 3");
    panic_at(2, "something went wrong");
}

static void f_of_recovers(void) {
    ag_defer(show, 1, "deferred in f");
    show(1, "f calls g");
    ag_try(NULL, g_recovers);
    show(1, "f goes on");
}

static int recovers(void *arg) {
    (void)arg;
    show(0, "main calls f");
    f_of_recovers();
    show(0, "main goes on");
    return 0;
}

static void g_panics(void) {
    ag_defer(show, 2, "deferred in g");
    panic_at(2, "something went wrong");
}

static void f_recovers(void) {
    ag_defer(recover_at, 1);
    show(1, "f calls g");
    g_panics();
    show(1, "f goes on");
}

static int passes(void *arg) {
    (void)arg;
    show(0, "main calls f");
    ag_try(NULL, f_recovers);
    show(0, "main goes on");
    return 0;
}

static int dies(void *arg) {
    (void)arg;
    ag_defer(show, 0, "deferred 1");
    ag_defer(show, 0, "deferred 2");
    panic_at(0, "something went wrong");
    return 0;
}

static void f_nests(void) {
    ag_defer(recover_at, 1);
    ag_defer(panic_at, 1, "second");
    panic_at(1, "first");
}

static int nested(void *arg) {
    (void)arg;
    show(0, "main calls f");
    ag_try(NULL, f_nests);
    show(0, "main goes on");
    return 0;
}

static int nested_dies(void *arg) {
    (void)arg;
    ag_defer(panic_at, 0, "second");
    panic_at(0, "first");
    return 0;
}

static void g_exits(void) {
    ag_defer(recover_at, 2);
    show(2, "g calls goexit");
    ag_goexit();
}

static void f_of_exits(void) {
    ag_defer(show, 1, "deferred in f");
    show(1, "f calls g");
    g_exits();
    show(1, "f goes on");
}

static int leaves(void *arg) {
    ag_wg wg = AG_WG_INIT;
    (void)arg;
    show(0, "main starts a goroutine");
    ag_wg_go(&wg, f_of_exits);
    ag_wg_wait(&wg);
    show(0, "main goes on");
    return 0;
}

static void f_dies(void) {
    ag_defer(show, 1, "deferred in the goroutine");
    panic_at(1, "in the goroutine");
}

static int elsewhere(void *arg) {
    (void)arg;
    ag_defer(recover_at, 0);
    show(0, "main starts a goroutine and waits");
    ag_go(f_dies);
    return ag_select();
}

static int exits(void *arg) {
    (void)arg;
    ag_defer(show, 0, "deferred");
    show(0, "main exits with 3");
    exit(3);
}

static int killed(void *arg) {
    (void)arg;
    ag_defer(show, 0, "deferred");
    show(0, "main is killed");
    kill(getpid(), SIGKILL);
    ag_sleep(AG_MIN);
    return 0;
}

/* ---- Drawing --------------------------------------------------------------------------------
 */

struct picture {
    const char *name, *title;
    int (*fn)(void *);
    const char *article[LAB_ROWS]; /* ends with NULL */
    const char *meaning;
};

static const struct picture pictures[] = {
    {"returns",
     "A function that returns",
     returns,
     {"the function begins", "normal execution", "defer 2", "defer 1", "the function ends", NULL},
     "Last in, first out."},
    {"recovers",
     "A panic that is recovered where it was raised",
     recovers,
     {"the function begins", "deferred calls registered", "panic",
      "into the chain of deferred calls", "a recover there? yes",
      "goes on, with the later deferred calls", NULL},
     "The caller goes on as if nothing had been."},
    {"passes",
     "A panic that passes a function",
     passes,
     {"the function begins", "deferred calls registered", "panic",
      "into the chain of deferred calls", "a recover there? no: on upwards", NULL},
     "Each function's deferred calls run on the way; the one that recovers is the last one "
     "passed."},
    {"dies",
     "A panic that nobody recovers",
     dies,
     {"defer 2", "defer 1", "the program crashes", NULL},
     "Deferred calls first, then the words, then the end of the process."},
    {"nested",
     "A panic in a deferred call, recovered",
     nested,
     {NULL},
     "The newest panic is recovered, and the one it replaced is over with it."},
    {"nested-dies",
     "A panic in a deferred call that nobody recovers",
     nested_dies,
     {NULL},
     "Both are told, the older one first."},
    {"leaves",
     "A goroutine that leaves by goexit",
     leaves,
     {"Goexit: deferred calls run,", "the goroutine ends", NULL},
     "It is no panic: recover finds nothing."},
    {"elsewhere",
     "A panic in another goroutine than the recover",
     elsewhere,
     {"a panic does not cross goroutines;", "one without a recover of its own", "ends the program",
      NULL},
     "Each goroutine recovers for itself."},
    {"exits",
     "exit",
     exits,
     {"os.Exit: deferred calls are skipped", NULL},
     "ag_exit would run them first."},
    {"killed",
     "SIGKILL",
     killed,
     {"SIGKILL: deferred calls are skipped", NULL},
     "Nothing in a process can help that."},
};
enum { PICTURES = sizeof pictures / sizeof *pictures };

struct drawing {
    int count;
    char lines[LAB_ROWS][LAB_TEXT];
};

static __attribute__((format(printf, 2, 3))) void add(struct drawing *d, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    if (d->count < LAB_ROWS - 1)
        vsnprintf(d->lines[d->count++], LAB_TEXT, fmt, args);
    va_end(args);
}

/* The steps, the words of a panic, and how the process ended. */
static void draw(struct drawing *d, char *const argv[]) {
    static char text[65536];
    char missing[LAB_TEXT], *rest;
    int status = lab_run_text(NULL, argv, true, text, sizeof text, missing);
    if (status < 0) {
        add(d, "%s", missing);
        return;
    }
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (line[0] == '|')
            add(d, "%.80s", line + 1);
        else if (strncmp(line, "panic: ", 7) == 0)
            add(d, "%.80s", line);
        else if (strncmp(line, "\tpanic: ", 8) == 0)
            add(d, "    %.80s", line + 1);
    }
    if (WIFSIGNALED(status))
        add(d, "[killed by signal %d]", WTERMSIG(status));
    else
        add(d, "[status %d]", WEXITSTATUS(status));
}

static int picture(const struct picture *p) {
    struct drawing ours = {.count = 0}, theirs = {.count = 0};
    char number[24];
    snprintf(number, sizeof number, "%d", (int)(p - pictures));
    draw(&ours, (char *[]){"/proc/self/exe", "--part", "picture", number, NULL});
    if (lab_go_ready())
        draw(&theirs, (char *[]){lab_go_program, (char *)p->name, "0", NULL});
    else
        add(&theirs, "%s", lab_go_missing);
    lab_begin(p->title, "article", "Go here", "aglet here");
    const char *const *article = p->article;
    for (int i = 0; *article || i < ours.count || i < theirs.count; i++) {
        lab_row(*article, i < theirs.count ? theirs.lines[i] : NULL,
                i < ours.count ? ours.lines[i] : NULL);
        article += *article != NULL;
    }
    lab_end(p->meaning);
    return ours.count < 2;
}

static int picture_part(long n) {
    return n < 0 || n >= PICTURES ? 2 : ag_run(pictures[n].fn, NULL);
}

static int table(void) {
    int failed = 0;
    for (int i = 0; i < PICTURES; i++) {
        printf("%s", i ? "\n" : "");
        failed += picture(&pictures[i]);
    }
    return failed != 0;
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"picture", picture_part}, {NULL, NULL}};
    static const struct lab lab = {"panic", "how a panic propagates, drawn by programs that do it",
                                   parts, table};
    return lab_main(argc, argv, &lab);
}
