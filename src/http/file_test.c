/* SPDX-License-Identifier: MIT */
/*
 * Files and trees of them, as a client sees them.
 */
#include "ag_test.h"

#include "http/server_test.h"
#include "http/system.h"

#include <aglet/http_file.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct client cl;
static struct reply r;
static struct site site;
static char root[64], path[300];

enum { LARGE = 3000000, HUGE = 64 << 20 }; /* the second fits into no socket */
static const char digits[] = "0123456789";

/* ---- A tree --------------------------------------------------------------------------------- */

static const char *in_root(const char *name) {
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

/* A file whose time is a round one long ago. */
static void put_file(const char *name, const void *data, size_t n) {
    int fd = open(in_root(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ag_check_int(write(fd, data, n), n);
    struct timespec times[2] = {{784111777, 0}, {784111777, 0}};
    ag_check_int(futimens(fd, times), 0);
    close(fd);
}

static char byte_at(size_t i) {
    return (char)('a' + (i * 7 + i / 1000) % 26);
}

static void make_tree(void) {
    static char large[LARGE];
    snprintf(root, sizeof root, "/tmp/ag_file_test.XXXXXX");
    ag_check(mkdtemp(root) != NULL);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = byte_at(i);
    mkdir(in_root("www"), 0755);
    mkdir(in_root("www/sub"), 0755);
    mkdir(in_root("www/bare"), 0755);
    mkdir(in_root("www/.well-known"), 0755);
    put_file("secret.txt", "secret", 6);
    put_file("www/ten.txt", digits, 10);
    put_file("www/empty.css", "", 0);
    put_file("www/large.bin", large, LARGE);
    put_file("www/index.html", "<p>root", 7);
    put_file("www/sub/index.html", "<p>sub", 6);
    put_file("www/sub/a b.txt", "blank", 5);
    put_file("www/.hidden", "hidden", 6);
    put_file("www/.well-known/x.txt", "known", 5);
    put_file("www/app.js", "plain script", 12);
    put_file("www/app.js.gz", "zipped", 6);
    ag_check_int(symlink("../secret.txt", in_root("www/out")), 0);
    ag_check_int(symlink("sub/index.html", in_root("www/in.html")), 0);
    ag_check_int(symlink("/etc", in_root("www/etc")), 0);
    ag_check_int(mkfifo(in_root("www/fifo"), 0644), 0);
}

static void remove_tree(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    ag_check_int(system(command), 0);
}

static void one_file(ag_http_request *req, ag_http_response *res) {
    (void)ag_http_file(req, res, ag_http_arg(req));
}

static atomic_int result;
static char large_path[300];

static void the_large(ag_http_request *req, ag_http_response *res) {
    atomic_store(&result, 1);
    atomic_store(&result, ag_http_file(req, res, large_path));
}

static void memory(ag_http_request *req, ag_http_response *res) {
    if (ag_http_query_value(req, "etag"))
        ag_http_set(res, "ETag", "\"mine\"");
    ag_http_content(req, res, "x.json", 784111777 * AG_SEC, digits, 10);
}

static ssize_t give_digits(void *arg, int64_t at, void *buf, size_t n) {
    int64_t end = (intptr_t)arg;
    size_t i = 0;
    for (; i < n && i < 3 && at + (int64_t)i < end; i++)
        ((char *)buf)[i] = digits[(at + (int64_t)i) % 10];
    return (ssize_t)i;
}

static void made(ag_http_request *req, ag_http_response *res) {
    ag_http_content_from(req, res, "x", 0, 100, give_digits, (void *)(intptr_t)100);
}

static void made_short(ag_http_request *req, ag_http_response *res) {
    atomic_store(&result,
                 ag_http_content_from(req, res, "x", 0, 100, give_digits, (void *)(intptr_t)50));
}

static void page_for_404(ag_http_request *req, ag_http_response *res) {
    ag_http_status(res, 404);
    ag_http_set(res, "Content-Type", "text/x");
    (void)ag_http_file(req, res, ag_http_arg(req));
}

static void typed(ag_http_request *req, ag_http_response *res) {
    ag_http_set(res, "Content-Type", "text/x");
    ag_http_set(res, "Last-Modified", "Sun, 06 Nov 1994 08:49:30 GMT");
    ag_http_content(req, res, "x.json", 0, digits, 10);
}

static void start(const ag_http_dir_options *options) {
    static char www[128], ten[128], folder[128];
    make_tree();
    snprintf(www, sizeof www, "%s/www", root);
    snprintf(ten, sizeof ten, "%s/www/ten.txt", root);
    snprintf(folder, sizeof folder, "%s/www/sub", root);
    snprintf(large_path, sizeof large_path, "%s/www/large.bin", root);
    site.s = ag_http_server_new(NULL);
    ag_http_dir(site.s, "/f/", www, options);
    ag_http_handle(site.s, "/ten", one_file, ten);
    ag_http_handle(site.s, "/folder", one_file, folder);
    ag_http_handle(site.s, "/none", one_file, "/nowhere/at/all");
    ag_http_handle(site.s, "/large", the_large, NULL);
    ag_http_handle(site.s, "/memory", memory, NULL);
    ag_http_handle(site.s, "/404", page_for_404, ten);
    ag_http_handle(site.s, "/typed", typed, NULL);
    ag_http_handle(site.s, "/made", made, NULL);
    ag_http_handle(site.s, "/made_short", made_short, NULL);
    site_start(&site);
    client_open(&cl, &site);
}

static void finish(void) {
    client_close(&cl);
    site_end(&site);
    remove_tree();
}

static void ask(const char *method, const char *target, const char *fields) {
    char text[4096];
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n", method, target, fields);
    say(&cl, text);
    listen_for(&cl, &r, strcmp(method, "HEAD") == 0);
    ag_check(!r.ended);
}

static void get(const char *target, const char *fields, int status, const char *body) {
    ask("GET", target, fields);
    if (r.status != status || (body && strcmp(r.body, body) != 0))
        ag_fail("GET %s %s: expected %d \"%s\", got %d \"%.200s\"", target, fields, status,
                body ? body : "", r.status, r.body);
}

/* ---- Whole files ---------------------------------------------------------------------------- */

AG_TEST_RUN(a_file_has_type_length_and_validators) {
    start(NULL);
    get("/f/ten.txt", "", 200, digits);
    ag_check_str(field(&r, "Content-Type"), "text/plain; charset=utf-8");
    ag_check_str(field(&r, "Content-Length"), "10");
    ag_check_str(field(&r, "Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    ag_check_str(field(&r, "Accept-Ranges"), "bytes");
    ag_check(field(&r, "ETag")[0] == '"');
    ag_check(!field(&r, "Cache-Control"));
    get("/f/empty.css", "", 200, "");
    ag_check_str(field(&r, "Content-Length"), "0");
    get("/ten", "", 200, digits);
    ask("HEAD", "/f/large.bin", "");
    ag_check_int(r.status, 200);
    ag_check_str(field(&r, "Content-Length"), "3000000");
    ag_check_str(field(&r, "Content-Type"), "application/octet-stream");
    ask("HEAD", "/f/ten.txt", "Range: bytes=1-2\r\n");
    ag_check_int(r.status, 200);
    ag_check_str(field(&r, "Content-Length"), "10");
    ask("POST", "/f/ten.txt", "");
    ag_check_int(r.status, 405);
    finish();
}

/* Takes the bytes [at, at + n) of large.bin, whose head has been taken. */
static void take_large(size_t at, size_t n) {
    for (; n; n--, at++) {
        if (cl.at == cl.n)
            ag_check(client_fill(&cl));
        ag_check_int(cl.buf[cl.at++], byte_at(at));
    }
}

static void skip_head(int status) {
    char line[512];
    ag_check(take_line(&cl, line, sizeof line));
    ag_check_int(strtol(line + 9, NULL, 10), status);
    while (take_line(&cl, line, sizeof line) && line[0])
        continue;
}

AG_TEST_RUN(a_large_file_comes_whole_and_the_connection_goes_on) {
    start(NULL);
    say(&cl, "GET /f/large.bin HTTP/1.1\r\nHost: h\r\n\r\n"
             "GET /f/large.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=1000000-\r\n\r\n"
             "GET /f/ten.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    skip_head(200);
    take_large(0, LARGE);
    skip_head(206);
    take_large(1000000, LARGE - 1000000);
    expect(&cl, &r, 200, digits);
    ag_check_int(stats_of(&site).body_bytes_out, LARGE + LARGE - 1000000 + 10);
    finish();
}

AG_TEST_RUN(a_half_closed_client_gets_the_whole_file) {
    start(NULL);
    ag_check_int(truncate(in_root("www/large.bin"), HUGE), 0);
    say(&cl, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually(atomic_load(&result) == 1);
    ag_conn_shutdown(cl.c, SHUT_WR);
    skip_head(200);
    take_large(0, LARGE);
    for (size_t n = HUGE - LARGE; n; cl.at = cl.n) {
        if (cl.at == cl.n)
            ag_check(client_fill(&cl));
        ag_check(cl.n - cl.at <= n);
        n -= cl.n - cl.at;
    }
    eventually(atomic_load(&result) == 0);
    expect_end(&cl);
    finish();
}

AG_TEST_RUN(a_file_that_becomes_shorter_ends_the_connection) {
    start(NULL);
    ag_check_int(truncate(in_root("www/large.bin"), HUGE), 0);
    say(&cl, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    skip_head(200);
    ag_check_int(truncate(in_root("www/large.bin"), 1000), 0);
    size_t n = cl.n - cl.at;
    for (cl.at = cl.n; client_fill(&cl); cl.at = cl.n)
        n += cl.n - cl.at;
    ag_check(n < HUGE);
    eventually(atomic_load(&result) == -EIO);
    client_close(&cl);
    client_open(&cl, &site);
    get("/made", "", 200, NULL);
    say(&cl, "GET /made_short HTTP/1.1\r\nHost: h\r\n\r\n");
    listen_for(&cl, &r, false);
    ag_check(r.ended);
    ag_check_int(atomic_load(&result), -EIO);
    finish();
}

AG_TEST_RUN(a_client_that_goes_ends_the_sending_of_a_file) {
    start(NULL);
    ag_check_int(truncate(in_root("www/large.bin"), HUGE), 0);
    say(&cl, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    skip_head(200);
    client_close(&cl);
    eventually(atomic_load(&result) < 0);
    client_open(&cl, &site);
    finish();
}

/* ---- Ranges --------------------------------------------------------------------------------- */

AG_TEST_RUN(one_range_is_206) {
    start(NULL);
    get("/f/ten.txt", "Range: bytes=2-4\r\n", 206, "234");
    ag_check_str(field(&r, "Content-Range"), "bytes 2-4/10");
    ag_check_str(field(&r, "Content-Length"), "3");
    get("/f/ten.txt", "Range: bytes=-3\r\n", 206, "789");
    get("/f/ten.txt", "Range: bytes=8-100\r\n", 206, "89");
    get("/f/ten.txt", "Range: bytes=10-\r\n", 416, NULL);
    ag_check_str(field(&r, "Content-Range"), "bytes */10");
    ag_check(!field(&r, "ETag"));
    get("/f/ten.txt", "Range: bytes=0-,0-\r\n", 200, digits);
    get("/f/ten.txt", "Range: lines=0-1\r\n", 200, digits);
    get("/f/empty.css", "Range: bytes=0-\r\n", 200, "");
    get("/memory", "Range: bytes=1-1\r\n", 206, "1");
    get("/made", "Range: bytes=12-29\r\n", 206, "234567890123456789");
    get("/f/large.bin", "Range: bytes=2999998-\r\n", 206, NULL);
    ag_check_int(r.n, 2);
    finish();
}

AG_TEST_RUN(several_ranges_come_in_parts) {
    char expected[2048], boundary[64];
    start(NULL);
    for (int large = 0; large < 2; large++) {
        get(large ? "/f/large.bin" : "/f/ten.txt",
            large ? "Range: bytes=0-1,1000000-1099999\r\n" : "Range: bytes=0-1,-2\r\n", 206, NULL);
        const char *type = field(&r, "Content-Type");
        ag_check(strncmp(type, "multipart/byteranges; boundary=", 31) == 0);
        snprintf(boundary, sizeof boundary, "%.63s", type + 31);
        ag_check(!field(&r, "Content-Range"));
        int n = snprintf(expected, sizeof expected,
                         "\r\n--%s\r\nContent-Type: %s\r\nContent-Range: bytes 0-1/%d\r\n\r\n%s"
                         "\r\n--%s\r\nContent-Type: %s\r\nContent-Range: bytes %s\r\n\r\n%s",
                         boundary, large ? "application/octet-stream" : "text/plain; charset=utf-8",
                         large ? LARGE : 10, large ? "ah" : "01", boundary,
                         large ? "application/octet-stream" : "text/plain; charset=utf-8",
                         large ? "1000000-1099999/3000000" : "8-9/10", large ? "" : "89");
        ag_check_int(strncmp(r.body, expected, (size_t)n), 0);
        for (size_t i = 0; large && i < 100000; i++)
            ag_check_int(r.body[n + (int)i], byte_at(1000000 + i));
        snprintf(expected, sizeof expected, "\r\n--%s--\r\n", boundary);
        ag_check_str(r.body + r.n - strlen(expected), expected);
    }
    finish();
}

/* ---- Conditions ----------------------------------------------------------------------------- */

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define EARLIER "Sun, 06 Nov 1994 08:49:36 GMT"
#define LATER "Sunday, 06-Nov-94 08:49:38 GMT"

AG_TEST_RUN(conditions_count_in_their_order) {
    char etag[512], fields[2048];
    start(NULL);
    get("/f/ten.txt", "", 200, digits);
    snprintf(etag, sizeof etag, "%s", field(&r, "ETag"));
    static const struct {
        const char *format; /* %s: the ETag */
        int status;
    } cases[] = {
        {"If-None-Match: %s\r\n", 304},
        {"If-None-Match: W/%s\r\n", 304},
        {"If-None-Match: *\r\n", 304},
        {"If-None-Match: \"a\", \"b,c\" ,%s\r\n", 304},
        {"If-None-Match: \"a\"\r\nIf-None-Match: %s\r\n", 304},
        {"If-None-Match: \"a\"\r\n", 200},
        {"If-None-Match: a, %s\r\n", 200},
        {"If-None-Match: \"a\"\r\nIf-Modified-Since: " DATE "\r\n", 200},
        {"If-Modified-Since: " DATE "\r\n", 304},
        {"If-Modified-Since: " LATER "\r\n", 304},
        {"If-Modified-Since: " EARLIER "\r\n", 200},
        {"If-Modified-Since: never\r\n", 200},
        {"If-Match: %s\r\n", 200},
        {"If-Match: *\r\n", 200},
        {"If-Match: \"a\"\r\n", 412},
        {"If-Match: W/%s\r\n", 412},
        {"If-Match: %s\r\nIf-Unmodified-Since: " EARLIER "\r\n", 200},
        {"If-Unmodified-Since: " EARLIER "\r\n", 412},
        {"If-Unmodified-Since: " DATE "\r\n", 200},
        {"If-Unmodified-Since: never\r\n", 200},
        {"If-Match: \"a\"\r\nIf-None-Match: %s\r\n", 412},
        {"If-Match: %s\r\nIf-None-Match: %s\r\n", 304},
        {"If-None-Match: %s\r\nRange: bytes=0-1\r\n", 304},
        {"Range: bytes=0-1\r\nIf-Range: %s\r\n", 206},
        {"Range: bytes=0-1\r\nIf-Range: W/%s\r\n", 200},
        {"Range: bytes=0-1\r\nIf-Range: \"a\"\r\n", 200},
        {"Range: bytes=0-1\r\nIf-Range: " DATE "\r\n", 206},
        {"Range: bytes=0-1\r\nIf-Range: " LATER "\r\n", 200},
        {"Range: bytes=0-1\r\nIf-Range: " EARLIER "\r\n", 200},
        {"Range: bytes=0-1\r\nIf-Range: x\r\n", 200},
        {"Range: bytes=90-\r\nIf-Range: \"a\"\r\n", 200},
        {"If-Range: %s\r\n", 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
        snprintf(fields, sizeof fields, cases[i].format, etag, etag);
#pragma GCC diagnostic pop
        get("/f/ten.txt", fields, cases[i].status, NULL);
        if (r.status == 304) {
            ag_check_str(field(&r, "ETag"), etag);
            ag_check(!field(&r, "Content-Length"));
            ag_check(!field(&r, "Content-Type"));
        }
    }
    finish();
}

AG_TEST_RUN(a_condition_fails_what_is_no_get) {
    start(NULL);
    ask("PUT", "/memory?etag=1", "If-None-Match: *\r\n");
    ag_check_int(r.status, 412);
    ask("PUT", "/memory?etag=1", "If-None-Match: \"other\"\r\n");
    ag_check_int(r.status, 200);
    ask("HEAD", "/memory?etag=1", "If-None-Match: \"mine\"\r\n");
    ag_check_int(r.status, 304);
    get("/memory?etag=1", "If-Match: \"mine\"\r\nRange: bytes=3-\r\nIf-Range: \"mine\"\r\n", 206,
        "3456789");
    ag_check_str(field(&r, "Content-Type"), "application/json");
    get("/memory", "", 200, digits);
    ag_check(!field(&r, "ETag"));
    get("/made", "", 200, NULL);
    ag_check(!field(&r, "Last-Modified"));
    finish();
}

AG_TEST_RUN(what_the_handler_has_set_counts) {
    start(NULL);
    get("/typed", "", 200, digits);
    ag_check_str(field(&r, "Content-Type"), "text/x");
    get("/typed", "If-Modified-Since: Sun, 06 Nov 1994 08:49:30 GMT\r\n", 304, "");
    ag_check(!field(&r, "Content-Type"));
    get("/typed", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:29 GMT\r\n", 412, NULL);
    get("/404", "If-None-Match: *\r\nRange: bytes=0-1\r\n", 404, digits);
    get("/404", "If-Match: \"a\"\r\n", 404, digits);
    finish();
}

AG_TEST_RUN(a_young_file_has_a_weak_tag_and_no_date_that_a_range_may_rely_on) {
    char fields[1024];
    start(NULL);
    put_file("www/young.txt", digits, 10);
    ag_check_int(utimensat(AT_FDCWD, in_root("www/young.txt"), NULL, 0), 0); /* now */
    ask("GET", "/f/young.txt", "");
    ag_check(strncmp(field(&r, "ETag"), "W/\"", 3) == 0);
    snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", field(&r, "ETag"));
    get("/f/young.txt", fields, 304, NULL);
    ask("GET", "/f/young.txt", "");
    snprintf(fields, sizeof fields, "Range: bytes=0-1\r\nIf-Range: %s\r\n",
             field(&r, "Last-Modified"));
    get("/f/young.txt", fields, 200, digits);
    struct timespec future[2] = {{4000000000, 0}, {4000000000, 0}};
    ag_check_int(utimensat(AT_FDCWD, in_root("www/young.txt"), future, 0), 0);
    get("/f/young.txt", "", 200, digits);
    ag_check(!field(&r, "Last-Modified"));
    finish();
}

/* ---- Paths ---------------------------------------------------------------------------------- */

AG_TEST_RUN(folders_are_redirected_and_have_an_index) {
    start(NULL);
    get("/f/", "", 200, "<p>root");
    ag_check_str(field(&r, "Content-Type"), "text/html; charset=utf-8");
    get("/f/sub/", "", 200, "<p>sub");
    get("/f/sub?a=b", "", 301, "");
    ag_check_str(field(&r, "Location"), "/f/sub/?a=b");
    get("/f/sub/a%20b.txt", "", 200, "blank");
    get("/f/sub%2Fa%20b.txt", "", 200, "blank");
    get("/f/bare/", "", 404, NULL);
    get("/f/none", "", 404, NULL);
    get("/f/ten.txt/", "", 404, NULL);
    get("/f/ten.txt/x", "", 404, NULL);
    get("/folder", "", 404, NULL);
    get("/none", "", 404, NULL);
    finish();
}

static void nothing_leaves(void) {
    static const char *const targets[] = {"/f/%2e%2e/secret.txt",
                                          "/f/..%2fsecret.txt",
                                          "/f/%2e%2e%2fsecret.txt",
                                          "/f/sub/..%2f..%2fsecret.txt",
                                          "/f/sub/%2e%2e/%2e%2e/secret.txt",
                                          "/f/%2fetc/passwd",
                                          "/f/%2Fetc%2Fpasswd",
                                          "/f/sub%2f%2fa",
                                          "/f/.%2ften.txt",
                                          "/f/out",
                                          "/f/etc/passwd",
                                          "/f/etc/",
                                          "/f/.hidden",
                                          "/f/%2ehidden",
                                          "/f/sub/.well-known",
                                          "/f/ten.txt%00.html",
                                          "/f/%zz",
                                          "/f/fifo"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        ask("GET", targets[i], "");
        if (field(&r, "Connection")) { /* refused by the parser */
            client_close(&cl);
            client_open(&cl, &site);
        }
        if (r.status == 200 || strstr(r.body, "secret") || strstr(r.body, "root:"))
            ag_fail("%s is served: %d %s", targets[i], r.status, r.body);
    }
    get("/f/../secret.txt", "", 307, NULL);
    get("/f/.well-known/x.txt", "", 200, "known");
}

AG_TEST_RUN(no_path_and_no_link_leaves_the_root) {
    start(NULL);
    nothing_leaves();
    get("/f/in.html", "", 200, "<p>sub"); /* a link that stays */
    finish();
}

AG_TEST_RUN(nor_on_a_kernel_without_openat2) {
    ag__http_no_openat2 = true;
    start(NULL);
    nothing_leaves();
    get("/f/in.html", "", 404, NULL); /* no link at all */
    get("/f/sub/a%20b.txt", "", 200, "blank");
    get("/f/sub/", "", 200, "<p>sub");
    get("/f/sub", "", 301, NULL);
    finish();
}

AG_TEST_RUN(a_long_path_is_404) {
    static char target[6100] = "/f/";
    start(NULL);
    for (size_t n = 3; n < 6000; n++)
        target[n] = n % 100 ? 'a' : '/';
    char text[7000];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", target);
    say(&cl, text);
    expect(&cl, &r, 404, NULL);
    finish();
}

AG_TEST_RUN(options_open_what_is_closed) {
    const ag_http_dir_options options = {.index = "ten.txt",
                                         .cache_control = "max-age=60",
                                         .hidden = true,
                                         .links_leave = true,
                                         .precompressed = true};
    start(&options);
    get("/f/", "", 200, digits);
    ag_check_str(field(&r, "Cache-Control"), "max-age=60");
    get("/f/.hidden", "", 200, "hidden");
    get("/f/out", "", 200, "secret");
    get("/f/%2e%2e/secret.txt", "", 307, NULL);
    get("/f/..%2fsecret.txt", "", 404, NULL);
    get("/f/none", "", 404, NULL);
    ag_check(!field(&r, "Cache-Control"));
    finish();
}

AG_TEST_RUN(a_compressed_neighbour_goes_to_who_takes_it) {
    const ag_http_dir_options options = {.precompressed = true};
    char etag[512];
    start(&options);
    get("/f/app.js", "", 200, "plain script");
    ag_check_str(field(&r, "Vary"), "Accept-Encoding");
    ag_check(!field(&r, "Content-Encoding"));
    snprintf(etag, sizeof etag, "%s", field(&r, "ETag"));
    get("/f/app.js", "Accept-Encoding: br, gzip\r\n", 200, "zipped");
    ag_check_str(field(&r, "Content-Encoding"), "gzip");
    ag_check_str(field(&r, "Vary"), "Accept-Encoding");
    ag_check_str(field(&r, "Content-Type"), "text/javascript; charset=utf-8");
    ag_check(strcmp(field(&r, "ETag"), etag) != 0);
    get("/f/app.js", "Accept-Encoding: gzip;q=0\r\n", 200, "plain script");
    get("/f/app.js", "Accept-Encoding: gzip;q=0.1, identity;q=0.5\r\n", 200, "plain script");
    get("/f/app.js", "Accept-Encoding: *\r\n", 200, "zipped");
    get("/f/app.js", "Accept-Encoding:\r\n", 200, "plain script");
    get("/f/app.js", "Accept-Encoding: gzip\r\nRange: bytes=0-2\r\n", 206, "zip");
    get("/f/ten.txt", "Accept-Encoding: gzip\r\n", 200, digits);
    get("/f/large.bin", "Range: bytes=0-0\r\n", 206, "a");
    ag_check(!field(&r, "Vary"));
    finish();
}

AG_TEST_RUN(a_wrong_pattern_of_a_tree_panics) {
    ag_http_server *s = ag_http_server_new(NULL);
    ag_panic_info info;
    ag_check_int(ag_try(&info, ag_http_dir, s, "/f", "/tmp", NULL), AG_PANICKED);
    ag_check_str(info.msg, "http: the pattern /f of ag_http_dir does not end with /");
    ag_http_server_free(s);
}
