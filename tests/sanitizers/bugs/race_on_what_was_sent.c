/* SPDX-License-Identifier: MIT */
/* Who has sent a pointer goes on writing where it points. */
// bug: a pointer shared after it was sent
// thread: data race
// procs: 1,2,8
#include "../apart.h"

static int read_it(ag_chan(int *) c) {
    int *p = NULL;
    ag_recv(c, &p);
    apart_wait(1);
    return *p;
}

static int app(void *arg) {
    (void)arg;
    int n = 1;
    ag_chan(int *) c = ag_make(int *, 1);
    ag_defer(ag_unref, c);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, read_it, c);
    ag_send(c, &n);
    n = 0;
    apart_pass();
    ag_scope_end(&s);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
