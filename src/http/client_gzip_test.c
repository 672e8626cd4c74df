/* SPDX-License-Identifier: MIT */
/* Answers that are packed: gzip as it comes, in members, cut, broken, and bombs. */
#include "ag_test.h"

#include "http/client.h"
#include "http/client_test.h"

static struct raw raw;      /* of the test under way: each has a process of its own */
static char *answers[1000]; /* each stays as it is: the server may still look at it */
static int answer_count;

enum { TEXT_LINES = 40, ZEROS = 65536 };

/* "hello, packed world\n" TEXT_LINES times, and ZEROS zero bytes, by gzip(1). */
static const unsigned char text[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03,
                                     0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0x28, 0x48, 0x4c,
                                     0xce, 0x4e, 0x4d, 0x51, 0x28, 0xcf, 0x2f, 0xca, 0x49, 0xe1,
                                     0xca, 0x18, 0x15, 0x1b, 0x15, 0x1b, 0x15, 0x03, 0x8b, 0x01,
                                     0x00, 0x6d, 0xae, 0x12, 0x3b, 0x20, 0x03, 0x00, 0x00};
static const unsigned char zeros[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xed, 0xc1, 0x01, 0x01, 0x00, 0x00,
    0x00, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x6a, 0xeb, 0x8e, 0x97, 0xd7, 0x00, 0x00, 0x01, 0x00};

static void put_answer(const void *body, size_t n, const char *fields) {
    size_t size = n + 256;
    char *answer = malloc(size);
    ag_check(answer && answer_count < 1000);
    answers[answer_count++] = answer;
    int head = snprintf(
        answer, size, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n%s\r\n",
        n, fields);
    memcpy(answer + head, body, n);
    raw.answer_n = (size_t)head + n;
    raw.answer = answer;
}

static ag_http_client *begin(void (*play)(struct raw *, ag_conn *, int),
                             const ag_http_client_options *options) {
    if (!ag__client_has_gzip())
        ag_skip("zlib");
    raw_start(&raw, play);
    return client_begin(options);
}

static void end(ag_http_client *client) {
    client_end(client);
    raw_end(&raw);
    while (answer_count)
        free(answers[--answer_count]);
}

static void check_text(const char *body, size_t n) {
    ag_check_int(n, TEXT_LINES * 20);
    for (int i = 0; i < TEXT_LINES; i++)
        ag_check_mem(body + i * 20, "hello, packed world\n", 20);
}

static void slowly(struct raw *r, ag_conn *c, int number) {
    (void)number;
    while (raw_request(r, c))
        for (size_t i = 0; i < r->answer_n; i++)
            if (ag_write(c, r->answer + i, 1) < 0)
                return;
}

AG_TEST_RUN(client_unpacks_what_it_has_asked_for) {
    ag_http_client *client = begin(slowly, NULL);
    put_answer(text, sizeof text, "X-A: b\r\n");
    for (int piece = 1; piece <= 1000; piece += 333) {
        ag_http_reply *r;
        char body[1001];
        size_t n = 0;
        ssize_t got;
        ag_check_int(ag_http_get(client, raw.url, &r), 0);
        ag_check_contains(raw_last(&raw), "Accept-Encoding: gzip\r\n");
        ag_check(!ag_http_reply_header(r, "Content-Encoding"));
        ag_check(!ag_http_reply_header(r, "Content-Length"));
        ag_check_str(ag_http_reply_header(r, "X-A"), "b");
        const char *name;
        ag_check(ag_http_reply_header_at(r, 0, &name, NULL));
        ag_check_str(name, "X-A");
        ag_check(!ag_http_reply_header_at(r, 1, &name, NULL));
        ag_check_int(ag_http_reply_content_length(r), -1);
        while ((got = ag_http_reply_read(r, body + n,
                                         sizeof body - n < (size_t)piece ? sizeof body - n
                                                                         : (size_t)piece)) > 0)
            n += (size_t)got;
        ag_check_int(got, 0);
        check_text(body, n);
        ag_http_reply_close(r);
    }
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

AG_TEST_RUN(client_leaves_packed_what_the_program_has_asked_for) {
    ag_http_client *client = begin(raw_answer_all, NULL);
    put_answer(text, sizeof text, "");
    ag_http_client_field fields[] = {{"Accept-Encoding", "gzip"}, {NULL, NULL}};
    ag_http_client_request q = {.url = raw.url, .fields = fields};
    ag_http_client *plain = ag_http_client_new(&(ag_http_client_options){.no_gzip = true});
    for (int i = 0; i < 2; i++) {
        ag_http_reply *r;
        char *body;
        size_t n;
        ag_check_int(i ? ag_http_get(plain, raw.url, &r) : ag_http_client_do(client, &q, &r), 0);
        ag_check_str(ag_http_reply_header(r, "Content-Encoding"), "gzip");
        ag_check_int(ag_http_reply_content_length(r), sizeof text);
        ag_check_int(ag_http_reply_read_all(r, 10000, &body, &n), 0);
        ag_check_int(n, sizeof text);
        ag_check_mem(body, text, n);
        ag_http_reply_close(r);
        ag_check_int(strstr(raw_last(&raw), "Accept-Encoding") != NULL, i == 0);
    }
    client_end(plain);
    end(client);
}

AG_TEST_RUN(client_packed_members_are_one_body) {
    ag_http_client *client = begin(raw_answer_all, NULL);
    unsigned char two[2 * sizeof text];
    memcpy(two, text, sizeof text);
    memcpy(two + sizeof text, text, sizeof text);
    put_answer(two, sizeof two, "");
    ag_http_reply *r;
    char *body;
    size_t n;
    ag_check_int(ag_http_get(client, raw.url, &r), 0);
    ag_check_int(ag_http_reply_read_all(r, 10000, &body, &n), 0);
    ag_check_int(n, 2 * TEXT_LINES * 20);
    check_text(body, n / 2);
    check_text(body + n / 2, n / 2);
    ag_http_reply_close(r);
    put_answer("", 0, "");
    check_get(client, raw.url, 200, "");
    end(client);
}

AG_TEST_RUN(client_packed_body_that_is_cut_or_broken_is_an_error) {
    ag_http_client *client = begin(raw_answer_all, NULL);
    for (size_t cut = 1; cut < sizeof text; cut++) {
        put_answer(text, cut, "");
        ag_check_int(get_error(client, raw.url), -EPROTO);
    }
    unsigned char broken[sizeof text];
    for (size_t at = 0; at < sizeof text; at++) {
        memcpy(broken, text, sizeof text);
        broken[at] ^= 0x55;
        put_answer(broken, sizeof broken, "");
        int e = get_error(client, raw.url);
        if (at < 4 || at > 9) /* not the time, the level and the system in its head */
            ag_check_int(e, -EPROTO);
    }
    end(client);
}

AG_TEST_RUN(client_refuses_bombs) {
    ag_http_client *client = begin(raw_answer_all, NULL);
    size_t members = 300;
    char *bomb = malloc(members * sizeof zeros);
    for (size_t i = 0; i < members; i++)
        memcpy(bomb + i * sizeof zeros, zeros, sizeof zeros);
    put_answer(bomb, members * sizeof zeros, "");
    ag_http_reply *r;
    char buf[16384];
    ssize_t n;
    size_t total = 0;
    ag_check_int(ag_http_get(client, raw.url, &r), 0);
    while ((n = ag_http_reply_read(r, buf, sizeof buf)) > 0)
        total += (size_t)n;
    ag_check_int(n, -EMSGSIZE);
    ag_check_contains(ag_http_reply_error(r), "bomb");
    ag_check(total <= (16 << 20) + sizeof buf);
    ag_http_reply_close(r);
    /* As many bytes as that are allowed. */
    put_answer(bomb, 200 * sizeof zeros, "");
    ag_check_int(ag_http_get(client, raw.url, &r), 0);
    for (total = 0; (n = ag_http_reply_read(r, buf, sizeof buf)) > 0;)
        total += (size_t)n;
    ag_check_int(n, 0);
    ag_check_int(total, 200 * ZEROS);
    ag_http_reply_close(r);
    free(bomb);
    end(client);
}
