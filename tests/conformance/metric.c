/* SPDX-License-Identifier: MIT */
/* aglet/metric.h: what is counted is counted once, whoever counts, and read as it was counted. */
#include "metric_text.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

static AG_COUNTER(hits, "test_hits_total", "Hits.");
static AG_GAUGE(depth, "test_depth", "How deep it is.");
static AG_HISTOGRAM(sizes, "test_size_bytes", "Sizes.", AG_BUCKETS(-1, 0, 1, 2.5));
static AG_HISTOGRAM(doubling, "test_doubling_bytes", "Doubling.", AG_BUCKETS_EXP(1, 2, 4));
static AG_HISTOGRAM(steps, "test_steps_bytes", "Even steps.", AG_BUCKETS_LINEAR(0, 10, 3));
static AG_COUNTER_VEC(few, "test_few_total", "At most 3.", 3, "method", "code");
static AG_GAUGE_VEC(rooms, "test_rooms", "By floor.", 8, "floor");
static AG_HISTOGRAM_VEC(waits, "test_wait_seconds", "By kind.", AG_BUCKETS(0.1, 1), 8, "kind");
AG_COUNTER(shared_by_files, "test_shared_total", "Visible to other files.");

static double seven(void) {
    return 7;
}
AG_GAUGE_FN(seven, "test_seven", "Always 7.");
AG_COUNTER_FN(seven, "test_sevens_total", "Always 7, too.");

/* ---- Counting ------------------------------------------------------------------------------ */

AG_TEST(everything_is_0_before_it_is_used) {
    char *text = metrics(AG_METRICS_PROMETHEUS);
    ag_check_str(value_of(text, "test_hits_total"), "0");
    ag_check_str(value_of(text, "test_depth"), "0");
    ag_check_str(value_of(text, "test_size_bytes_bucket{le=\"+Inf\"}"), "0");
    ag_check_str(value_of(text, "test_size_bytes_count"), "0");
    ag_check_str(value_of(text, "test_size_bytes_sum"), "0");
    ag_check_str(value_of(text, "test_shared_total"), "0");
    ag_check_contains(text, "# TYPE test_few_total counter\n");
    ag_check(!strstr(text, "test_few_total{"));
    free(text);
}

AG_TEST(a_counter_counts_outside_a_runtime) {
    ag_counter_add(&hits, 0);
    ag_counter_add(&hits, 1);
    ag_counter_add(&hits, 41);
    ag_check_int(ag_counter_value(&hits), 42);
}

enum { GOROUTINES = 50, ROUNDS = 20000 };

static int rounds(void) {
    return ROUNDS / ag_test_slow();
}

static void count(ag_wg *wg, bool yields) {
    for (int i = 0; i < rounds(); i++) {
        ag_counter_add(&hits, 1);
        ag_gauge_add(&depth, i % 2 ? 3 : -2);
        ag_histogram_observe(&sizes, i % 4);
        if (yields && i % 16 == 0)
            ag_yield();
    }
    ag_wg_done(wg);
}

static void *count_on_thread(void *wg) {
    count(wg, false);
    return NULL;
}

static void count_in_call(ag_wg *wg) {
    ag_blocking(count, wg, false);
}

/* Goroutines that yield, goroutines that burn so long that their processor is taken, calls without
 * a processor, and threads of the program, all at the same time. */
AG_TEST_RUN(nothing_is_lost_and_nothing_counted_twice) {
    ag_wg wg = AG_WG_INIT;
    pthread_t threads[4];
    ag_wg_add(&wg, 3 * GOROUTINES + 4);
    for (int i = 0; i < 4; i++)
        ag_check_int(pthread_create(&threads[i], NULL, count_on_thread, &wg), 0);
    for (int i = 0; i < GOROUTINES; i++) {
        ag_go(count, &wg, true);
        ag_go(count, &wg, false);
        ag_go(count_in_call, &wg);
    }
    ag_wg_wait(&wg);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    int64_t n = (3 * GOROUTINES + 4) * (int64_t)rounds();
    ag_check_int(ag_counter_value(&hits), n);
    ag_check(ag_gauge_value(&depth) == (double)(n / 2));
    ag_check_int(ag_histogram_count(&sizes), n);
    ag_check(ag_histogram_sum(&sizes) == (double)(n / 4 * 6));
    char *text = metrics(AG_METRICS_PROMETHEUS);
    char want[32];
    snprintf(want, sizeof want, "%lld", (long long)(n / 4));
    ag_check_str(value_of(text, "test_size_bytes_bucket{le=\"0\"}"), want);
    free(text);
}

static atomic_bool burnt;

/* Keeps its thread for so long that the processor is taken, then comes back for one. */
static void burn(int64_t *ret_counted) {
    while (!atomic_load(&burnt)) {
        ag_time until = ag_now() + 30 * AG_MS;
        while (ag_now() < until)
            for (int i = 0; i < 1000; i++, ++*ret_counted)
                ag_counter_add(&hits, 1);
        ag_yield();
    }
}

AG_TEST_RUN(a_processor_that_is_handed_on_while_its_goroutine_counts) {
    enum { MOST = 10 };
    int64_t counted[MOST] = {0}, all = 0;
    int n = ag_procs(0) + 2 < MOST ? ag_procs(0) + 2 : MOST;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < n; i++)
        ag_wg_go(&wg, burn, &counted[i]);
    ag_stats stats;
    do {
        ag_sleep(AG_MS);
        ag_counter_add(&hits, 1);
        all++;
        ag_stats_read(&stats);
    } while (stats.handed_on < 4);
    atomic_store(&burnt, true);
    ag_wg_wait(&wg);
    for (int i = 0; i < n; i++)
        all += counted[i];
    ag_check_int(ag_counter_value(&hits), all);
}

static void on_signal(int sig) {
    (void)sig;
    ag_counter_add(&hits, 1);
    ag_gauge_add(&depth, 1);
}

/* A signal handler breaks into the counting, and into all else the runtime does. */
AG_TEST_RUN(signal_handlers_count) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    ag_lock_thread();
    int64_t n = 0;
    for (int i = 0; i < 20000 / ag_test_slow(); i++) {
        if (i % 8 == 0) {
            pthread_kill(pthread_self(), SIGUSR1);
            n++;
        }
        ag_counter_add(&hits, 1);
        n++;
    }
    ag_check_int(ag_counter_value(&hits), n);
    ag_unlock_thread();
}

static int count_once(void *arg) {
    (void)arg;
    ag_counter_add(&hits, 1);
    return 0;
}

AG_TEST(counts_outlive_the_runtime) {
    for (int i = 0; i < 3; i++)
        ag_check_int(ag_run(count_once, NULL), 0);
    ag_check_int(ag_counter_value(&hits), 3);
}

AG_TEST_DEATH(a_counter_does_not_decrease, 2, "counter cannot decrease in value") {
    ag_counter_add(&hits, -1);
}

/* ---- Gauges -------------------------------------------------------------------------------- */

static void in_flight(void) {
    ag_gauge_add(&depth, 1);
    ag_defer(ag_gauge_add, &depth, -1);
    ag_check(ag_gauge_value(&depth) == 1);
}

AG_TEST_RUN(a_gauge_is_what_it_was_set_to_and_what_came_since) {
    in_flight();
    ag_check(ag_gauge_value(&depth) == 0);
    ag_gauge_set(&depth, 0.1);
    ag_check(ag_gauge_value(&depth) == 0.1);
    ag_gauge_add(&depth, 2);
    ag_check(ag_gauge_value(&depth) == 2.1);
    ag_gauge_set(&depth, -INFINITY);
    ag_check(ag_gauge_value(&depth) == -INFINITY);
    ag_gauge_set(&depth, 0);
    ag_check(ag_gauge_value(&depth) == 0);
}

static void swing(ag_wg *wg) {
    for (int i = 0; i < rounds(); i++)
        ag_gauge_add(&depth, i % 2 ? -1 : 1);
    ag_wg_done(wg);
}

AG_TEST_RUN(a_gauge_that_is_set_while_others_add) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        ag_go(swing, &wg);
    for (int i = 0; i < 100; i++) {
        ag_gauge_set(&depth, 1000);
        ag_check(fabs(ag_gauge_value(&depth) - 1000) <= 8);
        ag_yield();
    }
    ag_wg_wait(&wg);
    ag_check(fabs(ag_gauge_value(&depth) - 1000) <= 4);
}

/* ---- Histograms ---------------------------------------------------------------------------- */

AG_TEST(a_value_is_in_the_first_bucket_that_is_not_less) {
    const double values[] = {-1, -0.5, 0, 1, 1.0000001, 2.5, 2.6, 1e300};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        ag_histogram_observe(&sizes, values[i]);
    char *text = metrics(AG_METRICS_PROMETHEUS);
    ag_check_contains(text, "# HELP test_size_bytes Sizes.\n"
                            "# TYPE test_size_bytes histogram\n"
                            "test_size_bytes_bucket{le=\"-1\"} 1\n"
                            "test_size_bytes_bucket{le=\"0\"} 3\n"
                            "test_size_bytes_bucket{le=\"1\"} 4\n"
                            "test_size_bytes_bucket{le=\"2.5\"} 6\n"
                            "test_size_bytes_bucket{le=\"+Inf\"} 8\n"
                            "test_size_bytes_sum 1e+300\n"
                            "test_size_bytes_count 8\n");
    free(text);
}

AG_TEST(what_is_no_number_is_above_all_buckets) {
    ag_histogram_observe(&sizes, NAN);
    ag_histogram_observe(&sizes, INFINITY);
    ag_histogram_observe(&sizes, -INFINITY);
    char *text = metrics(AG_METRICS_PROMETHEUS);
    ag_check_str(value_of(text, "test_size_bytes_bucket{le=\"-1\"}"), "1");
    ag_check_str(value_of(text, "test_size_bytes_bucket{le=\"2.5\"}"), "1");
    ag_check_str(value_of(text, "test_size_bytes_count"), "3");
    ag_check_str(value_of(text, "test_size_bytes_sum"), "NaN");
    free(text);
}

AG_TEST(buckets_by_rule) {
    char *text = metrics(AG_METRICS_PROMETHEUS);
    ag_check_contains(text, "test_doubling_bytes_bucket{le=\"1\"} 0\n"
                            "test_doubling_bytes_bucket{le=\"2\"} 0\n"
                            "test_doubling_bytes_bucket{le=\"4\"} 0\n"
                            "test_doubling_bytes_bucket{le=\"8\"} 0\n"
                            "test_doubling_bytes_bucket{le=\"+Inf\"} 0\n");
    ag_check_contains(text, "test_steps_bytes_bucket{le=\"0\"} 0\n"
                            "test_steps_bytes_bucket{le=\"10\"} 0\n"
                            "test_steps_bytes_bucket{le=\"20\"} 0\n"
                            "test_steps_bytes_bucket{le=\"+Inf\"} 0\n");
    free(text);
}

static void takes_time(ag_histogram *h) {
    ag_defer(ag_histogram_since, h, ag_now());
    ag_sleep(2 * AG_MS);
}

AG_TEST_RUN(time_since_a_point_is_in_seconds) {
    ag_histogram *h = ag_histogram_with(&waits, "sleep");
    takes_time(h);
    ag_check_int(ag_histogram_count(h), 1);
    ag_check(ag_histogram_sum(h) >= 0.002 && ag_histogram_sum(h) < 60);
}

/* ---- Vectors ------------------------------------------------------------------------------- */

AG_TEST(one_child_for_each_combination) {
    ag_counter *a = ag_counter_with(&few, "GET", "200");
    ag_check(ag_counter_with(&few, "GET", "404") != a);
    ag_check(ag_counter_with(&few, "GET2", "00") != a);
    char method[] = "GET", code[] = "200";
    ag_check_ptr(ag_counter_with(&few, method, code), a);
    ag_counter_add(a, 5);
    ag_gauge_set(ag_gauge_with(&rooms, NULL), 3);
    ag_check(ag_gauge_value(ag_gauge_with(&rooms, "")) == 3);
    char *text = metrics(AG_METRICS_PROMETHEUS);
    ag_check_str(value_of(text, "test_few_total{method=\"GET\",code=\"200\"}"), "5");
    ag_check_str(value_of(text, "test_few_total{method=\"GET\",code=\"404\"}"), "0");
    ag_check_str(value_of(text, "test_rooms{floor=\"\"}"), "3");
    free(text);
}

AG_TEST(a_full_vector_counts_in_its_overflow_child) {
    char code[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(code, sizeof code, "%d", i);
        ag_counter_add(ag_counter_with(&few, "GET", code), 1);
    }
    ag_check_ptr(ag_counter_with(&few, "x", "y"), ag_counter_with(&few, "overflow", "overflow"));
    char *text = metrics(AG_METRICS_PROMETHEUS);
    ag_check_contains(text, "test_few_total{method=\"GET\",code=\"0\"} 1\n"
                            "test_few_total{method=\"GET\",code=\"1\"} 1\n"
                            "test_few_total{method=\"GET\",code=\"2\"} 1\n"
                            "test_few_total{method=\"overflow\",code=\"overflow\"} 997\n");
    free(text);
}

AG_TEST(values_are_cut_at_255_bytes) {
    char longer[400], want[400];
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = 0;
    ag_gauge *g = ag_gauge_with(&rooms, longer);
    longer[300] = 'b';
    ag_check_ptr(ag_gauge_with(&rooms, longer), g);
    longer[254] = 'b';
    ag_check(ag_gauge_with(&rooms, longer) != g);
    memset(longer, 'a', 255);
    snprintf(want, sizeof want, "test_rooms{floor=\"%.255s\"}", longer);
    char *text = metrics(AG_METRICS_PROMETHEUS);
    ag_check_str(value_of(text, want), "0");
    free(text);
}

static void race(ag_wg *wg, ag_counter *_Atomic *found) {
    for (int i = 0; i < 3; i++) {
        char code[] = {(char)('0' + i), 0};
        ag_counter *none = NULL, *c = ag_counter_with(&few, "race", code);
        ag_counter_add(c, 1);
        ag_check(atomic_compare_exchange_strong(&found[i], &none, c) || none == c);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(many_find_the_same_new_child) {
    ag_counter *_Atomic found[3] = {NULL};
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 100);
    for (int i = 0; i < 100; i++)
        ag_go(race, &wg, found);
    ag_wg_wait(&wg);
    for (int i = 0; i < 3; i++)
        ag_check_int(ag_counter_value(found[i]), 100);
}

AG_TEST_DEATH(too_few_values_for_the_labels, 2, "inconsistent label cardinality") {
    ag_counter_with(&few, "GET");
}

/* ---- Text ---------------------------------------------------------------------------------- */

AG_TEST(text_of_the_program_is_escaped) {
    ag_gauge_set(ag_gauge_with(&rooms, "a\\b\"c\nd"), 1);
    ag_gauge_set(ag_gauge_with(&rooms, "\xc3\xa4|\xe2\x82\xac|\xf0\x9f\x98\x80"), 2);
    ag_gauge_set(ag_gauge_with(&rooms, "\xff|\xc0\xaf|\xed\xa0\x80|\xe2\x82"), 3);
    char *text = metrics(AG_METRICS_PROMETHEUS);
    ag_check_str(value_of(text, "test_rooms{floor=\"a\\\\b\\\"c\\nd\"}"), "1");
    ag_check_str(value_of(text, "test_rooms{floor=\"\xc3\xa4|\xe2\x82\xac|\xf0\x9f\x98\x80\"}"),
                 "2");
#define BAD "\xef\xbf\xbd"
    ag_check_str(
        value_of(text, "test_rooms{floor=\"" BAD "|" BAD BAD "|" BAD BAD BAD "|" BAD BAD "\"}"),
        "3");
    free(text);
}

AG_TEST(numbers_are_the_shortest_that_read_back) {
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.1, "0.1"},
                 {1e21, "1e+21"},
                 {-0.25, "-0.25"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1.0 / 3, "0.3333333333333333"},
                 {INFINITY, "+Inf"},
                 {-INFINITY, "-Inf"},
                 {NAN, "NaN"},
                 {123456789, "123456789"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ag_gauge_set(&depth, cases[i].value);
        char *text = metrics(AG_METRICS_PROMETHEUS);
        ag_check_str(value_of(text, "test_depth"), cases[i].text);
        free(text);
    }
}

AG_TEST(functions_are_asked) {
    char *text = metrics(AG_METRICS_PROMETHEUS);
    ag_check_contains(text, "# TYPE test_seven gauge\ntest_seven 7\n");
    ag_check_contains(text, "# TYPE test_sevens_total counter\ntest_sevens_total 7\n");
    free(text);
}

AG_TEST(openmetrics_has_its_own_names_and_an_end) {
    ag_counter_add(&hits, 3);
    char *text = metrics(AG_METRICS_OPEN);
    ag_check_contains(text,
                      "# HELP test_hits Hits.\n# TYPE test_hits counter\ntest_hits_total 3\n");
    ag_check_contains(text, "test_size_bytes_bucket{le=\"1.0\"} 0\n"
                            "test_size_bytes_bucket{le=\"2.5\"} 0\n"
                            "test_size_bytes_bucket{le=\"+Inf\"} 0\n");
    ag_check_str(text + strlen(text) - strlen("# EOF\n"), "# EOF\n");
    free(text);
}

AG_TEST(the_format_is_what_the_client_likes_best) {
    static const struct {
        const char *accept;
        int format;
    } cases[] = {
        {NULL, AG_METRICS_PROMETHEUS},
        {"", AG_METRICS_PROMETHEUS},
        {"*/*", AG_METRICS_PROMETHEUS},
        {"text/html, */*;q=0.8", AG_METRICS_PROMETHEUS},
        {"application/openmetrics-text", AG_METRICS_OPEN},
        {"Application/OpenMetrics-Text ; Version=\"1.0.0\"", AG_METRICS_OPEN},
        {"application/openmetrics-textual", AG_METRICS_PROMETHEUS},
        {"application/openmetrics-text;q=0", AG_METRICS_PROMETHEUS},
        {"application/openmetrics-text;q=0.000,text/plain;q=0.001", AG_METRICS_PROMETHEUS},
        {"application/openmetrics-text;version=0.0.1", AG_METRICS_PROMETHEUS},
        {"application/openmetrics-text;version=0.0.1;q=0.75, application/openmetrics-text;q=0.1",
         AG_METRICS_OPEN},
        {"text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.45",
         AG_METRICS_PROMETHEUS},
        {"text/plain;q=0.5 , application/openmetrics-text; q=0.5", AG_METRICS_OPEN},
        {"text/plain, application/openmetrics-text;q=0.999", AG_METRICS_PROMETHEUS},
        {",;,;q,application/openmetrics-text;q=", AG_METRICS_PROMETHEUS},
        /* What Prometheus 2.42 sends, and 2.50. */
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
         "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         AG_METRICS_OPEN},
        {"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;"
         "version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         AG_METRICS_OPEN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (ag_metrics_format(cases[i].accept) != cases[i].format)
            ag_fail("\"%s\" is not format %d", cases[i].accept, cases[i].format);
}

static void request(const char *id, double took) {
    ag_with(&ag_request_id, id);
    ag_counter_add(&hits, 1);
    ag_histogram_observe(ag_histogram_with(&waits, "io"), took);
}

AG_TEST_RUN(exemplars_name_the_request) {
    request("r-1", 0.05);
    request("r-2", 0.5);
    ag_histogram_observe(ag_histogram_with(&waits, "io"), 7); /* of no request */
    char *text = metrics(AG_METRICS_OPEN);
    ag_check_contains(text, "test_hits_total 2 # {request_id=\"r-1\"} 1 ");
    ag_check_contains(text, "test_wait_seconds_bucket{kind=\"io\",le=\"0.1\"} 1 "
                            "# {request_id=\"r-1\"} 0.05 ");
    ag_check_contains(text, "test_wait_seconds_bucket{kind=\"io\",le=\"1.0\"} 2 "
                            "# {request_id=\"r-2\"} 0.5 ");
    ag_check_contains(text, "test_wait_seconds_bucket{kind=\"io\",le=\"+Inf\"} 3\n");
    free(text);
    text = metrics(AG_METRICS_PROMETHEUS);
    ag_check(!strstr(text, "# {"));
    free(text);
}

AG_TEST(a_format_that_there_is_not) {
    ag_check_int(ag_metrics_write(stderr, 2), -EINVAL);
}

AG_TEST(a_file_that_fails) {
    FILE *out = fopen("/dev/full", "w");
    ag_check_int(ag_metrics_write(out, AG_METRICS_PROMETHEUS), -EIO);
    fclose(out);
}

/* ---- The client ---------------------------------------------------------------------------- */

AG_TEST_RUN(promtool_accepts_the_text) {
    if (system("command -v promtool >/dev/null") != 0)
        ag_test_skip("promtool is missing: apt-get install prometheus");
    request("r-1", 0.05);
    for (int i = 0; i < 10; i++) {
        char code[] = {(char)('0' + i), '"', '\\', '\n', (char)0xff, 0};
        ag_counter_add(ag_counter_with(&few, "GET", code), i);
    }
    ag_gauge_set(&depth, 0.1);
    FILE *tool = popen("promtool check metrics", "w");
    ag_check(tool != NULL);
    ag_check_int(ag_metrics_write(tool, AG_METRICS_PROMETHEUS), 0);
    ag_check_int(pclose(tool), 0);
}

/* ---- The registry -------------------------------------------------------------------------- */

AG_TEST(metrics_are_written_by_name) {
    char *text = metrics(AG_METRICS_PROMETHEUS), last[128] = "";
    for (char *p = text; (p = strstr(p, "# TYPE ")) != NULL;) {
        char name[128];
        ag_check_int(sscanf(p += strlen("# TYPE "), "%127s", name), 1);
        if (strncmp(name, "test_", 5) == 0) {
            ag_check(strcmp(last, name) < 0);
            snprintf(last, sizeof last, "%s", name);
        }
    }
    free(text);
}

/* What a library's loading and unloading does. */
AG_TEST(a_metric_that_goes_and_comes_back_has_its_counts) {
    static ag_counter there;
    static const struct ag__metric def = {
        .one = &there.ag__cells, .name = "test_plugin_total", .help = "Comes and goes."};
    for (int i = 1; i <= 3; i++) {
        ag__metric_add(&def);
        ag_counter_add(&there, 1);
        char *text = metrics(AG_METRICS_PROMETHEUS);
        char want[16];
        snprintf(want, sizeof want, "%d", i);
        ag_check_str(value_of(text, "test_plugin_total"), want);
        free(text);
        ag__metric_remove(&def);
        text = metrics(AG_METRICS_PROMETHEUS);
        ag_check(!strstr(text, "test_plugin_total"));
        free(text);
    }
}

static void add_named(const char *name, int type, const char *label) {
    static ag_counter c;
    static ag_counter_vec vec;
    struct ag__metric def = {.one = label ? NULL : &c.ag__cells,
                             .family = label ? &vec.ag__family : NULL,
                             .name = name,
                             .help = "",
                             .type = type,
                             .child_max = 1,
                             .labels = {label},
                             .bounds = {.at = {1, INFINITY}}};
    ag__metric_add(&def);
}

AG_TEST_DEATH(a_name_twice, 2, "metric test_hits_total: defined twice") {
    add_named("test_hits_total", 0, NULL);
}
AG_TEST_DEATH(a_name_with_a_dash, 2, "metric test-x_total: no valid name") {
    add_named("test-x_total", 0, NULL);
}
AG_TEST_DEATH(a_name_that_begins_with_a_digit, 2, "no valid name") {
    add_named("1_total", 0, NULL);
}
AG_TEST_DEATH(a_counter_that_does_not_end_in_total, 2, "end in _total") {
    add_named("test_x", 0, NULL);
}
AG_TEST_DEATH(a_gauge_that_ends_in_total, 2, "end in _total") {
    add_named("test_x_total", 1, NULL);
}
AG_TEST_DEATH(a_name_of_the_library, 2, "such names are the library's") {
    add_named("aglet_x_total", 0, NULL);
}
AG_TEST_DEATH(a_label_that_is_none, 2, "metric test_x_total: no valid label") {
    add_named("test_x_total", 0, "a-b");
}
AG_TEST_DEATH(the_label_of_buckets, 2, "metric test_x_bytes: no valid label") {
    add_named("test_x_bytes", 2, "le");
}
AG_TEST_DEATH(bounds_that_do_not_rise, 2, "the bounds of buckets must rise") {
    static ag_histogram h;
    struct ag__metric def = {
        .one = &h.ag__cells, .name = "test_x_bytes", .type = 2, .bounds = {.at = {1, 1, INFINITY}}};
    ag__metric_add(&def);
}
AG_TEST_DEATH(too_many_buckets, 2, "1 to 60 buckets") {
    static ag_histogram h;
    struct ag__metric def = {
        .one = &h.ag__cells, .name = "test_x_bytes", .type = 2, .bounds = {1, 61, 1, 2, {0}}};
    ag__metric_add(&def);
}
