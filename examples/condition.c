/* SPDX-License-Identifier: MIT */
/* A queue of bounded length: a mutex and two conditions. */
#include <aglet.h>

enum { LENGTH = 4, ITEMS = 1000 };

static struct queue {
    ag_mutex mutex;
    ag_cond not_empty, not_full;
    int items[LENGTH];
    int first, count;
} queue;

static void put(int item) {
    ag_mutex_lock(&queue.mutex);
    ag_defer(ag_mutex_unlock, &queue.mutex);
    while (queue.count == LENGTH)
        ag_cond_wait(&queue.not_full, &queue.mutex);
    queue.items[(queue.first + queue.count++) % LENGTH] = item;
    ag_cond_signal(&queue.not_empty);
}

static int take(void) {
    ag_mutex_lock(&queue.mutex);
    ag_defer(ag_mutex_unlock, &queue.mutex);
    while (queue.count == 0)
        ag_cond_wait(&queue.not_empty, &queue.mutex);
    int item = queue.items[queue.first];
    queue.first = (queue.first + 1) % LENGTH;
    queue.count--;
    ag_cond_signal(&queue.not_full);
    return item;
}

static void produce(void) {
    for (int i = 1; i <= ITEMS; i++)
        put(i);
}

static int app(void *arg) {
    (void)arg;
    long sum = 0;
    ag_go(produce);
    for (int i = 0; i < ITEMS; i++)
        sum += take();
    printf("sum %ld\n", sum);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * sum 500500
 */
