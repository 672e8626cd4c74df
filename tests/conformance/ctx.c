/* SPDX-License-Identifier: MIT */
/*
 * The background context, the only one of this version.
 */
#include "common.h"

static void check_background(ag_ctx *c) {
    ag_check(c != NULL);
    ag_check_int(ag_ctx_err(c), 0);
    ag_check(ag_ctx_done(c) == NULL);
    ag_unref(c);
    ag_unref(ag_ref(c));
    ag_check_int(ag_ctx_err(c), 0);
}

AG_TEST_RUN(the_background_context_never_ends) {
    check_background(ag_ctx_background());
    ag_check_ptr(ag_ctx_background(), ag_ctx_background());
    ag_check_int(ag_ctx_err(NULL), 0);
    ag_check(ag_ctx_done(NULL) == NULL);
}

static void check_current(ag_wg *wg) {
    check_background(ag_ctx_current());
    ag_wg_done(wg);
}

static void *check_current_on_thread(void *arg) {
    check_current(arg);
    return NULL;
}

AG_TEST_RUN(every_goroutine_and_thread_has_a_current_context) {
    ag_wg wg = AG_WG_INIT;
    pthread_t thread;
    ag_wg_add(&wg, 3);
    check_current(&wg);
    ag_go(check_current, &wg);
    pthread_create(&thread, NULL, check_current_on_thread, &wg);
    ag_wg_wait(&wg);
    pthread_join(thread, NULL);
}

AG_TEST(there_is_a_current_context_without_a_runtime) {
    check_background(ag_ctx_current());
}
