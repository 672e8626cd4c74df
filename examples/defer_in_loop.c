/* SPDX-License-Identifier: MIT */
/* The classic leak that can't be written: a deferred close in a loop. In Go a thousand files would
 * be open until the function returns; here a round is a block, and one file is open at a time. */
#include <aglet.h>

static int open_now, open_most;

static FILE *open_file(void) {
    FILE *f = fopen("/dev/null", "r");
    open_now += f != NULL;
    open_most = open_now > open_most ? open_now : open_most;
    return f;
}

static void close_file(FILE *f) {
    fclose(f);
    open_now--;
}

static int app(void *arg) {
    (void)arg;
    int opened = 0;
    for (int i = 0; i < 1000; i++) {
        FILE *f = open_file();
        if (!f)
            break;
        ag_defer(close_file, f);
        opened++;
        if (i % 10 == 0)
            continue; /* closes, too */
        fgetc(f);
    }
    printf("opened %d, at most %d at a time, %d now\n", opened, open_most, open_now);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * opened 1000, at most 1 at a time, 0 now
 */
