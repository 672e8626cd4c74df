/* SPDX-License-Identifier: MIT */
/*
 * The life of a job: the states that the articles list for Kotlin's coroutines, seen live; what a
 * cancel does to clean-up, to children and to siblings; how many were made and how many are left.
 *
 * The articles' advice against coroutines that leak is to bind each to a scope. So the same
 * goroutines are started here in a scope, and, as the control, by ag_go, which binds them to
 * nothing.
 */
#include "lab.h"
#include <stdatomic.h>

static long children;
static ag_time takes = AG_MIN; /* the work of each */
static ag_chan(int) gate, may_return;
static atomic_long cancelled, went_on, cleaned, made;

/* ---- States: one job, looked at from outside --------------------------------------------------
 */

static void *holds_on(void) {
    ag_shield(AG_MIN);
    ag_recv(gate, NULL);
    return NULL;
}

static void *has_a_child(void) {
    ag_unref(ag_async(holds_on));
    ag_recv(may_return, NULL);
    return NULL;
}

static void note(const char *when, ag_job *j) {
    lab_print(when, ag_job_state(j));
}

static int states(void *is_cancelled) {
    gate = ag_make(int, 0);
    may_return = ag_make(int, 0);
    ag_job *j = ag_async_lazy(has_a_child);
    note("made", j);
    ag_job_start(j);
    note("started", j);
    ag_send(may_return, 1);
    while (ag_job_state(j) == AG_JOB_ACTIVE)
        ag_sleep(AG_MS);
    note("returned", j);
    if (is_cancelled)
        ag_job_cancel(j);
    note("told", j);
    ag_close(gate);
    ag_job_await(j, NULL);
    note("ended", j);
    ag_unref(j);
    return 0;
}

static int completed_part(long n) {
    (void)n;
    return ag_run(states, NULL);
}

static int cancelled_part(long n) {
    return ag_run(states, &n);
}

/* ---- A cancel, a failure: what becomes of the others ------------------------------------------
 */

static void cleans(void) {
    ag_shield(AG_SEC);
    if (ag_sleep(AG_MS) == 0)
        atomic_fetch_add(&cleaned, 1);
}

static int works(void) {
    ag_defer(cleans);
    atomic_fetch_add(&made, 1);
    int r = ag_sleep(takes);
    atomic_fetch_add(r == 0 ? &went_on : &cancelled, 1);
    return r;
}

static void *works_as_job(void) {
    works();
    return NULL;
}

static void *parent(void) {
    for (long i = 0; i < children; i++)
        ag_unref(ag_async(works_as_job));
    return NULL;
}

static int fails(void) {
    while (atomic_load(&made) < children)
        ag_sleep(AG_MS);
    return -EIO;
}

/* How many jobs and scopes there have been, and are: as the dump counts them. */
static void count_all(void) {
    char *text = NULL;
    size_t size = 0;
    long long scopes_left, scopes, jobs_left, jobs;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return;
    ag_scope_dump(out);
    fclose(out);
    if (sscanf(text, "scopes: %lld of %lld left; jobs: %lld of %lld left", &scopes_left, &scopes,
               &jobs_left, &jobs) == 4) {
        lab_print("jobs", (double)jobs);
        lab_print("jobs_left", (double)jobs_left);
    }
    free(text);
}

static void report(void) {
    lab_print("goroutines_left", (double)(ag_count() - 1));
    lab_print("cancelled", (double)atomic_load(&cancelled));
    lab_print("went_on", (double)atomic_load(&went_on));
    lab_print("cleaned", (double)atomic_load(&cleaned));
    count_all();
}

static int cancels_tree(void *arg) {
    (void)arg;
    ag_job *j = ag_async(parent);
    while (atomic_load(&made) < children)
        ag_sleep(AG_MS);
    ag_job_cancel_and_join(j);
    ag_unref(j);
    report();
    return 0;
}

static int in_a_scope(void *mode) {
    ag_scope s;
    ag_scope_begin(&s, *(int *)mode);
    for (long i = 0; i < children; i++)
        ag_scope_go(&s, works);
    ag_scope_go(&s, fails);
    int r = ag_scope_end(&s);
    report();
    return r == -EIO ? 0 : 1;
}

static void waits(void) {
    atomic_fetch_add(&made, 1);
    ag_recv(gate, NULL);
}

static int bound_to_nothing(void *arg) {
    ag_scope s;
    (void)arg;
    gate = ag_make(int, 0);
    for (long i = 0; i < children; i++)
        ag_go(waits);
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, fails);
    ag_scope_end(&s);
    report();
    return 0;
}

static int tree_part(long n) {
    children = n;
    return ag_run(cancels_tree, NULL);
}

static int fail_fast_part(long n) {
    int mode = AG_SCOPE_FAIL_FAST;
    children = n;
    return ag_run(in_a_scope, &mode);
}

static int supervisor_part(long n) {
    int mode = AG_SCOPE_SUPERVISOR;
    children = n;
    takes = 100 * AG_MS;
    return ag_run(in_a_scope, &mode);
}

static int control_part(long n) {
    children = n;
    return ag_run(bound_to_nothing, NULL);
}

/* ---- The picture and the table ----------------------------------------------------------------
 */

static int shows_tree(void *arg) {
    (void)arg;
    gate = ag_make(int, 0);
    may_return = ag_make(int, 0);
    takes = 100 * AG_MS;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_job *j = ag_async(has_a_child), *lazy = ag_async_lazy(has_a_child);
    ag_scope_go(&s, works);
    ag_send(may_return, 1);
    while (ag_job_state(j) == AG_JOB_ACTIVE || atomic_load(&made) == 0)
        ag_sleep(AG_MS);
    ag_scope_dump(stdout);
    ag_close(gate);
    ag_unref(j);
    ag_unref(lazy);
    return ag_scope_end(&s);
}

static struct lab_cell state(const struct lab_values *v, const char *when) {
    struct lab_cell cell = lab_scaled(v, when, 1, "%.0f");
    if (!isnan(lab_get(v, when)))
        snprintf(cell.text, sizeof cell.text, "%s", ag_job_state_name((int)lab_get(v, when)));
    return cell;
}

static struct lab_cell count(const struct lab_values *v, const char *what, long n,
                             const char *words) {
    struct lab_cell cell = lab_scaled(v, what, 1, "%.0f");
    if (!isnan(lab_get(v, what)))
        snprintf(cell.text, sizeof cell.text, "%.0f of %ld %s", lab_get(v, what), n, words);
    return cell;
}

static int table(void) {
    const long n = lab_much(100, 1000, 10000);
    struct lab_values c = lab_self("completed", 0), x = lab_self("cancelled", 0);
    struct lab_values tree = lab_self("tree", n), fast = lab_self("fail-fast", n);
    struct lab_values supervisor = lab_self("supervisor", n), control = lab_self("control", n);

    printf("A supervisor with a job that waits for its child, one that was not started, and a "
           "goroutine\n\n");
    fflush(stdout);
    if (ag_run(shows_tree, NULL) != 0)
        return 1;
    lab_begin("The life of a job, and of those below it", "", "article: Kotlin", "aglet here");
    lab_row("made, not started", "New", state(&c, "made").text);
    lab_row("started", "Active", state(&c, "started").text);
    lab_row("has returned, its child runs", "", state(&c, "returned").text);
    lab_row("its child is gone", "Completed", state(&c, "ended").text);
    lab_row("cancelled, its child runs", "", state(&x, "told").text);
    lab_row("the same, its child is gone", "Cancelled", state(&x, "ended").text);
    lab_row("a parent is cancelled", "children, too",
            count(&tree, "cancelled", n, "cancelled").text);
    lab_row("clean-up of those", "finally runs", count(&tree, "cleaned", n, "ran").text);
    lab_row("jobs left", "counted", count(&tree, "jobs_left", n + 1, "made").text);
    lab_row("one fails", "cancels the others", count(&fast, "cancelled", n, "cancelled").text);
    lab_row("one fails, supervisor", "the others go on",
            count(&supervisor, "went_on", n, "went on").text);
    lab_row("left when the scope has ended", "none",
            count(&fast, "goroutines_left", n, "goroutines").text);
    lab_row("left, bound to no scope (the control)", "they leak",
            count(&control, "goroutines_left", n, "goroutines").text);
    lab_end("What belongs to a scope is gone when the scope is; what belongs to nobody stays.");
    return isnan(lab_get(&c, "ended")) || isnan(lab_get(&tree, "cancelled"));
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"completed", completed_part},
                                            {"cancelled", cancelled_part},
                                            {"tree", tree_part},
                                            {"fail-fast", fail_fast_part},
                                            {"supervisor", supervisor_part},
                                            {"control", control_part},
                                            {NULL, NULL}};
    static const struct lab lab = {"lifecycle", "a job's six states live, and the tree of jobs",
                                   parts, table};
    return lab_main(argc, argv, &lab);
}
