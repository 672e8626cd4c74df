/* SPDX-License-Identifier: MIT */
/*
 * Goroutines that wait for each other while main goes on: what is said by itself, and what to type
 * to find the line. The articles' deadlocks are of the whole program, which Go and aglet end with
 * the same words; as soon as anything else still runs, Go says nothing.
 */
#include "lab.h"

static _Atomic int told;

static void hear(const ag_report *r) {
    told += strcmp(r->kind, "deadlock") == 0;
}

/* Until it is found by itself, which the hook hears; then it is printed here, for the table. */
static int go_on(void) {
    ag_on_report(hear);
    for (int i = 0; i < 2000 && !told; i++)
        ag_sleep(10 * AG_MS);
    if (told)
        ag_leaks(stderr);
    return told ? 0 : 1;
}

static ag_mutex accounts[2];

static void transfer(int from, int to) {
    ag_mutex_lock(&accounts[from]);
    ag_sleep(10 * AG_MS);
    ag_mutex_lock(&accounts[to]);
    ag_mutex_unlock(&accounts[to]);
    ag_mutex_unlock(&accounts[from]);
}

static int two(void *arg) {
    (void)arg;
    ag_go(transfer, 0, 1);
    ag_go(transfer, 1, 0);
    return go_on();
}

static void total(int account) {
    ag_mutex_lock(&accounts[account]);
}

static void report(int account) {
    ag_mutex_lock(&accounts[account]);
    ag_defer(ag_mutex_unlock, &accounts[account]);
    total(account);
}

static int itself(void *arg) {
    (void)arg;
    ag_go(report, 0);
    return go_on();
}

static void collects(ag_wg *group) {
    ag_mutex_lock(&accounts[0]);
    ag_wg_go(group, total, 0);
    ag_wg_wait(group);
}

static int group(void *arg) {
    static ag_wg all;
    (void)arg;
    ag_go(collects, &all);
    return go_on();
}

static int whole(void *arg) {
    ag_chan(int) c = ag_make(int, 0);
    (void)arg;
    ag_recv(c, NULL);
    return 0;
}

static int two_part(long n) {
    (void)n;
    return ag_run(two, NULL);
}
static int itself_part(long n) {
    (void)n;
    return ag_run(itself, NULL);
}
static int group_part(long n) {
    (void)n;
    return ag_run(group, NULL);
}
static int whole_part(long n) {
    (void)n;
    return ag_run(whole, NULL);
}

static int table(void) {
    static const struct {
        const char *part, *about;
    } cases[] = {
        {"two", "Two transfers, two locks, two orders; main goes on"},
        {"itself", "A function that locks calls one that locks the same; main goes on"},
        {"group", "A lock is held while children that want it are waited for; main goes on"},
        {"whole", "Main waits for a channel that nobody else has: nobody goes on"},
    };
    int failed = 0;
    setenv("AGLET_DETECT_MS", "50", 1);
    setenv("AGLET_CHECK", "0", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[4096], missing[LAB_TEXT];
        char *argv[] = {"/proc/self/exe", "--part", (char *)cases[i].part, "0", NULL};
        int status = lab_run_text(NULL, argv, true, text, sizeof text, missing);
        printf("%s\n\n%s%s\n", cases[i].about, text, status < 0 ? missing : "");
        failed |= status < 0;
    }
    puts("What to type in a program of your own:\n"
         "  AGLET_DETECT_MS=100 ./program     looks ten times a second, not once\n"
         "  AGLET_CHECK=1 ./program           tells where each lock was taken, and two orders "
         "before they meet\n"
         "  kill -QUIT PID                    shows all goroutines; the program goes on");
    return failed;
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"two", two_part},
                                            {"itself", itself_part},
                                            {"group", group_part},
                                            {"whole", whole_part},
                                            {NULL, NULL}};
    static const struct lab lab = {"deadlock", "goroutines wait for each other: who says so?",
                                   parts, table};
    return lab_main(argc, argv, &lab);
}
