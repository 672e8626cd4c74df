/* SPDX-License-Identifier: MIT */
/*
 * Alternate signal stacks and fault handlers: what a thread and a process had before comes back.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ag_test.h"
#include "os/os.h"
#include <signal.h>
#include <stdlib.h>

AG_TEST(a_thread_gets_back_the_alternate_stack_that_it_had) {
    stack_t mine = {.ss_sp = malloc(64 * 1024), .ss_size = 64 * 1024}, before, now;
    ag_check_int(sigaltstack(&mine, &before), 0);
    void *ours = ag__os_altstack_new();
    ag_check(ours != NULL);
    ag_check_int(sigaltstack(NULL, &now), 0);
    ag_check(now.ss_sp != mine.ss_sp);
    ag__os_altstack_free(ours);
    ag_check_int(sigaltstack(NULL, &now), 0);
    ag_check(now.ss_sp == mine.ss_sp);
    ag_check_int((int)now.ss_size, 64 * 1024);
    ag_check_int(sigaltstack(&before, NULL), 0);
    free(mine.ss_sp);
}

static void *taken;
static void free_it(int sig) {
    (void)sig;
    ag__os_altstack_free(taken);
}

AG_TEST(an_alternate_stack_in_use_is_not_taken_away) {
    struct sigaction sa = {.sa_handler = free_it, .sa_flags = SA_ONSTACK};
    ag_check_int(sigaction(SIGUSR1, &sa, NULL), 0);
    stack_t now;
    taken = ag__os_altstack_new();
    raise(SIGUSR1);
    ag_check_int(sigaltstack(NULL, &now), 0);
    ag_check(now.ss_sp == taken);
    ag__os_altstack_free(taken);
}

static void not_ours(const ag__os_fault *f) {
    (void)f;
}
static void on_segv(int sig) {
    (void)sig;
}

AG_TEST(a_second_installation_still_knows_the_handler_before_the_first) {
    struct sigaction sa = {.sa_handler = on_segv}, now;
    ag_check_int(sigaction(SIGSEGV, &sa, NULL), 0);
    ag_check_int(ag__os_fault_install(not_ours), 0);
    ag_check_int(ag__os_fault_install(not_ours), 0);
    ag__os_fault_remove();
    ag_check_int(sigaction(SIGSEGV, NULL, &now), 0);
    ag_check(now.sa_handler == on_segv);
}
