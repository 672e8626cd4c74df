/* SPDX-License-Identifier: MIT */
/*
 * A query with a timeout whose answer comes too late: the goroutine that has it waits for ever.
 * Many queries, with an unbuffered channel, with room for the answer, and within a context; how
 * many goroutines are left, and how many of them does ag_leaks find? Each goroutine has a reference
 * to its channel, so that only a search of memory tells that nobody else has one: AGLET_SCAN=heap.
 */
#include "lab.h"

enum { QUERIES_MS = 5 };

static ag_wg slow = AG_WG_INIT;

/* The work takes until all queries were given up. */
static void answers(ag_chan(int) to) {
    ag_defer(ag_unref, to);
    ag_wg_wait(&slow);
    ag_send(to, 42);
}

static void query(int room) {
    ag_chan(int) c = ag_make(int, room);
    ag_defer(ag_unref, c);
    int v;
    ag_go(answers, ag_ref(c));
    ag_select(AG_RECV(c, &v), AG_AFTER(QUERIES_MS * AG_MS));
}

static void query_within(void) {
    ag_chan(int) c = ag_make(int, 0);
    int v;
    ag_within(QUERIES_MS * AG_MS);
    ag_go(answers, ag_ref(c)); /* has this context, too */
    ag_recv(c, &v);
    ag_unref(c);
}

static long queries;

/* Those that can end do so soon. Memory is searched when no thread is awake but ours. */
static int count(void) {
    int found = 0;
    ag_wg_done(&slow);
    for (int i = 0; i < 50 && (i == 0 || found + 1 < ag_count()); i++) {
        ag_sleep(10 * AG_MS);
        found = ag_leaks(NULL);
    }
    lab_print("left", (double)ag_count() - 1);
    lab_print("found", found);
    if (queries == 1)
        ag_leaks(stderr);
    return 0;
}

static int unbuffered(void *arg) {
    (void)arg;
    ag_wg_add(&slow, 1);
    for (long i = 0; i < queries; i++)
        query(0);
    return count();
}
static int buffered(void *arg) {
    (void)arg;
    ag_wg_add(&slow, 1);
    for (long i = 0; i < queries; i++)
        query(1);
    return count();
}
static int within(void *arg) {
    (void)arg;
    ag_wg_add(&slow, 1);
    for (long i = 0; i < queries; i++)
        query_within();
    return count();
}

static int unbuffered_part(long n) {
    queries = n;
    return ag_run(unbuffered, NULL);
}
static int buffered_part(long n) {
    queries = n;
    return ag_run(buffered, NULL);
}
static int within_part(long n) {
    queries = n;
    return ag_run(within, NULL);
}

/* What ag_leaks says of one query. */
static int print_one(void) {
    char text[4096], missing[LAB_TEXT];
    char *argv[] = {"/proc/self/exe", "--part", "unbuffered", "1", NULL};
    int status = lab_run_text(NULL, argv, true, text, sizeof text, missing);
    const char *said = status == 0 ? strstr(text, "aglet: ") : NULL;
    printf("One query:\n\n%s\n", said ? said : status < 0 ? missing : "nothing\n");
    return said ? 0 : 1;
}

static int table(void) {
    static const struct {
        const char *part, *about;
    } rows[] = {
        {"unbuffered", "unbuffered"}, {"buffered", "room for one"}, {"within", "within a context"}};
    const long n = lab_much(10, 100, 1000);
    char many[24];
    snprintf(many, sizeof many, "%ld", n);
    setenv("AGLET_SCAN", "heap", 1);
    int failed = print_one();
    lab_begin("Answers that come after the timeout", "channel", "queries", "goroutines left",
              "found", "found, AGLET_SCAN=heap");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        setenv("AGLET_SCAN", "", 1);
        struct lab_values plain = lab_self(rows[i].part, n);
        setenv("AGLET_SCAN", "heap", 1);
        struct lab_values heap = lab_self(rows[i].part, n);
        lab_row(rows[i].about, many, lab_cell(&heap, "left", "%.0f"),
                lab_cell(&plain, "found", "%.0f"), lab_cell(&heap, "found", "%.0f"));
        failed |= isnan(lab_get(&heap, "left"));
    }
    lab_end(
        "Whoever may be left behind needs room for what it says, or a context that ends its "
        "wait.\n\n"
        "What to type in a program of your own:\n"
        "  AGLET_SCAN=heap ./program     also finds those that have their channel to themselves\n"
        "  kill -QUIT PID                shows where all wait; many alike, for minutes, leak");
    return failed;
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"unbuffered", unbuffered_part},
                                            {"buffered", buffered_part},
                                            {"within", within_part},
                                            {NULL, NULL}};
    static const struct lab lab = {"leak", "answers that come too late: who is left behind?", parts,
                                   table};
    return lab_main(argc, argv, &lab);
}
