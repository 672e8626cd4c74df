/* SPDX-License-Identifier: MIT */
/* What only C has: compound literals, designated initialisers, braces for a struct value. */
// c only
#include <aglet.h>

typedef struct pair {
    int a, b;
} pair;

int c_only(ag_chan(pair) c, ag_chan(int) d, int n);
int c_only(ag_chan(pair) c, ag_chan(int) d, int n) {
    pair p;
    ag_send(c, (pair){1, 2});
    ag_send(c, (pair){.b = n});
    ag_send(c, {1, 2});
    ag_send(c, {.a = 1, .b = 2});
    ag_try_send(c, (pair){3, 4});
    ag_select(AG_SEND(c, (pair){1, 2}), AG_SEND(c, {3, 4}), AG_RECV(c, &p), AG_DEFAULT);
    ag_go_with(&(ag_go_opts){.name = "worker"}, ag_yield);
    ag_go_with((&(ag_go_opts){.name = "worker", .lazy = true}), ag_yield);
    ag_case cases[4];
    size_t count = 0;
    cases[count++] = (ag_case)AG_RECV(c, &p);
    cases[count++] = (ag_case)AG_SEND(d, n);
    if (n)
        cases[count++] = (ag_case)AG_AFTER(n * AG_MS);
    cases[count++] = (ag_case)AG_DEFAULT;
    ag_config config = {.procs = 2, .stack_size = 65536};
    return ag_select_n(cases, count) + config.procs;
}
