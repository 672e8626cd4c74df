/* SPDX-License-Identifier: MIT */
/*
 * The debug checks of mutexes: what must be found, how it is told, and what must not be found.
 * Programs with the bug run as children with AGLET_CHECK=1; legal ones must stay silent.
 */
#include "common.h"

static ag_mutex a, b, c, gate;
static ag_rwmutex rw;

static KEPT void lock_two(ag_mutex *first, ag_mutex *second) {
    ag_mutex_lock(first);
    ag_mutex_lock(second);
    ag_mutex_unlock(second);
    ag_mutex_unlock(first);
}

/* One after the other: the order is wrong, but nobody waits. */
static void then(int64_t id) {
    ag_check(id > 0);
    eventually(ag_count() == 1);
}

AG_TEST_RUN(program_two_in_both_orders) {
    then(ag_go(lock_two, &a, &b));
    then(ag_go(lock_two, &b, &a));
    then(ag_go(lock_two, &a, &b)); /* told once */
    then(ag_go(lock_two, &b, &a));
}

AG_TEST_RUN(program_three_in_a_circle) {
    lock_two(&a, &b);
    lock_two(&b, &c);
    lock_two(&c, &a);
}

static void read_two(ag_rwmutex *first, ag_rwmutex *second) {
    ag_rwmutex_rlock(first);
    ag_rwmutex_rlock(second);
    ag_rwmutex_runlock(second);
    ag_rwmutex_runlock(first);
}

static void read_then_write(ag_rwmutex *first, ag_rwmutex *second) {
    ag_rwmutex_rlock(first);
    ag_rwmutex_lock(second);
    ag_rwmutex_unlock(second);
    ag_rwmutex_runlock(first);
}

AG_TEST_RUN(program_readers_and_writers_in_both_orders) {
    static ag_rwmutex other;
    then(ag_go(read_then_write, &rw, &other));
    then(ag_go(read_then_write, &other, &rw));
}

AG_TEST_RUN(program_a_gate_that_is_not_always_locked) {
    ag_mutex_lock(&gate);
    lock_two(&a, &b);
    ag_mutex_unlock(&gate);
    ag_mutex_lock(&gate);
    lock_two(&b, &a); /* the gate keeps them apart */
    ag_mutex_unlock(&gate);
    lock_two(&a, &b); /* no more */
}

static KEPT void keep(ag_mutex *m, ag_rwmutex *r) {
    ag_mutex_lock(m);
    ag_rwmutex_rlock(r);
}

static void keep_and_exit(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_goexit();
}

AG_TEST_RUN(program_ends_with_locks) {
    then(ag_go(keep, &a, &rw));
    then(ag_go(keep_and_exit, &b));
    ag_mutex_lock(&c); /* main is not meant */
}

static KEPT void lock_twice(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_mutex_lock(m);
    STAYS;
}

AG_TEST_RUN(program_locks_what_it_holds) {
    ag_go(lock_twice, &a);
    eventually(ag_leaks(NULL) == 1);
    ag_check_int(ag_leaks(stderr), 1);
}

static int64_t seen[4];
static int seen_count;
static char seen_kind[32], seen_text[160];

static void note(const ag_report *r) {
    snprintf(seen_kind, sizeof seen_kind, "%s", r->kind);
    snprintf(seen_text, sizeof seen_text, "%s", r->text);
    seen_count = r->count;
    for (int i = 0; i < r->count && i < 4; i++)
        seen[i] = r->ids[i];
}

AG_TEST_RUN(program_reports_to_a_hook) {
    const char *check = getenv("AGLET_CHECK");
    if (!check || strcmp(check, "1") != 0)
        return;
    ag_check(ag_on_report(note) == NULL);
    int64_t one = ag_go(lock_two, &a, &b);
    then(one);
    int64_t two = ag_go(lock_two, &b, &a);
    then(two);
    ag_check_str(seen_kind, "lock order");
    ag_check(strstr(seen_text, "2 locks") != NULL);
    ag_check(seen_count == 2 && seen[0] == two && seen[1] == one);
    int64_t three = ag_go(keep, &a, &rw);
    then(three);
    ag_check_str(seen_kind, "lock held at exit");
    ag_check(seen_count == 1 && seen[0] == three);
    ag_check(ag_on_report(NULL) == note);
}

/* ---- Legal programs ------------------------------------------------------------------------- */

static void unlock(ag_mutex *m) {
    ag_mutex_unlock(m);
}

AG_TEST_RUN(program_legal) {
    static ag_rwmutex other;
    for (int i = 0; i < 3; i++) { /* one order */
        lock_two(&a, &b);
        lock_two(&b, &c);
        lock_two(&a, &c);
    }
    ag_mutex_lock(&c); /* trying never waits */
    ag_check(ag_mutex_try_lock(&a));
    ag_mutex_unlock(&a);
    ag_mutex_unlock(&c);
    read_two(&rw, &other); /* readers do not wait for readers */
    read_two(&other, &rw);
    for (int i = 0; i < 2; i++) { /* a semaphore: unlocked by another one */
        static ag_mutex turn;
        ag_mutex_lock(&turn);
        ag_go(unlock, &turn);
        ag_mutex_lock(&turn);
        ag_go(unlock, &turn);
        eventually(ag_count() == 1);
    }
    for (int i = 0; i < 100; i++) { /* memory that is another lock each time */
        ag_mutex pair[2] = {AG_MUTEX_INIT, AG_MUTEX_INIT};
        lock_two(&pair[i % 2], &pair[1 - i % 2]);
    }
    ag_mutex_lock(&a); /* unlocked in any order */
    ag_mutex_lock(&b);
    ag_mutex_unlock(&a);
    ag_mutex_unlock(&b);
}

AG_TEST_RUN(program_with_a_gate) {
    for (int i = 0; i < 4; i++) {
        ag_mutex_lock(&gate);
        lock_two(i % 2 ? &a : &b, i % 2 ? &b : &a);
        ag_mutex_unlock(&gate);
    }
}

AG_TEST_RUN(program_whose_lock_a_stranger_unlocks) {
    ag_mutex_lock(&a);
    ag_go(unlock, &a);
    eventually(ag_count() == 1);
    lock_two(&a, &b); /* a takes no part any more */
    lock_two(&b, &a);
    then(ag_go(keep_and_exit, &a));
}

/* ---- What they say -------------------------------------------------------------------------- */

static struct child child;

static int count_of(const char *words) {
    int n = 0;
    for (const char *at = child.text; (at = strstr(at, words)) != NULL; at++)
        n++;
    return n;
}

static void run_checked(const char *name, const char *check) {
    setenv("AGLET_CHECK", check, 1);
    run_child(&child, name);
}

/* The words come in this order. */
static void expect(const char *const *words) {
    const char *at = child.text;
    for (; *words; words++) {
        const char *found = strstr(at, *words);
        if (!found)
            ag_fail("\"%s\" is not there, in:\n%s", *words, child.text);
        at = found + strlen(*words);
    }
}
#define expect(...) expect((const char *const[]){__VA_ARGS__, NULL})

AG_TEST(two_orders_are_found_with_both_stacks) {
    run_checked("program_two_in_both_orders", "1");
    ag_check_int(child.status, 0);
    expect("aglet: lock order: 2 locks are taken in contradicting orders\n  goroutine ",
           "] lock_two created at ", "sync_check.c:", "    held the lock at 0x",
           "taken by lock_two", "    and then took the one at 0x", "      lock_two",
           "\n  goroutine ", "[ended] lock_two created at ", "    held the lock at 0x",
           "      lock_two");
    ag_check_int(count_of("aglet: "), 1);
    ag_check_int(count_of("  goroutine "), 2);
}

AG_TEST(a_circle_of_three_is_found) {
    run_checked("program_three_in_a_circle", "1");
    ag_check_int(child.status, 0);
    expect("aglet: lock order: 3 locks");
    ag_check_int(count_of("aglet: "), 1);
}

AG_TEST(readers_and_writers_are_found) {
    run_checked("program_readers_and_writers_in_both_orders", "1");
    expect("aglet: lock order: 2 locks");
    ag_check_int(count_of("aglet: "), 1);
}

AG_TEST(a_gate_that_is_left_out_once_is_found) {
    run_checked("program_a_gate_that_is_not_always_locked", "1");
    expect("aglet: lock order: 2 locks");
    ag_check_int(count_of("aglet: "), 1);
}

AG_TEST(locks_held_at_exit_are_found) {
    run_checked("program_ends_with_locks", "1");
    ag_check_int(child.status, 0);
    expect("aglet: lock held at exit: a goroutine ended with 2 locks held\n  goroutine ",
           "[running] keep created at ", "sync_check.c:", "    holds the lock at 0x",
           "taken by keep at ", "    holds the lock at 0x",
           "aglet: lock held at exit: a goroutine ended with 1 lock held\n  goroutine ",
           "[running] keep_and_exit created at ");
    ag_check_int(count_of("aglet: "), 2);
}

AG_TEST(who_locks_what_it_holds_is_told_where_it_took_it) {
    setenv("AGLET_DETECT_MS", "0", 1);
    run_checked("program_locks_what_it_holds", "1");
    ag_check_int(child.status, 0);
    expect("aglet: deadlock: a goroutine waits for a lock that it holds\n  goroutine ",
           "[sync.Mutex.Lock] lock_twice created at ", "    holds the lock at 0x",
           "taken by lock_twice at ", "    waits for the lock at 0x", "      lock_twice at ");
    ag_check_int(count_of("aglet: "), 1);
}

AG_TEST(a_hook_sees_findings_instead) {
    run_checked("program_reports_to_a_hook", "1");
    ag_check_int(child.status, 0);
    ag_check_int(count_of("aglet: "), 0);
}

AG_TEST(legal_programs_are_not_reported) {
    setenv("AGLET_DETECT_MS", "50", 1);
    run_checked("program_legal", "1");
    ag_check_int(child.status, 0);
    ag_check_int(count_of("aglet: "), 0);
    run_checked("program_with_a_gate", "1");
    ag_check_int(count_of("aglet: "), 0);
    run_checked("program_whose_lock_a_stranger_unlocks", "1");
    ag_check_int(child.status, 0);
    ag_check_int(count_of("aglet: "), 0);
}

AG_TEST(nothing_is_checked_when_they_are_off) {
    run_checked("program_two_in_both_orders", "0");
    ag_check_int(count_of("aglet: "), 0);
    run_checked("program_ends_with_locks", "0");
    ag_check_int(count_of("aglet: "), 0);
}
