/* SPDX-License-Identifier: MIT */
/* Counting what a service does: requests by their outcome, a gauge of those under way, the time
 * they take. Prometheus reads the text; here it is shown without the library's own metrics. */
#include <aglet.h>
#include <stdlib.h>
#include <string.h>

static AG_COUNTER_VEC(requests, "shop_requests_total", "Requests answered.", 20, "code");
static AG_GAUGE(in_flight, "shop_in_flight", "Requests under way.");
static AG_HISTOGRAM(took, "shop_request_seconds", "Time to answer.", AG_BUCKETS(1, 10));

static void handle(int id) {
    ag_gauge_add(&in_flight, 1);
    ag_defer(ag_gauge_add, &in_flight, -1);
    ag_defer(ag_histogram_since, &took, ag_now());
    ag_sleep(id % 5 * AG_MS / 5);
    ag_counter_add(ag_counter_with(&requests, id % 10 == 3 ? "404" : "200"), 1);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    handle(0);
    for (int i = 1; i < 100; i++)
        ag_wg_go(&wg, handle, i);
    ag_wg_wait(&wg);

    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    ag_metrics_write(out, AG_METRICS_PROMETHEUS);
    fclose(out);
    for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (strncmp(line, "shop_", 5) == 0 && !strstr(line, "_sum"))
            puts(line);
    free(text);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * shop_in_flight 0
 * shop_request_seconds_bucket{le="1"} 100
 * shop_request_seconds_bucket{le="10"} 100
 * shop_request_seconds_bucket{le="+Inf"} 100
 * shop_request_seconds_count 100
 * shop_requests_total{code="200"} 90
 * shop_requests_total{code="404"} 10
 */
