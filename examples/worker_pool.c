/* SPDX-License-Identifier: MIT */
/* Fan-out, fan-in: four workers take jobs from one channel and put results into another, which
 * is closed when the last worker has gone. */
#include <aglet.h>

struct result {
    int job, factors;
};

static int count_factors(int n) {
    int count = 0;
    for (int f = 2; n > 1; f++)
        for (; n % f == 0; n /= f)
            count++;
    return count;
}

static void worker(ag_chan(int) jobs, ag_chan(struct result) results) {
    for (int job; ag_recv(jobs, &job);)
        ag_send(results, {job, count_factors(job)});
}

/* Hands out the jobs; when all are done, ends the results. */
static void feed(ag_chan(int) jobs, ag_wg *wg, ag_chan(struct result) results) {
    ag_defer(ag_unref, results);
    for (int job = 90; job < 95; job++)
        ag_send(jobs, job);
    ag_close(jobs);
    ag_wg_wait(wg);
    ag_close(results);
}

static int app(void *arg) {
    (void)arg;
    static ag_wg wg;
    ag_chan(int) jobs = ag_make(int, 0);
    ag_defer(ag_unref, jobs);
    ag_chan(struct result) results = ag_make(struct result, 0);
    ag_defer(ag_unref, results);
    for (int i = 0; i < 4; i++)
        ag_wg_go(&wg, worker, jobs, results);
    ag_go(feed, jobs, &wg, ag_ref(results));
    for (struct result r; ag_recv(results, &r);)
        printf("%d has %d prime factors\n", r.job, r.factors);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Unordered output:
 * 90 has 4 prime factors
 * 91 has 2 prime factors
 * 92 has 3 prime factors
 * 93 has 2 prime factors
 * 94 has 2 prime factors
 */
