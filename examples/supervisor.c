/* SPDX-License-Identifier: MIT */
/* A supervisor: a feed that fails, or panics, is nobody's end but its own. The scope still waits
 * for all, and tells the first failure. Kotlin: supervisorScope. */
#include <aglet.h>
#include <errno.h>
#include <string.h>

static int read_feed(const char *name, int err) {
    ag_sleep(AG_MS);
    if (err == AG_PANICKED)
        ag_panic("feed %s is broken", name);
    if (err == 0)
        printf("feed %s: read\n", name);
    return err;
}

static int app(void *arg) {
    (void)arg;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, read_feed, "news", 0);
    ag_scope_go(&s, read_feed, "weather", AG_PANICKED);
    ag_scope_go(&s, read_feed, "sports", 0);
    int r = ag_scope_end(&s);
    const ag_panic_info *panic = ag_scope_panic(&s);
    if (panic)
        printf("a panic: %s\n", panic->msg);
    else
        printf("%s\n", strerror(-r));
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Unordered output:
 * feed news: read
 * feed sports: read
 * a panic: feed weather is broken
 */
