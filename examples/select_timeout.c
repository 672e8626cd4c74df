/* SPDX-License-Identifier: MIT */
/* A select with a time-out: takes an answer that comes in time, gives up on one that doesn't. The
 * channel has room for one, so that a late sender is never stuck. */
#include <aglet.h>

static void answer_after(ag_chan(int) out, ag_time ns) {
    ag_sleep(ns);
    ag_send(out, 42);
    ag_unref(out);
}

static void ask(const char *who, ag_time takes, ag_time patience) {
    ag_chan(int) answer = ag_make(int, 1);
    ag_defer(ag_unref, answer);
    ag_go(answer_after, ag_ref(answer), takes);
    int v;
    switch (ag_select(AG_RECV(answer, &v), AG_AFTER(patience))) {
    case 0:
        printf("%s: %d\n", who, v);
        break;
    case 1:
        printf("%s: no answer in time\n", who);
        break;
    }
}

static int app(void *arg) {
    (void)arg;
    ask("fast", AG_MS, 20 * AG_SEC);
    ask("slow", 20 * AG_SEC, 10 * AG_MS);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * fast: 42
 * slow: no answer in time
 */
