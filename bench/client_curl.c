/* SPDX-License-Identifier: MIT */
/*
 * The HTTP client beside libcurl on aglet: what a request, and a request under way, costs.
 *
 *     client_curl HOW GOROUTINES REQUESTS URL
 *
 * HOW is `aglet` (ag_http_get in goroutines), `easy` (a curl easy handle in each goroutine, which
 * keeps it; its waits are the thread's, so the processor is handed on), or `multi` (one goroutine
 * drives GOROUTINES transfers by curl_multi_socket_action, with a poller of its own that it waits
 * for). REQUESTS GETs in all over kept connections. Prints processor time and resident memory: of
 * all, and what it is more than before the first request, for each transfer.
 */
#include <aglet.h>
#include <aglet/http_client.h>

#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *url;
static int goroutines;
static long requests;
static atomic_long begun, bytes;
static ag_http_client *client;

static void fail(const char *what) {
    fprintf(stderr, "client_curl: %s\n", what);
    exit(1);
}

/* ---- The client ----------------------------------------------------------------------------- */

static void use_aglet(ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    while (atomic_fetch_add(&begun, 1) < requests) {
        char buf[4096];
        ssize_t n;
        ag_http_reply *r;
        if (ag_http_get(client, url, &r) != 0)
            fail(ag_http_reply_error(r));
        while ((n = ag_http_reply_read(r, buf, sizeof buf)) > 0)
            atomic_fetch_add(&bytes, n);
        ag_http_reply_close(r);
    }
}

/* ---- curl ----------------------------------------------------------------------------------- */

static size_t take(char *p, size_t size, size_t n, void *arg) {
    (void)p;
    (void)arg;
    atomic_fetch_add(&bytes, (long)(size * n));
    return size * n;
}

static CURL *new_easy(void) {
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    return easy;
}

static void use_easy(ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    CURL *easy = new_easy();
    while (atomic_fetch_add(&begun, 1) < requests)
        if (ag_blocking(curl_easy_perform, easy) != CURLE_OK)
            fail("curl_easy_perform");
    curl_easy_cleanup(easy);
}

static int poller;
static long timeout_ms = -1;

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known) {
    (void)easy;
    struct epoll_event e = {.data.fd = fd};
    e.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    if (what == CURL_POLL_REMOVE)
        epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL);
    else
        epoll_ctl(poller, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
    curl_multi_assign(arg, fd, what == CURL_POLL_REMOVE ? NULL : arg);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg) {
    (void)multi;
    (void)arg;
    timeout_ms = ms;
    return 0;
}

/* What has ended begins again, while there is something to ask. Returns: how many ended for good.
 */
static int begin_again(CURLM *multi) {
    CURLMsg *m;
    int left, ended = 0;
    while ((m = curl_multi_info_read(multi, &left))) {
        CURL *easy = m->easy_handle;
        if (m->data.result != CURLE_OK)
            fail("a transfer");
        curl_multi_remove_handle(multi, easy);
        if (atomic_fetch_add(&begun, 1) < requests) {
            curl_multi_add_handle(multi, easy);
        } else {
            curl_easy_cleanup(easy);
            ended++;
        }
    }
    return ended;
}

static void use_multi(ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    CURLM *multi = curl_multi_init();
    int under_way = 0, running;
    poller = epoll_create1(EPOLL_CLOEXEC);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)goroutines);
    while (under_way < goroutines && atomic_fetch_add(&begun, 1) < requests) {
        curl_multi_add_handle(multi, new_easy());
        under_way++;
    }
    while (under_way) {
        struct epoll_event events[64];
        ag_time until = timeout_ms >= 0 ? ag_now() + timeout_ms * AG_MS + 1 : 0;
        int r = ag_fd_wait(poller, AG_READABLE, until);
        int n = epoll_wait(poller, events, 64, 0);
        for (int i = 0; i < n; i++) {
            int mask = (events[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
                       (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
            curl_multi_socket_action(multi, events[i].data.fd, mask, &running);
        }
        if (r == -ETIMEDOUT || n == 0) {
            timeout_ms = -1;
            curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        under_way -= begin_again(multi);
    }
    curl_multi_cleanup(multi);
    close(poller);
}

/* ---- Measuring ------------------------------------------------------------------------------ */

static double cpu_us(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double user_us(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec * 1e6 + (double)u.ru_utime.tv_usec;
}

static long resident_kib(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

static int app(void *how) {
    ag_wg wg = AG_WG_INIT;
    long before = resident_kib();
    double cpu = cpu_us(), user = user_us();
    ag_time start = ag_now();
    client = ag_http_client_new(&(ag_http_client_options){.conns_per_host = (uint32_t)goroutines,
                                                          .idle_per_host = (uint32_t)goroutines,
                                                          .conns_max = (uint32_t)goroutines,
                                                          .idle_max = (uint32_t)goroutines,
                                                          .proxy = ""});
    if (strcmp(how, "multi") == 0) {
        ag_wg_add(&wg, 1);
        ag_go(use_multi, &wg);
    } else {
        for (int i = 0; i < goroutines; i++) {
            ag_wg_add(&wg, 1);
            if (strcmp(how, "easy") == 0)
                ag_go(use_easy, &wg);
            else
                ag_go(use_aglet, &wg);
        }
    }
    ag_wg_wait(&wg);
    double n = (double)requests;
    printf("%s requests/s %.0f cpu_us/request %.2f user_us/request %.2f\n", (char *)how,
           n * 1e9 / (double)(ag_now() - start), (cpu_us() - cpu) / n, (user_us() - user) / n);
    printf("%s peak_kib %ld kib/transfer %.1f bytes %ld\n", (char *)how, resident_kib(),
           (double)(resident_kib() - before) / goroutines, atomic_load(&bytes));
    ag_http_client_free(client);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 5)
        fail("HOW GOROUTINES REQUESTS URL");
    goroutines = (int)strtol(argv[2], NULL, 10);
    requests = strtol(argv[3], NULL, 10);
    url = argv[4];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return ag_run(app, argv[1]);
}
