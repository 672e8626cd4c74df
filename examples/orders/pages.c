/* SPDX-License-Identifier: MIT */
/*
 * The pages for people and for Prometheus. They need no seat, because they are wanted most when
 * there is none.
 */
#include "desk.h"

#include <math.h>

static AG_GAUGE_VEC(stored, "orders_stored", "Orders in the database, by state.", ORDER_STATUSES,
                    "state");

void page_index(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200,
                 "orders, an order desk\n\n"
                 "POST /orders               {\"item\":\"…\",\"quantity\":1,\"customer\":\"…\"}\n"
                 "GET  /orders               ?limit=&after=&status=\n"
                 "GET  /orders/{id}\n"
                 "POST /orders/{id}/cancel\n"
                 "GET  /livez /readyz /metrics /debug/\n");
}

/* Not a number says more than a zero. */
static void count_orders(struct store *store) {
    int64_t counts[ORDER_STATUSES] = {0};
    bool known = store_counts(store, ag_now() + AG_SEC, counts) == 0;
    for (int i = 0; i < ORDER_STATUSES; i++)
        ag_gauge_set(ag_gauge_with(&stored, order_status_name((enum order_status)i)),
                     known ? (double)counts[i] : NAN);
}

void page_metrics(ag_http_request *req, ag_http_response *res) {
    struct desk *desk = ag_http_arg(req);
    count_orders(desk->store);
    ag_http_metrics(req, res);
}
