/* SPDX-License-Identifier: MIT */
/* A shift by more bits than there are, after a switch. */
// bug: a shift by too many bits
// undefined: shift exponent
// procs: 1
#include <aglet.h>

static volatile int bits = 40, sink;

static int work(void) {
    ag_yield();
    sink = 1 << bits;
    return 0;
}

static int app(void *arg) {
    (void)arg;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, work);
    ag_scope_go(&s, work);
    return ag_scope_end(&s);
}

int main(void) {
    return ag_run(app, NULL);
}
