/* SPDX-License-Identifier: MIT */
/* A panic stays in its goroutine; who wants to hear of it in another one sends it there. The child
 * tries its work and sends how it went; the parent panics again with the same words if it must. */
#include <aglet.h>

struct outcome {
    int child;
    bool panicked;
    ag_panic_info info;
};

static void work(int n) {
    if (n == 3)
        ag_panic("child %d divides by zero", n);
}

static void child(int n, ag_chan(struct outcome) outcomes) {
    struct outcome o = {.child = n};
    o.panicked = ag_try(&o.info, work, n) == AG_PANICKED;
    ag_send(outcomes, o);
    ag_unref(outcomes);
}

static void parent(int children) {
    ag_chan(struct outcome) outcomes = ag_make(struct outcome, 0);
    ag_defer(ag_unref, outcomes);
    for (int i = 1; i <= children; i++)
        ag_go(child, i, ag_ref(outcomes));
    struct outcome o, failed = {.child = 0};
    for (int i = 0; i < children && ag_recv(outcomes, &o); i++)
        if (o.panicked)
            failed = o;
    printf("all %d have ended\n", children);
    if (failed.child)
        ag_panic("goroutine %d: %s", failed.child, failed.info.msg);
}

static int app(void *arg) {
    (void)arg;
    ag_panic_info info;
    if (ag_try(&info, parent, 5) == AG_PANICKED)
        printf("the parent's panic: %s\n", info.msg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * all 5 have ended
 * the parent's panic: goroutine 3: child 3 divides by zero
 */
