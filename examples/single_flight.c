/* SPDX-License-Identifier: MIT */
/* Many requests for the same page at the same time: one fetches it, all get it. At most two
 * fetches run at the same time. */
#include <aglet.h>
#include <stdatomic.h>

static ag_flight pages;
static ag_sem fetches = AG_SEM_INIT(2);
static atomic_int fetched;

static void *fetch(const char *url) {
    ag_sem_acquire(&fetches, 1);
    ag_defer(ag_sem_release, &fetches, 1);
    ag_sleep(20 * AG_MS); /* a slow server */
    atomic_fetch_add(&fetched, 1);
    return (void *)(url + 8);
}

static void request(const char *url, const char **ret_page) {
    void *page;
    ag_flight_do(&pages, url, &page, fetch, url);
    *ret_page = page;
}

static int app(void *arg) {
    (void)arg;
    static const char *got[100];
    int served = 0;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 100; i++)
        ag_wg_go(&wg, request, i % 2 ? "https://a.example" : "https://b.example", &got[i]);
    ag_wg_wait(&wg);
    for (int i = 0; i < 100; i++)
        served += *got[i] == (i % 2 ? 'a' : 'b');
    printf("served %d times, fetched %s\n", served, fetched < served ? "less often" : "each time");
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * served 100 times, fetched less often
 */
