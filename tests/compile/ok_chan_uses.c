/* SPDX-License-Identifier: MIT */
/* Channel operations wherever C has a place for an expression, one inside the other, and with
 * names of the program's own that the macros must not capture. */
#include <aglet.h>

typedef struct pair {
    int a, b;
} pair;

static int twice(int v) {
    return 2 * v;
}

static ag_chan(int) echo(ag_chan(int) c) {
    return c;
}

int uses(ag_chan(int) c, ag_chan(int) v, int p);
int uses(ag_chan(int) c, ag_chan(int) v, int p) {
    int r = 0, n = 0, chan = 0;
    ag_send(v, p);
    ag_send(c, n++);
    ag_send(c, twice(n));
    ag_send(c, p ? 1 : 2);
    ag_send(c, ag_recv(v, &r));
    ag_send(c, ag_send(v, 3));
    ag_send(echo(c), (int)ag_len(echo(v)));
    ag_recv(echo(echo(c)), &r);
    int got = ag_recv(c, &r) ? r : -1;
    bool sent = ag_try_send(c, 1) && !ag_try_send(c, 2), more;
    if (ag_try_recv(c, &r) == 1 || ag_send(c, 1) < 0)
        got++;
    else
        got--;
    for (int i = 0; ag_recv(c, &r) && i < 3; ag_send(v, i), i++)
        got += r;
    while (ag_recv(c, NULL))
        ag_send(v, 1);
    do
        more = ag_recv(c, &chan);
    while (more);
    switch (ag_try_recv(c, &n)) {
    case 1:
        got += n;
        break;
    case 0:
        ag_close(c);
        break;
    default:
        break;
    }
    int array[2];
    ag_recv(c, array);
    ag_recv(c, array + 1);
    ag_recv(c, &array[sent]);
    pair whole = {0, 0};
    ag_recv(c, &whole.b);
    (void)ag_recv(c, &r);
    return ag_send(c, got) + whole.b + (ag_len(c) == ag_cap(c)) + (ag_ref(c) == ag_ref(ag_ref(c)));
}
