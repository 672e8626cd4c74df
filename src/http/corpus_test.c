/* SPDX-License-Identifier: MIT */
/*
 * Runs the corpus (tests/http_corpus, its README has the format) through head parser and chunk
 * decoder as a server would: message after message on one connection, until one is refused, asks
 * to close, or the bytes are used up. Each case is run with the bytes coming at once, one by one
 * and in steps of seven, and flush against a page that must not be touched.
 */
#include "ag_test.h"
#include "http/chunk.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FIELDS = 100, BYTES_MAX = 1 << 18, TEXT_MAX = 1 << 14, CASES_MIN = 800 };

/* One case of the data; texts are without their keyword. */
struct corpus_case {
    char name[100], send[TEXT_MAX], ours[200], go[200], nginx[200], sees[200], why[400], lax[400];
};

/* ---- Reading the data ----------------------------------------------------------------------- */

static int hex_digit(const struct corpus_case *c, char digit) {
    int value = ag__http_hex(digit);
    if (value < 0)
        ag_fail("case %s: bad \\x escape", c->name);
    return value;
}

/* Turns `s`..`end` into bytes, appended at `dst`. Returns: behind the last byte. */
static char *unescape(const struct corpus_case *c, const char *s, const char *end, char *dst,
                      const char *dst_end) {
    while (s < end) {
        if (dst_end - dst < 2)
            ag_fail("case %s: too many bytes", c->name);
        if (*s != '\\') {
            *dst++ = *s++;
            continue;
        }
        s++;
        const char *found = strchr("rnt\\", *s);
        if (*s == 'x') {
            *dst++ = (char)(hex_digit(c, s[1]) << 4 | hex_digit(c, s[2]));
            s += 3;
        } else if (*s == '{') {
            char *star;
            long times = strtol(s + 1, &star, 10);
            const char *close = strchr(star, '}');
            if (*star != '*' || !close)
                ag_fail("case %s: bad repetition", c->name);
            while (times-- > 0)
                dst = unescape(c, star + 1, close, dst, dst_end);
            s = close + 1;
        } else if (*s && found) {
            *dst++ = "\r\n\t\\"[found - "rnt\\"];
            s++;
        } else {
            ag_fail("case %s: unknown escape \\%c", c->name, *s);
        }
    }
    return dst;
}

/* "keyword rest" into the field of that keyword. */
static void take_line(struct corpus_case *c, const char *line) {
    struct {
        const char *word;
        char *text;
        size_t size;
    } words[] = {
        {"case ", c->name, sizeof c->name}, {"send ", c->send, sizeof c->send},
        {"ours ", c->ours, sizeof c->ours}, {"go ", c->go, sizeof c->go},
        {"sees ", c->sees, sizeof c->sees}, {"why ", c->why, sizeof c->why},
        {"lax ", c->lax, sizeof c->lax},    {"nginx ", c->nginx, sizeof c->nginx},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i].word), have = strlen(words[i].text);
        if (strncmp(line, words[i].word, n) != 0)
            continue;
        if (have && words[i].text != c->send)
            ag_fail("case %s: %stwice", c->name, words[i].word);
        if (have + strlen(line + n) >= words[i].size)
            ag_fail("case %s: %sis too long", c->name, words[i].word);
        snprintf(words[i].text + have, words[i].size - have, "%s", line + n);
        return;
    }
    if (strcmp(line, "send") != 0)
        ag_fail("case %s: unknown line \"%s\"", c->name, line);
}

typedef void visitor(const struct corpus_case *c);

static int visit_file(const char *path, visitor *visit) {
    static struct corpus_case c;
    static char line[TEXT_MAX];
    int count = 0;
    FILE *f = fopen(path, "r");
    if (!f)
        ag_fail("cannot open %s", path);
    memset(&c, 0, sizeof c);
    for (bool more = true; more;) {
        more = fgets(line, sizeof line, f) != NULL;
        line[more ? strcspn(line, "\n") : 0] = 0;
        if (line[0] == '#')
            continue;
        if (line[0]) {
            take_line(&c, line);
        } else if (c.name[0]) {
            visit(&c);
            count++;
            memset(&c, 0, sizeof c);
        }
    }
    fclose(f);
    return count;
}

/* The folder lies beside this file in the source tree. Returns: the number of cases. */
static int visit_corpus(visitor *visit) {
    char dir[4096], path[8192];
    snprintf(dir, sizeof dir, "%s", __FILE__);
    char *src = strstr(dir, "src/http/corpus_test.c");
    ag_check(src != NULL);
    snprintf(src, sizeof dir - (size_t)(src - dir), "tests/http_corpus");
    DIR *d = opendir(dir);
    if (!d)
        ag_skip("the source tree: %s", dir);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        size_t n = strlen(entry->d_name);
        if (n < 4 || strcmp(entry->d_name + n - 4, ".txt") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        count += visit_file(path, visit);
    }
    closedir(d);
    return count;
}

/* ---- A connection --------------------------------------------------------------------------- */

/* Bytes that arrive in steps, and what was made of them. */
struct connection {
    const char *bytes;
    size_t len, have, at; /* all of them, arrived, consumed */
    size_t step;
    ag__http_field fields[FIELDS];
    ag__http_head head;
    char items[500], seen[TEXT_MAX];
};

/* False: nothing more will come. */
static bool arrive(struct connection *c) {
    if (c->have == c->len)
        return false;
    c->have = c->len - c->have < c->step ? c->len : c->have + c->step;
    return true;
}

__attribute__((format(printf, 2, 3))) static void add_item(struct connection *c, const char *fmt,
                                                           ...) {
    size_t n = strlen(c->items);
    va_list args;
    va_start(args, fmt);
    if (n)
        n += (size_t)snprintf(c->items + n, sizeof c->items - n, " ");
    vsnprintf(c->items + n, sizeof c->items - n, fmt, args);
    va_end(args);
}

/* Returns: the length of the body, or -1 with an item added. */
static int64_t take_chunked(struct connection *c) {
    static char buf[BYTES_MAX];
    ag__http_chunked d;
    ag__http_chunked_init(&d, NULL);
    while (!d.done) {
        size_t len = c->have - c->at, consumed;
        if (!len && !arrive(c)) {
            add_item(c, "more");
            return -1;
        }
        memcpy(buf, c->bytes + c->at, len);
        int64_t got = ag__http_chunked_decode(&d, buf, len, &consumed);
        if (got < 0) {
            add_item(c, "%d:%s", ag__http_status((int)got), ag__http_verdict_name((int)got));
            return -1;
        }
        c->at += consumed;
    }
    return d.body;
}

static int64_t take_body(struct connection *c) {
    if (c->head.chunked)
        return take_chunked(c);
    if (c->head.content_length <= 0)
        return 0;
    while ((int64_t)(c->have - c->at) < c->head.content_length) {
        if (!arrive(c)) {
            add_item(c, "more");
            return -1;
        }
    }
    c->at += (size_t)c->head.content_length;
    return c->head.content_length;
}

static void note_first(struct connection *c, const char *buf) {
    const ag__http_head *h = &c->head;
    ag__http_text path = ag__http_route_path(h, buf);
    if (!c->seen[0])
        snprintf(c->seen, sizeof c->seen, "%.*s %.*s %.*s%s%.*s", (int)h->method.len,
                 buf + h->method.at, (int)h->authority.len, buf + h->authority.at, (int)path.n,
                 path.p, h->has_query ? "?" : "", (int)h->query.len, buf + h->query.at);
}

/* One message. Returns: false if it is the last. */
static bool take_message(struct connection *c) {
    int got;
    const char *buf = c->bytes + c->at;
    ag__http_head_reset(&c->head);
    while ((got = ag__http_parse(&c->head, buf, c->have - c->at)) == -EAGAIN) {
        if (arrive(c))
            continue;
        if (c->have > c->at)
            add_item(c, "more");
        return false;
    }
    if (got < 0) {
        add_item(c, "%d:%s", ag__http_status(got), ag__http_verdict_name(got));
        return false;
    }
    c->at += (size_t)got;
    note_first(c, buf);
    int64_t body = take_body(c);
    if (body < 0)
        return false;
    add_item(c, "ok:%lld%s%s%s", (long long)body, c->head.expect_continue ? ",continue" : "",
             c->head.upgrade ? ",upgrade" : "", c->head.keep_alive ? "" : ",close");
    return c->head.keep_alive;
}

static void check_steps(const struct corpus_case *k, const char *bytes, size_t len, size_t step) {
    static struct connection c;
    memset(&c, 0, sizeof c);
    c.bytes = bytes;
    c.len = len;
    c.step = step;
    ag__http_head_init(&c.head, c.fields, FIELDS, NULL);
    while (take_message(&c))
        continue;
    if (strcmp(c.items, k->ours) != 0)
        ag_fail("case %s in steps of %zu: %s, expected %s", k->name, step, c.items, k->ours);
    if (k->sees[0] && strcmp(c.seen, k->sees) != 0)
        ag_fail("case %s is seen as %s, expected %s", k->name, c.seen, k->sees);
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void check_case(const struct corpus_case *c) {
    static char *room; /* BYTES_MAX bytes, then a page that must not be touched */
    static char bytes[BYTES_MAX];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!room) {
        room = mmap(NULL, BYTES_MAX + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    0);
        ag_check(room != MAP_FAILED);
        ag_check_int(mprotect(room + BYTES_MAX, page, PROT_NONE), 0);
    }
    size_t len =
        (size_t)(unescape(c, c->send, c->send + strlen(c->send), bytes, bytes + sizeof bytes) -
                 bytes);
    char *flush = room + BYTES_MAX - len;
    memcpy(flush, bytes, len);
    check_steps(c, flush, len, len ? len : 1);
    check_steps(c, flush, len, 1);
    check_steps(c, flush, len, 7);
}

AG_TEST(corpus_verdicts_are_ours) {
    int count = visit_corpus(check_case);
    if (count < CASES_MIN)
        ag_fail("the corpus has %d cases, expected %d or more", count, CASES_MIN);
}

/* Ours without what Go's answers cannot show: reasons and flags. */
static void comparable(const char *ours, char ret_items[200]) {
    char *to = ret_items;
    while (*ours) {
        size_t n = strcspn(ours, " ");
        size_t keep = *ours == 'o' ? strcspn(ours, ", ") : strcspn(ours, ": ");
        memcpy(to, ours, keep);
        to += keep;
        if (n >= 6 && memcmp(ours + n - 6, ",close", 6) == 0) {
            memcpy(to, ",close", 6);
            to += 6;
        }
        ours += n;
        if (*ours)
            *to++ = *ours++;
    }
    *to = 0;
}

static void check_reason(const struct corpus_case *c) {
    char items[200];
    comparable(c->ours, items);
    if (!c->go[0])
        ag_fail("case %s has no verdict of Go", c->name);
    bool differs = strcmp(items, c->go) != 0;
    if (differs && !c->why[0])
        ag_fail("case %s: ours is %s, Go's %s, and nothing says why", c->name, items, c->go);
    if (!differs && c->why[0])
        ag_fail("case %s explains a difference from Go that there is not", c->name);
}

AG_TEST(corpus_explains_every_difference_from_go) {
    visit_corpus(check_reason);
}

/* The next word of a list of items, empty at its end. */
static ag__http_text next_item(const char **items) {
    size_t n = strcspn(*items, " ");
    ag__http_text item = {*items, n};
    *items += n + ((*items)[n] == ' ');
    return item;
}

/* True if ours goes on where the other refuses, or sees a message end elsewhere. That the other
   gives up the connection after an answer, or waits for more, is no refusal. */
static bool is_laxer(const char *ours, const char *other) {
    for (;;) {
        ag__http_text a = next_item(&ours), b = next_item(&other);
        bool accepts = a.n && *a.p == 'o',
             refuses = b.n && strchr("45c", *b.p); /* closed: without an answer */
        if (a.n && *a.p == 'm')
            return refuses;
        if (!accepts)
            return false;
        if (!b.n || *b.p != 'o')
            return refuses || (b.n && *b.p == 'm');
        size_t na = 0, nb = 0; /* the body's length, without flags */
        while (na < a.n && a.p[na] != ',')
            na++;
        while (nb < b.n && b.p[nb] != ',')
            nb++;
        if (na != nb || memcmp(a.p, b.p, na) != 0)
            return true;
        if (nb < b.n || na < a.n)
            return false; /* the last message of one of them */
    }
}

static void check_laxness(const struct corpus_case *c) {
    char items[200];
    comparable(c->ours, items);
    if (!c->nginx[0])
        ag_fail("case %s has no verdict of nginx", c->name);
    bool laxer = is_laxer(items, c->nginx);
    if (laxer && !c->lax[0])
        ag_fail("case %s: ours is %s, nginx's %s, and nothing says why we are laxer", c->name,
                items, c->nginx);
    if (!laxer && c->lax[0])
        ag_fail("case %s excuses a laxness that there is not", c->name);
}

AG_TEST(corpus_explains_where_we_are_laxer_than_nginx) {
    visit_corpus(check_laxness);
}

AG_TEST(laxer_is_who_takes_what_the_other_refuses) {
    ag_check(is_laxer("ok:0", "400"));
    ag_check(is_laxer("ok:0 ok:0", "ok:0 400"));
    ag_check(is_laxer("more", "501"));
    ag_check(is_laxer("ok:5", "ok:0 400"));
    ag_check(is_laxer("ok:0 ok:0", "ok:0 ok:5"));
    ag_check(is_laxer("ok:5", "more"));
    ag_check(!is_laxer("400", "ok:0"));
    ag_check(!is_laxer("400", "505"));
    ag_check(!is_laxer("ok:0", "ok:0"));
    ag_check(!is_laxer("ok:0 400", "ok:0 ok:0"));
    ag_check(!is_laxer("ok:0 ok:0", "ok:0,close"));
    ag_check(!is_laxer("more", "more"));
}
