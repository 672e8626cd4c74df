/* SPDX-License-Identifier: MIT */
/* The smallest program. */
#include <aglet.h>

static void greet(const char *name, int times) {
    (void)name;
    (void)times;
}

static int app(void *arg) {
    (void)arg;
    ag_go(greet, "world", 3);
    return ag_sleep(AG_MS);
}

int main(void) {
    return ag_run(app, NULL);
}
