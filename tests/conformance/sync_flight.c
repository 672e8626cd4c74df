/* SPDX-License-Identifier: MIT */
/*
 * Single flight: one runs, all get it; keys, forgetting, panics, ag_goexit, ownership, threads.
 */
#include "common.h"

static ag_flight flight; /* usable when zero */
static atomic_int runs, ran, shared, panicked;
static int answer = 42;

static void *answer_when_told(ag_chan(int) go_on) {
    atomic_fetch_add(&runs, 1);
    ag_recv(go_on, NULL);
    return &answer;
}

static void ask(const char *key, ag_chan(int) go_on) {
    void *value = NULL;
    int r = ag_flight_do(&flight, key, &value, answer_when_told, go_on);
    ag_check(value == &answer);
    ag_check(r == 0 || r == 1);
    atomic_fetch_add(r == 0 ? &ran : &shared, 1);
}

AG_TEST_RUN(one_does_the_work_and_all_get_the_result) {
    ag_chan(int) go_on = ag_make(int, 0);
    char key[2][8] = {"key", "key"}; /* the text counts, not the address */
    int64_t first = ag_go(ask, key[0], go_on);
    until_waits_for(first, "chan receive");
    for (int i = 0; i < 5; i++)
        until_waits_for(ag_go(ask, key[1], go_on), "singleflight.Do");
    ag_send(go_on, 1);
    eventually(ag_count() == 1);
    ag_check(atomic_load(&runs) == 1 && atomic_load(&ran) == 1 && atomic_load(&shared) == 5);
    ag_close(go_on);
    ask("key", go_on); /* it is not remembered */
    ag_check_int(atomic_load(&runs), 2);
    ag_unref(go_on);
}

AG_TEST_RUN(other_keys_have_flights_of_their_own) {
    ag_chan(int) go_on = ag_make(int, 0);
    char keys[40][16];
    for (int i = 0; i < 40; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        until_waits_for(ag_go(ask, keys[i], go_on), "chan receive");
    }
    ag_check_int(atomic_load(&runs), 40);
    ag_close(go_on);
    eventually(ag_count() == 1);
    ag_unref(go_on);
}

AG_TEST_RUN(what_was_forgotten_flies_again) {
    ag_chan(int) one = ag_make(int, 0), two = ag_make(int, 0);
    until_waits_for(ag_go(ask, "key", one), "chan receive");
    until_waits_for(ag_go(ask, "key", one), "singleflight.Do");
    ag_flight_forget(&flight, "key");
    ag_flight_forget(&flight, "another");
    until_waits_for(ag_go(ask, "key", two), "chan receive");
    until_waits_for(ag_go(ask, "key", two), "singleflight.Do");
    ag_check_int(atomic_load(&runs), 2);
    ag_close(one); /* the first flight still serves who waits for it */
    eventually(atomic_load(&ran) == 1 && atomic_load(&shared) == 1);
    until_waits_for(ag_go(ask, "key", two), "singleflight.Do"); /* and leaves the second alone */
    ag_close(two);
    eventually(ag_count() == 1);
    ag_check(atomic_load(&ran) == 2 && atomic_load(&shared) == 3);
    ag_unref(one);
    ag_unref(two);
}

static void *panic_when_told(ag_chan(int) go_on) {
    ag_recv(go_on, NULL);
    ag_panic_value(&answer, "no answer %d", 7);
    return NULL;
}

static void ask_in_vain(ag_chan(int) go_on) {
    void *value = NULL;
    ag_flight_do(&flight, "key", &value, panic_when_told, go_on);
    ag_fail("it returned");
}

static void try_in_vain(ag_chan(int) go_on) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, ask_in_vain, go_on), AG_PANICKED);
    ag_check_str(info.msg, "no answer 7");
    ag_check(info.value == &answer);
    ag_check(strstr(info.file, "sync_flight.c") != NULL);
    atomic_fetch_add(&panicked, 1);
}

AG_TEST_RUN(a_panic_reaches_all) {
    ag_chan(int) go_on = ag_make(int, 0);
    until_waits_for(ag_go(try_in_vain, go_on), "chan receive");
    for (int i = 0; i < 3; i++)
        until_waits_for(ag_go(try_in_vain, go_on), "singleflight.Do");
    ag_close(go_on);
    eventually(atomic_load(&panicked) == 4);
    ask("key", go_on); /* and it is over */
    ag_unref(go_on);
}

static int dies(void *arg) {
    (void)arg;
    ag_chan(int) go_on = ag_make(int, 0);
    ag_close(go_on);
    ask_in_vain(go_on);
    return 0;
}

AG_TEST_DEATH(an_unrecovered_panic_shows_where_it_was, 2, "panic_when_told(...)") {
    ag_run(dies, NULL);
}

static void *exit_when_told(ag_chan(int) go_on) {
    ag_recv(go_on, NULL);
    ag_goexit();
    return NULL;
}

static void count(void) {
    atomic_fetch_add(&panicked, 1);
}

static void ask_and_exit(ag_chan(int) go_on) {
    ag_defer(count);
    ag_flight_do(&flight, "key", NULL, exit_when_told, go_on);
    ag_fail("it returned");
}

AG_TEST_RUN(goexit_ends_all) {
    ag_chan(int) go_on = ag_make(int, 0);
    until_waits_for(ag_go(ask_and_exit, go_on), "chan receive");
    until_waits_for(ag_go(ask_and_exit, go_on), "singleflight.Do");
    ag_close(go_on);
    eventually(ag_count() == 1);
    ag_check_int(atomic_load(&panicked), 2);
    ag_unref(go_on);
}

/* ---- Ownership ------------------------------------------------------------------------------ */

static void add_reference(void *c) {
    ag_ref(c);
}

static ag_flight referring = AG_FLIGHT_INIT(add_reference);

static void *channel_when_told(ag_chan(int) go_on) {
    ag_recv(go_on, NULL);
    ag_chan(int) c = ag_make(int, 1);
    ag_send(c, 7);
    return (void *)c;
}

static void ask_for_channel(ag_chan(int) go_on, ag_chan(int) done) {
    void *value = NULL;
    ag_flight_do(&referring, "channel", &value, channel_when_told, go_on);
    ag_check_int(ag_len((ag_chan(int))value), 1);
    ag_send(done, 1);
    ag_unref(value); /* each has a reference of its own */
}

AG_TEST_RUN(share_is_called_for_each_other_caller) {
    ag_chan(int) go_on = ag_make(int, 0), done = ag_make(int, 0);
    until_waits_for(ag_go(ask_for_channel, go_on, done), "chan receive");
    for (int i = 0; i < 5; i++)
        until_waits_for(ag_go(ask_for_channel, go_on, done), "singleflight.Do");
    ag_close(go_on);
    for (int i = 0; i < 6; i++)
        ag_recv(done, NULL);
    eventually(ag_count() == 1);
    ag_unref(go_on);
    ag_unref(done);
}

/* ---- Threads -------------------------------------------------------------------------------- */

static void *slow_answer(void) {
    atomic_fetch_add(&runs, 1);
    ag_sleep(AG_MS);
    return &answer;
}

static void *ask_on_thread(void *arg) {
    void *value = NULL;
    (void)arg;
    for (int i = 0; i < 20; i++) {
        ag_flight_do(&flight, "thread", &value, slow_answer);
        ag_check(value == &answer);
        atomic_fetch_add(&ran, 1);
    }
    return NULL;
}

AG_TEST_RUN(threads_and_goroutines_share_a_flight) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, ask_on_thread, NULL);
    ask_on_thread(NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ag_check_int(atomic_load(&ran), 80);
    ag_check(atomic_load(&runs) <= 80);
}

AG_TEST(threads_without_a_runtime) {
    pthread_t thread;
    pthread_create(&thread, NULL, ask_on_thread, NULL);
    ask_on_thread(NULL);
    pthread_join(thread, NULL);
    ag_check_int(atomic_load(&ran), 40);
}
