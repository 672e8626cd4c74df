/* SPDX-License-Identifier: MIT */
/*
 * Filters: ids, traces, the access log, compression, and what a panic of a handler does.
 */
#include "ag_test.h"

#include "http/deflate.h"
#include "http/server_test.h"

#include <aglet/http_file.h>
#include <aglet/http_filter.h>
#include <aglet/log.h>
#include <unistd.h>

static struct client cl;
static struct reply r;
static struct site site;
static char log_text[1 << 16];

/* ---- Handlers ------------------------------------------------------------------------------- */

static ag_chan(int) go_on;
static char late_id[200];
static atomic_int late;

static void logs_later(void) {
    int x;
    ag_recv(go_on, &x);
    snprintf(late_id, sizeof late_id, "%s", ag_local(&ag_request_id));
    ag_log_info("later");
    atomic_store(&late, 1);
}

static void id(ag_http_request *req, ag_http_response *res) {
    if (ag_http_query_value(req, "later"))
        ag_go(logs_later);
    ag_log_info("handler");
    ag_http_text(res, 200, ag_local(&ag_request_id));
}

static void trace(ag_http_request *req, ag_http_response *res) {
    const ag_http_trace *t = ag_http_trace_now();
    (void)req;
    ag_log_info("handler");
    ag_http_printf(res, "%s|%s|%s|%s|%s|%d", t->trace_id, t->parent_id, t->span_id, t->traceparent,
                   t->tracestate, t->sampled);
}

static void panics(ag_http_request *req, ag_http_response *res) {
    (void)req;
    (void)res;
    ag_panic("boom");
}

static char text[300000];

static void sends(ag_http_request *req, ag_http_response *res) {
    ag_http_set(res, "ETag", "\"e\"");
    const char *type = ag_http_query_value(req, "type");
    const char *coding = ag_http_query_value(req, "coding");
    const char *status = ag_http_query_value(req, "status");
    if (coding)
        ag_http_set(res, "Content-Encoding", coding);
    if (ag_http_query_value(req, "fixed"))
        ag_http_set(res, "Cache-Control", "public, no-transform");
    size_t n = strtoul(ag_http_query_value(req, "n"), NULL, 10);
    ag_check_int(ag_http_send(res, status ? (int)strtol(status, NULL, 10) : 200, type, text, n), 0);
    ag_check_int(ag_http_write(res, "x", 1), -EMSGSIZE);
    ag_check_int(ag_http_send(res, 200, type, text, n), -EALREADY);
    ag_check_int(ag_http_error(res, 500, "x"), -EALREADY);
}

static void writes(ag_http_request *req, ag_http_response *res) {
    size_t n = strtoul(ag_http_query_value(req, "n"), NULL, 10), piece = 100;
    for (size_t at = 0; at < n; at += piece)
        ag_check_int(ag_http_write(res, text + at, piece), piece);
    if (ag_http_query_value(req, "fails"))
        ag_http_error(res, 500, "changed my mind");
    else if (ag_http_query_value(req, "panics"))
        ag_panic("late");
}

static void flushes(ag_http_request *req, ag_http_response *res) {
    int x;
    (void)req;
    ag_http_set(res, "Content-Type", "text/event-stream");
    ag_http_write(res, "first", 5);
    ag_check_int(ag_http_flush(res), 0);
    ag_recv(go_on, &x);
    ag_http_write(res, "second", 6);
}

static void content(ag_http_request *req, ag_http_response *res) {
    ag_http_set(res, "ETag", "\"c\"");
    ag_http_content(req, res, "x.txt", 0, text, 5000);
}

static void start(void) {
    static char path[] = "/tmp/ag_filter_test.XXXXXX";
    int fd = mkstemp(path);
    ag_check(fd >= 0);
    close(fd);
    const ag_log_config config = {.path = path};
    ag_check_int(ag_log_setup(&config), 0);
    memset(text, 'x', sizeof text);
    memset(&site, 0, sizeof site);
    go_on = ag_make(int, 0);
    site.s = ag_http_server_new(NULL);
    ag_http_use(site.s, ag_http_ids, NULL);
    ag_http_use(site.s, ag_http_traces, NULL);
    ag_http_use(site.s, ag_http_log, NULL);
    ag_http_use(site.s, ag_http_gzip, NULL);
    ag_http_handle(site.s, "GET /id", id, NULL);
    ag_http_handle(site.s, "GET /trace", trace, NULL);
    ag_http_handle(site.s, "GET /panics", panics, NULL);
    ag_http_handle(site.s, "GET /sends", sends, NULL);
    ag_http_handle(site.s, "GET /writes", writes, NULL);
    ag_http_handle(site.s, "GET /flushes", flushes, NULL);
    ag_http_handle(site.s, "GET /content", content, NULL);
    site_start(&site);
    client_open(&cl, &site);
    snprintf(log_text, sizeof log_text, "%s", path);
}

/* Reads what was logged. */
static void finish(void) {
    client_close(&cl);
    site_end(&site);
    ag_unref(go_on);
    ag_check_int(ag_log_flush(10 * AG_SEC * ag_test_slow()), 0);
    FILE *f = fopen(log_text, "r");
    unlink(log_text);
    log_text[fread(log_text, 1, sizeof log_text - 1, f)] = 0;
    fclose(f);
    const ag_log_config config = {.fd = 2};
    ag_check_int(ag_log_setup(&config), 0);
}

static void ask(const char *method, const char *target, const char *fields) {
    char request[4096];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n", method, target,
             fields);
    say(&cl, request);
    listen_for(&cl, &r, strcmp(method, "HEAD") == 0);
}

static void get(const char *target, const char *fields, int status) {
    ask("GET", target, fields);
    ag_check(!r.ended);
    ag_check_int(r.status, status);
}

static void check_logged(const char *words) {
    if (!strstr(log_text, words))
        ag_fail("not logged: %s\n%s", words, log_text);
}

/* ---- Ids ------------------------------------------------------------------------------------ */

AG_TEST_RUN(an_id_is_taken_or_made_and_goes_everywhere) {
    char first[128], words[300];
    start();
    get("/id", "X-Request-Id: a.B-9_~+/=:@\r\n", 200);
    ag_check_str(field(&r, "X-Request-Id"), "a.B-9_~+/=:@");
    ag_check_str(r.body, "a.B-9_~+/=:@");
    static const char *const bad[] = {"", "X-Request-Id: a b\r\n", "X-Request-Id: a\"b\r\n",
                                      "X-Request-Id: \r\n",
                                      "X-Request-Id: one\r\nX-Request-Id: two\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        get("/id", bad[i], 200);
        ag_check_int(strlen(r.body), 32);
        ag_check_int(strspn(r.body, "0123456789abcdef"), 32);
        ag_check_str(field(&r, "X-Request-Id"), r.body);
        if (i > 0)
            ag_check(strcmp(first, r.body) != 0);
        snprintf(first, sizeof first, "%.100s", r.body);
    }
    finish();
    snprintf(words, sizeof words, "msg=handler goroutine=");
    check_logged(words);
    snprintf(words, sizeof words, "request_id=%s ", first);
    check_logged(words);
    check_logged("request_id=\"a.B-9_~+/=:@\"");
}

AG_TEST_RUN(a_goroutine_that_outlives_its_request_keeps_the_id) {
    start();
    get("/id?later=1", "X-Request-Id: mine\r\n", 200);
    client_close(&cl);
    client_open(&cl, &site);
    get("/id", "X-Request-Id: other\r\n", 200);
    ag_check_int(ag_send(go_on, 1), 0);
    eventually(atomic_load(&late) == 1);
    ag_check_str(late_id, "mine");
    finish();
}

/* ---- Traces --------------------------------------------------------------------------------- */

#define ID "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static void traced(const char *fields, bool goes_on, const char *state, int sampled) {
    char span[32], words[2048];
    get("/trace", fields, 200);
    bool same = strncmp(r.body, ID "|" SPAN "|", 50) == 0;
    if (same != goes_on)
        ag_fail("%s gives %s", fields, r.body);
    const char *third = r.body + 33 + (goes_on ? 17 : 1);
    snprintf(span, sizeof span, "%.16s", third);
    ag_check_int(strspn(span, "0123456789abcdef"), 16);
    ag_check(strcmp(span, SPAN) != 0);
    snprintf(words, sizeof words, "%s|00-%.32s-%s-%02d|%s|%d", span, r.body, span, sampled, state,
             sampled);
    ag_check_str(third, words);
}

AG_TEST_RUN(a_trace_goes_on_if_it_is_well_formed) {
    static const char *const bad[] = {"00-" ID "-" SPAN,
                                      "00-" ID "-" SPAN "-1",
                                      "00-" ID "-" SPAN "-001",
                                      "00-" ID "-" SPAN "-01-x",
                                      "ff-" ID "-" SPAN "-01",
                                      "0-" ID "-" SPAN "-01",
                                      "00-0AF7651916cd43dd8448eb211c80319c-" SPAN "-01",
                                      "00-00000000000000000000000000000000-" SPAN "-01",
                                      "00-" ID "-0000000000000000-01",
                                      "00-" ID "-" SPAN "-0g",
                                      "00_" ID "-" SPAN "-01",
                                      "01-" ID "-" SPAN "-01x",
                                      ""};
    char fields[1200];
    start();
    traced("", false, "", 0);
    traced("traceparent: 00-" ID "-" SPAN "-01\r\n", true, "", 1);
    traced("TraceParent: 00-" ID "-" SPAN "-00\r\n", true, "", 0);
    traced("traceparent: cc-" ID "-" SPAN "-03\r\n", true, "", 1);
    traced("traceparent: cc-" ID "-" SPAN "-01-what-the-future\r\n", true, "", 1);
    traced("traceparent: 00-" ID "-" SPAN "-01\r\ntraceparent: 00-" ID "-" SPAN "-01\r\n", false,
           "", 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(fields, sizeof fields, "traceparent: %s\r\ntracestate: a=1\r\n", bad[i]);
        traced(fields, false, "", 0);
    }
    finish();
    check_logged("trace_id=" ID " span_id=");
}

AG_TEST_RUN(the_state_of_a_trace_goes_on_or_is_dropped) {
    static const char *const bad[] = {"a",     "=1",     "A=1",     "a=",   "a=1=2",
                                      "a=1,b", "1a=1",   "a@=1",    "@a=1", "t@1s=1",
                                      "a b=1", "a=\x01", "a=1,,B=2"};
    char fields[3000], many[2000], parent[] = "traceparent: 00-" ID "-" SPAN "-01\r\n";
    start();
    snprintf(fields, sizeof fields,
             "%stracestate: a=1 , t1@s=x y,,\r\ntracestate: 0t@z/*=\"q\"\r\n", parent);
    traced(fields, true, "a=1,t1@s=x y,0t@z/*=\"q\"", 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (strchr(bad[i], 1))
            continue; /* the parser refuses it */
        snprintf(fields, sizeof fields, "%stracestate: %s\r\n", parent, bad[i]);
        traced(fields, true, "", 1);
    }
    for (int count = 32; count <= 33; count++) {
        size_t n = 0;
        for (int i = 0; i < count; i++)
            n += (size_t)snprintf(many + n, sizeof many - n, "%sk%d=1", i ? "," : "", i);
        snprintf(fields, sizeof fields, "%stracestate: %s\r\n", parent, many);
        traced(fields, true, count == 32 ? many : "", 1);
    }
    snprintf(fields, sizeof fields, "%stracestate: a=%0256d,b=%0254d\r\n", parent, 1, 1);
    traced(fields, true, "", 1); /* 515 bytes */
    finish();
}

/* ---- Log ------------------------------------------------------------------------------------ */

AG_TEST_RUN(each_request_is_logged_once) {
    start();
    get("/id?secret=1", "User-Agent: me/1\r\nReferer: http://a/\r\nX-Request-Id: one\r\n", 200);
    get("/none%20such", "", 404);
    ask("GET", "/panics", "");
    ag_check_int(r.status, 500);
    client_close(&cl);
    client_open(&cl, &site);
    finish();
    check_logged("level=INFO");
    check_logged("request_id=one ");
    check_logged("method=GET path=/id status=200 bytes=3 seconds=");
    check_logged("host=h pattern=\"GET /id\" agent=me/1 referer=http://a/");
    check_logged("path=/none%20such status=404");
    check_logged("level=ERROR");
    check_logged("path=/panics status=500 bytes=0");
    ag_check(!strstr(log_text, "secret"));
    int lines = 0;
    for (const char *at = log_text; (at = strstr(at, "msg=request")) != NULL; at++)
        lines++;
    ag_check_int(lines, 3);
}

/* ---- Compression ---------------------------------------------------------------------------- */

#define GZIP "Accept-Encoding: gzip\r\n"

static bool compressed(void) {
    const char *coding = field(&r, "Content-Encoding");
    bool is = coding && strcmp(coding, "gzip") == 0;
    if (is && r.n)
        ag_check_int(memcmp(r.body, "\x1f\x8b\x08", 3), 0);
    return is;
}

static void can_compress(void) {
    ag__http_deflate *d = ag__http_deflate_new();
    if (!d)
        ag_skip("built without zlib");
    ag__http_deflate_free(d);
}

AG_TEST_RUN(what_gets_smaller_is_compressed) {
    can_compress();
    start();
    get("/sends?n=5000&type=text/plain", GZIP, 200);
    ag_check(compressed());
    ag_check(r.n < 100);
    ag_check_str(field(&r, "ETag"), "W/\"e\"");
    ag_check_str(field(&r, "Vary"), "Accept-Encoding");
    ag_check_str(field(&r, "Content-Type"), "text/plain");
    get("/sends?n=300000", GZIP, 200);
    ag_check(compressed());
    get("/writes?n=2000", GZIP, 200);
    ag_check(compressed());
    get("/writes?n=300000", GZIP, 200);
    ag_check(compressed());
    get("/content", GZIP, 200);
    ag_check(compressed());
    ag_check(!field(&r, "Accept-Ranges"));
    get("/content", GZIP "If-None-Match: W/\"c\"\r\n", 304);
    ag_check(!field(&r, "Content-Encoding"));
    get("/sends?n=100", "Accept-Encoding: gzip, identity;q=0\r\n", 200);
    ag_check(compressed());
    get("/sends?n=5000&type=application/json&status=400", GZIP, 400);
    ag_check(compressed());
    finish();
}

AG_TEST_RUN(what_does_not_or_must_not_is_left_alone) {
    start();
    get("/sends?n=5000&type=text/plain", "", 200);
    ag_check(!compressed());
    ag_check_int(r.n, 5000);
    ag_check_str(field(&r, "ETag"), "\"e\"");
    ag_check_str(field(&r, "Vary"), "Accept-Encoding");
    static const char *const targets[] = {
        "/sends?n=1000&type=text/plain", "/sends?n=5000&type=image/png", "/sends?n=5000&coding=br",
        "/sends?n=5000&fixed=1",         "/sends?n=5000&status=206",     "/writes?n=1000"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        ask("GET", targets[i], GZIP);
        if (compressed() || r.n < 1000)
            ag_fail("%s: %zu bytes\n%s", targets[i], r.n, r.head);
    }
    static const char *const accepts[] = {
        "gzip;q=0",    "br, deflate",          "identity",        "*;q=0",
        "gzip;q=x",    "gzip;q=0.5, identity", "gzip;q=0, *;q=1", "",
        "gzip;q=1.001"};
    for (size_t i = 0; i < sizeof accepts / sizeof *accepts; i++) {
        char fields[100];
        snprintf(fields, sizeof fields, "Accept-Encoding: %s\r\n", accepts[i]);
        get("/sends?n=5000", fields, 200);
        if (compressed())
            ag_fail("compressed for %s", accepts[i]);
    }
    get("/sends?n=5000&type=image/png", GZIP, 200);
    ag_check(!field(&r, "Vary"));
    get("/content", GZIP "Range: bytes=0-2\r\n", 206);
    ag_check_str(r.body, "xxx");
    finish();
}

AG_TEST_RUN(a_head_is_that_of_the_answer) {
    can_compress();
    start();
    static const char *const targets[] = {"/sends?n=5000", "/writes?n=5000", "/content"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        ask("HEAD", targets[i], GZIP);
        if (!compressed() || field(&r, "Content-Length"))
            ag_fail("HEAD %s: %s", targets[i], r.head);
        ask("HEAD", targets[i], "");
        ag_check_str(field(&r, "Content-Length"), "5000");
    }
    ask("HEAD", "/writes?n=500", GZIP);
    ag_check(!compressed());
    ag_check_str(field(&r, "Content-Length"), "500");
    finish();
}

AG_TEST_RUN(a_flush_sends_what_was_written) {
    can_compress();
    start();
    say(&cl, "GET /flushes HTTP/1.1\r\nHost: h\r\n" GZIP "\r\n");
    char line[256];
    while (take_line(&cl, line, sizeof line) && line[0])
        continue;
    ag_check(take_line(&cl, line, sizeof line)); /* a chunk, before the handler goes on */
    ag_check(take_bytes(&cl, &r, strtoul(line, NULL, 16)));
    ag_check_int(memcmp(r.body, "\x1f\x8b\x08", 3), 0);
    ag_check_int(memcmp(r.body + r.n - 4, "\x00\x00\xff\xff", 4), 0); /* of a sync */
    ag_check_int(ag_send(go_on, 1), 0);
    ag_check(take_line(&cl, line, sizeof line));
    ag_check(take_chunks(&cl, &r));
    finish();
}

AG_TEST_RUN(no_more_than_64_compressors_are_at_work) {
    ag__http_deflate *d[64], *none;
    can_compress();
    start();
    for (int i = 0; i < 64; i++)
        ag_check((d[i] = ag__http_deflate_new()) != NULL);
    none = ag__http_deflate_new();
    ag_check(!none);
    get("/sends?n=5000", GZIP, 200);
    ag_check(!compressed());
    ag_check_int(r.n, 5000);
    get("/writes?n=5000", GZIP, 200);
    ag_check(!compressed());
    ag_check_int(r.n, 5000);
    ag__http_deflate_free(d[0]);
    get("/sends?n=5000", GZIP, 200);
    ag_check(compressed());
    for (int i = 1; i < 64; i++)
        ag__http_deflate_free(d[i]);
    finish();
}

AG_TEST_RUN(an_error_takes_a_compressed_answer_back) {
    start();
    get("/writes?n=3000&fails=1", GZIP, 500);
    ag_check(!compressed());
    ag_check_str(r.body, "changed my mind\n");
    ask("GET", "/writes?n=3000&panics=1", GZIP);
    ag_check_int(r.status, 500);
    ag_check(!compressed());
    client_close(&cl);
    client_open(&cl, &site);
    finish();
}

/* ---- Panics --------------------------------------------------------------------------------- */

static char told[2000];

static void tell(ag_http_request *req, const ag_panic_info *info) {
    snprintf(told, sizeof told, "%s %s", ag_http_path(req), info->msg);
}

AG_TEST_RUN(a_panic_can_be_told_to_the_program) {
    const ag_http_options options = {.on_panic = tell};
    memset(&site, 0, sizeof site);
    site.s = ag_http_server_new(&options);
    ag_http_handle(site.s, "/panics", panics, NULL);
    site_start(&site);
    client_open(&cl, &site);
    ask("GET", "/panics", "");
    ag_check_int(r.status, 500);
    ag_check_str(told, "/panics boom");
    client_close(&cl);
    site_end(&site);
}

static int ask_for_the_end(void *arg) {
    const ag_http_options options = {.panic = AG_HTTP_PANIC_ABORT};
    (void)arg;
    memset(&site, 0, sizeof site);
    site.s = ag_http_server_new(&options);
    ag_http_handle(site.s, "/panics", panics, NULL);
    site_start(&site);
    client_open(&cl, &site);
    ask("GET", "/panics", "");
    return 0;
}

AG_TEST_DEATH(a_panic_can_end_the_process, 2, "http: a handler panicked: boom") {
    ag_run(ask_for_the_end, NULL);
}
