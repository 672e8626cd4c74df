/* SPDX-License-Identifier: MIT */
/* A thousand orders are written to a journal at the same time, and each is answered only when it is
 * on the disk - which takes far fewer than a thousand syncs. */
#include <aglet.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { ORDERS = 1000 };

static ag_commit journal;
static atomic_int answered;

static void order(int number) {
    char record[32];
    int n = snprintf(record, sizeof record, "order %d\n", number);
    if (ag_commit_append(&journal, record, (size_t)n) == 0)
        atomic_fetch_add(&answered, 1);
}

static int app(void *arg) {
    (void)arg;
    char path[] = "/tmp/aglet-journal-XXXXXX", buf[1024], *line;
    int fd = mkstemp(path), records = 0;
    ag_defer(unlink, path);
    ag_defer(close, fd);
    ag_commit_init(&journal, fd);
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < ORDERS; i++)
        ag_wg_go(&wg, order, i);
    ag_wg_wait(&wg);
    ag_reader in;
    lseek(fd, 0, SEEK_SET);
    ag_reader_init_fd(&in, fd, buf, sizeof buf);
    while (ag_reader_line(&in, &line, NULL) > 0)
        records++;
    printf("answered %d, in the journal %d, syncs %s\n", atomic_load(&answered), records,
           ag_commit_syncs(&journal) < ORDERS / 10 ? "less than a tenth of that" : "many");
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * answered 1000, in the journal 1000, syncs less than a tenth of that
 */
