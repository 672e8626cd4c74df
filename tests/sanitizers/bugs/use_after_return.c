/* SPDX-License-Identifier: MIT */
/* A function of a goroutine sends the address of a local variable and returns. */
// bug: a local variable of a function that has returned
// address: stack-use-after-return
// procs: 1,2,8
#include <aglet.h>

static __attribute__((noinline)) void send_local(ag_chan(int *) c) {
    int local = 5;
    ag_send(c, &local);
}

static void leave(ag_chan(int *) c, ag_chan(int) go_on) {
    send_local(c);
    ag_send(go_on, 1);
    ag_recv(go_on, NULL);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int *) c = ag_make(int *, 0);
    ag_chan(int) go_on = ag_make(int, 0);
    int *p = NULL;
    ag_go(leave, c, go_on);
    ag_recv(c, &p);
    ag_recv(go_on, NULL);
    *p = 6;
    ag_send(go_on, 1);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
