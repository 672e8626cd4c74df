/* SPDX-License-Identifier: MIT */
/*
 * Opens a file again and again in a loop, with the deferred close inside the loop, while the
 * process may have few descriptors only.
 *
 * In Go a deferred call waits for the end of the function, so descriptors pile up until there are
 * none; the articles' remedy is a function literal around the body. aglet's belongs to the block,
 * so the plain loop is right. That the limit is real is shown by a loop that forgets to close.
 */
#include "lab.h"
#include <sys/resource.h>

enum { DESCRIPTORS = 256, FILES = 10000 };

static long goal;
static int open_now, open_most;

static int open_file(void) {
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    open_now += fd >= 0;
    open_most = open_now > open_most ? open_now : open_most;
    return fd;
}

static void close_file(int fd) {
    close(fd);
    open_now--;
}

static int report(long opened, int error) {
    lab_print("opened", (double)opened);
    lab_print("most", open_most);
    lab_print("error", error);
    return 0;
}

static int deferred(void *arg) {
    (void)arg;
    long opened = 0;
    for (; opened < goal; opened++) {
        int fd = open_file();
        if (fd < 0)
            return report(opened, errno);
        ag_defer(close_file, fd);
    }
    return report(opened, 0);
}

static int forgotten(void *arg) {
    (void)arg;
    long opened = 0;
    while (opened < goal && open_file() >= 0)
        opened++;
    return report(opened, opened < goal ? errno : 0);
}

static int limited(int (*fn)(void *), long n) {
    const struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
    goal = n;
    return setrlimit(RLIMIT_NOFILE, &limit) != 0 ? 1 : ag_run(fn, NULL);
}

static int deferred_part(long n) {
    return limited(deferred, n);
}

static int forgotten_part(long n) {
    return limited(forgotten, n);
}

/* ---- The table --------------------------------------------------------------------------------
 */

static struct lab_cell outcome(const struct lab_values *v) {
    struct lab_cell cell;
    double opened = lab_get(v, "opened"), error = lab_get(v, "error");
    if (isnan(opened) || isnan(error))
        snprintf(cell.text, sizeof cell.text, "%s", v->missing[0] ? v->missing : "n/a");
    else if (error != 0)
        snprintf(cell.text, sizeof cell.text, "%.0f, then: %.60s", opened, strerror((int)error));
    else
        snprintf(cell.text, sizeof cell.text, "%.0f, all", opened);
    return cell;
}

static int table(void) {
    struct lab_values us = lab_self("deferred", FILES), us_leak = lab_self("forgotten", FILES);
    struct lab_values go = lab_go("deferred", FILES), go_local = lab_go("local", FILES);

    lab_begin("Files opened in a loop with the deferred close inside it: 10000 of them, in a "
              "process that may have 256 at once",
              "files opened", "article", "Go here", "aglet here");
    lab_row("defer in the loop", "descriptors run out", outcome(&go).text, outcome(&us).text);
    lab_row("open at once", "all of them", lab_cell(&go, "most", "%.0f"),
            lab_cell(&us, "most", "%.0f"));
    lab_row("a function literal around the body", "the remedy", outcome(&go_local).text,
            "not needed");
    lab_row("no close at all (the control)", "", "", outcome(&us_leak).text);
    lab_end("aglet's deferred call runs at the end of its block, every round: the leak that Go "
            "programmers learn to\navoid can't be written.");
    return isnan(lab_get(&us, "opened"));
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {
        {"deferred", deferred_part}, {"forgotten", forgotten_part}, {NULL, NULL}};
    static const struct lab lab = {
        "defer-loop", "10,000 files opened in a loop with the deferred close inside", parts, table};
    return lab_main(argc, argv, &lab);
}
