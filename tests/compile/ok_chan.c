/* SPDX-License-Identifier: MIT */
/* Every channel operation; one element type is one channel type wherever it is written. */
#include <aglet.h>

typedef struct job {
    int id;
    double cost;
} job;

void producer(ag_chan(int) c);
int consumer(ag_chan(int) c, ag_chan(job) jobs);

void producer(ag_chan(int) c) {
    for (int i = 0; i < 3; i++)
        ag_send(c, i);
    ag_close(c);
}

int consumer(ag_chan(int) c, ag_chan(job) jobs) {
    int v = 0, sum = 0;
    job j = {0, 0};
    bool ok = false;
    while (ag_recv(c, &v))
        sum += v;
    ag_recv(c, NULL);
    if (ag_try_send(jobs, j) && ag_try_recv(jobs, &j) == 1)
        sum += (int)ag_len(jobs) + (int)ag_cap(jobs);
    switch (ag_select(AG_RECV(c, &v), AG_RECV_OK(jobs, &j, &ok), AG_SEND(c, 7), AG_AFTER(AG_MS),
                      AG_DONE(ag_ctx_current()), AG_DEFAULT)) {
    case 0:
        sum += v;
        break;
    default:
        break;
    }
    ag_case cases[] = {AG_RECV(c, NULL), AG_AFTER(AG_SEC)};
    return sum + ag_select_n(cases, 2) + ag_select_ordered(AG_RECV(c, &v), AG_DEFAULT);
}
