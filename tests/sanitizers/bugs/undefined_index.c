/* SPDX-License-Identifier: MIT */
/* An index out of the bounds of a member, within the struct: no byte outside is touched. */
// bug: an index out of an array's bounds, within its struct
// undefined: index 4 out of bounds
// procs: 1
#include <aglet.h>

struct order {
    int prices[4], sum;
};

static int work(struct order *o, int n) {
    ag_yield();
    o->prices[n] = 1;
    return 0;
}

static int app(void *arg) {
    (void)arg;
    struct order order = {{0}, 0};
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, work, &order, 4);
    return ag_scope_end(&s);
}

int main(void) {
    return ag_run(app, NULL);
}
