/* SPDX-License-Identifier: MIT */
/*
 * 100,000 goroutines a second are started and end, each closing a channel or a file: by a
 * deferred call, or explicitly. The article measured 217 and 98 us from start to end, and blames
 * the deferred calls that wait for the end of their functions.
 *
 * Every millisecond a batch of 100 is started, on a schedule that does not drift; each goroutine
 * notes how long after its `ag_go` it has closed and is about to end. A machine that can't keep
 * the rate shows that in the row of the rates.
 */
#include "lab.h"

enum { BATCH = 100 };

static long goal;
static ag_time *took; /* one place for each goroutine, written by it alone */
static ag_wg wg;

static int open_file(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        ag_panic("open: %s", strerror(errno));
    return fd;
}

/* ---- The four workers -------------------------------------------------------------------------
 */

static void chan_deferred(ag_chan(int) c) {
    ag_defer(ag_close, c);
}

static void chan_explicit(ag_chan(int) c) {
    ag_close(c);
}

static void file_deferred(ag_chan(int) unused) {
    (void)unused;
    int fd = open_file();
    ag_defer(close, fd);
}

static void file_explicit(ag_chan(int) unused) {
    (void)unused;
    int fd = open_file();
    close(fd);
}

/* ---- The measurement --------------------------------------------------------------------------
 */

static void one(void (*work)(ag_chan(int)), ag_chan(int) c, long i, ag_time start) {
    work(c);
    took[i] = ag_now() - start;
    ag_unref(c);
    ag_wg_done(&wg);
}

static int by_length(const void *a, const void *b) {
    const ag_time x = *(const ag_time *)a, y = *(const ag_time *)b;
    return (x > y) - (x < y);
}

static int drive(void *arg) {
    void (*const work)(ag_chan(int)) = *(void (**)(ag_chan(int)))arg;
    const ag_time start = ag_now();
    for (long i = 0; i < goal; i++) {
        if (i % BATCH == 0)
            ag_sleep(start + i / BATCH * AG_MS - ag_now());
        ag_wg_add(&wg, 1);
        if (ag_go(one, work, ag_make(int, 1), i, ag_now()) < 0)
            return 1;
    }
    ag_wg_wait(&wg);
    const double seconds = (double)(ag_now() - start) / 1e9;
    double sum = 0;
    for (long i = 0; i < goal; i++)
        sum += (double)took[i];
    qsort(took, (size_t)goal, sizeof *took, by_length);
    lab_print("mean_us", sum / (double)goal / 1e3);
    lab_print("p99_us", (double)took[goal * 99 / 100] / 1e3);
    lab_print("rate", (double)goal / seconds);
    return 0;
}

static int measure(void (*work)(ag_chan(int)), long n) {
    goal = n;
    took = calloc((size_t)n, sizeof *took);
    int result = took ? ag_run(drive, &work) : 1;
    free(took);
    return result;
}

static int chan_deferred_part(long n) {
    return measure(chan_deferred, n);
}

static int chan_explicit_part(long n) {
    return measure(chan_explicit, n);
}

static int file_deferred_part(long n) {
    return measure(file_deferred, n);
}

static int file_explicit_part(long n) {
    return measure(file_explicit, n);
}

/* ---- The table --------------------------------------------------------------------------------
 */

static struct lab_cell latency(const struct lab_values *v) {
    struct lab_cell cell = lab_scaled(v, "mean_us", 1, "%.0f");
    if (!isnan(lab_get(v, "mean_us")))
        snprintf(cell.text, sizeof cell.text, "%.1f us (%.0f)", lab_get(v, "mean_us"),
                 lab_get(v, "p99_us"));
    return cell;
}

/* The least rate of the four runs. */
static struct lab_cell rate(const struct lab_values v[4]) {
    int least = 0;
    for (int i = 1; i < 4; i++)
        if (lab_get(&v[i], "rate") < lab_get(&v[least], "rate"))
            least = i;
    return lab_scaled(&v[least], "rate", 1, "%.0f/s");
}

static int table(void) {
    static const char *const parts[] = {"chan-deferred", "chan-explicit", "file-deferred",
                                        "file-explicit"};
    static const char *const what[] = {"channel, deferred close", "channel, explicit close",
                                       "file, deferred close", "file, explicit close"};
    static const char *const article[] = {"217 us", "98 us", "", ""};
    const long n = lab_much(20000, 150000, 1000000);
    struct lab_values go[4], us[4];
    for (int i = 0; i < 4; i++) {
        go[i] = lab_go(parts[i], n);
        us[i] = lab_self(parts[i], n);
    }

    lab_begin("100,000 goroutines a second: from start to end, mean (99th percentile)",
              "each closes a", "article", "Go here", "aglet here");
    for (int i = 0; i < 4; i++)
        lab_row(what[i], article[i], latency(&go[i]).text, latency(&us[i]).text);
    lab_row("collector's pauses, deferred", "14", lab_cell(&go[0], "pauses", "%.0f"),
            "0, has none");
    lab_row("collector's pauses, explicit", "6", lab_cell(&go[1], "pauses", "%.0f"), "0, has none");
    lab_row("rate kept, at least", "100000/s", rate(go).text, rate(us).text);
    lab_end("Run it twice: deferred and explicit differ less from each other than from run to run, "
            "in Go today as\nin aglet; a goroutine waits for its turn, not for its deferred call.");
    return isnan(lab_get(&us[0], "mean_us")) || isnan(lab_get(&us[1], "mean_us"));
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"chan-deferred", chan_deferred_part},
                                            {"chan-explicit", chan_explicit_part},
                                            {"file-deferred", file_deferred_part},
                                            {"file-explicit", file_explicit_part},
                                            {NULL, NULL}};
    static const struct lab lab = {
        "churn", "100,000 goroutines a second, deferred against explicit close", parts, table};
    return lab_main(argc, argv, &lab);
}
