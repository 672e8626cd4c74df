/* SPDX-License-Identifier: MIT */
/*
 * Looking up names with a resolver of the test's own, which answers when it is told to: sharing
 * a question, the bound, contexts, worlds.
 *
 * Names: "N.held.test" waits until the gate is opened; "NN.fast.test" is 10.0.0.NN at once;
 * "none.test" has no address; "later.test" can't be asked now. Everything else fails the test.
 */
#include "ag_test.h"
#include "net/net.h"
#include "waits.h"
#include <aglet.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- The resolver. --- */

static _Atomic int asked, inside, inside_max;
static _Atomic bool gate; /* open */

static struct addrinfo *address(const char *ip, struct addrinfo *next) {
    struct {
        struct addrinfo info;
        struct sockaddr_in to;
    } *a = calloc(1, sizeof *a);
    a->to.sin_family = AF_INET;
    inet_pton(AF_INET, ip, &a->to.sin_addr);
    a->info = (struct addrinfo){.ai_family = AF_INET,
                                .ai_addrlen = sizeof a->to,
                                .ai_addr = (struct sockaddr *)&a->to,
                                .ai_next = next};
    return &a->info;
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **ret) {
    (void)port;
    (void)hints;
    char ip[32];
    asked++;
    int now = ++inside;
    for (int most = inside_max; now > most;)
        if (atomic_compare_exchange_weak(&inside_max, &most, now))
            break;
    const char *kind = strchr(host, '.');
    while (kind && strcmp(kind, ".held.test") == 0 && !gate)
        usleep(200);
    inside--;
    if (strcmp(host, "none.test") == 0)
        return EAI_NONAME;
    if (strcmp(host, "later.test") == 0)
        return EAI_AGAIN;
    if (!kind || (strcmp(kind, ".held.test") != 0 && strcmp(kind, ".fast.test") != 0))
        ag_fail("the resolver was asked for %s", host);
    snprintf(ip, sizeof ip, "10.0.0.%d", atoi(host));
    *ret = address(ip, address("10.1.0.1", NULL));
    return 0;
}

void freeaddrinfo(struct addrinfo *list) {
    for (struct addrinfo *i; (i = list) != NULL;) {
        list = i->ai_next;
        free(i);
    }
}

static void open_gate(void) {
    gate = true;
    eventually(inside == 0 && ag_count() == 1);
    gate = false;
}

/* --- Answers. --- */

static void expect(const char *host, const char *first) {
    ag_host_addr a[4];
    ag_check_int(ag_lookup_host(host, a, 4), 2);
    ag_check_str(a[0].text, first);
    ag_check_str(a[1].text, "10.1.0.1");
}

AG_TEST_RUN(a_name_has_its_addresses_in_order) {
    ag_host_addr a[2];
    expect("7.fast.test", "10.0.0.7");
    ag_check_int(ag_lookup_host("8.fast.test", a, 1), 1);
    ag_check_str(a[0].text, "10.0.0.8");
    ag_check_int(ag_lookup_host("none.test", a, 2), -ENOENT);
    ag_check_int(ag_lookup_host("later.test", a, 2), -EAGAIN);
    ag_check_int(asked, 4);
    eventually(ag_count() == 1);
}

AG_TEST_RUN(what_is_no_name_is_refused) {
    ag_host_addr a[1];
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[299] = 0;
    ag_check_int(ag_lookup_host(NULL, a, 1), -EINVAL);
    ag_check_int(ag_lookup_host("", a, 1), -EINVAL);
    ag_check_int(ag_lookup_host(longest, a, 1), -EINVAL);
    ag_check_int(ag_lookup_host("1.fast.test", a, 0), -EINVAL);
    ag_check_int(asked, 0);
}

/* Numbers never go to the resolver, also when nobody may wait. */
AG_TEST_RUN(a_number_is_its_own_answer) {
    ag_host_addr a[2];
    ag_conn *c;
    ag_within(0);
    ag_check_int(ag_lookup_host("127.0.0.1", a, 2), 1);
    ag_check_str(a[0].text, "127.0.0.1");
    ag_check_int(ag_lookup_host("::1", a, 2), 1);
    ag_check_str(a[0].text, "::1");
    ag_check_int(ag_lookup_host("2001:db8::7", a, 2), 1);
    ag_check_str(a[0].text, "2001:db8::7");
    ag_check_int(ag_lookup_host("fe80::1%lo", a, 2), 1);
    ag_check_str(a[0].text, "fe80::1%lo");
    ag_check_int(ag_lookup_host("::ffff:10.0.0.1", a, 2), 1);
    ag_check_int(ag_lookup_host("1.fast.test", a, 2), -ETIMEDOUT);
    ag_check(ag_dial("tcp", "127.0.0.1:1", &c) != 0);
    ag_check(ag_dial("tcp", "[::1]:1", &c) != 0);
    ag_check_int(asked, 0);
}

/* --- Contexts. --- */

static void look_up(const char *host, int expected, ag_wg *wg) {
    ag_host_addr a[2];
    ag_check_int(ag_lookup_host(host, a, 2), expected);
    ag_wg_done(wg);
}

AG_TEST_RUN(the_context_ends_the_wait_at_once_and_not_the_question) {
    ag_host_addr a[2];
    ag_conn *conn;
    ag_wg held = AG_WG_INIT;
    ag_wg_add(&held, 1);
    ag_go(look_up, "1.held.test", 2, &held);
    eventually(inside == 1);
    {
        ag_within(5 * AG_MS);
        ag_check_int(ag_lookup_host("1.held.test", a, 2), -ETIMEDOUT);
        ag_check_int(ag_lookup_host("1.held.test", a, 2), -ETIMEDOUT);
    }
    ag_check_int(inside, 1);
    {
        ag_within(5 * AG_MS);
        ag_check_int(ag_dial("tcp", "2.held.test:80", &conn), -ETIMEDOUT);
    }
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_wg wg = AG_WG_INIT;
    {
        ag_ctx_enter(c);
        ag_wg_add(&wg, 3);
        for (int i = 0; i < 3; i++)
            ag_go(look_up, "3.held.test", -ECANCELED, &wg);
    }
    eventually(asked >= 2);
    ag_ctx_cancel(c);
    ag_wg_wait(&wg);
    ag_unref(c);
    ag_check(inside > 0); /* it goes on */
    open_gate();
    expect("1.fast.test", "10.0.0.1");
    eventually(ag_count() == 1);
}

/* The one who asked first goes; the other gets the answer. */
AG_TEST_RUN(another_one_gets_the_answer_of_who_has_gone) {
    ag_wg wg = AG_WG_INIT;
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_wg_add(&wg, 1);
    {
        ag_ctx_enter(c);
        ag_go(look_up, "1.held.test", -ECANCELED, &wg);
    }
    eventually(inside == 1);
    ag_ctx_cancel(c);
    ag_wg_wait(&wg);
    ag_unref(c);
    ag_wg_add(&wg, 1);
    until_waits(ag_go(look_up, "1.held.test", 2, &wg));
    gate = true;
    ag_wg_wait(&wg);
    ag_check_int(asked, 1);
    eventually(ag_count() == 1);
}

/* --- Sharing. --- */

AG_TEST_RUN(equal_names_share_one_question) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 20);
    for (int i = 0; i < 20; i++)
        ag_go(look_up, "1.held.test", 2, &wg);
    eventually(ag_count() == 22 && inside == 1);
    gate = true;
    ag_wg_wait(&wg);
    eventually(ag_count() == 1);
    /* Who came late may have asked again, but not while one was under way. */
    ag_check_int(inside_max, 1);
    int before = asked;
    expect("1.fast.test", "10.0.0.1");
    expect("1.fast.test", "10.0.0.1"); /* an answer is not kept */
    ag_check_int(asked, before + 2);
}

static void dial(const char *addr, int expected, ag_wg *wg) {
    ag_conn *c;
    ag_check_int(ag_dial("tcp", addr, &c), expected);
    ag_wg_done(wg);
}

/* The port belongs to who asks. */
AG_TEST_RUN(dials_to_several_ports_share_one_question) {
    ag__host_port parts[2];
    ag__addr a[4];
    char text[AG__ADDR_TEXT];
    ag_check_int(ag__host_port_parse("9.fast.test:80", &parts[0]), 0);
    ag_check_int(ag__host_port_parse("9.fast.test:443", &parts[1]), 0);
    for (int i = 0; i < 2; i++) {
        ag_check_int(ag__dns_look_up(&parts[i], AG__ADDR_NONE, false, false, a, 4), 2);
        ag__addr_text(&a[0], text, sizeof text);
        ag_check_str(text, i == 0 ? "10.0.0.9:80" : "10.0.0.9:443");
    }
    ag_wg wg = AG_WG_INIT;
    asked = 0;
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    {
        ag_ctx_enter(c);
        ag_wg_add(&wg, 2);
        until_waits(ag_go(dial, "5.held.test:80", -ECANCELED, &wg));
        until_waits(ag_go(dial, "5.held.test:443", -ECANCELED, &wg));
    }
    eventually(inside == 1);
    ag_check_int(asked, 1);
    ag_ctx_cancel(c);
    ag_wg_wait(&wg);
    ag_unref(c);
    open_gate();
}

/* --- The bound. --- */

enum { BOUND = 3, NAMES = 12 };
static char names[NAMES][32];

static int main_bounded(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    for (int i = 0; i < NAMES; i++)
        snprintf(names[i], sizeof names[i], "%d.held.test", i);
    ag_wg_add(&wg, NAMES);
    for (int i = 0; i < NAMES - 2; i++)
        ag_go(look_up, names[i], 2, &wg);
    eventually(inside == BOUND && ag_count() == 1 + NAMES - 2 + BOUND);
    for (int i = NAMES - 2; i < NAMES; i++) {
        ag_ctx_enter(c);
        until_waits(ag_go(look_up, names[i], -ECANCELED, &wg));
    }
    ag_check_int(inside, BOUND);
    ag_ctx_cancel(c); /* whose turn has not come is asked no more */
    eventually(ag_count() == 1 + NAMES - 2 + BOUND);
    gate = true;
    ag_wg_wait(&wg);
    ag_check_int(inside_max, BOUND);
    ag_check_int(asked, NAMES - 2);
    ag_unref(c);
    eventually(ag_count() == 1);
    return 0;
}
AG_TEST(no_more_are_asked_at_once_than_the_bound) {
    setenv("AGLET_MAX_LOOKUPS", "3", 1);
    ag_check_int(ag_run(main_bounded, NULL), 0);
}

/* --- Threads that are no goroutines, worlds. --- */

static void *on_a_thread(void *arg) {
    expect("4.fast.test", "10.0.0.4");
    return arg;
}

static int main_leaves_a_question(void *arg) {
    static ag_wg wg;
    (void)arg;
    expect("3.fast.test", "10.0.0.3");
    ag_wg_add(&wg, 1);
    ag_go(look_up, "1.held.test", 2, &wg); /* dropped where it stands */
    eventually(inside == 1);
    return 0;
}
static int main_asks_again(void *arg) {
    ag_wg wg = AG_WG_INIT;
    (void)arg;
    pthread_t t;
    ag_check_int(pthread_create(&t, NULL, on_a_thread, NULL), 0);
    ag_blocking(pthread_join, t, NULL);
    ag_wg_add(&wg, 1);
    ag_go(look_up, "1.held.test", 2, &wg);
    gate = true;
    ag_wg_wait(&wg);
    return 0;
}
AG_TEST(a_question_of_the_world_before_holds_nobody_up) {
    on_a_thread(NULL);
    ag_check_int(ag_run(main_leaves_a_question, NULL), 0);
    ag_check_int(ag_run(main_asks_again, NULL), 0);
    for (int i = 0; i < 20000 && inside > 0; i++)
        usleep(1000);
    ag_check_int(inside, 0);
}
