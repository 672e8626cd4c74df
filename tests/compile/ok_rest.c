/* SPDX-License-Identifier: MIT */
/* Time, sync, signals, connections, descriptors, counters: every name, used as a program does. */
#include <aglet.h>

struct account {
    ag_mutex mutex;
    ag_once once;
    ag_wg wg;
    long balance;
};

static ag_mutex static_mutex = AG_MUTEX_INIT;
static ag_wg static_wg = AG_WG_INIT;
static ag_once static_once = AG_ONCE_INIT;
static struct account zero;

static int job(struct account *a, long n) {
    a->balance += n;
    return 0;
}

static void serve(ag_conn *c) {
    ag_unref(c);
}

int sync_part(struct account *a);
int sync_part(struct account *a) {
    ag_mutex_lock(&a->mutex);
    ag_mutex_unlock(&a->mutex);
    if (ag_mutex_try_lock(&static_mutex))
        ag_mutex_unlock(&static_mutex);
    ag_wg_add(&a->wg, 2);
    ag_wg_add(&a->wg, -1);
    ag_wg_done(&a->wg);
    int64_t id = ag_wg_go(&static_wg, job, a, 1);
    for (int i = 0; i < 3; i++)
        ag_wg_go(&a->wg, job, &zero, i);
    ag_wg_wait(&a->wg);
    ag_once_do(&a->once, job, a, 1L);
    ag_once_do(&static_once, ag_yield);
    if (id > 0)
        ag_once_do(&zero.once, job, a, 'c');
    else
        ag_once_do(&zero.once, job, a, 2);
    return 0;
}

int time_part(struct account *a);
int time_part(struct account *a) {
    ag_time begin = ag_now(), wall = ag_wall(), parts[] = {AG_NS, AG_US, AG_MS, AG_SEC, AG_MIN};
    ag_chan(ag_time) later = ag_after(2 * AG_MS);
    ag_timer *t = ag_timer_start(AG_SEC / 2, job, a, 1);
    bool pending = ag_timer_reset(t, 1) || ag_timer_stop(t);
    ag_ticker *ticker = ag_ticker_start(AG_MS);
    ag_time at;
    for (int i = 0; i < 3 && ag_recv(ag_ticker_chan(ticker), &at); i++)
        begin += at;
    ag_ticker_stop(ticker);
    ag_unref(ticker);
    ag_unref(t);
    ag_unref(later);
    return ag_sleep(5 * AG_US) + pending + (begin > wall) + (int)parts[0];
}

int net_part(ag_listener *l, ag_conn *c, struct iovec *iov);
int net_part(ag_listener *l, ag_conn *c, struct iovec *iov) {
    char buf[64];
    ssize_t n = ag_read(c, buf, sizeof buf);
    if (ag_listen("tcp", "127.0.0.1:0", &l) == 0 && ag_accept(l, &c) == 0)
        ag_go(serve, c);
    n += ag_write(c, buf, (size_t)n) + ag_writev(c, iov, 1);
    n += ag_conn_sent(c) + ag_conn_received(c) + ag_conn_fd(c) + ag_conn_peer_is_gone(c) +
         ag_conn_has_bytes(c);
    ag_set_deadline(c, ag_now() + AG_SEC);
    ag_set_read_deadline(c, 0);
    ag_set_write_deadline(c, 0);
    const char *addrs[] = {ag_conn_local(c), ag_conn_remote(c), ag_listener_addr(l)};
    int r = ag_dial("unix", addrs[0], &c) + ag_conn_from_fd(0, &c);
    r += ag_conn_when_readable(c, serve, c);
    r += ag_conn_shutdown(c, 1) + ag_conn_close(c) + ag_conn_reset(c);
    return r + ag_listener_close(l) + (int)n;
}

int process_part(ag_process *p);
int process_part(ag_process *p) {
    const char *argv[] = {"true", NULL};
    static ag_process_opts opts;
    ag_process_status status;
    ag_process_output got;
    ag_host_addr addrs[2];
    char buf[64];
    opts.argv = argv;
    opts.in = AG_PROCESS_PIPE;
    opts.out = AG_PROCESS_NULL;
    opts.err = AG_PROCESS_OUT;
    int r = ag_process_start(&opts, &p) + ag_process_wait(p, &status) + ag_process_kill(p);
    r += ag_process_signal(p, SIGTERM) + ag_process_signal_group(p, SIGTERM) + ag_process_pid(p);
    r += ag_process_in(p) + ag_process_out(p) + ag_process_err(p);
    r += ag_process_close_in(p) + ag_process_close_out(p) + ag_process_close_err(p);
    ag_process_status_text(&status, buf, sizeof buf);
    r += ag_process_run(&opts, 1 << 20, &got) + status.exit_code + (int)got.out_size;
    ag_process_output_free(&got);
    ag_unref(p);
    return r + ag_reap_children(true) + ag_lookup_host("localhost", addrs, 2);
}

int rest(ag_chan(int) signals, ag_ctx *ctx);
int rest(ag_chan(int) signals, ag_ctx *ctx) {
    char buf[8];
    ag_stats stats;
    ag_stats_read(&stats);
    int r = ag_notify(signals) + ag_notify(signals, SIGINT) + ag_notify(signals, SIGINT, SIGTERM);
    r += ag_notify_reset() + ag_notify_reset(SIGINT) + ag_notify_reset(SIGINT, SIGRTMIN + 1);
    r += ag_notify_ignore() + ag_notify_ignore(SIGHUP) + ag_notify_ignored(SIGHUP);
    ag_unref(ag_stop_ctx(ctx));
    ag_notify_stop(signals);
    ssize_t n = ag_fd_read(0, buf, 8) + ag_fd_write(1, buf, 8) + ag_file_read(0, buf, 8) +
                ag_file_write(1, buf, 8);
    ag_recv(ag_ctx_done(ctx), NULL);
    r += ag_fd_wait(0, AG_READABLE | AG_WRITABLE, 0) + ag_fd_close(0) + ag_file_sync(1);
    r += ag_ctx_err(ctx) + ag_ctx_err(ag_ctx_current()) + ag_ctx_err(ag_ctx_background());
    ag_dump(stderr);
    r += ag_dump_goroutine(stderr, ag_id()) + (int)ag_count() + ag_procs(0);
    ag_lock_thread();
    ag_unlock_thread();
    return r + (int)n + (int)stats.created;
}
