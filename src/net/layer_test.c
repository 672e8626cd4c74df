/* SPDX-License-Identifier: MIT */
/*
 * Layers without TLS: one that turns the bits of every byte, begins with a word of each side and
 * ends with one, and says no more than a layer must. What TLS does with the mechanism is in
 * tests/conformance/tls.c; here it is what the connection makes of the answers.
 */
#include "ag_test.h"
#include "net/net.h"
#include <aglet.h>
#include <aglet/layer.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HELLO = 0x01, BYE = 0x02 }; /* never sent by a program here */

struct toy {
    ag_layer layer;
    ag_mutex lock;
    char out[64]; /* out[at..n): to be sent */
    int at, n;
    bool greeted, was_greeted, said_bye, has_end;
    int writes; /* how many pieces were taken */
    _Atomic int *freed;
};

static int send_out(ag_layer *y) {
    struct toy *t = (struct toy *)y;
    while (t->at < t->n) {
        ssize_t put = ag_layer_send(y, t->out + t->at, (size_t)(t->n - t->at));
        if (put < 0)
            return (int)put;
        t->at += (int)put;
    }
    t->at = t->n = 0;
    return 0;
}

static int toy_flush(ag_layer *y) {
    struct toy *t = (struct toy *)y;
    ag_mutex_lock(&t->lock);
    ag_defer(ag_mutex_unlock, &t->lock);
    return send_out(y);
}

static int toy_open(ag_layer *y) {
    struct toy *t = (struct toy *)y;
    char word;
    ag_mutex_lock(&t->lock);
    ag_defer(ag_mutex_unlock, &t->lock);
    if (!t->greeted) {
        t->greeted = true;
        t->out[t->n++] = HELLO;
    }
    if (send_out(y) == -EAGAIN)
        return AG_WRITABLE;
    if (t->was_greeted)
        return 0;
    ssize_t n = ag_layer_recv(y, &word, 1);
    if (n == -EAGAIN)
        return AG_READABLE;
    if (n != 1 || word != HELLO)
        return n < 0 ? (int)n : -EPROTO;
    t->was_greeted = true;
    return 0;
}

static ssize_t toy_read(ag_layer *y, void *buf, size_t n) {
    struct toy *t = (struct toy *)y;
    char *bytes = buf;
    ag_mutex_lock(&t->lock);
    ag_defer(ag_mutex_unlock, &t->lock);
    ssize_t got = t->has_end ? 0 : ag_layer_recv(y, buf, n);
    for (ssize_t i = 0; i < got; i++) {
        if (bytes[i] == BYE) {
            t->has_end = true;
            return i;
        }
        bytes[i] ^= 0x40;
    }
    return got == 0 && !t->has_end ? -ECONNRESET : got;
}

/* Up to 64 bytes, of the first piece alone. */
static ssize_t toy_write(ag_layer *y, const struct iovec *iov, int count, size_t skip) {
    struct toy *t = (struct toy *)y;
    ag_check(count > 0);
    ag_mutex_lock(&t->lock);
    ag_defer(ag_mutex_unlock, &t->lock);
    if (t->said_bye)
        return -EPIPE;
    int r = send_out(y);
    if (r != 0)
        return r;
    while (skip >= iov->iov_len)
        skip -= (iov++)->iov_len;
    size_t n = iov->iov_len - skip;
    n = n < sizeof t->out ? n : sizeof t->out;
    for (size_t i = 0; i < n; i++)
        t->out[i] = ((const char *)iov->iov_base)[skip + i] ^ 0x40;
    t->n = (int)n;
    t->writes++;
    send_out(y);
    return (ssize_t)n;
}

static int toy_waits_for(ag_layer *y) {
    struct toy *t = (struct toy *)y;
    ag_mutex_lock(&t->lock);
    ag_defer(ag_mutex_unlock, &t->lock);
    return t->has_end || !t->greeted ? 0 : AG_READABLE;
}

static void toy_end(ag_layer *y) {
    struct toy *t = (struct toy *)y;
    ag_mutex_lock(&t->lock);
    ag_defer(ag_mutex_unlock, &t->lock);
    if (!t->said_bye && t->was_greeted && t->n == 0)
        t->out[t->n++] = BYE;
    t->said_bye = true;
    send_out(y);
}

static const char *toy_protocol(ag_layer *y) {
    struct toy *t = (struct toy *)y;
    ag_mutex_lock(&t->lock);
    ag_defer(ag_mutex_unlock, &t->lock);
    return t->was_greeted ? "toy" : "";
}

static void toy_free(ag_layer *y) {
    ++*((struct toy *)y)->freed;
    free(y);
}

static const ag_layer_ops toy_ops = {toy_open,      toy_read, toy_write,    toy_flush,
                                     toy_waits_for, toy_end,  toy_protocol, toy_free};

static _Atomic int freed;

static ag_layer *toy_new(void *arg) {
    struct toy *t = calloc(1, sizeof *t);
    (void)arg;
    t->layer.ops = &toy_ops;
    t->freed = &freed;
    return &t->layer;
}

struct pair {
    ag_listener *l;
    ag_conn *a, *b;
};

static struct pair open_pair(void) {
    struct pair p;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &p.l), 0);
    ag_check_int(ag_layer_put_on_accepted(p.l, toy_new, NULL), 0);
    ag_check_int(ag_layer_put_on_accepted(p.l, toy_new, NULL), -EALREADY);
    ag_check_int(ag_dial("tcp", ag_listener_addr(p.l), &p.a), 0);
    ag_check_int(ag_layer_put(p.a, toy_new(NULL)), 0);
    ag_check_int(ag_accept(p.l, &p.b), 0);
    return p;
}

static void end_pair(struct pair *p) {
    ag_unref(p->a);
    ag_unref(p->b);
    ag_unref(p->l);
    ag_check_int(freed, 2);
    freed = 0;
}

static void open_it(ag_conn *c) {
    ag_check_int(ag_layer_open(c), 0);
}

AG_TEST_RUN(pieces_of_all_sizes_go_through_a_layer) {
    struct pair p = open_pair();
    char buf[1000], text[300];
    memset(text, 'x', sizeof text);
    ag_check_str(ag_conn_protocol(p.a), "");
    ag_go(open_it, p.b);
    struct iovec pieces[] = {{"ab", 2}, {NULL, 0}, {text, sizeof text}, {"c", 1}};
    ag_check_int(ag_writev(p.a, pieces, 4), 303);
    ag_check_int(((struct toy *)ag_layer_of(p.a))->writes, 1 + 5 + 1);
    size_t n = 0;
    while (n < 303) {
        ssize_t got = ag_read(p.b, buf + n, sizeof buf - n);
        ag_check(got > 0);
        n += (size_t)got;
    }
    ag_check_mem(buf, "abxx", 4);
    ag_check(buf[301] == 'x' && buf[302] == 'c');
    ag_check_int(ag_conn_sent(p.a), 303);
    ag_check_int(ag_conn_received(p.b), 303);
    ag_check_str(ag_conn_protocol(p.a), "toy");
    ag_check_int(ag_write(p.a, "", 0), 0);
    ag_check_int(ag_read(p.b, buf, 0), 0);
    ag_conn_close(p.a);
    ag_check_int(ag_read(p.b, buf, 8), 0);
    end_pair(&p);
}

static void read_once(ag_conn *c, _Atomic int *result) {
    char buf[8];
    *result = (int)ag_read(c, buf, sizeof buf) - 1000;
}

/* The reader opens, and keeps its turn; the writer gets in all the same. */
AG_TEST_RUN(a_writer_is_not_kept_by_a_reader_that_waits) {
    for (int i = 0; i < 50 / ag_test_slow(); i++) {
        struct pair p = open_pair();
        _Atomic int a = 0, b = 0;
        ag_go(read_once, p.a, &a);
        ag_go(read_once, p.b, &b);
        if (i & 1)
            ag_yield();
        ag_check_int(ag_write(p.a, "to b", 4), 4);
        ag_check_int(ag_write(p.b, "to a!", 5), 5);
        eventually(a != 0 && b != 0);
        ag_check_int(a, 5 - 1000);
        ag_check_int(b, 4 - 1000);
        eventually(ag_count() == 1);
        end_pair(&p);
    }
}

AG_TEST_RUN(an_opening_has_the_deadlines_and_the_end_of_its_connection) {
    struct pair p = open_pair();
    _Atomic int result = 0;
    ag_set_read_deadline(p.b, ag_now() + 2 * AG_MS);
    ag_check_int(ag_layer_open(p.b), -ETIMEDOUT);
    ag_check_int(ag_write(p.b, "x", 1), -ETIMEDOUT); /* it has to open, and can't */
    ag_set_read_deadline(p.b, 0);
    ag_set_write_deadline(p.b, 1);
    ag_check_int(ag_write(p.b, "x", 1), -ETIMEDOUT);
    ag_set_write_deadline(p.b, 0);
    ag_go(read_once, p.b, &result);
    ag_sleep(2 * AG_MS);
    ag_conn_close(p.b);
    eventually(result != 0);
    ag_check_int(result, -ECANCELED - 1000);
    ag_check_int(ag_layer_open(p.b), -ECANCELED);
    eventually(ag_count() == 1);
    end_pair(&p);
}

AG_TEST_RUN(a_layer_is_put_once_and_on_streams_that_nobody_uses) {
    struct pair p = open_pair();
    ag_layer *spare = toy_new(NULL);
    ag_conn *plain, *datagrams;
    _Atomic int result = 0;
    ag_check_int(ag_layer_put(p.a, spare), -EALREADY);
    ag_check_int(ag_dial("tcp", ag_listener_addr(p.l), &plain), 0);
    ag_check_int(ag_dial("udp", "127.0.0.1:9", &datagrams), 0);
    ag_check_int(ag_layer_put(datagrams, spare), -EINVAL);
    ag_go(read_once, plain, &result);
    eventually(plain->gate.word & AG__GATE_BUSY(AG__READ));
    ag_check_int(ag_layer_put(plain, spare), -EBUSY);
    ag_check_int(ag_layer_open(plain), 0);
    ag_check_ptr(ag_layer_of(plain), NULL);
    ag_conn_close(plain);
    eventually(result != 0);
    ag_check_int(ag_layer_put(plain, spare), -ECANCELED);
    toy_free(spare);
    freed = 0;
    eventually(ag_count() == 1);
    ag_unref(plain);
    ag_unref(datagrams);
    end_pair(&p);
}
