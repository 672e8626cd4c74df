/* SPDX-License-Identifier: MIT */
/* A nil channel is never ready, which turns a case of a select off: two streams are merged until
 * both have ended, and each is taken out of the select when it has. */
#include <aglet.h>

static void count_up(ag_chan(int) out, int from, int to) {
    for (int i = from; i <= to; i++)
        ag_send(out, i);
    ag_close(out);
    ag_unref(out);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) small = ag_make(int, 0), large = ag_make(int, 0);
    ag_defer(ag_unref, small);
    ag_defer(ag_unref, large);
    ag_go(count_up, ag_ref(small), 1, 5);
    ag_go(count_up, ag_ref(large), 100, 110);
    ag_chan(int) a = small, b = large;
    int sum = 0, count = 0;
    while (a || b) {
        int v = 0;
        bool ok = false;
        int i = ag_select(AG_RECV_OK(a, &v, &ok), AG_RECV_OK(b, &v, &ok));
        if (ok) {
            sum += v;
            count++;
        } else if (i == 0) {
            a = NULL;
        } else {
            b = NULL;
        }
    }
    printf("%d values, sum %d\n", count, sum);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * 16 values, sum 1170
 */
