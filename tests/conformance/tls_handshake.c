/* SPDX-License-Identifier: MIT */
/*
 * Handshakes: which certificates are shown and which are believed, protocols, versions, sessions,
 * and what a reload changes.
 */
#include "common.h"
#include "tls_pair.h"

/* What both ends say; NULL: no error. */
static void expect(struct both *b, int server, const char *server_why, int client,
                   const char *client_why) {
    int s, c;
    shake_both(b, &s, &c);
    if (c == 0 && s != 0 && s != c) { /* of TLS 1.3 a client learns it with the first read */
        char byte;
        c = (int)ag_read(b->client, &byte, 1);
    }
    if (s != server || c != client)
        ag_fail("server %d (%s), client %d (%s)", s, ag_tls_error(b->server), c,
                ag_tls_error(b->client));
    ag_check_contains(ag_tls_error(b->server), server_why ? server_why : "");
    ag_check_contains(ag_tls_error(b->client), client_why ? client_why : "");
}

/* A client that connects to a server with these certificates. */
static void try_server(const char *cert, const char *roots, const char *name, int result,
                       const char *why) {
    struct both b = connect_with(config_with(cert, NULL), config_with(NULL, roots), name);
    expect(&b, result ? -EPROTO : 0, result ? "the peer refused: " : NULL, result, why);
    ag_check((ag_tls_state_of(b.client) != NULL) == (result == 0));
    end_pair(&b);
}

/* ---- The server's certificate --------------------------------------------------------------- */

AG_TEST_RUN(a_client_checks_who_has_signed) {
    CERTS;
    cert_make(&(struct cert){.file = "other", .is_ca = true});
    cert_make(&(struct cert){.file = "self", .names = "DNS:localhost"});
    try_server("site", "ca", "localhost", 0, NULL);
    try_server("site", "other", "localhost", -EKEYREJECTED,
               "certificate verify failed: unable to get local issuer certificate");
    try_server("self", "ca", "localhost", -EKEYREJECTED, "certificate verify failed: self");
    try_server("site", NULL, "localhost", -EKEYREJECTED, "certificate verify failed: ");
}

AG_TEST_RUN(a_client_checks_the_name) {
    CERTS;
    cert_make(&(struct cert){
        .file = "wild", .by = "ca", .names = "DNS:*.example.org,DNS:f*.example.com"});
    cert_make(&(struct cert){.file = "subject", .by = "ca", .name = "localhost"});
    const char *no = "certificate verify failed: hostname mismatch";
    const char *no_ip = "certificate verify failed: IP address mismatch";
    try_server("site", "ca", "LOCALHOST.", 0, NULL);
    try_server("site", "ca", "127.0.0.1", 0, NULL);
    try_server("site", "ca", "::1", 0, NULL);
    try_server("site", "ca", "example.org", -EKEYREJECTED, no);
    try_server("site", "ca", "127.0.0.2", -EKEYREJECTED, no_ip);
    try_server("wild", "ca", "a.example.org", 0, NULL);
    try_server("wild", "ca", "example.org", -EKEYREJECTED, no);
    try_server("wild", "ca", "a.b.example.org", -EKEYREJECTED, no);
    try_server("wild", "ca", "foo.example.com", -EKEYREJECTED, no);
    try_server("subject", "ca", "localhost", -EKEYREJECTED, no);
}

AG_TEST_RUN(a_client_checks_the_time) {
    CERTS;
    cert_make(
        &(struct cert){.file = "late", .by = "ca", .names = "DNS:localhost", .is_expired = true});
    try_server("late", "ca", "localhost", -EKEYREJECTED,
               "certificate verify failed: certificate has expired");
}

AG_TEST_RUN(a_client_may_ask_for_a_spiffe_id) {
    CERTS;
    cert_make(&(struct cert){.file = "db", .by = "ca", .names = "URI:spiffe://example.org/db"});
    cert_make(&(struct cert){
        .file = "two", .by = "ca", .names = "URI:spiffe://example.org/db,URI:https://b"});
    cert_make(&(struct cert){.file = "odd", .by = "ca", .names = "URI:spiffe://example.org/a?b"});
    const char *no = "certificate verify failed: it is not for this SPIFFE id";
    try_server("db", "ca", "spiffe://example.org/other", -EKEYREJECTED, no);
    try_server("db", "ca", "spiffe://example.org/d", -EKEYREJECTED, no);
    try_server("two", "ca", "spiffe://example.org/db", -EKEYREJECTED, no);
    try_server("odd", "ca", "spiffe://example.org/a?b", -EKEYREJECTED, no);
    try_server("site", "ca", "spiffe://example.org/db", -EKEYREJECTED, no);
    struct both b =
        connect_with(config_with("db", NULL), config_with(NULL, "ca"), "spiffe://example.org/db");
    shake_well(&b);
    ag_check_str(ag_tls_state_of(b.client)->spiffe_id, "spiffe://example.org/db");
    ag_check_str(ag_tls_state_of(b.client)->uris[0], "spiffe://example.org/db");
    ag_check_str(ag_tls_state_of(b.server)->server_name, "");
    end_pair(&b);
}

AG_TEST_RUN(a_chain_is_shown_as_it_stands_in_its_file) {
    CERTS;
    cert_make(&(struct cert){.file = "middle", .by = "ca", .is_ca = true});
    cert_make(&(struct cert){.file = "deep", .by = "middle", .names = "DNS:localhost"});
    try_server("deep", "ca", "localhost", -EKEYREJECTED, "unable to get local issuer certificate");
    char command[300];
    snprintf(command, sizeof command, "cat %s >> %s", in_certs("middle.pem"), in_certs("deep.pem"));
    ag_check_int(system(command), 0);
    try_server("deep", "ca", "localhost", 0, NULL);
}

/* ---- Which certificate ---------------------------------------------------------------------- */

static void see(ag_tls_config *server, const char *name, const char *subject) {
    ag_tls_config *client = config_with(NULL, "ca");
    struct both b = connect_with(ag_ref(server), client, name);
    int s, c;
    shake_both(&b, &s, &c);
    ag_check_int(c, subject ? 0 : -EKEYREJECTED);
    if (subject)
        ag_check_str(ag_tls_state_of(b.client)->peer_subject, subject);
    end_pair(&b);
}

static void add(ag_tls_config *x, const char *file) {
    ag_check_int(ag_tls_config_cert(x, cert_file(file, "pem"), cert_file(file, "key")), 0);
}

AG_TEST_RUN(a_server_shows_what_the_client_asks_for) {
    CERTS;
    cert_make(&(struct cert){.file = "wild", .by = "ca", .names = "DNS:*.example.org"});
    cert_make(&(struct cert){.file = "exact", .by = "ca", .names = "DNS:a.example.org"});
    ag_tls_config *x = config_with("site", NULL);
    add(x, "wild");
    add(x, "exact");
    see(x, "a.example.org", "CN=exact");
    see(x, "b.example.org", "CN=wild");
    see(x, "localhost", "CN=site");
    see(x, "127.0.0.1", "CN=site"); /* an address is not sent */
    see(x, "nobody.example.com", NULL);
    ag_unref(x);
}

AG_TEST_RUN(a_server_may_have_keys_of_several_kinds) {
    CERTS;
    cert_make(&(struct cert){.file = "rsa", .by = "ca", .names = "DNS:localhost", .is_rsa = true});
    ag_tls_config *x = config_with("rsa", NULL);
    add(x, "site");
    /* Which one is the client's taste; that both are there, openssl's client sees in tests/e2e. */
    ag_tls_config *client = config_with(NULL, "ca");
    struct both b = connect_with(x, client, "localhost");
    shake_well(&b);
    ag_check_str(ag_tls_state_of(b.client)->peer_subject, "CN=site");
    end_pair(&b);
}

/* ---- The client's certificate --------------------------------------------------------------- */

static struct both connect_mutual(int mode, const char *cert) {
    ag_tls_config *server = config_with("site", NULL), *client = config_with(cert, "ca");
    ag_check_int(ag_tls_config_clients(server, mode, cert_file("ca", "pem")), 0);
    return connect_with(server, client, "localhost");
}

AG_TEST_RUN(a_server_may_ask_for_a_certificate) {
    CERTS;
    cert_make(&(struct cert){.file = "alice",
                             .by = "ca",
                             .names = "DNS:alice.example.org,URI:spiffe://example.org/alice"});
    cert_make(&(struct cert){.file = "stranger"});
    cert_make(&(struct cert){.file = "late", .by = "ca", .is_expired = true});
    struct both b = connect_mutual(AG_TLS_CLIENT_REQUIRE, "alice");
    shake_well(&b);
    const ag_tls_state *s = ag_tls_state_of(b.server);
    ag_check(s->peer_verified);
    ag_check_str(s->peer_subject, "CN=alice");
    ag_check_str(s->dns_names[0], "alice.example.org");
    ag_check_str(s->spiffe_id, "spiffe://example.org/alice");
    end_pair(&b);

    b = connect_mutual(AG_TLS_CLIENT_REQUIRE, NULL);
    expect(&b, -EKEYREJECTED, "the peer has shown no certificate", -EPROTO, "the peer refused: ");
    ag_check_ptr(ag_tls_state_of(b.server), NULL);
    end_pair(&b);
    b = connect_mutual(AG_TLS_CLIENT_REQUEST, NULL);
    shake_well(&b);
    ag_check(!ag_tls_state_of(b.server)->peer_verified);
    end_pair(&b);
    b = connect_mutual(AG_TLS_CLIENT_NONE, "stranger"); /* is not asked for it */
    shake_well(&b);
    ag_check(!ag_tls_state_of(b.server)->peer_verified);
    end_pair(&b);
    const int modes[] = {AG_TLS_CLIENT_REQUEST, AG_TLS_CLIENT_REQUIRE};
    for (size_t i = 0; i < COUNT(modes); i++) {
        b = connect_mutual(modes[i], "stranger");
        expect(&b, -EKEYREJECTED, "certificate verify failed: self", -EPROTO, "the peer refused: ");
        end_pair(&b);
        b = connect_mutual(modes[i], "late");
        expect(&b, -EKEYREJECTED, "certificate has expired", -EPROTO, "the peer refused: ");
        end_pair(&b);
    }
}

/* ---- Protocols and versions ----------------------------------------------------------------- */

static void agree(const char *server, const char *client, const char *expected) {
    ag_tls_config *s = config_with("site", NULL), *c = config_with(NULL, "ca");
    if (server)
        ag_check_int(ag_tls_config_alpn(s, server), 0);
    if (client)
        ag_check_int(ag_tls_config_alpn(c, client), 0);
    struct both b = connect_with(s, c, "localhost");
    if (expected) {
        shake_well(&b);
        ag_check_str(ag_conn_protocol(b.server), expected);
        ag_check_str(ag_conn_protocol(b.client), expected);
        ag_check_str(ag_tls_state_of(b.client)->alpn, expected);
    } else {
        expect(&b, -EPROTO, "no application protocol", -EPROTO, "the peer refused: ");
        ag_check_str(ag_conn_protocol(b.server), "");
    }
    end_pair(&b);
}

AG_TEST_RUN(the_server_prefers_its_own_protocols) {
    CERTS;
    agree("h2,http/1.1", "http/1.1,h2", "h2");
    agree("h2,http/1.1", "http/1.1", "http/1.1");
    agree("http/1.1", "h2,http/1.1", "http/1.1");
    agree("h2,http/1.1", NULL, "");
    agree(NULL, "h2,http/1.1", "");
    agree("h2", "http/1.1", NULL);
}

AG_TEST_RUN(impossible_settings_are_refused) {
    CERTS;
    ag_tls_config *x = ag_tls_config_new();
    char longest[260];
    memset(longest, 'a', 256);
    longest[256] = 0;
    ag_check_int(ag_tls_config_alpn(x, ""), -EINVAL);
    ag_check_int(ag_tls_config_alpn(x, "h2,"), -EINVAL);
    ag_check_int(ag_tls_config_alpn(x, ",h2"), -EINVAL);
    ag_check_int(ag_tls_config_alpn(x, longest), -EINVAL);
    ag_check_str(ag_tls_config_error(x), "the name of a protocol is empty or too long");
    ag_check_int(ag_tls_config_alpn(x, longest + 1), 0);
    ag_check_str(ag_tls_config_error(x), "");
    ag_check_int(ag_tls_config_min_version(x, 0x0302), -EINVAL);
    ag_check_int(ag_tls_config_clients(x, 7, NULL), -EINVAL);
    ag_check_int(ag_tls_config_clients(x, AG_TLS_CLIENT_REQUIRE, NULL), -EINVAL);
    ag_unref(x);
}

AG_TEST_RUN(both_versions_are_spoken_and_the_older_one_may_be_refused) {
    CERTS;
    ag_tls_config *s = config_with("site", NULL), *c = config_with(NULL, "ca");
    ag_check_int(ag_tls_config_min_version(s, AG_TLS_1_3), 0);
    struct both b = connect_with(s, c, "localhost");
    shake_well(&b);
    ag_check_str(ag_tls_state_of(b.server)->version, "TLSv1.3");
    end_pair(&b);
}

/* ---- Files ---------------------------------------------------------------------------------- */

static void write_file(const char *name, const char *text) {
    FILE *f = fopen(in_certs(name), "w");
    fputs(text, f);
    fclose(f);
}

AG_TEST_RUN(what_is_wrong_with_a_file_is_said) {
    CERTS;
    ag_tls_config *x = ag_tls_config_new();
    char command[400], expected[400];
    write_file("empty", "");
    write_file("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    cert_make(&(struct cert){.file = "other"});
    snprintf(command, sizeof command, "openssl ec -aes128 -passout pass:x -in %s -out %s 2>&1",
             in_certs("site.key"), in_certs("locked.key"));
    const struct {
        const char *cert, *key, *why;
        int error;
    } cases[] = {
        {"none.pem", "site.key", "none.pem: No such file or directory", -ENOENT},
        {"site.pem", "none.key", "none.key: No such file or directory", -ENOENT},
        {"empty", "site.key", "empty: no certificate: no start line", -EINVAL},
        {"bad.pem", "site.key", "bad.pem: no certificate: ", -EINVAL},
        {"site.pem", "site.pem", "site.pem: no private key: ", -EINVAL},
        {"site.pem", "other.key", "does not belong to this certificate", -EINVAL},
        {"site.pem", "locked.key", "locked.key: the private key is encrypted", -EINVAL},
    };
    bool has_openssl = system("command -v openssl >/dev/null") == 0;
    if (has_openssl)
        ag_check_int(system(command), 0);
    for (size_t i = 0; i < COUNT(cases) - !has_openssl; i++) {
        int r = ag_tls_config_cert(x, in_certs(cases[i].cert), in_certs(cases[i].key));
        if (r != cases[i].error)
            ag_fail("%s %s: %d %s", cases[i].cert, cases[i].key, r, ag_tls_config_error(x));
        ag_check_contains(ag_tls_config_error(x), cases[i].why);
    }
    ag_check_int(ag_tls_config_roots(x, in_certs("none")), -ENOENT);
    snprintf(expected, sizeof expected, "%s: No such file or directory", in_certs("none"));
    ag_check_str(ag_tls_config_error(x), expected);
    ag_check_int(ag_tls_config_roots(x, in_certs("empty")), -EINVAL);
    ag_check_int(ag_tls_config_roots(x, in_certs("bad.pem")), -EINVAL);
    ag_check_int(ag_tls_config_clients(x, AG_TLS_CLIENT_REQUIRE, in_certs("site.key")), -EINVAL);
    ag_unref(x);
}

AG_TEST_DEATH(a_configuration_in_use_is_not_set_up, 2,
              "tls: ag_tls_config_alpn of a configuration that is used") {
    certs_usual();
    ag_tls_config *x = config_with("site", NULL);
    ag_listener *l;
    ag_check_int(ag_tls_listen("tcp", "127.0.0.1:0", x, &l), 0);
    certs_end();
    ag_tls_config_alpn(x, "h2");
}

/* ---- Reload --------------------------------------------------------------------------------- */

AG_TEST_RUN(a_reload_counts_for_handshakes_that_begin_after_it) {
    CERTS;
    ag_tls_config *x = config_with("site", NULL);
    struct both old = connect_with(x, config_with(NULL, "ca"), "localhost");
    shake_well(&old);
    struct both waiting = connect_with(ag_ref(x), config_with(NULL, "ca"), "localhost");
    cert_make(
        &(struct cert){.file = "site", .by = "ca", .names = "DNS:localhost", .name = "renewed"});
    see(x, "localhost", "CN=site");
    ag_check_int(ag_tls_config_reload(x), 0);
    see(x, "localhost", "CN=renewed");
    shake_well(&waiting);
    ag_check_str(ag_tls_state_of(waiting.client)->peer_subject, "CN=renewed");
    /* The one that is there goes on. */
    char buf[8];
    ag_check_int(ag_write(old.client, "abc", 3), 3);
    ag_check_int(ag_read(old.server, buf, 8), 3);
    ag_check_str(ag_tls_state_of(old.client)->peer_subject, "CN=site");
    end_pair(&waiting);
    end_pair(&old);
}

AG_TEST_RUN(a_reload_that_fails_changes_nothing) {
    CERTS;
    ag_tls_config *x = config_with("site", NULL);
    see(x, "localhost", "CN=site");
    /* Half-way through a renewal: the key is there, the certificate is not yet. */
    char command[300];
    snprintf(command, sizeof command, "cp %s %s", in_certs("site.pem"), in_certs("old.pem"));
    ag_check_int(system(command), 0);
    cert_make(&(struct cert){.file = "site", .by = "ca", .names = "DNS:localhost", .name = "new"});
    snprintf(command, sizeof command, "mv %s %s; cp %s %s", in_certs("site.pem"),
             in_certs("new.pem"), in_certs("old.pem"), in_certs("site.pem"));
    ag_check_int(system(command), 0);
    ag_check_int(ag_tls_config_reload(x), -EINVAL);
    ag_check_contains(ag_tls_config_error(x), "does not belong to this certificate");
    see(x, "localhost", "CN=site");
    snprintf(command, sizeof command, "mv %s %s", in_certs("new.pem"), in_certs("site.pem"));
    ag_check_int(system(command), 0);
    ag_check_int(ag_tls_config_reload(x), 0);
    ag_check_str(ag_tls_config_error(x), "");
    see(x, "localhost", "CN=new");
    ag_unref(x);
}

static void connect_all_the_time(ag_tls_config *x, _Atomic int *stop) {
    while (!*stop) {
        ag_tls_config *client = config_with(NULL, "ca");
        struct both b = connect_with(ag_ref(x), client, "localhost");
        _Atomic int server = 0;
        ag_go(shake, b.server, &server);
        ag_check_int(ag_tls_handshake(b.client), 0);
        eventually(server == -1000);
        end_pair(&b);
    }
}

AG_TEST_RUN(reloads_and_handshakes_go_on_together) {
    CERTS;
    ag_tls_config *x = config_with("site", NULL);
    _Atomic int stop = 0;
    ag_go(connect_all_the_time, x, &stop);
    ag_go(connect_all_the_time, x, &stop);
    for (int i = 0; i < 50 / ag_test_slow(); i++) {
        ag_check_int(ag_tls_config_reload(x), 0);
        ag_yield();
    }
    stop = 1;
    eventually(ag_count() == 1);
    ag_unref(x);
}

/* ---- Sessions ------------------------------------------------------------------------------- */

/* One connection that is used and ends well. Returns: whether its session was resumed. */
static bool visit(ag_tls_config *server, ag_tls_config *client, const char *name) {
    struct both b = connect_with(ag_ref(server), ag_ref(client), name);
    char buf[8];
    shake_well(&b);
    ag_check_int(ag_write(b.server, "hello", 5), 5);
    ag_check_int(ag_read(b.client, buf, 8), 5);
    bool resumed = ag_tls_state_of(b.client)->resumed;
    ag_check_int(ag_tls_state_of(b.server)->resumed, resumed);
    ag_check_str(ag_tls_state_of(b.client)->peer_subject, "CN=site");
    ag_check_str(ag_tls_state_of(b.server)->server_name,
                 strcmp(name, "localhost") == 0 ? name : "");
    ag_conn_close(b.client);
    end_pair(&b);
    return resumed;
}

AG_TEST_RUN(a_client_resumes_its_session) {
    CERTS;
    ag_tls_config *server = config_with("site", NULL), *client = config_with(NULL, "ca");
    ag_tls_config *other = config_with(NULL, "ca");
    ag_check(!visit(server, client, "localhost"));
    ag_check(visit(server, client, "localhost"));
    ag_check(visit(server, client, "localhost"));
    ag_check(!visit(server, client, "127.0.0.1")); /* another name */
    ag_check(!visit(server, other, "localhost"));  /* another configuration */
    ag_check_int(ag_tls_config_reload(client), 0);
    ag_check(!visit(server, client, "localhost"));
    ag_check(visit(server, client, "localhost"));
    ag_check_int(ag_tls_config_reload(server), 0);
    ag_check(!visit(server, client, "localhost"));
    ag_unref(server);
    ag_unref(client);
    ag_unref(other);
}

AG_TEST_RUN(a_resumed_client_is_known_by_its_certificate) {
    CERTS;
    cert_make(&(struct cert){.file = "alice", .by = "ca", .seconds = 2});
    ag_tls_config *server = config_with("site", NULL), *client = config_with("alice", "ca");
    ag_check_int(ag_tls_config_clients(server, AG_TLS_CLIENT_REQUIRE, cert_file("ca", "pem")), 0);
    ag_time begin = ag_wall();
    bool resumed = false;
    for (int i = 0; i < 2; i++) {
        struct both b = connect_with(ag_ref(server), ag_ref(client), "localhost");
        char buf[8];
        shake_well(&b);
        ag_check_int(ag_write(b.server, "hello", 5), 5);
        ag_check_int(ag_read(b.client, buf, 8), 5);
        ag_check_str(ag_tls_state_of(b.server)->peer_subject, "CN=alice");
        ag_check(ag_tls_state_of(b.server)->peer_verified);
        resumed = ag_tls_state_of(b.server)->resumed;
        end_pair(&b);
    }
    ag_check(resumed);
    /* Its time ends: with the session, too. */
    ag_sleep(begin + 2100 * AG_MS - ag_wall());
    struct both b = connect_with(server, client, "localhost");
    expect(&b, -EKEYREJECTED, "certificate verify failed: certificate has expired", -EPROTO,
           "the peer refused: ");
    end_pair(&b);
}

/* ---- Dialing -------------------------------------------------------------------------------- */

static void hello(ag_listener *l) {
    ag_conn *c;
    while (ag_accept(l, &c) == 0) {
        ag_write(c, "hello", 5);
        ag_unref(c);
    }
    ag_unref(l);
}

AG_TEST_RUN(dialing_does_it_all) {
    CERTS;
    ag_tls_config *server = config_with("site", NULL), *client = config_with(NULL, "ca");
    ag_tls_config *wrong = config_with(NULL, "site");
    ag_listener *l;
    ag_conn *c;
    char buf[8], addr[64];
    ag_check_int(ag_tls_listen("tcp", "127.0.0.1:0", client, &l), -EINVAL); /* nothing to show */
    ag_check_int(ag_tls_listen("tcp", "127.0.0.1:0", server, &l), 0);
    ag_go(hello, ag_ref(l));
    ag_check_int(ag_tls_dial("tcp", ag_listener_addr(l), client, &c), 0);
    ag_check_int(ag_read(c, buf, 8), 5);
    ag_unref(c);
    snprintf(addr, sizeof addr, "localhost%s", strrchr(ag_listener_addr(l), ':'));
    ag_check_int(ag_tls_dial("tcp4", addr, client, &c), 0);
    ag_check_str(ag_tls_state_of(c)->server_name, "localhost");
    ag_unref(c);
    ag_check_int(ag_tls_dial("tcp", ag_listener_addr(l), wrong, &c), -EKEYREJECTED);
    ag_check_int(ag_tls_dial("udp", ag_listener_addr(l), client, &c), -EINVAL);
    ag_check_int(ag_tls_dial("unix", "@nobody", client, &c), -EINVAL);
    ag_check_int(ag_tls_dial("tcp", "nowhere", client, &c), -EINVAL);
    ag_listener_close(l);
    ag_check_int(ag_tls_dial("tcp", addr, client, &c), -ECONNREFUSED);
    ag_unref(l);
    eventually(ag_count() == 1);
    ag_unref(server);
    ag_unref(client);
    ag_unref(wrong);
}

/* ---- The end of the process ----------------------------------------------------------------- */

static _Atomic int shaken;

static void dial_for_ever(ag_listener *l, ag_tls_config *client) {
    ag_conn *c;
    for (; ag_tls_dial("tcp", ag_listener_addr(l), client, &c) == 0; shaken++)
        ag_unref(c);
}

static int main_exits_meanwhile(void *arg) {
    certs_usual();
    ag_tls_config *server = config_with("site", NULL), *client = config_with(NULL, "ca");
    ag_listener *l;
    (void)arg;
    ag_check_int(ag_tls_listen("tcp", "127.0.0.1:0", server, &l), 0);
    for (int i = 0; i < 4; i++) {
        ag_go(hello, ag_ref(l));
        ag_go(dial_for_ever, l, client);
    }
    while (shaken < 3)
        ag_sleep(AG_MS);
    certs_end();
    exit(7);
}

AG_TEST_DEATH(exit_in_the_midst_of_a_handshake, 7, "") {
    ag_run(main_exits_meanwhile, NULL);
}

/* OpenSSL would take down what the others are using. */
AG_TEST(exit_in_the_midst_of_handshakes_is_an_end_as_any) {
    static struct child child;
    for (int i = 0; i < 40 / ag_test_slow(); i++) {
        run_child(&child, "exit_in_the_midst_of_a_handshake");
        ag_check_int(child.status, 7);
        ag_check_str(child.text, "");
    }
}
