/* SPDX-License-Identifier: MIT */
/* Sender and receiver both free what was sent. */
// bug: a block freed by sender and receiver
// address: attempting double-free
// valgrind: Invalid free()
// procs: 1,2,8
#include <aglet.h>

#include <stdlib.h>

static int take(ag_chan(void *) c) {
    void *p = NULL;
    ag_recv(c, &p);
    free(p);
    return 0;
}

static int app(void *arg) {
    (void)arg;
    ag_chan(void *) c = ag_make(void *, 1);
    void *p = malloc(10);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, take, c);
    ag_send(c, p);
    ag_scope_end(&s);
    free(p);
    ag_unref(c);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
