/* SPDX-License-Identifier: MIT */
/* Starting functions: statement and expression, names, pointers, members, elements, nested
 * calls, arguments with side effects, results that are dropped. */
#include <aglet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum colour { RED, GREEN };

struct worker {
    void (*run)(struct worker *, int);
    unsigned bits : 3;
    bool flag;
};

static void work(struct worker *w, int n) {
    (void)w;
    (void)n;
}

static int count(const char *s, size_t n) {
    return (int)(strlen(s) + n);
}

static const char *name(void) {
    return "name";
}

static void paint(enum colour colour, bool on, unsigned char level) {
    (void)colour;
    (void)on;
    (void)level;
}

static void take(ag_chan(int) c, void *any, const void *more) {
    (void)c;
    (void)any;
    (void)more;
}

static void with_handler(void (*handler)(int), char text[]) {
    (void)handler;
    (void)text;
}

int64_t starts(struct worker *w, ag_chan(int) c, void (**table)(struct worker *, int), int n);
int64_t starts(struct worker *w, ag_chan(int) c, void (**table)(struct worker *, int), int n) {
    char text[8] = "abc";
    const int fixed = 3;
    void (*local)(struct worker *, int) = work;
    int64_t id = ag_go(work, w, 1);
    if (ag_go(work, w, n++) < 0)
        return ag_go(name);
    ag_go(&work, w, fixed);
    ag_go(local, w, n);
    ag_go(*local, w, n);
    ag_go(w->run, w, n);
    ag_go((*w).run, w, w->bits);
    ag_go(table[1], w, w->flag);
    ag_go(*table, w, sizeof(int));
    ag_go(n ? work : local, w, n);
    ag_go(count, "literal", 3);
    ag_go(count, text, strlen(text));
    ag_go(count, name(), 'c');
    ag_go(paint, RED, true, 255);
    ag_go(paint, n ? RED : GREEN, n > 2, 'x');
    ag_go(take, c, NULL, text);
    ag_go(take, ag_ref(c), w, &n);
    ag_go(take, c, (void *)table, "x");
    ag_go(count, "nested", (size_t)ag_len(c));
    ag_go(work, w, ag_send(c, 1));
    ag_go(work, w, ag_recv(c, NULL));
    ag_go(with_handler, (void (*)(int))NULL, text);
    ag_go(with_handler, exit, text);
    ag_go(puts, "libc");
    ag_go(free, malloc(1));
    ag_go(ag_yield);
    ag_go(close, 0);
    for (int i = 0; i < n; i++)
        ag_go(work, w, i);
    ag_go_opts opts = {"named", 0, NULL, false};
    id += ag_go_with(&opts, work, w, 1) + ag_go_with(NULL, name);
    return n ? ag_go(work, w, 1) : id;
}

intptr_t blocks(const char *host, int n);
intptr_t blocks(const char *host, int n) {
    ag_blocking(usleep, 10);
    ag_blocking(free, malloc(1));
    ag_blocking(sync);
    const char *text = (const char *)ag_blocking(getenv, host);
    return ag_blocking(atoi, "1") + ag_blocking(count, text, 1) + ag_blocking(labs, n);
}
