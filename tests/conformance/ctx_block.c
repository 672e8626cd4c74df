/* SPDX-License-Identifier: MIT */
/*
 * The current context: blocks that change it, in whatever way they end, and handing it on.
 */
#include "common.h"

static int recv_nothing(void) {
    ag_chan(int) c = ag_make(int, 0);
    ag_defer(ag_unref, c);
    return ag_select(AG_RECV(c, NULL));
}

AG_TEST_RUN(enter_makes_a_context_current_until_the_block_ends) {
    ag_ctx *a = ag_ctx_with_cancel(NULL), *b = ag_ctx_with_cancel(a);
    {
        ag_ctx_enter(a);
        ag_check_ptr(ag_ctx_current(), a);
        for (int i = 0; i < 3; i++) {
            ag_ctx_enter(b);
            ag_check_ptr(ag_ctx_current(), b);
            if (i == 0)
                continue;
            ag_ctx_enter(NULL);
            ag_check_ptr(ag_ctx_current(), ag_ctx_background());
            if (i == 1)
                break;
        }
        ag_check_ptr(ag_ctx_current(), a);
    }
    ag_check_ptr(ag_ctx_current(), ag_ctx_background());
    ag_unref(b);
    ag_unref(a);
}

AG_TEST_RUN(enter_takes_its_own_reference) {
    ag_ctx *c = ag_ctx_with_value(NULL, "k", "v");
    ag_ctx_enter(c);
    ag_unref(c);
    ag_check_int(ag_ctx_err(ag_ctx_current()), 0);
    ag_ctx_cancel(ag_ctx_current());
    ag_check_int(ag_sleep(AG_SEC), -ECANCELED);
}

AG_TEST_RUN(an_end_counts_only_while_it_is_current) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_ctx_cancel(c);
    ag_check_int(ag_sleep(AG_US), 0);
    {
        ag_ctx_enter(c);
        ag_check_int(ag_sleep(AG_US), -ECANCELED);
        {
            ag_ctx_enter(ag_ctx_background());
            ag_check_int(ag_sleep(AG_US), 0);
        }
        ag_check_int(ag_sleep(AG_US), -ECANCELED);
    }
    ag_check_int(ag_sleep(AG_US), 0);
    ag_unref(c);
}

static void panics_inside(ag_ctx *c) {
    ag_ctx_enter(c);
    ag_within(AG_MIN);
    ag_shield(AG_MIN);
    ag_panic("out of here");
}

static void look_at_current(ag_chan(int) seen) {
    ag_send(seen, ag_ctx_current() == ag_ctx_background());
}

static void leaves_inside(ag_ctx *c, ag_chan(int) seen) {
    ag_defer(look_at_current, seen);
    {
        ag_ctx_enter(c);
        ag_within(AG_MIN);
        ag_goexit();
    }
}

AG_TEST_RUN(blocks_end_by_panic_and_goexit_too) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_check_int(ag_try(NULL, panics_inside, c), AG_PANICKED);
    ag_check_ptr(ag_ctx_current(), ag_ctx_background());
    ag_check_int(ag_sleep(AG_US), 0);
    ag_chan(int) seen = ag_make(int, 1);
    int outside = 0;
    ag_go(leaves_inside, c, seen);
    ag_recv(seen, &outside);
    ag_check(outside);
    ag_unref(seen);
    ag_unref(c);
}

/* ---- Handing on ----------------------------------------------------------------------------- */

static void tell_current(ag_chan(ag_ctx *) to) {
    ag_send(to, ag_ref(ag_ctx_current()));
}

static ag_ctx *current_of_new(ag_chan(ag_ctx *) to) {
    ag_ctx *c = NULL;
    ag_go(tell_current, to);
    ag_recv(to, &c);
    return c;
}

AG_TEST_RUN(go_hands_the_current_context_on) {
    ag_chan(ag_ctx *) to = ag_make(ag_ctx *, 3);
    ag_ctx *c = ag_ctx_with_cancel(NULL), *got;
    ag_wg wg = AG_WG_INIT;
    ag_check_ptr(current_of_new(to), ag_ctx_background());
    {
        ag_ctx_enter(c);
        ag_check_ptr(got = current_of_new(to), c);
        ag_unref(got);
        ag_go_with(&(ag_go_opts){.name = "named"}, tell_current, to);
        ag_wg_go(&wg, tell_current, to);
        for (int i = 0; i < 2; i++) {
            ag_recv(to, &got);
            ag_check_ptr(got, c);
            ag_unref(got);
        }
    }
    ag_wg_wait(&wg);
    ag_unref(c);
    ag_unref(to);
}

static void sleeps(ag_chan(int) result) {
    ag_send(result, ag_sleep(AG_MIN));
}

static void sends_result(ag_chan(int) result) {
    int r = ag_sleep(AG_MIN);
    ag_ctx_enter(NULL);
    ag_send(result, r);
}

static void starts_another(ag_chan(int) result) {
    ag_go(sends_result, result);
}

AG_TEST_RUN(a_context_lives_as_long_as_a_goroutine_has_it) {
    ag_chan(int) result = ag_make(int, 0);
    ag_ctx *c = ag_ctx_with_cancel(NULL), *below = ag_ctx_with_cancel(c);
    int r = 0;
    {
        ag_ctx_enter(below);
        ag_unref(below);
        ag_go(starts_another, result);
    }
    ag_sleep(AG_MS);
    ag_ctx_cancel(c);
    ag_recv(result, &r);
    ag_check_int(r, -ECANCELED);
    ag_unref(c);
    ag_unref(result);
}

/* ---- Within --------------------------------------------------------------------------------- */

AG_TEST_RUN(within_bounds_every_wait_of_the_block) {
    ag_time begin = ag_now();
    {
        ag_within(100 * AG_MS);
        ag_check_int(ag_sleep(AG_MS), 0);
        ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
        ag_check(ag_now() >= begin + 100 * AG_MS);
        ag_check(ag_now() < begin + 10 * AG_SEC);
        ag_check_int(ag_sleep(AG_US), -ETIMEDOUT);
        ag_check_int(recv_nothing(), -ETIMEDOUT);
    }
    ag_check_int(ag_sleep(AG_US), 0);
}

AG_TEST_RUN(the_earliest_bound_counts) {
    ag_time begin = ag_now();
    {
        ag_within(20 * AG_MS);
        {
            ag_within(AG_MIN);
            ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
        }
    }
    {
        ag_within(AG_MIN);
        {
            ag_within(AG_MS);
            ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
        }
        ag_check_int(ag_sleep(AG_US), 0);
        ag_ctx *c = ag_ctx_with_cancel(NULL);
        ag_defer(ag_unref, c);
        ag_ctx_enter(c); /* another context; the bound stays */
        ag_check_ptr(ag_ctx_current(), c);
        ag_within(AG_MS);
        ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
    }
    ag_check(ag_now() < begin + 10 * AG_SEC);
}

AG_TEST_RUN(a_bound_of_nothing_is_over_at_once) {
    ag_within(0);
    ag_check_int(ag_sleep(AG_US), -ETIMEDOUT);
    ag_check_int(ag_sleep(0), 0);
    ag_within(-AG_SEC);
    ag_check_int(recv_nothing(), -ETIMEDOUT);
}

AG_TEST_RUN(a_block_with_a_bound_has_a_context) {
    ag_ctx *top = ag_ctx_with_value(NULL, "k", "v"), *kept;
    ag_ctx_enter(top);
    {
        ag_time begin = ag_now(), t = 0;
        ag_within(100 * AG_MS);
        ag_ctx *c = ag_ctx_current();
        ag_check(c != top);
        ag_check_ptr(ag_ctx_current(), c);
        ag_check(ag_ctx_deadline(c, &t) && t >= begin + 100 * AG_MS);
        ag_check_int(ag_ctx_err(c), 0);
        ag_check_int(ag_select(AG_DONE(c)), 0); /* the current one: its case, not the code */
        ag_check_int(ag_ctx_err(c), -ETIMEDOUT);
        ag_check_int(ag_sleep(AG_US), -ETIMEDOUT);
        kept = ag_ref(c);
    }
    ag_check_ptr(ag_ctx_current(), top);
    ag_check_int(ag_sleep(AG_US), 0);
    ag_unref(kept);
    ag_unref(top);
}

AG_TEST_RUN(cancel_ends_a_wait_with_a_bound) {
    ag_ctx *top = ag_ctx_with_cancel(NULL);
    ag_chan(int) result = ag_make(int, 1);
    int r = 0;
    ag_ctx_enter(top);
    ag_within(AG_MIN);
    int64_t id = ag_go(sleeps, result);
    until_waits_for(id, "sleep");
    ag_ctx_cancel(top);
    {
        ag_shield(20 * AG_SEC);
        ag_recv(result, &r);
    }
    ag_check_int(r, -ECANCELED);
    ag_check_int(ag_sleep(AG_MIN), -ECANCELED);
    ag_unref(result);
    ag_unref(top);
}

AG_TEST_RUN(a_bound_is_handed_on_and_outlives_its_block) {
    ag_chan(int) result = ag_make(int, 1);
    ag_time begin = ag_now();
    int r = 0;
    {
        ag_within(20 * AG_MS);
        ag_go(sleeps, result);
    }
    ag_recv(result, &r);
    ag_check_int(r, -ETIMEDOUT);
    ag_check(ag_now() >= begin + 20 * AG_MS);
    ag_unref(result);
}

/* ---- Shield --------------------------------------------------------------------------------- */

AG_TEST_RUN(a_shield_lifts_a_cancel_for_its_time) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_ctx_enter(c);
    ag_ctx_cancel(c);
    ag_check_int(ag_sleep(AG_US), -ECANCELED);
    {
        ag_time begin = ag_now();
        ag_shield(100 * AG_MS);
        ag_check_int(ag_ctx_err(ag_ctx_current()), 0);
        ag_check_int(ag_sleep(AG_MS), 0);
        ag_check_int(ag_sleep(AG_MIN), -ECANCELED);
        ag_check(ag_now() >= begin + 100 * AG_MS && ag_now() < begin + 10 * AG_SEC);
        ag_check_int(ag_ctx_err(ag_ctx_current()), -ECANCELED);
    }
    ag_check_int(ag_sleep(AG_US), -ECANCELED);
    ag_unref(c);
}

static void cancel_later(ag_ctx *c) {
    ag_sleep(2 * AG_MS);
    ag_ctx_cancel(c);
}

AG_TEST_RUN(a_shield_covers_a_cancel_that_comes_later) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_go(cancel_later, c);
    ag_ctx_enter(c);
    {
        ag_time begin = ag_now();
        ag_shield(300 * AG_MS);
        while (ag_ctx_err(c) == 0)
            ag_check_int(ag_sleep(AG_MS), 0);
        ag_check_int(ag_sleep(AG_MS), 0);
        ag_check_int(ag_sleep(AG_MIN), -ECANCELED);
        ag_check(ag_now() >= begin + 300 * AG_MS);
    }
    ag_unref(c);
}

AG_TEST_RUN(a_shield_does_not_bound_what_does_not_end) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_ctx_enter(c);
    {
        ag_shield(2 * AG_MS);
        ag_check_int(ag_sleep(10 * AG_MS), 0);
        ag_check_int(ag_sleep(AG_US), 0);
        ag_go(cancel_later, c);
        ag_check_int(ag_sleep(AG_MIN), -ECANCELED); /* the shield's time is over */
    }
    {
        ag_ctx_enter(NULL);
        ag_shield(AG_MS);
        ag_check_ptr(ag_ctx_current(), ag_ctx_background());
        ag_check_int(ag_sleep(3 * AG_MS), 0);
    }
    ag_unref(c);
}

AG_TEST_RUN(a_shield_lifts_a_bound_and_may_have_one) {
    ag_within(AG_MS);
    ag_check_int(ag_sleep(AG_SEC), -ETIMEDOUT);
    {
        ag_shield(AG_MIN);
        ag_check_int(ag_sleep(AG_MS), 0);
        ag_within(AG_MS);
        ag_check_int(ag_sleep(AG_SEC), -ETIMEDOUT);
        ag_shield(100 * AG_MS);
        ag_check_int(ag_sleep(AG_MS), 0);
        ag_check_int(ag_sleep(AG_SEC), -ETIMEDOUT);
    }
    {
        ag_shield(0);
        ag_check_int(ag_sleep(AG_US), -ETIMEDOUT);
    }
    ag_check_int(ag_sleep(AG_US), -ETIMEDOUT);
}

AG_TEST_RUN(a_shield_keeps_values_and_hands_them_on) {
    ag_chan(ag_ctx *) to = ag_make(ag_ctx *, 1);
    ag_ctx *c = ag_ctx_with_value(NULL, "k", "v"), *got;
    ag_ctx_cancel(c);
    ag_ctx_enter(c);
    {
        ag_time t = 0;
        ag_shield(AG_MIN);
        ag_check(ag_ctx_deadline(ag_ctx_current(), &t) && t > ag_now());
        ag_check_ptr(got = current_of_new(to), ag_ctx_current());
        ag_check_int(ag_ctx_err(got), 0);
        ag_unref(got);
    }
    ag_unref(c);
    ag_unref(to);
}

static void clean_up(atomic_int *slept) {
    ag_shield(AG_MIN);
    *slept = ag_sleep(AG_MS) == 0;
}

static void works(atomic_int *slept) {
    ag_defer(clean_up, slept);
    ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
    ag_panic("too late");
}

AG_TEST_RUN(deferred_calls_of_a_panic_may_take_their_time) {
    atomic_int slept = 0;
    ag_within(AG_MS);
    ag_check_int(ag_try(NULL, works, &slept), AG_PANICKED);
    ag_check(slept);
}

/* ---- Threads and worlds --------------------------------------------------------------------- */

static void *blocks_on_thread(void *arg) {
    ag_ctx *c = arg;
    ag_chan(int) never = ag_make(int, 0);
    {
        ag_within(2 * AG_MS);
        ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
        ag_check(!ag_recv(never, NULL));
    }
    {
        ag_ctx *late = ag_ctx_with_timeout(NULL, 2 * AG_MS);
        ag_defer(ag_unref, late);
        ag_ctx_enter(late);
        ag_check_int(ag_send(never, 1), -ETIMEDOUT);
    }
    ag_ctx_enter(c);
    ag_check_int(ag_select(AG_RECV(never, NULL)), -ECANCELED);
    {
        ag_shield(100 * AG_MS);
        ag_check_int(ag_sleep(AG_MS), 0);
        ag_check(ag_sleep(AG_MIN) < 0);
    }
    ag_check_int(ag_sleep(AG_MIN), -ECANCELED);
    ag_unref(never);
    return NULL;
}

AG_TEST(threads_have_blocks_too) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    pthread_t thread;
    ag_check_int(pthread_create(&thread, NULL, blocks_on_thread, c), 0);
    ag_sleep(20 * AG_MS);
    ag_ctx_cancel(c);
    pthread_join(thread, NULL);
    ag_unref(c);
}

static ag_ctx *shared;

static void dropped(ag_chan(int) c) {
    ag_within(AG_MIN);
    ag_ctx *current = ag_ctx_current();
    ag_ctx_enter(current);
    ag_recv(c, NULL);
}

static int drops_some(void *c) {
    ag_ctx_enter(shared);
    int64_t id = 0;
    for (int i = 0; i < 10; i++)
        id = ag_go(dropped, (ag_chan(int))c);
    until_waits_for(id, "chan receive");
    ag_go(sleeps, (ag_chan(int))c);
    return 0;
}

AG_TEST(a_context_outlives_dropped_goroutines) {
    shared = ag_ctx_with_cancel(NULL);
    ag_chan(int) c = ag_make(int, 0);
    for (int i = 0; i < 3; i++)
        ag_check_int(ag_run(drops_some, (void *)c), 0);
    ag_ctx_cancel(shared);
    ag_unref(c);
    ag_unref(shared);
}

static void waits_with_deadline(ag_chan(int) c) {
    ag_within(10 * AG_MIN);
    ag_recv(c, NULL);
}

AG_TEST_RUN(a_dump_shows_the_deadline) {
    ag_chan(int) c = ag_make(int, 0);
    char *text = NULL;
    size_t size = 0;
    int64_t id = ag_go(waits_with_deadline, c);
    until_waits(id);
    FILE *out = open_memstream(&text, &size);
    ag_check_int(ag_dump_goroutine(out, id), 0);
    fclose(out);
    const char *line = strstr(text, "deadline in ");
    double left = line ? atof(line + strlen("deadline in ")) : 0;
    if (!(left > 500 && left <= 600))
        ag_fail("the deadline is not there, or not in 10 minutes:\n%s", text);
    free(text);
    ag_close(c);
    ag_unref(c);
}
