/* SPDX-License-Identifier: MIT */
/* Select wherever an expression can stand, its cases of every kind, arrays of cases. */
#include <aglet.h>

typedef struct pair {
    long a, b;
} pair;

int selects(ag_chan(int) c, ag_chan(pair) d, ag_ctx *ctx, unsigned long ns, double seconds);
int selects(ag_chan(int) c, ag_chan(pair) d, ag_ctx *ctx, unsigned long ns, double seconds) {
    int v = 0, total = 0;
    bool ok, oks[2];
    pair p = {1, 2};
    ag_select(AG_DEFAULT);
    ag_select(AG_RECV(c, &v));
    total += ag_select(AG_RECV(c, NULL), AG_DEFAULT) == 0 ? 1 : 2;
    while (ag_select(AG_RECV_OK(c, &v, &ok), AG_AFTER(ns)) == 0 && ok)
        total += v;
    if (ag_select(AG_SEND(c, v), AG_SEND(d, p), AG_DONE(ctx), AG_DONE(NULL)) < 0)
        return -1;
    if (ag_select(AG_RECV(c, NULL), AG_AFTER((ag_time)(seconds * 1e9))) == 1)
        return ag_select_ordered(AG_RECV_OK(d, &p, &oks[0]), AG_RECV_OK(c, NULL, NULL));
    switch (ag_select(AG_RECV(ag_after(AG_MS), NULL), AG_SEND(c, ag_select(AG_DEFAULT)))) {
    case 0: {
        int inner = 0;
        ag_select(AG_RECV(c, &inner), AG_DEFAULT);
        total += inner;
        break;
    }
    case 1:
        break;
    default:
        break;
    }
    ag_case cases[] = {AG_RECV(c, &v), AG_RECV_OK(d, &p, &ok), AG_SEND(c, 1), AG_AFTER(5),
                       AG_AFTER(ns),   AG_DONE(ctx),           AG_DEFAULT};
    ag_case one = AG_RECV(c, &v), two = AG_SEND(c, v);
    total += one.op == two.op;
    for (int i = 0; i < 2; i++)
        total += ag_select_n(cases, sizeof cases / sizeof *cases);
    total += ag_select_ordered_n(cases, 2) + ag_select_n(&one, 1);
    return v ? ag_select(AG_SEND(c, v)) : total;
}

void forever(void);
void forever(void) {
    ag_select();
}
