/* SPDX-License-Identifier: MIT */
/*
 * The keys of session tickets, as time passes.
 */
#include "ag_test.h"
#include "tls/tickets.c"
#include "tls_certs.h"
#include <aglet.h>

static bool same(const key *a, const key *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

AG_TEST_RUN(keys_live_for_twice_the_time_of_a_session) {
    const ag_time life = AG__TLS_SESSION_S * AG_SEC;
    ag__tls_tickets *t = ag__tls_tickets_new();
    key first, found;
    ag_check_int(find(t, NULL, &first), 1);
    ag_check_int(find(t, first.name, &found), 1);
    ag_check(same(&first, &found));
    ag_check(!same(&t->keys[0], &t->keys[1]));
    t->since -= life; /* as if that had passed */
    ag_check_int(find(t, NULL, &found), 1);
    ag_check(!same(&first, &found));
    ag_check_int(find(t, first.name, &found), 2); /* reads, and a new ticket is given */
    ag_check(same(&first, &found));
    t->since -= life;
    ag_check_int(find(t, first.name, &found), 0);
    ag_check_int(find(t, NULL, &first), 1);
    t->since -= 2 * life; /* nobody came for long: the one before goes, too */
    ag_check_int(find(t, first.name, &found), 0);
    ag_check_int(find(t, (const unsigned char *)"0123456789abcdef", &found), 0);
    ag__tls_tickets_free(t);
}
