/* SPDX-License-Identifier: MIT */
/*
 * paced - requests at a constant rate, whatever the server does about them.
 *
 *     paced ADDRESS:PORT PATH CONNECTIONS RATE SECONDS
 *
 * Request k is planned for k / RATE seconds after the start, on connection k % CONNECTIONS, and its
 * latency counts from then: while a server stalls, the requests of that time wait, and each of
 * them has its wait counted. (A generator that asks again when it has its answer sees a stall once
 * for each connection: it omits what it should have asked meanwhile, in coordination with the
 * server.) What is planned while a connection waits for its answer is sent as soon as that has
 * come. What is not answered GRACE after the end counts as if it were then.
 *
 * RATE 0: each connection asks again as soon as it has its answer, for as many requests as the
 * server can do.
 *
 * One thread, which polls without sleeping while there is a plan: it needs a core of its own.
 * `late` is how long after their time it sent requests that nothing held up: its own part in the
 * figures. `p99_typical` is the median of the p99s of all windows of 100 ms, by the time from which
 * a latency counts: a virtual machine that its host stops for milliseconds now and then has those
 * stalls in its p99, whatever server it runs, but in few of the windows.
 */
#include "load.h"

#define GRACE (1 * LOAD_SEC)
#define EVENTS 256
#define WINDOW (LOAD_SEC / 10)

struct conn {
    int fd;
    uint32_t got; /* bytes of the reply so far */
    bool busy;    /* waits for a reply */
    int64_t next; /* the request that is under way or to be sent next */
    int64_t since;
};

struct samples {
    int64_t *ns;
    size_t n, room;
};

static struct conn *conns;
static int64_t conns_n, per_second, begin, end;
static struct samples latencies, lates, *windows;
static size_t windows_n;
static int epoll;

static void sample(struct samples *s, int64_t ns) {
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 1 << 16;
        s->ns = realloc(s->ns, s->room * sizeof *s->ns);
        load_must(s->ns != NULL, "realloc");
    }
    s->ns[s->n++] = ns;
}

static void sort(struct samples *s) {
    qsort(s->ns, s->n, sizeof *s->ns, load_compare);
}

/* The value that `share` of the samples, which are sorted, do not exceed. */
static int64_t percentile(const struct samples *s, double share) {
    size_t i = (size_t)(share * (double)s->n);
    return s->n ? s->ns[i < s->n ? i : s->n - 1] : 0;
}

static double percentile_us(const struct samples *s, double share) {
    return (double)percentile(s, share) / 1e3;
}

/* Sorts the latencies of the windows. */
static double typical_p99_us(void) {
    struct samples p99s = {0};
    for (size_t i = 0; i < windows_n; i++) {
        sort(&windows[i]);
        if (windows[i].n)
            sample(&p99s, percentile(&windows[i], 0.99));
    }
    sort(&p99s);
    return percentile_us(&p99s, 0.5);
}

/* A request had its answer `at`, and counts `since`. */
static void took(int64_t since, int64_t at) {
    sample(&latencies, at - since);
    size_t window = (size_t)((since - begin) / WINDOW);
    sample(&windows[window < windows_n ? window : windows_n - 1], at - since);
}

static int64_t planned(int64_t request) {
    return begin + (int64_t)((double)request * (double)LOAD_SEC / (double)per_second);
}

static void ask(struct conn *c, int64_t since) {
    c->busy = true;
    c->since = since;
    load_ask(c->fd);
}

static void answered(struct conn *c) {
    int64_t now = load_now();
    took(c->since, now);
    c->busy = false;
    c->next += conns_n;
    int64_t since = per_second ? planned(c->next) : now;
    if (since <= now && since < end)
        ask(c, since);
}

static void poll_answers(int wait_ms) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (load_answered(c->fd, &c->got))
            answered(c);
    }
}

static bool any_busy(void) {
    for (int64_t i = 0; i < conns_n; i++)
        if (conns[i].busy)
            return true;
    return false;
}

/* Sends request k if its connection is free, and has not sent it already: `answered` may have. */
static void send_planned(int64_t k) {
    struct conn *c = &conns[k % conns_n];
    if (c->busy || c->next != k)
        return;
    int64_t now = load_now();
    sample(&lates, now - planned(k));
    ask(c, planned(k));
}

/* Returns how many requests have no answer. */
static int64_t at_a_rate(void) {
    int64_t k = 0, missing = 0, now;
    while ((now = load_now()) < end) {
        for (; planned(k) <= now && planned(k) < end; k++)
            send_planned(k);
        poll_answers(0);
    }
    for (; planned(k) < end; k++)
        send_planned(k);
    while (any_busy() && (now = load_now()) < end + GRACE)
        poll_answers(1);
    for (int64_t i = 0; i < conns_n; i++)
        for (int64_t r = conns[i].next; planned(r) < end; r += conns_n, missing++)
            took(planned(r), now);
    return missing;
}

static void as_fast_as_it_goes(void) {
    for (int64_t i = 0; i < conns_n; i++)
        ask(&conns[i], load_now());
    while (load_now() < end)
        poll_answers(100);
}

static void open_all(void) {
    conns = calloc((size_t)conns_n, sizeof *conns);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    load_must(conns && epoll >= 0, "epoll_create1");
    for (int64_t i = 0; i < conns_n; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &conns[i]};
        conns[i] = (struct conn){.fd = load_connect((int)i), .next = i};
        load_first(conns[i].fd);
        load_must(epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &e) == 0, "epoll_ctl");
    }
}

int main(int argc, char **argv) {
    if (argc != 6)
        load_die("usage: paced ADDRESS:PORT PATH CONNECTIONS RATE SECONDS");
    load_target(argv[1], argv[2]);
    conns_n = atol(argv[3]);
    per_second = atol(argv[4]);
    double seconds = atof(argv[5]);
    if (conns_n < 1 || per_second < 0 || seconds <= 0)
        load_die("numbers are above zero");
    open_all();
    int64_t length = (int64_t)(seconds * (double)LOAD_SEC);
    windows_n = (size_t)((length + WINDOW - 1) / WINDOW);
    windows = calloc(windows_n, sizeof *windows);
    load_must(windows != NULL, "calloc");
    begin = load_now();
    end = begin + length;
    int64_t missing = 0;
    if (per_second)
        missing = at_a_rate();
    else
        as_fast_as_it_goes();
    sort(&latencies);
    sort(&lates);
    printf("requests %zu count\nunanswered %ld count\n", latencies.n, (long)missing);
    printf("rps %.1f /s\n", (double)((int64_t)latencies.n - missing) / seconds);
    printf("p50 %.1f us\np90 %.1f us\n", percentile_us(&latencies, 0.5),
           percentile_us(&latencies, 0.9));
    printf("p99 %.1f us\np999 %.1f us\n", percentile_us(&latencies, 0.99),
           percentile_us(&latencies, 0.999));
    printf("max %.1f us\np99_typical %.1f us\n", percentile_us(&latencies, 1), typical_p99_us());
    printf("late %.1f us\n", percentile_us(&lates, 0.99));
    return 0;
}
