/* SPDX-License-Identifier: MIT */
/*
 * The answers that the pages are made of: the graph of waits, every goroutine in a
 * line, profiles and the time line as JSON. That they are JSON is tested in tests/ways.
 */
#include "answer.h"
#include <string.h>

static int status_of;

/* The whole answer, to be freed. */
static char *ask(const char *target) {
    struct answer a = {0};
    ag_check_int(ask_within(&a, target), 0);
    status_of = a.status;
    return a.text;
}
static int count(const char *text, const char *words) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at += strlen(words))
        n++;
    return n;
}
/* How often the words are in the answer. */
static int asked(const char *target, const char *words) {
    char *text = ask(target);
    int n = count(text, words);
    free(text);
    return n;
}
static void refuses(const char *target) {
    free(ask(target));
    ag_check_int(status_of, 400);
}

/* --- The graph of waits. --- */

static ag_mutex left, right;

static void locks(ag_mutex *first, ag_mutex *second, ag_wg *both) {
    ag_mutex_lock(first);
    ag_wg_done(both);
    ag_wg_wait(both);
    ag_mutex_lock(second);
}
static void locks_left(void) {
    ag_mutex_lock(&left);
}

/* Until the words stand there so often. A goroutine that is just about to wait may be told without
 * its stack and what it waits for. */
static char *ask_until(const char *target, const char *words, int n) {
    for (int i = 0; i < 2000; i++) {
        char *text = ask(target);
        if (count(text, words) == n)
            return text;
        free(text);
        ag_sleep(5 * AG_MS);
    }
    return ask(target);
}

/* They can't be woken again, so the process ends with them. */
static int makes_a_circle(void *arg) {
    static ag_wg both;
    (void)arg;
    ag_wg_add(&both, 2);
    ag_go(locks, &left, &right, &both);
    ag_go(locks, &right, &left, &both);
    ag_wg_wait(&both);
    ag_go(locks_left);
    free(ask_until("/debug/waits?each=1", "\"state\":\"sync.Mutex.Lock\"", 3));
    char *each = ask_until("/debug/waits?each=1", "\"circles\":1,", 1);
    bool good = count(each, "\"circle\":1,") == 4 && count(each, "\"kind\":\"mutex\"") == 2;
    /* Two in the circle have the same stack; they are shown each in any case. */
    char *groups = ask("/debug/waits?each=0");
    good = good && count(groups, "\"circle\":1,") == 4 && count(groups, "\"each\":false") == 1;
    if (!good)
        printf("%s\n%s\n", each, groups);
    fflush(stdout);
    _Exit(good ? 7 : 8);
}
AG_TEST_DEATH(a_circle_is_found_and_who_waits_behind_it_is_not_in_it, 7, "") {
    ag_run(makes_a_circle, NULL);
}

static KEPT void receives(ag_wg *started, ag_chan(int) gate) {
    ag_wg_done(started);
    ag_recv(gate, NULL);
    STAYS;
}
static void starts(ag_wg *started, ag_chan(int) gate, ag_wg *all, int n) {
    for (int i = 0; i < n; i++) {
        ag_wg_add(started, 1);
        ag_wg_go(all, receives, started, gate);
    }
}
/* Those who receive from it end. */
static void ends(ag_chan(int) gate) {
    ag_close(gate);
    while (ag_count() > 1)
        ag_yield();
    ag_unref(gate);
}
static void waits_for(ag_wg *all) {
    ag_wg_wait(all);
}

/* How many goroutines receive, and in how many nodes: one, or two where link-time optimization has
 * put the runtime's way of parking into `receives` twice. */
static int waiting_at(const char *text, int *ret_nodes) {
    static const char head[] = "{\"count\":";
    int sum = 0, nodes = 0;
    for (const char *at = text; (at = strstr(at, head)) != NULL; at += sizeof head - 1) {
        const char *state = strstr(at, "\"state\":\"");
        if (!state || strncmp(state + sizeof "\"state\":\"" - 1, "chan receive", 12) != 0)
            continue;
        sum += atoi(at + sizeof head - 1);
        nodes++;
    }
    *ret_nodes = nodes;
    return sum;
}

AG_TEST_RUN(goroutines_that_stand_at_the_same_place_are_one_node) {
    ag_chan(int) gate = ag_make(int, 0);
    ag_wg started = {0}, all = {0}, waiter = {0};
    starts(&started, gate, &all, 300);
    ag_wg_wait(&started);
    ag_wg_go(&waiter, waits_for, &all);
    free(ask_until("/debug/waits?each=1&max=400", "\"state\":\"chan receive\"", 300));
    char *text = ask("/debug/waits");
    int nodes;
    ag_check_int(waiting_at(text, &nodes), 300);
    ag_check(nodes == 1 || nodes == 2);
    ag_check_int(count(text, "\"circles\":0,"), 1);
    ag_check_int(count(text, "\"kind\":\"channel\""), 1);
    ag_check_int(count(text, ",\"receive\"]"), nodes);
    free(text);
    /* Who waits for all of them needs them. */
    text = ask_until("/debug/waits", "\"kind\":\"wait group\"", 1);
    ag_check_int(count(text, "\"about\":\"counter 300\""), 1);
    ag_check_int(count(text, ",300]"), nodes == 1);
    free(text);
    /* What is left out is counted. */
    if (nodes == 1)
        ag_check_int(asked("/debug/waits?max=1", "\"left_out\":{\"nodes\":2,\"goroutines\":2}}"),
                     1);
    ag_check_int(asked("/debug/waits?each=1&max=10", "{\"count\":1,"), 10);
    ends(gate);
    ag_wg_wait(&all);
    ag_wg_wait(&waiter);
}

AG_TEST_RUN(a_channel_has_no_owner_so_it_closes_no_circle) {
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 0);
    ag_wg started = {0};
    ag_wg_add(&started, 2);
    ag_go(receives, &started, a);
    ag_go(receives, &started, b);
    ag_wg_wait(&started);
    char *text = ask_until("/debug/waits?each=1", "\"state\":\"chan receive\"", 2);
    ag_check_int(count(text, "\"circle\":0,"), 5); /* three goroutines and two channels */
    ag_check_int(count(text, "\"has\":[],"), 1);
    free(text);
    ag_close(a);
    ends(b);
    ag_unref(a);
}

AG_TEST(outside_a_world_nobody_waits) {
    ag_check_int(asked("/debug/waits", "\"goroutines\":0,"), 1);
    ag_check_int(asked("/debug/each", "{\"rows\":["), 1);
}

/* --- Every goroutine. --- */

static void is_named(ag_wg *started, ag_chan(int) gate) {
    receives(started, gate);
}

AG_TEST_RUN(every_goroutine_is_a_line_in_the_order_of_numbers) {
    ag_chan(int) gate = ag_make(int, 0);
    ag_wg started = {0};
    ag_wg_add(&started, 3);
    for (int i = 0; i < 2; i++)
        ag_go(receives, &started, gate);
    ag_go_with((&(ag_go_opts){.name = "a \"b\"\x01\xff\xf0\x9f\x90\xa6"}), is_named, &started,
               gate);
    ag_wg_wait(&started);
    char *text = ask_until("/debug/each", "[\"chan receive\",true]", 1);
    const char *rows = strstr(text, "[1,0,");
    ag_check(rows && strstr(rows, "\n[2,1,") && strstr(rows, "\n[3,1,"));
    ag_check_int(count(text, ",\"a \\\"b\\\"\\u0001?\xf0\x9f\x90\xa6\"]"), 1);
    ag_check_int(count(text, "[\"is_named\",\""), 1);
    ag_check_int(count(text, "\"more\":0}"), 1);
    free(text);
    text = ask("/debug/each?after=1&limit=2");
    ag_check(strncmp(text, "{\"rows\":[\n[2,1,", 15) == 0);
    ag_check_int(count(text, "\"more\":1}"), 1);
    free(text);
    ag_check_int(asked("/debug/each?after=1000000000", "{\"rows\":[],"), 1);
    ends(gate);
}

/* --- Profiles and the time line. --- */

AG_TEST_RUN(profiles_are_stacks_of_places) {
    ag_chan(int) gate = ag_make(int, 0);
    ag_wg started = {0};
    ag_wg_add(&started, 1);
    ag_go(receives, &started, gate);
    ag_wg_wait(&started);
    char *text = ask_until("/debug/pprof/goroutine?format=json", "\"chan receive\"]", 1);
    ag_check_int(count(text, "{\"profile\":\"goroutine\",\"values\":[[\"goroutine\",\"count\"]]"),
                 1);
    ag_check_int(count(text, "[\"receives\",\""), 1);
    free(text);
    ag_check_int(asked("/debug/pprof/spawn?format=json", "[\"receives\",\""), 1);
    ag_check_int(asked("/debug/pprof/offcpu?format=json", "\"shown\":1,"), 1);
    ag_check_int(asked("/debug/pprof/mutex?format=json", "\"stacks\":["), 1);
    ends(gate);
}

static void runs_on(_Atomic bool *end) {
    while (!*end) {
        ag_yield();
        ag_sleep(AG_MS);
    }
}

AG_TEST_RUN(the_time_line_tells_what_ran_where) {
    _Atomic bool end = false;
    ag_wg group = {0};
    ag_wg_go(&group, runs_on, &end);
    char *text = ask("/debug/trace?format=lanes&seconds=1");
    ag_check(count(text, "\n[0,") > 10);
    ag_check_int(count(text, "[\"runs_on\",\""), 1);
    ag_check_int(count(text, "\"yield\""), 1);
    ag_check_int(count(text, "\"cut\":"), 1);
    free(text);
    ag_check(asked("/debug/trace?format=lanes&seconds=0", "\n[0,") > 0);
    /* Of what has ended before, nothing; what goes on still is told. */
    text = ask("/debug/trace?format=lanes&seconds=0&since=9000000000000000000");
    ag_check_int(count(text, "{\"lanes\":[],"), 1);
    free(text);
    end = true;
    ag_wg_wait(&group);
}

static void is_short(ag_mutex *m, ag_chan(int) c, ag_wg *group) {
    int got;
    ag_mutex_lock(m);
    ag_yield();
    ag_mutex_unlock(m);
    ag_try_send(c, 1);
    ag_try_recv(c, &got);
    ag_wg_done(group);
}
static void makes_short_ones(_Atomic bool *end, ag_chan(int) c) {
    static ag_mutex m;
    while (!*end) {
        ag_wg group = {0};
        ag_wg_add(&group, 8);
        for (int i = 0; i < 8; i++)
            ag_go_with((&(ag_go_opts){.name = "short"}), is_short, &m, c, &group);
        ag_wg_wait(&group);
    }
}

AG_TEST_RUN(answers_are_whole_while_goroutines_come_and_go) {
    static const char *const targets[] = {"/debug/waits?each=0", "/debug/waits?each=1",
                                          "/debug/each", "/debug/pprof/goroutine?format=json",
                                          "/debug/trace?format=lanes&seconds=0"};
    _Atomic bool end = false;
    ag_chan(int) c = ag_make(int, 2);
    ag_wg makers = {0};
    for (int i = 0; i < 3; i++)
        ag_wg_go(&makers, makes_short_ones, &end, c);
    for (int i = 0; i < 50; i++) {
        char *text = ask(targets[i % 5]);
        size_t n = strlen(text);
        ag_check(status_of == 200 && n > 3 && strcmp(text + n - 2, "}\n") == 0);
        free(text);
        ag_yield();
    }
    end = true;
    ag_wg_wait(&makers);
    ag_unref(c);
}

AG_TEST_RUN(questions_that_make_no_sense_are_refused) {
    refuses("/debug/waits?each=2");
    refuses("/debug/waits?max=0");
    refuses("/debug/waits?max=many");
    refuses("/debug/each?limit=0");
    refuses("/debug/each?after=-1");
    refuses("/debug/pprof/goroutine?format=xml");
    refuses("/debug/trace?format=xml&seconds=0");
    refuses("/debug/trace?format=lanes&since=then&seconds=0");
}
