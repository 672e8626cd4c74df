/* SPDX-License-Identifier: MIT */
/* Panics: ag_try stops one and tells what it was, deferred calls run on the way; ag_recover in a
 * deferred call stops one from inside. */
#include <aglet.h>

static void release(const char *what) {
    printf("released %s\n", what);
}

static int divide(int a, int b) {
    if (b == 0)
        ag_panic("division of %d by zero", a);
    return a / b;
}

static void compute(int a, int b) {
    ag_defer(release, "the result");
    printf("%d / %d = %d\n", a, b, divide(a, b));
}

static void recovers(void) {
    const ag_panic_info *p = ag_recover();
    if (p)
        printf("recovered: %s\n", p->msg);
}

static void careful(void) {
    ag_defer(recovers);
    divide(7, 0);
}

static int app(void *arg) {
    (void)arg;
    ag_panic_info info;
    if (ag_try(&info, compute, 6, 2) == 0)
        printf("no panic\n");
    if (ag_try(&info, compute, 6, 0) == AG_PANICKED)
        printf("panic: %s\n", info.msg);
    static ag_wg wg;
    ag_wg_go(&wg, careful);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * 6 / 2 = 3
 * released the result
 * no panic
 * released the result
 * panic: division of 6 by zero
 * recovered: division of 7 by zero
 */
