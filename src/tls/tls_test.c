/* SPDX-License-Identifier: MIT */
/*
 * TLS from inside: keys of tickets, the cache of sessions, what an idle connection holds.
 */
#include "ag_test.h"
#include "tls/tls.h"

#include "tls_certs.h"
#include "tls_pair.h"

#include <malloc.h>

AG_TEST_RUN(a_connection_without_a_handshake_is_small) {
    ag_check(sizeof(ag__tls) <= 280);
}

static void read_and_answer(ag_conn *c) {
    char byte;
    ag_check_int(ag_read(c, &byte, 1), 1);
    ag_check_int(ag_write(c, &byte, 1), 1);
}

/* Neither a record's buffers nor bytes to be sent, at either end. */
AG_TEST_RUN(an_idle_connection_holds_no_buffers) {
    CERTS;
    struct both b = connect_pair();
    char byte;
    shake_well(&b);
    for (int i = 0; i < 3; i++) {
        ag_go(read_and_answer, b.server);
        ag_check_int(ag_write(b.client, "x", 1), 1);
        ag_check_int(ag_read(b.client, &byte, 1), 1);
        eventually(ag_count() == 1);
    }
    size_t before = mallinfo2().uordblks;
    ag_check(!ag__tls_of(b.client)->out && !ag__tls_of(b.server)->out);
    ag_check(SSL_free_buffers(ag__tls_of(b.client)->ssl));
    ag_check(SSL_free_buffers(ag__tls_of(b.server)->ssl));
    ag_check(before - mallinfo2().uordblks < 1000);
    end_pair(&b);
}

/* Who asks without end and reads nothing does not get all of our memory. */
AG_TEST_RUN(what_waits_to_be_sent_has_a_limit) {
    CERTS;
    struct both b = connect_pair();
    ag__tls *t = ag__tls_of(b.server);
    static char piece[1000];
    int count = 0;
    ag_mutex_lock(&t->lock);
    while (ag__tls_put(t, piece, sizeof piece))
        count++;
    ag_mutex_unlock(&t->lock);
    ag_check_int(count, 512 * 1024 / 1000);
    end_pair(&b);
}

static SSL_SESSION *a_session(int version) {
    SSL_SESSION *s = SSL_SESSION_new();
    unsigned char id[4] = {1, 2, 3, 4};
    SSL_SESSION_set_protocol_version(s, version);
    SSL_SESSION_set1_id(s, id, sizeof id);
    return s;
}

static bool has(ag_tls_config *x, const char *name) {
    SSL_SESSION *s = ag__tls_session_take(x, x->now, name);
    SSL_SESSION_free(s);
    return s != NULL;
}

AG_TEST_RUN(the_session_that_was_not_used_for_longest_gives_way) {
    CERTS;
    ag_tls_config *x = config_with(NULL, "ca");
    ag__tls_material *m;
    char name[16];
    ag_check_int(ag__tls_config_take(x, true, &m), 0);
    for (int i = 0; i < AG__TLS_SESSIONS; i++) {
        snprintf(name, sizeof name, "%d", i);
        ag__tls_session_put(x, m, name, a_session(TLS1_2_VERSION));
    }
    ag_check(has(x, "0"));
    ag__tls_session_put(x, m, "more", a_session(TLS1_2_VERSION));
    ag_check(has(x, "0") && !has(x, "1") && has(x, "2") && has(x, "more"));
    /* One of TLS 1.3 is given out once. */
    ag__tls_session_put(x, m, "new", a_session(TLS1_3_VERSION));
    ag_check(has(x, "new") && !has(x, "new"));
    /* One that was made under other files is not put in. */
    ag_check_int(ag_tls_config_reload(x), 0);
    ag__tls_session_put(x, m, "old", a_session(TLS1_2_VERSION));
    ag_check(!has(x, "old") && !has(x, "0"));
    ag__tls_material_unref(m);
    ag_unref(x);
}

/* Of a server that was not told anything. */
static const char *first_cipher(void) {
    ag_tls_config *x = config_with(NULL, "ca");
    ag__tls_material *m;
    ag_check_int(ag__tls_config_take(x, true, &m), 0);
    const char *name = SSL_CIPHER_get_name(sk_SSL_CIPHER_value(SSL_CTX_get_ciphers(m->ctx), 0));
    ag__tls_material_unref(m);
    ag_unref(x);
    return name;
}

AG_TEST_RUN(the_cheaper_cipher_comes_first) {
    CERTS;
    ag_check_str(first_cipher(), "TLS_AES_128_GCM_SHA256");
}

/* Set up for all programs of the machine. */
AG_TEST_RUN(who_orders_ciphers_has_that_order) {
    static const char text[] = "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\n"
                               "system_default = usual\n[usual]\n"
                               "Ciphersuites = TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256\n";
    char file[] = "/tmp/aglet-cnf-XXXXXX";
    int fd = mkstemp(file);
    ag_check_int(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    setenv("OPENSSL_CONF", file, 1); /* read when OpenSSL is used first: now */
    CERTS;
    ag_check_str(first_cipher(), "TLS_AES_256_GCM_SHA384");
    unlink(file);
}
