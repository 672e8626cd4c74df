/* SPDX-License-Identifier: MIT */
/* An int is read from an odd address, where a pointer to it was received. */
// bug: a value at an address that does not suit its type
// undefined: load of misaligned address
// procs: 1
#include <aglet.h>

static volatile int sink;

static int work(ag_chan(int *) c) {
    int *p = NULL;
    ag_recv(c, &p);
    sink = *p;
    return 0;
}

static int app(void *arg) {
    (void)arg;
    static char room[16];
    ag_chan(int *) c = ag_make(int *, 0);
    ag_defer(ag_unref, c);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, work, c);
    ag_send(c, (int *)(void *)(room + 1));
    return ag_scope_end(&s);
}

int main(void) {
    return ag_run(app, NULL);
}
