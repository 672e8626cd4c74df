/* SPDX-License-Identifier: MIT */
/*
 * The pages for those who run the service: is it alive, is it ready, how is it doing, what is it
 * doing. They need no seat, because they are wanted most when there is none.
 */
#include "desk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void page_index(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200,
                 "orders, an order desk\n\n"
                 "POST /orders               {\"item\":\"…\",\"quantity\":1,\"customer\":\"…\"}\n"
                 "GET  /orders               ?limit=&after=&status=\n"
                 "GET  /orders/{id}\n"
                 "POST /orders/{id}/cancel\n"
                 "GET  /healthz /readyz /metrics /debug/goroutines\n");
}

/* Alive: it can answer. */
void page_health(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200, "ok\n");
}

/* Ready: it should be sent requests. */
void page_ready(ag_http_request *req, ag_http_response *res) {
    struct desk *desk = ag_http_arg(req);
    static const char *const texts[] = {"starting\n", "ready\n", "draining\n"};
    enum desk_state state = atomic_load(&desk->state);
    ag_http_text(res, state == DESK_READY ? 200 : 503, texts[state]);
}

void page_goroutines(ag_http_request *req, ag_http_response *res) {
    (void)req;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out) {
        reply_error(res, 500, "out of memory");
        return;
    }
    ag_dump(out);
    fclose(out);
    ag_defer(free, text);
    ag_http_send(res, 200, NULL, text, n);
}

/* ---- Metrics -------------------------------------------------------------------------------- */

static void metric(ag_http_response *res, const char *type, const char *name, const char *help,
                   int64_t value) {
    ag_http_printf(res, "# HELP %s %s\n# TYPE %s %s\n%s %" PRId64 "\n", name, help, name, type,
                   name, value);
}

static void runtime_metrics(ag_http_response *res) {
    ag_stats st;
    ag_stats_read(&st);
    metric(res, "gauge", "aglet_goroutines", "Goroutines that live now.", st.goroutines);
    metric(res, "counter", "aglet_goroutines_created_total", "Goroutines ever started.",
           st.created);
    metric(res, "gauge", "aglet_threads", "Threads that can run goroutines.", st.threads);
    metric(res, "gauge", "aglet_processors", "Goroutines that can run at a time.", st.procs);
    metric(res, "counter", "aglet_processors_handed_on_total",
           "Processors taken from threads that blocked or burnt outside the runtime.",
           st.handed_on);
    metric(res, "gauge", "aglet_stacks", "Stacks in use.", st.stacks);
}

static void desk_metrics(ag_http_response *res, struct desk *desk) {
    struct shipping_stats st;
    shipping_stats(desk->shipping, &st);
    metric(res, "gauge", "orders_requests_in_progress", "Requests about orders now.",
           ag_len(desk->seats));
    metric(res, "counter", "orders_requests_turned_away_total",
           "Requests about orders answered 503 because there were too many.",
           atomic_load(&desk->turned_away));
    metric(res, "gauge", "orders_queue_length", "Orders that wait for a worker.", st.queued);
    metric(res, "gauge", "orders_queue_capacity", "Orders that may wait for a worker.", st.places);
    metric(res, "counter", "orders_queue_full_total",
           "Orders answered 503 because the queue was full.", st.refused);
    metric(res, "counter", "orders_shipped_total", "Orders shipped since the start.", st.shipped);
}

static void order_metrics(ag_http_response *res, struct desk *desk) {
    int64_t counts[ORDER_STATUSES] = {0};
    if (store_counts(desk->store, ag_now() + AG_SEC, counts) != 0)
        return; /* a gap says more than a zero */
    ag_http_printf(res, "# HELP orders_stored Orders in the database, by state.\n"
                        "# TYPE orders_stored gauge\n");
    for (int i = 0; i < ORDER_STATUSES; i++)
        ag_http_printf(res, "orders_stored{state=\"%s\"} %" PRId64 "\n",
                       order_status_name((enum order_status)i), counts[i]);
}

/* The server's own metrics, then the runtime's, then ours. */
void page_metrics(ag_http_request *req, ag_http_response *res) {
    struct desk *desk = ag_http_arg(req);
    ag_http_metrics(req, res);
    runtime_metrics(res);
    if (atomic_load(&desk->state) == DESK_STARTING)
        return;
    desk_metrics(res, desk);
    order_metrics(res, desk);
}
