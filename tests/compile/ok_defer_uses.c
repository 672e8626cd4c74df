/* SPDX-License-Identifier: MIT */
/* Deferred calls in every kind of block, several on one line of thought, and what goes with
 * them: try, panic, recover. */
#include <aglet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct file {
    int fd;
    int (*close)(struct file *);
};

static void none(void) {
}

static int shut(struct file *f) {
    return close(f->fd);
}

static void guard(void) {
    const ag_panic_info *info = ag_recover();
    if (info)
        fprintf(stderr, "%s %s:%d %p\n", info->msg, info->file, info->line, info->value);
}

static void nested_recover(void) {
    if (ag_recover() || (ag_recover() && ag_recover()))
        none();
    (void)ag_recover();
    ag_recover();
}

static inline int quietly(FILE *f) {
    ag_defer(fclose, f);
    ag_defer(ag_unref, NULL);
    ag_defer(none);
    return fileno(f);
}

static int risky(int n, const char *text) {
    ag_defer(guard);
    if (n == 1)
        ag_panic("plain");
    if (n == 2)
        ag_panic("%s: %d", text, n);
    if (n == 3)
        ag_panic_value(&n, "with a value %p", (void *)text);
    return n ? n : (ag_panic("an expression"), 0);
}

int defers(struct file *f, ag_chan(int) c, ag_mutex *m, int n);
int defers(struct file *f, ag_chan(int) c, ag_mutex *m, int n) {
    ag_defer(none);
    ag_defer(shut, f);
    ag_defer(f->close, f);
    ag_defer(ag_unref, c);
    ag_defer(ag_close, c);
    ag_go(ag_close, c);
    ag_defer(free, malloc(8));
    ag_defer(close, dup(f->fd));
    if (n) {
        ag_mutex_lock(m);
        ag_defer(ag_mutex_unlock, m);
        n++;
    } else {
        ag_defer(none);
    }
    for (int i = 0; i < n; i++) {
        ag_defer(usleep, i);
        if (i == 1)
            continue;
        if (i == 2)
            break;
        if (i == 3)
            goto out;
        if (i == 4)
            return i;
    }
    while (n-- > 0) {
        ag_defer(none);
        ag_defer(none);
    }
    switch (n) {
    case 1: {
        ag_defer(none);
        break;
    }
    default:
        break;
    }
    {
        ag_defer(none);
        { ag_defer(none); }
    }
out:
    return n;
}

int tries(FILE *f);
int tries(FILE *f) {
    ag_panic_info info, *none_wanted = NULL;
    int status = ag_try(&info, risky, 1, "text");
    if (ag_try(NULL, quietly, f) == AG_PANICKED || ag_try(none_wanted, none))
        return -1;
    ag_try(&info, nested_recover);
    ag_panic_hook before = ag_on_panic(NULL);
    ag_on_panic(before);
    return ag_try(&info, risky, 2, info.msg) ? status : info.line;
}
