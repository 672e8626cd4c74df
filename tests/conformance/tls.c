/* SPDX-License-Identifier: MIT */
/*
 * Connections with TLS: that they are connections like any other - data, turns, deadlines,
 * contexts, closing, files - and what the handshake tells.
 */
#include "common.h"
#include "tls_pair.h"

#include <sys/socket.h>

/* ---- Data ----------------------------------------------------------------------------------- */

static void echo(ag_conn *c) {
    char buf[20000];
    ssize_t n;
    while ((n = ag_read(c, buf, sizeof buf)) > 0)
        ag_check_int(ag_write(c, buf, (size_t)n), n);
    ag_check_int(n, 0);
    ag_conn_close(c);
}

static void read_fully(ag_conn *c, void *buf, size_t n) {
    for (size_t at = 0; at < n;) {
        ssize_t got = ag_read(c, (char *)buf + at, n - at);
        ag_check(got > 0);
        at += (size_t)got;
    }
}

AG_TEST_RUN(what_is_written_is_read) {
    CERTS;
    struct both b = connect_pair();
    char buf[64];
    ag_go(echo, b.server);
    for (int i = 0; i < 100; i++) {
        int n = snprintf(buf, sizeof buf, "message %d", i);
        ag_check_int(ag_write(b.client, buf, (size_t)n), n);
        char back[64] = "";
        read_fully(b.client, back, (size_t)n);
        ag_check_str(back, buf);
    }
    ag_check_int(ag_conn_sent(b.client), ag_conn_received(b.client));
    ag_check_int(ag_conn_sent(b.client), 90 * 10 + 10 * 9);
    ag_check_int(ag_conn_shutdown(b.client, SHUT_WR), 0);
    ag_check_int(ag_read(b.client, buf, 1), 0);
    ag_check_int(ag_read(b.client, buf, 1), 0);
    eventually(ag_count() == 1);
    end_pair(&b);
}

AG_TEST_RUN(a_listener_made_elsewhere_speaks_tls_too) {
    CERTS;
    struct both b = {config_with("site", NULL), config_with(NULL, "ca"), NULL, NULL, NULL};
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &b.listener), 0);
    ag_check_int(ag_tls_listener(b.listener, b.client_config), -EINVAL); /* no certificate */
    ag_check_int(ag_tls_listener(b.listener, b.server_config), 0);
    ag_check_int(ag_tls_listener(b.listener, b.server_config), -EALREADY);
    ag_check_int(ag_dial("tcp", ag_listener_addr(b.listener), &b.client), 0);
    ag_check_int(ag_tls_client(b.client, b.client_config, "localhost"), 0);
    ag_check_int(ag_accept(b.listener, &b.server), 0);
    shake_well(&b);
    end_pair(&b);
}

enum { MUCH = 3 << 20 };

static void send_much(ag_conn *c, const char *data) {
    struct iovec pieces[] = {{(void *)data, 7},
                             {NULL, 0},
                             {(void *)(data + 7), 100000},
                             {(void *)(data + 100007), 5},
                             {(void *)(data + 100012), 40000},
                             {(void *)(data + 140012), MUCH - 140012}};
    ag_check_int(ag_writev(c, pieces, COUNT(pieces)), MUCH);
    ag_check_int(ag_conn_shutdown(c, SHUT_WR), 0);
}

static void take_much(ag_conn *c, const char *data, _Atomic int *done) {
    char *got = malloc(MUCH);
    read_fully(c, got, MUCH);
    ag_check(memcmp(got, data, MUCH) == 0);
    ag_check_int(ag_read(c, got, 1), 0);
    free(got);
    ++*done;
}

static char *some_data(void) {
    char *data = malloc(MUCH);
    for (int i = 0; i < MUCH; i++)
        data[i] = (char)(i * 7 + i / 251);
    return data;
}

AG_TEST_RUN(both_directions_flow_at_the_same_time) {
    CERTS;
    struct both b = connect_pair();
    char *data = some_data();
    _Atomic int done = 0;
    ag_go(send_much, b.client, data);
    ag_go(take_much, b.client, data, &done);
    ag_go(send_much, b.server, data);
    ag_go(take_much, b.server, data, &done);
    eventually(done == 2);
    eventually(ag_count() == 1);
    ag_check_int(ag_conn_sent(b.client), MUCH);
    ag_check_int(ag_conn_received(b.client), MUCH);
    end_pair(&b);
    free(data);
}

/* Whoever comes first does the handshake, and neither keeps the other from it. */
AG_TEST_RUN(a_reader_and_a_writer_begin_at_the_same_time) {
    CERTS;
    for (int i = 0; i < 40 / ag_test_slow(); i++) {
        struct both b = connect_pair();
        char buf[8];
        ag_go(echo, b.server);
        _Atomic int done = 0;
        if (i & 1)
            ag_go(shake, b.client, &done);
        ag_go(shake, b.client, &done);
        if (i & 2)
            ag_yield();
        ag_check_int(ag_write(b.client, "x", 1), 1);
        ag_check_int(ag_read(b.client, buf, 8), 1);
        ag_conn_close(b.client);
        eventually(ag_count() == 1);
        end_pair(&b);
    }
}

static void write_line(ag_conn *c, int number) {
    char line[1000];
    memset(line, 'a' + number, sizeof line);
    for (int i = 0; i < 20; i++)
        ag_check_int(ag_write(c, line, sizeof line), sizeof line);
}

AG_TEST_RUN(several_writers_take_turns) {
    CERTS;
    struct both b = connect_pair();
    for (int i = 0; i < 5; i++)
        ag_go(write_line, b.client, i);
    char line[1000];
    for (int i = 0; i < 100; i++) {
        read_fully(b.server, line, sizeof line);
        for (size_t k = 1; k < sizeof line; k++)
            ag_check_int(line[k], line[0]);
    }
    eventually(ag_count() == 1);
    end_pair(&b);
}

AG_TEST_RUN(files_are_copied_through_the_layer) {
    CERTS;
    struct both b = connect_pair();
    char *data = some_data();
    FILE *f = fopen(in_certs("data"), "w+");
    fwrite(data, 1, MUCH, f);
    fflush(f);
    rewind(f);
    _Atomic int done = 0;
    ag_go(take_much, b.server, data, &done);
    int64_t copied = 0;
    ag_check_int(ag_copy_to_conn(b.client, fileno(f), -1, &copied), 0);
    ag_check_int(copied, MUCH);
    ag_check_int(ag_conn_sent(b.client), MUCH);
    ag_check_int(ag_conn_shutdown(b.client, SHUT_WR), 0);
    ag_conn_close(b.client);
    eventually(done == 1);
    eventually(ag_count() == 1);
    end_pair(&b);
    fclose(f);
    free(data);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static void read_once(ag_conn *c, _Atomic int *result) {
    char buf[8];
    *result = (int)ag_read(c, buf, sizeof buf) - 1000;
}

AG_TEST_RUN(closing_wakes_a_reader) {
    CERTS;
    struct both b = connect_pair();
    shake_well(&b);
    _Atomic int result = 0;
    until_waits(ag_go(read_once, b.server, &result));
    ag_check_int(ag_conn_close(b.server), 0);
    eventually(result != 0);
    ag_check_int(result, -ECANCELED - 1000);
    char buf[8];
    ag_check_int(ag_read(b.server, buf, 8), -ECANCELED);
    ag_check_int(ag_write(b.server, "x", 1), -ECANCELED);
    ag_check_int(ag_conn_close(b.server), -ECANCELED);
    ag_check_int(ag_read(b.client, buf, 8), 0); /* it has said goodbye */
    eventually(ag_count() == 1);
    end_pair(&b);
}

AG_TEST_RUN(closing_wakes_who_waits_in_the_handshake) {
    CERTS;
    struct both b = connect_pair();
    _Atomic int result = 0, other = 0;
    ag_go(read_once, b.server, &result);
    ag_go(shake, b.server, &other);
    ag_sleep(2 * AG_MS);
    ag_conn_close(b.server);
    eventually(result != 0 && other != 0);
    ag_check_int(result, -ECANCELED - 1000);
    ag_check_int(other, -ECANCELED - 1000);
    ag_check_int(ag_tls_handshake(b.client), -ECONNRESET);
    ag_check_str(ag_tls_error(b.client), "the connection ended in the handshake");
    eventually(ag_count() == 1);
    end_pair(&b);
}

AG_TEST_RUN(a_deadline_ends_a_read_and_the_connection_goes_on) {
    CERTS;
    struct both b = connect_pair();
    char buf[8];
    shake_well(&b);
    ag_set_read_deadline(b.server, ag_now() + 5 * AG_MS);
    ag_check_int(ag_read(b.server, buf, 8), -ETIMEDOUT);
    ag_check_int(ag_read(b.server, buf, 8), -ETIMEDOUT);
    ag_set_read_deadline(b.server, 0);
    ag_check_int(ag_write(b.client, "abc", 3), 3);
    ag_check_int(ag_read(b.server, buf, 8), 3);
    end_pair(&b);
}

AG_TEST_RUN(a_handshake_that_was_cut_by_a_deadline_goes_on) {
    CERTS;
    struct both b = connect_pair();
    ag_set_deadline(b.server, ag_now() + 5 * AG_MS);
    ag_check_int(ag_tls_handshake(b.server), -ETIMEDOUT);
    ag_set_deadline(b.client, ag_now() + 5 * AG_MS);
    ag_check_int(ag_tls_handshake(b.client), -ETIMEDOUT);
    ag_set_deadline(b.server, ag_now() + 5 * AG_MS);
    ag_check_int(ag_tls_handshake(b.server), -ETIMEDOUT); /* after its answer */
    ag_set_deadline(b.server, 0);
    ag_set_deadline(b.client, 0);
    ag_check_str(ag_tls_error(b.server), "");
    shake_well(&b);
    end_pair(&b);
}

AG_TEST_RUN(the_context_ends_a_read_and_a_handshake) {
    CERTS;
    struct both b = connect_pair();
    char buf[8];
    {
        ag_within(5 * AG_MS);
        ag_check_int(ag_tls_handshake(b.server), -ETIMEDOUT);
    }
    shake_well(&b);
    {
        ag_within(5 * AG_MS);
        ag_check_int(ag_read(b.server, buf, 8), -ETIMEDOUT);
    }
    ag_check_int(ag_write(b.client, "abc", 3), 3);
    ag_check_int(ag_read(b.server, buf, 8), 3);
    end_pair(&b);
}

/* Of a write that was cut the bytes that count as sent arrive, and the next write goes on. */
AG_TEST_RUN(a_write_that_was_cut_may_be_gone_on_with) {
    CERTS;
    struct both b = connect_pair();
    char *data = some_data();
    shake_well(&b);
    int little = 1 << 16;
    setsockopt(ag_conn_fd(b.client), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    setsockopt(ag_conn_fd(b.server), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    ssize_t put = 0;
    int cuts = 0;
    _Atomic int done = 0;
    while (put != MUCH) {
        int64_t sent = ag_conn_sent(b.client);
        ag_set_write_deadline(b.client, ag_now() + 10 * AG_MS);
        ssize_t n = ag_write(b.client, data + sent, MUCH - (size_t)sent);
        put = ag_conn_sent(b.client);
        ag_check(n == -ETIMEDOUT || n == MUCH - sent);
        if (++cuts == 3)
            ag_go(take_much, b.server, data, &done);
    }
    ag_check(cuts >= 3);
    ag_set_write_deadline(b.client, 0);
    ag_check_int(ag_conn_shutdown(b.client, SHUT_WR), 0); /* waits for room to say goodbye */
    ag_check_int(ag_conn_close(b.client), 0);
    eventually(done == 1);
    eventually(ag_count() == 1);
    end_pair(&b);
    free(data);
}

AG_TEST_RUN(try_read_never_waits) {
    CERTS;
    struct both b = connect_pair();
    char buf[8];
    /* It takes the handshake forward, in as many steps as there are. */
    ssize_t n = -EAGAIN;
    _Atomic int result = 0;
    ag_check_int(ag_try_read(b.server, buf, 8), -EAGAIN);
    ag_go(shake, b.client, &result);
    for (ag_time end = ag_now() + 10 * AG_SEC; result == 0 && ag_now() < end;) {
        ag_check_int(ag_try_read(b.server, buf, 8), -EAGAIN);
        ag_yield();
    }
    ag_check_int(result, -1000);
    ag_check_int(ag_write(b.client, "abc", 3), 3);
    eventually((n = ag_try_read(b.server, buf, 2)) != -EAGAIN);
    ag_check_int(n, 2);
    ag_check_int(ag_try_read(b.server, buf, 8), 1); /* of what was decrypted already */
    ag_check_int(ag_try_read(b.server, buf, 8), -EAGAIN);
    end_pair(&b);
}

/* ---- Wishes --------------------------------------------------------------------------------- */

struct wisher {
    ag_conn *c;
    _Atomic int runs, got;
    _Atomic bool ended;
};

static void take_all(struct wisher *w) {
    char buf[3];
    ssize_t n;
    w->runs++;
    while ((n = ag_try_read(w->c, buf, sizeof buf)) > 0)
        w->got += (int)n;
    if (n == -EAGAIN)
        ag_check_int(ag_conn_when_readable(w->c, take_all, w), 0);
    else
        w->ended = true;
}

static void take_one(struct wisher *w) {
    char byte;
    w->runs++;
    ssize_t n = ag_try_read(w->c, &byte, 1);
    w->got += n == 1;
    w->ended = n != 1 && n != -EAGAIN;
    if (!w->ended)
        ag_check_int(ag_conn_when_readable(w->c, take_one, w), 0);
}

AG_TEST_RUN(a_wish_does_the_handshake_and_is_not_started_without_end) {
    CERTS;
    struct both b = connect_pair();
    struct wisher w = {.c = b.server};
    ag_check_int(ag_conn_when_readable(b.server, take_all, &w), 0);
    ag_check_int(ag_write(b.client, "hello", 5), 5);
    eventually(w.got == 5);
    int runs = w.runs;
    ag_check(runs < 12);
    ag_sleep(5 * AG_MS);
    ag_check(w.runs <= runs + 1);
    ag_conn_close(b.client);
    eventually(w.ended);
    eventually(ag_count() == 1);
    end_pair(&b);
}

AG_TEST_RUN(a_wish_knows_of_bytes_that_the_socket_has_not) {
    CERTS;
    struct both b = connect_pair();
    struct wisher w = {.c = b.server};
    shake_well(&b);
    ag_check_int(ag_conn_when_readable(b.server, take_one, &w), 0);
    ag_check_int(ag_write(b.client, "hello", 5), 5);
    eventually(w.got == 5);
    int runs = w.runs;
    ag_sleep(5 * AG_MS);
    ag_check(w.runs <= runs + 1);
    ag_check_int(ag_write(b.client, "x", 1), 1);
    eventually(w.got == 6);
    ag_conn_close(b.server);
    eventually(w.ended);
    eventually(ag_count() == 1);
    end_pair(&b);
}

/* Half a record is no reason to start, again and again, who can do nothing with it. */
AG_TEST_RUN(part_of_a_record_grants_no_wish) {
    CERTS;
    struct both b = connect_pair();
    struct wisher w = {.c = b.server};
    shake_well(&b);
    ag_check_int(ag_conn_when_readable(b.server, take_all, &w), 0);
    ag_check_int(send(ag_conn_fd(b.client), "\x17\x03\x03\x00\x40", 5, 0), 5);
    eventually(w.runs > 0);
    ag_sleep(5 * AG_MS);
    ag_check(w.runs <= 3);
    ag_check_int(send(ag_conn_fd(b.client), (char[64]){0}, 64, 0), 64);
    eventually(w.ended);
    ag_check_str(ag_tls_error(b.server), "decryption failed or bad record mac");
    eventually(ag_count() == 1);
    end_pair(&b);
}

AG_TEST_RUN(a_client_may_begin_with_a_wish) {
    CERTS;
    struct both b = connect_pair();
    struct wisher w = {.c = b.client};
    ag_check_int(ag_conn_when_readable(b.client, take_all, &w), 0);
    ag_check_int(ag_write(b.server, "hello", 5), 5);
    eventually(w.got == 5);
    ag_conn_close(b.server);
    eventually(w.ended);
    eventually(ag_count() == 1);
    end_pair(&b);
}

/* ---- Ends ----------------------------------------------------------------------------------- */

AG_TEST_RUN(an_end_without_goodbye_is_an_error) {
    CERTS;
    struct both b = connect_pair();
    char buf[8];
    shake_well(&b);
    ag_check_int(ag_write(b.client, "abc", 3), 3);
    shutdown(ag_conn_fd(b.client), SHUT_WR); /* as somebody between could do */
    ag_check_int(ag_read(b.server, buf, 8), 3);
    ag_check_int(ag_read(b.server, buf, 8), -ECONNRESET);
    ag_check_int(ag_read(b.server, buf, 8), -ECONNRESET);
    ag_check_str(ag_tls_error(b.server), "the connection was cut: no close_notify");
    end_pair(&b);
}

AG_TEST_RUN(one_direction_may_end_before_the_other) {
    CERTS;
    struct both b = connect_pair();
    char buf[8];
    shake_well(&b);
    ag_check_int(ag_conn_shutdown(b.client, SHUT_WR), 0);
    ag_check_int(ag_write(b.client, "x", 1), -EPIPE);
    ag_check_int(ag_read(b.server, buf, 8), 0);
    ag_check_int(ag_write(b.server, "late", 4), 4);
    ag_check_int(ag_read(b.client, buf, 8), 4);
    ag_check_int(ag_conn_close(b.server), 0);
    ag_check_int(ag_read(b.client, buf, 8), 0);
    end_pair(&b);
}

AG_TEST_RUN(a_context_ends_when_the_peer_closes) {
    CERTS;
    for (int i = 0; i < 3; i++) {
        struct both b = connect_pair();
        ag_ctx *ctx = ag_ctx_with_cancel(NULL);
        shake_well(&b);
        ag_check_int(ag_conn_cancel_when_gone(b.server, ctx), 0);
        if (i == 2) /* a question that is still unread, as without TLS */
            ag_check_int(ag_write(b.client, "GET / HTTP/1.0\r\n\r\n", 18), 18);
        if (i == 1)
            shutdown(ag_conn_fd(b.client), SHUT_WR); /* not even a goodbye */
        else
            ag_conn_close(b.client);
        if (i == 2)
            ag_sleep(5 * AG_MS);
        else
            eventually(ag_ctx_err(ctx) == -ECANCELED);
        ag_check_int(ag_ctx_err(ctx), i == 2 ? 0 : -ECANCELED);
        ag_check(ag_conn_peer_is_gone(b.server));
        end_pair(&b);
        ag_unref(ctx);
    }
}

AG_TEST_RUN(what_was_tampered_with_is_an_error) {
    CERTS;
    struct both b = connect_pair();
    char buf[8];
    shake_well(&b);
    ag_check_int(send(ag_conn_fd(b.client),
                      "\x17\x03\x03\x00\x20"
                      "0123456789abcdef0123456789abcdef",
                      37, 0),
                 37);
    ag_check_int(ag_read(b.server, buf, 8), -EPROTO);
    ag_check_str(ag_tls_error(b.server), "decryption failed or bad record mac");
    ag_check_int(ag_write(b.server, "x", 1), -EPROTO);
    ag_check_int(ag_read(b.client, buf, 8), -EPROTO);
    ag_check_str(ag_tls_error(b.client), "the peer refused: bad record mac");
    end_pair(&b);
}

AG_TEST_RUN(plain_http_is_told_from_tls) {
    CERTS;
    ag_tls_config *x = config_with("site", NULL);
    ag_listener *l;
    ag_conn *client, *server;
    char buf[512] = "";
    ag_check_int(ag_tls_listen("tcp", "127.0.0.1:0", x, &l), 0);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &client), 0);
    ag_check_int(ag_accept(l, &server), 0);
    ag_check_int(ag_write(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27), 27);
    ag_check_int(ag_read(server, buf, 8), -EPROTO);
    ag_check_str(ag_tls_error(server), "plain HTTP where TLS was expected");
    ag_check(ag_read(client, buf, sizeof buf - 1) > 0);
    ag_check_contains(buf, "HTTP/1.0 400 Bad Request\r\n");
    const char *body = strstr(buf, "\r\n\r\n");
    ag_check_contains(buf, "Content-Length: 45\r\n");
    ag_check_int(strlen(body + 4), 45);
    ag_unref(client);
    ag_unref(server);
    ag_unref(l);
    ag_unref(x);
}

/* ---- What is agreed on ---------------------------------------------------------------------- */

AG_TEST_RUN(the_state_says_what_was_agreed_on) {
    CERTS;
    struct both b = connect_with(config_with("site", NULL), config_with(NULL, "ca"), "localhost");
    ag_check_ptr(ag_tls_state_of(b.client), NULL);
    ag_check_str(ag_conn_protocol(b.client), "");
    shake_well(&b);
    const ag_tls_state *c = ag_tls_state_of(b.client), *s = ag_tls_state_of(b.server);
    ag_check_str(c->version, "TLSv1.3");
    ag_check_str(c->cipher, s->cipher);
    ag_check_str(c->alpn, "");
    ag_check_str(c->server_name, "localhost");
    ag_check_str(s->server_name, "localhost");
    ag_check(c->peer_verified && !s->peer_verified);
    ag_check(!c->resumed && !s->resumed);
    ag_check_str(c->peer_subject, "CN=site");
    ag_check_str(c->dns_names[0], "localhost");
    ag_check_ptr(c->dns_names[1], NULL);
    ag_check_str(c->ip_addresses[0], "127.0.0.1");
    ag_check_str(c->ip_addresses[1], "::1");
    ag_check_ptr(c->ip_addresses[2], NULL);
    ag_check_ptr(c->uris[0], NULL);
    ag_check_str(c->spiffe_id, "");
    ag_check_str(s->peer_subject, "");
    ag_check_ptr(s->dns_names[0], NULL);
    ag_check_ptr(ag_tls_state_of(b.client), c);
    end_pair(&b);
}

AG_TEST_RUN(a_connection_without_tls_has_none) {
    CERTS;
    ag_listener *l;
    ag_conn *c;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &c), 0);
    ag_check_str(ag_conn_protocol(c), "");
    ag_check_ptr(ag_tls_state_of(c), NULL);
    ag_check_str(ag_tls_error(c), "");
    ag_check_int(ag_tls_handshake(c), -EINVAL);
    ag_tls_config *x = config_with("site", "ca"), *bare = ag_tls_config_new();
    ag_check_int(ag_tls_server(c, bare), -EINVAL);
    ag_check_int(ag_tls_client(c, x, NULL), -EINVAL);
    ag_check_int(ag_tls_client(c, x, "two words"), -EINVAL);
    ag_check_int(ag_tls_client(c, x, "localhost"), 0);
    ag_check_int(ag_tls_client(c, x, "localhost"), -EALREADY);
    ag_check_int(ag_tls_server(c, x), -EALREADY);
    ag_unref(c);
    ag_unref(l);
    ag_unref(x);
    ag_unref(bare);
}

static void read_once_later(ag_conn *c, _Atomic int *begun, _Atomic int *result) {
    while (!atomic_load_explicit(begun, memory_order_relaxed))
        ag_yield();
    read_once(c, result);
}

/* The connection alone orders what the two do with it: TSan, too, sees that. */
AG_TEST_RUN(who_comes_later_needs_no_other_order) {
    CERTS;
    ag_listener *l;
    ag_conn *client, *server;
    ag_tls_config *x = config_with("site", "ca");
    _Atomic int begun = 0, result = 0;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &client), 0);
    ag_check_int(ag_accept(l, &server), 0);
    ag_go(read_once_later, server, &begun, &result);
    ag_check_int(ag_tls_server(server, x), 0);
    atomic_store_explicit(&begun, 1, memory_order_relaxed);
    ag_check_int(ag_tls_client(client, x, "localhost"), 0);
    ag_check_int(ag_write(client, "hello", 5), 5);
    eventually(ag_count() == 1);
    ag_check_int(result, 5 - 1000);
    ag_unref(client);
    ag_unref(server);
    ag_unref(l);
    ag_unref(x);
}

/* TLS may begin in the middle of a connection, as mail and databases do. */
AG_TEST_RUN(a_connection_may_begin_in_the_clear) {
    CERTS;
    ag_listener *l;
    ag_conn *client, *server;
    ag_tls_config *x = config_with("site", "ca");
    char buf[8];
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &client), 0);
    ag_check_int(ag_accept(l, &server), 0);
    ag_check_int(ag_write(client, "STARTTLS", 8), 8);
    ag_check_int(ag_read(server, buf, 8), 8);
    _Atomic int result = 0;
    until_waits(ag_go(read_once, server, &result));
    ag_check_int(ag_tls_server(server, x), -EBUSY);
    ag_check_int(ag_write(client, "+", 1), 1);
    eventually(result == 1 - 1000);
    eventually(ag_count() == 1);
    ag_check_int(ag_tls_server(server, x), 0);
    ag_check_int(ag_tls_client(client, x, "localhost"), 0);
    ag_go(echo, server);
    ag_check_int(ag_write(client, "hello", 5), 5);
    ag_check_int(ag_read(client, buf, 8), 5);
    ag_conn_close(client);
    eventually(ag_count() == 1);
    ag_unref(client);
    ag_unref(server);
    ag_unref(l);
    ag_unref(x);
}
