/* SPDX-License-Identifier: MIT */
/*
 * Labels: what a context and a goroutine are called by, from where to where they go. That dumps
 * show them is tested with the dumps.
 */
#include "common.h"

static void check_label(const char *key, const char *expected) {
    const char *value = ag_ctx_label(ag_ctx_current(), key);
    if (expected)
        ag_check_str(value ? value : "(none)", expected);
    else
        ag_check(!value);
}

AG_TEST_RUN(a_label_is_there_until_its_block_ends) {
    check_label("customer", NULL);
    {
        ag_label("customer", "ada");
        check_label("customer", "ada");
        check_label("other", NULL);
        {
            ag_label("customer", "bob");
            ag_label("shard", "7");
            check_label("customer", "bob");
            check_label("shard", "7");
        }
        check_label("customer", "ada");
        check_label("shard", NULL);
    }
    check_label("customer", NULL);
    ag_check(!ag_ctx_label(NULL, "customer"));
    ag_check(!ag_ctx_label(ag_ctx_background(), "customer"));
}

AG_TEST_RUN(the_strings_are_copied) {
    char key[] = "customer", value[] = "ada";
    ag_label(key, value);
    key[0] = value[0] = 'x';
    check_label("customer", "ada");
}

AG_TEST_RUN(an_empty_key_is_no_label_and_no_value_an_empty_one) {
    ag_label("", "x");
    check_label("", NULL);
    ag_label(NULL, "x");
    ag_label("flag", NULL);
    check_label("flag", "");
}

static void child(atomic_int *seen) {
    check_label("customer", "ada");
    ag_label("customer", "bob");
    check_label("customer", "bob");
    atomic_fetch_add(seen, 1);
}

static int scope_child(atomic_int *seen) {
    child(seen);
    return 0;
}

AG_TEST_RUN(goroutines_scopes_and_contexts_below_have_it_too) {
    static atomic_int seen;
    ag_label("customer", "ada");
    ag_go(child, &seen);
    ag_within(AG_MIN);
    ag_go(child, &seen);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, scope_child, &seen);
    ag_check_int(ag_scope_end(&s), 0);
    ag_ctx *below = ag_ctx_with_cancel(ag_ctx_current());
    ag_check_str(ag_ctx_label(below, "customer"), "ada");
    ag_unref(below);
    eventually(atomic_load(&seen) == 3 && ag_count() == 1);
    check_label("customer", "ada");
}

AG_TEST_RUN(a_context_keeps_its_labels_when_the_one_above_is_gone) {
    ag_ctx *a = ag_ctx_with_label(ag_ctx_background(), "one", "1");
    ag_ctx *b = ag_ctx_with_label(a, "two", "2"), *c = ag_ctx_with_timeout(b, AG_MIN);
    ag_ctx_cancel(a);
    ag_unref(a);
    ag_unref(b);
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_check_str(ag_ctx_label(c, "one"), "1");
    ag_check_str(ag_ctx_label(c, "two"), "2");
    ag_unref(c);
}

AG_TEST_RUN(the_request_and_the_principal_are_labels) {
    {
        ag_with(&ag_request_id, "r-17");
        ag_with(&ag_principal, "ada");
        check_label("request_id", "r-17");
        check_label("principal", "ada");
        ag_check_str(ag_local(&ag_request_id), "r-17");
    }
    ag_with(&ag_request_id, NULL);
    check_label("request_id", NULL);
}

/* The newest matters most. */
AG_TEST_RUN(what_does_not_fit_is_cut_or_left_out) {
    char longest[1000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    ag_label("old", "here");
    {
        ag_label("new", longest);
        const char *value = ag_ctx_label(ag_ctx_current(), "new");
        ag_check(strlen(value) >= 150 && strncmp(value, longest, strlen(value)) == 0);
        check_label("old", NULL);
    }
    {
        ag_label(longest, "v");
        const char *value = ag_ctx_label(ag_ctx_current(), "old");
        ag_check_str(value, "here");
    }
    for (int i = 0; i < 100; i++) {
        char key[32], text[32];
        snprintf(key, sizeof key, "key%d", i);
        snprintf(text, sizeof text, "value%d", i);
        ag_ctx *c = ag_ctx_with_label(ag_ctx_current(), key, text);
        ag_check_str(ag_ctx_label(c, key), text);
        ag_check_str(ag_ctx_label(c, "old"), "here");
        ag_unref(c);
    }
}

static void worker(int n) {
    for (int i = 0; i < 200 / ag_test_slow() + 1; i++) {
        char text[24];
        snprintf(text, sizeof text, "%d-%d", n, i);
        ag_label("turn", text);
        ag_yield();
        check_label("turn", text);
    }
}

/* Records are used again, by all processors. */
AG_TEST_RUN(many_come_and_go) {
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 20; i++)
        ag_wg_go(&wg, worker, i);
    for (int i = 0; i < 20; i++) {
        FILE *out = fopen("/dev/null", "w");
        ag_dump(out);
        fclose(out);
        ag_yield();
    }
    ag_wg_wait(&wg);
}
