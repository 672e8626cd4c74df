/* SPDX-License-Identifier: MIT */
/* Deferred calls run on every way out of a block: at its end, by return, by a panic. In Go's words:
 * normal exit and panic exit. */
#include <aglet.h>

static void say(const char *text) {
    printf("%s\n", text);
}

static void normal_exit(void) {
    ag_defer(say, "defer 1");
    ag_defer(say, "defer 2");
    say("normal execution");
}

static void stop_panic(void) {
    const ag_panic_info *p = ag_recover();
    if (p)
        printf("recovered: %s\n", p->msg);
}

static void panic_exit(void) {
    ag_defer(stop_panic);
    ag_defer(say, "runs while the panic is under way");
    ag_panic("something went wrong");
}

static int early_return(int n) {
    ag_defer(say, "before the caller goes on");
    if (n > 0)
        return n;
    say("not reached");
    return 0;
}

static int app(void *arg) {
    (void)arg;
    normal_exit();
    ag_try(NULL, panic_exit);
    printf("returned %d\n", early_return(1));
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * normal execution
 * defer 2
 * defer 1
 * runs while the panic is under way
 * recovered: something went wrong
 * before the caller goes on
 * returned 1
 */
