/* SPDX-License-Identifier: MIT */
/*
 * Dumps of many goroutines: one entry for all at the same place.
 */
#include "dump_text.h"

enum { MANY = 400 }; /* more than are printed one by one */

static KEPT void wait_here(ag_chan(int) c) {
    ag_recv(c, NULL);
    STAYS;
}

static void one_way(ag_chan(int) c) {
    wait_here(c);
    STAYS;
}

static int64_t start(ag_chan(int) c) {
    return ag_go(one_way, c);
}

static int count(const char *text, const char *words) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++)
        n++;
    return n;
}

/* Is the number in the list that follows "goroutines "? */
static bool is_listed(const char *list, int64_t id) {
    for (const char *at = list + strlen("goroutines "); *at && *at != '\n';) {
        char *end;
        long long from = strtoll(at, &end, 10), to = from;
        if (*end == '-')
            to = strtoll(end + 1, &end, 10);
        if (from <= id && id <= to)
            return true;
        at = *end == ',' ? end + 2 : end;
    }
    return false;
}

static void start_all(ag_chan(int) c, int64_t ids[MANY]) {
    for (int i = 0; i < MANY; i++)
        ids[i] = start(c);
    for (int i = 0; i < MANY; i++)
        until_waits_for(ids[i], "chan receive");
}

/* A dump in groups that says this. One that is just about to be parked is looked at again. */
static KEPT char *groups_with(const char *words) {
    char *text = dump_as(AG_DUMP_GROUPS);
    for (ag_time end = ag_now() + 20 * AG_SEC; !strstr(text, words) && ag_now() < end;) {
        free(text);
        ag_sleep(AG_MS);
        text = dump_as(AG_DUMP_GROUPS);
    }
    ag_check_contains(text, words);
    return text;
}

AG_TEST_RUN(those_at_one_place_are_one_entry_with_their_numbers) {
    ag_chan(int) c = ag_make(int, 0);
    ag_mutex m = AG_MUTEX_INIT;
    int64_t ids[MANY];
    start_all(c, ids);
    ag_mutex_lock(&m);
    int64_t other = ag_go(lock_it, &m);
    until_waits_for(other, "sync.Mutex.Lock");
    char head[64], *text;
    snprintf(head, sizeof head, "\n%d goroutines [chan receive]:\nwaits for channel %p (", MANY,
             (void *)c);
    text = groups_with(head);
    ag_check_int(count(text, "wait_here"), 1);
    ag_check_int(count(text, "one_way("), 1);
    ag_check_int(count(text, "created by start in goroutine 1 at "), 1);
    const char *list = strstr(text, "\ngoroutines ");
    ag_check(list != NULL);
    for (int i = 0; i < MANY; i++)
        ag_check(is_listed(list + 1, ids[i]));
    ag_check(!is_listed(list + 1, other));
    /* One alone is shown in full, oneself first. */
    snprintf(head, sizeof head, "\ngoroutine %lld [sync.Mutex.Lock]:\nwaits for mutex ",
             (long long)other);
    ag_check_contains(text, head);
    ag_check(strncmp(text, "goroutine 1 [running]:", 22) == 0);
    free(text);
    ag_mutex_unlock(&m);
    end_all(c);
}

AG_TEST_RUN(of_many_a_dump_prints_groups_and_of_few_each) {
    ag_chan(int) c = ag_make(int, 0);
    int64_t ids[MANY];
    start_all(c, ids);
    char head[64], *text;
    snprintf(head, sizeof head, "\n%d goroutines [chan receive]:", MANY);
    free(groups_with(head));
    text = dump_as(AG_DUMP_AUTO);
    ag_check_int(count(text, "wait_here"), 1);
    free(text);
    text = dump_as(AG_DUMP_EACH);
    ag_check_int(count(text, "wait_here"), MANY);
    free(text);
    end_all(c);
    c = ag_make(int, 0);
    for (int i = 0; i < 50; i++)
        until_waits_for(start(c), "chan receive");
    free(groups_with("\n50 goroutines [chan receive]:"));
    text = dump_as(AG_DUMP_AUTO);
    ag_check_int(count(text, "wait_here"), 50);
    free(text);
    text = dump_as(AG_DUMP_GROUPS);
    ag_check_int(count(text, "wait_here"), 1);
    free(text);
    end_all(c);
}

static void named(ag_chan(int) own) {
    wait_here(own);
    STAYS;
}

AG_TEST_RUN(what_is_a_goroutine_s_own_has_a_line_of_its_own) {
    ag_chan(int) c = ag_make(int, 0), own = ag_make(int, 0);
    int64_t ids[3] = {start(c), start(own), 0};
    for (int i = 0; i < 2; i++)
        until_waits_for(ids[i], "chan receive");
    char line[128], *text = groups_with("2 goroutines [chan receive]:\nwait_here");
    snprintf(line, sizeof line, "\n  goroutine %lld: waits for channel %p (", (long long)ids[1],
             (void *)own);
    ag_check_contains(text, line);
    free(text);
    {
        ag_label("customer", "ada");
        ids[0] = ag_go_with(&(ag_go_opts){.name = "first"}, named, c);
    }
    ids[1] = ag_go(named, c);
    for (int i = 0; i < 2; i++)
        until_waits_for(ids[i], "chan receive");
    /* Sites differ, so these are two groups; a third at the place of the first makes one. */
    for (int i = 0; i < 2; i++) {
        ids[2] = ag_go_with(&(ag_go_opts){.name = "last"}, named, c);
        until_waits_for(ids[2], "chan receive");
    }
    snprintf(line, sizeof line, "\n  goroutine %lld \"last\":", (long long)ids[2]);
    free(groups_with(line));
    text = dump_as(AG_DUMP_EACH);
    snprintf(line, sizeof line,
             "goroutine %lld \"first\" [chan receive]:\nlabels: customer=\"ada\"\n",
             (long long)ids[0]);
    ag_check_contains(text, line);
    free(text);
    ag_close(own);
    ag_unref(own);
    end_all(c);
}

AG_TEST_RUN(lines_of_single_ones_are_bounded) {
    ag_chan(int) c = ag_make(int, 0);
    for (int i = 0; i < 100; i++)
        until_waits_for(ag_go_with(&(ag_go_opts){.name = "x"}, one_way, c), "chan receive");
    char *text = groups_with("100 goroutines [chan receive]:");
    ag_check_int(count(text, "\n  goroutine "), 20);
    ag_check_contains(text, "\n  and 80 more\n");
    free(text);
    end_all(c);
}

AG_TEST_RUN(very_many_are_readable) {
    const int many = ag_test_slow() > 1 ? 2000 : 100000;
    ag_chan(int) c = ag_make(int, 0);
    for (int i = 0; i < many; i++)
        ag_go(one_way, c);
    eventually(ag_count() == many + 1);
    char *text = NULL, head[64];
    snprintf(head, sizeof head, "%d goroutines [chan receive]:\n", many);
    for (ag_time end = ag_now() + AG_MIN; !text || !strstr(text, head);) {
        ag_check(ag_now() < end);
        ag_sleep(20 * AG_MS);
        free(text);
        text = dump_as(AG_DUMP_AUTO);
    }
    ag_check(strlen(text) < 10000);
    ag_check_int(count(text, "wait_here"), 1);
    free(text);
    end_all(c);
}
