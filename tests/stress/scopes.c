/* SPDX-License-Identifier: MIT */
/*
 * Scopes and jobs that begin, fail, are cancelled and end while others do the same: nobody is lost,
 * nobody outlives its scope, and what is counted comes to zero.
 */
#include "stress.h"

static atomic_long alive, ran;

static int one(uint64_t seed, int depth);

static int tree(uint64_t seed, int depth) {
    struct dice d = {seed};
    ag_scope s;
    atomic_int mine = 0; /* on the stack: a child that outlives the scope spoils it */
    int kind = (int)roll(&d, 8), children = 1 + (int)roll(&d, 4);
    ag_scope_begin(&s, kind & 1 ? AG_SCOPE_SUPERVISOR : AG_SCOPE_FAIL_FAST);
    if (kind == 2)
        ag_scope_limit(&s, 2);
    for (int i = 0; i < children; i++)
        if (ag_scope_go(&s, one, d.state + (uint64_t)i, depth - 1) > 0)
            mine++;
    if (roll(&d, 8) == 0)
        ag_scope_cancel(&s);
    if (roll(&d, 8) == 0)
        return -EINTR;
    if (roll(&d, 16) == 0)
        ag_panic("of a block");
    int r = ag_scope_end(&s);
    ag_check(mine <= children);
    return r;
}

static void leaves(void) {
    atomic_fetch_sub(&alive, 1);
}

static int one(uint64_t seed, int depth) {
    struct dice d = {seed * 2654435761u + (uint64_t)depth};
    atomic_fetch_add(&alive, 1);
    atomic_fetch_add(&ran, 1);
    ag_defer(leaves);
    if (depth > 0 && roll(&d, 3))
        return tree(d.state, depth);
    switch (roll(&d, 8)) {
    case 0:
        return -EIO;
    case 1:
        ag_panic("of a child");
    case 2:
        return ag_sleep(roll(&d, 100) * AG_US);
    case 3:
        ag_yield();
        return 0;
    case 4:
        ag_goexit();
    default:
        return 0;
    }
}

static void root(uint64_t seed, ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    for (int i = 0; i < scaled(400); i++)
        ag_try(NULL, tree, seed + (uint64_t)i * 977, 4);
}

AG_TEST_RUN(trees_of_scopes_come_and_go) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        ag_go(root, (uint64_t)i + 1, &wg);
    ag_wg_wait(&wg);
    ag_check_int(alive, 0);
    eventually(ag_count() == 1);
    printf("%ld children\n", (long)ran);
}

/* ---- One scope, many owners of its children ------------------------------------------------- */

static int adds_more(ag_scope *s, uint64_t seed, int depth, atomic_long *n) {
    struct dice d = {seed};
    atomic_fetch_add(n, 1);
    for (int i = 0; depth > 0 && i < 3; i++)
        ag_check(ag_scope_go(s, adds_more, s, d.state + (uint64_t)i, depth - 1, n) > 0);
    return 0;
}

AG_TEST_RUN(children_of_all_processors_add_children) {
    for (int i = 0; i < scaled(60); i++) {
        atomic_long n = 0;
        ag_scope s;
        ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
        ag_scope_go(&s, adds_more, &s, (uint64_t)i, 6, &n);
        ag_check_int(ag_scope_end(&s), 0);
        ag_check_int(n, 1093);
        ag_check_int(ag_count(), 1);
    }
}

AG_TEST_RUN(short_scopes_one_after_the_other) {
    atomic_long n = 0;
    int rounds = scaled(30000);
    for (int i = 0; i < rounds; i++) {
        ag_scope s;
        ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
        ag_scope_go(&s, adds_more, &s, 1, 0, &n);
        ag_scope_go(&s, adds_more, &s, 2, 0, &n);
        ag_check_int(ag_scope_end(&s), 0);
    }
    ag_check_int(n, 2 * rounds);
}

/* ---- Room ----------------------------------------------------------------------------------- */

static int takes_room(atomic_int *now, int most, uint64_t seed) {
    struct dice d = {seed};
    ag_check(atomic_fetch_add(now, 1) < most);
    if (roll(&d, 2))
        ag_yield();
    else
        burn_us((int)roll(&d, 5));
    atomic_fetch_sub(now, 1);
    return 0;
}

AG_TEST_RUN(a_limit_holds_while_waits_are_given_up) {
    atomic_int now = 0;
    ag_scope s;
    struct dice d = {7};
    int started = 0, given_up = 0;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_limit(&s, 3);
    for (int i = 0; i < scaled(20000); i++) {
        ag_within(roll(&d, 4) ? AG_MIN : roll(&d, 10) * AG_US);
        int64_t r = ag_scope_go(&s, takes_room, &now, 3, (uint64_t)i);
        started += r > 0;
        given_up += r == -ETIMEDOUT;
    }
    ag_check_int(ag_scope_end(&s), 0);
    ag_check_int(started + given_up, scaled(20000));
    ag_check_int(now, 0);
}

/* ---- Jobs ----------------------------------------------------------------------------------- */

static void *job(uint64_t seed, int depth) {
    struct dice d = {seed};
    atomic_fetch_add(&alive, 1);
    ag_defer(leaves);
    for (int i = 0; depth > 0 && i < 2; i++) {
        ag_job *j = roll(&d, 3) ? ag_async(job, d.state, depth - 1)
                                : ag_async_lazy(job, d.state, depth - 1);
        switch (roll(&d, 5)) {
        case 0:
            ag_job_cancel(j);
            break;
        case 1:
            ag_job_await(j, NULL);
            break;
        case 2:
            ag_job_start(j);
            break;
        case 3:
            ag_job_cancel_and_join(j);
            break;
        }
        ag_unref(j);
    }
    if (roll(&d, 20) == 0)
        ag_panic("of a job");
    if (roll(&d, 3) == 0)
        ag_sleep(roll(&d, 50) * AG_US);
    return NULL;
}

static void plays(ag_job *j, uint64_t seed, atomic_int *outcomes, ag_wg *wg) {
    struct dice d = {seed};
    ag_defer(ag_wg_done, wg);
    ag_defer(ag_unref, j);
    burn_us((int)roll(&d, 10));
    switch (roll(&d, 5)) {
    case 0:
        ag_job_cancel(j);
        break;
    case 1:
        ag_job_start(j);
        break;
    case 2:
        ag_wg_add(wg, 1);
        ag_check_int(ag_job_on_done(j, ag_wg_done, wg), 0);
        break;
    default:
        break;
    }
    int r = ag_job_await(j, NULL);
    ag_check(r == 0 || r == -ECANCELED || r == AG_PANICKED);
    ag_check(ag_job_state(j) == (r ? AG_JOB_CANCELLED : AG_JOB_COMPLETED));
    atomic_fetch_or(outcomes, r == 0 ? 1 : r == AG_PANICKED ? 2 : 4);
}

AG_TEST_RUN(jobs_are_started_awaited_and_cancelled_by_many) {
    struct dice d = {3};
    for (int i = 0; i < scaled(1500); i++) {
        atomic_int outcomes = 0;
        ag_wg wg = AG_WG_INIT;
        ag_job *j = roll(&d, 2) ? ag_async_lazy(job, d.state, 3) : ag_async(job, d.state, 3);
        ag_wg_add(&wg, 4);
        for (int k = 0; k < 4; k++)
            ag_go(plays, ag_ref(j), d.state + (uint64_t)k, &outcomes, &wg);
        ag_unref(j);
        ag_wg_wait(&wg);
        int seen = outcomes;
        ag_check(seen == 1 || seen == 2 || seen == 4); /* all were told the same */
        ag_check_int(alive, 0);
    }
    eventually(ag_count() == 1);
}

/* ---- A dump meanwhile ----------------------------------------------------------------------- */

static void dumps(atomic_int *stop, ag_wg *wg) {
    FILE *null = fopen("/dev/null", "w");
    for (int i = 0; !*stop; i++) {
        ag_scope_dump(null);
        if (i % 16 == 0)
            ag_dump(null);
        ag_yield();
    }
    fclose(null);
    ag_wg_done(wg);
}

AG_TEST_RUN(a_dump_looks_on_while_all_changes) {
    atomic_int stop = 0;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(dumps, &stop, &wg);
    for (int i = 0; i < scaled(300); i++) {
        ag_try(NULL, tree, (uint64_t)i * 31 + 5, 3);
        ag_job *j = ag_async(job, (uint64_t)i, 4);
        ag_job_await(j, NULL);
        ag_unref(j);
    }
    stop = 1;
    ag_wg_wait(&wg);
    ag_check_int(alive, 0);
}
