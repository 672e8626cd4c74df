/* SPDX-License-Identifier: MIT */
/* Buffers from a pool: a hundred goroutines need far fewer buffers than they use. */
#include <aglet.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 4096, GOROUTINES = 100, EACH = 100 };

static atomic_int made, used;

static void *new_buffer(void) {
    atomic_fetch_add(&made, 1);
    return malloc(BYTES);
}

static ag_pool buffers = {.create = new_buffer, .destroy = free};

static void work(int me) {
    for (int i = 0; i < EACH; i++) {
        char *buffer = ag_pool_get(&buffers);
        ag_defer(ag_pool_put, &buffers, buffer);
        memset(buffer, me, BYTES);
        atomic_fetch_add(&used, 1);
    }
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < GOROUTINES; i++)
        ag_wg_go(&wg, work, i);
    ag_wg_wait(&wg);
    printf("used %d, made %s\n", used, made < used / 10 ? "less than a tenth of that" : "many");
    ag_pool_done(&buffers);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * used 10000, made less than a tenth of that
 */
