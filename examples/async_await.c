/* SPDX-License-Identifier: MIT */
/* Two jobs run at the same time; who awaits gets their results. Kotlin: async, await. */
#include <aglet.h>
#include <stdlib.h>
#include <string.h>

static void *load_user(int id) {
    char *name = malloc(16);
    ag_sleep(2 * AG_MS);
    if (name)
        snprintf(name, 16, "user %d", id);
    return name;
}

static void *load_orders(int id) {
    int *count = malloc(sizeof *count);
    ag_sleep(AG_MS);
    if (count)
        *count = id / 2;
    return count;
}

static int app(void *arg) {
    (void)arg;
    ag_job *user = ag_async(load_user, 6), *orders = ag_async(load_orders, 6);
    void *name = NULL, *count = NULL;
    int r = ag_job_await(user, &name), r2 = ag_job_await(orders, &count);
    if (r == 0 && r2 == 0 && name && count)
        printf("%s has %d orders\n", (char *)name, *(int *)count);
    free(name);
    free(count);
    ag_unref(user);
    ag_unref(orders);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * user 6 has 3 orders
 */
