/* SPDX-License-Identifier: MIT */
/* Scopes and jobs as a program uses them, in C and in C++. */
#include <aglet.h>

enum mode { SLOW, FAST };
struct item;

static int fetch(const char *url, enum mode mode, bool again) {
    return url[0] + (int)mode + again;
}

static int none(void) {
    return 0;
}

static void *load(const char *name, long n) {
    return (void *)(name + n);
}

static void *nothing(void) {
    return 0;
}

static struct item *typed(int a, int b, int c, int d, int e, struct item *f) {
    return a + b + c + d + e ? f : 0;
}

static void done(ag_job *j, int who) {
    (void)j, (void)who;
}

int scopes(ag_scope *outer, const char *urls[]);
int scopes(ag_scope *outer, const char *urls[]) {
    ag_scope s, t;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_begin(&t, AG_SCOPE_SUPERVISOR);
    ag_scope_limit(&s, 4);
    for (int i = 0; i < 3; i++) {
        ag_scope_begin(outer, i);
        if (ag_scope_go(&s, fetch, urls[i], SLOW, true) < 0)
            return -1;
        ag_scope_go(outer, none);
    }
    if (urls[0])
        ag_scope_go(&t, fetch, "url", FAST, false);
    else
        ag_scope_go(&t, none);
    ag_scope_go(&s, ag_sleep, 5 * AG_MS);
    ag_scope_cancel(&t);
    ag_scope_dump(stderr);
    const ag_panic_info *info = ag_scope_panic(&t);
    ag_scope_repanic(&s);
    return ag_scope_end(&t) + ag_scope_end(&s) + (info != 0);
}

int jobs(const char *name);
int jobs(const char *name) {
    void *result = 0;
    ag_job *a = ag_async(load, name, 3L), *b = ag_async_lazy(nothing),
           *c = ag_async(typed, 1, 2, 3, 4, 5, (struct item *)0);
    int r = ag_job_start(b) + ag_job_await(a, &result) + ag_job_await(c, NULL);
    ag_job_cancel(b);
    r += ag_job_cancel_and_join(b) + ag_job_on_done(c, done, c, 1);
    if (ag_job_state(a) == AG_JOB_COMPLETED && ag_job_state_name(AG_JOB_NEW))
        r += ag_job_result(a) == result;
    if (ag_job_panic(b))
        ag_job_repanic(b);
    ag_unref(a);
    ag_unref(b);
    ag_unref(c);
    return r;
}
