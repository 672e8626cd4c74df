/* SPDX-License-Identifier: MIT */
/* A context is handed on, not passed on: one timeout bounds a request and all the goroutines it
 * starts, wherever they wait, and each of them still cleans up in its own time. */
#include <aglet.h>
#include <string.h>

static const ag_key(int) shard_number = AG_KEY("shard_number");

static void say_goodbye(ag_chan(int) log) {
    ag_shield(AG_SEC); /* the request is over; this takes its time all the same */
    ag_sleep(AG_MS);
    ag_send(log, ag_local(&shard_number));
}

/* Asks one shard, in a goroutine of its own. Nothing here speaks of time. */
static void ask(ag_time takes, ag_chan(int) answers, ag_chan(int) log) {
    ag_defer(ag_unref, answers);
    ag_defer(say_goodbye, log);
    if (ag_sleep(takes) == 0)
        ag_send(answers, ag_local(&shard_number));
}

static void request(ag_chan(int) log) {
    ag_chan(int) answers = ag_make(int, 3);
    ag_defer(ag_unref, answers);
    ag_with(&ag_request_id, "r-17");
    ag_within(300 * AG_MS);
    for (int i = 1; i <= 3; i++) {
        ag_with(&shard_number, i);
        ag_go(ask, i == 3 ? AG_MIN : AG_MS, ag_ref(answers), log);
    }
    int count = 0, answer;
    while (count < 3 && ag_recv(answers, &answer))
        count++;
    printf("%s: %d of 3 answers, %s\n", ag_local(&ag_request_id), count,
           strerror(-ag_ctx_err(ag_ctx_current())));
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) log = ag_make(int, 0);
    ag_defer(ag_unref, log);
    ag_wg done = AG_WG_INIT;
    ag_wg_go(&done, request, log);
    int sum = 0, shard;
    for (int i = 0; i < 3 && ag_recv(log, &shard); i++)
        sum += shard;
    ag_wg_wait(&done);
    printf("shards 1 to 3 have cleaned up: sum %d\n", sum);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * r-17: 2 of 3 answers, Connection timed out
 * shards 1 to 3 have cleaned up: sum 6
 */
