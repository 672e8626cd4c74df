/* SPDX-License-Identifier: MIT */
/*
 * Profiles, as `go tool pprof` reads them: names, counts, lines, labels, the mapping; under load,
 * from everywhere, twice at once. Where Go is not installed these are skipped.
 */
#include "common.h"
#include "pprof.h"

enum { WAITS_AT = __LINE__ + 2 };
static KEPT void waits_here(ag_chan(int) c) {
    ag_recv(c, NULL);
    STAYS;
}
static KEPT void waits_there(ag_chan(int) c) {
    ag_send(c, 1);
    STAYS;
}
/* 40 wait here, 7 there. */
enum { MADE_AT = __LINE__ + 4 };
static KEPT void makes(ag_chan(int) c, ag_chan(int) d) {
    int64_t ids[47];
    for (int i = 0; i < 40; i++)
        ids[i] = ag_go(waits_here, c);
    for (int i = 0; i < 7; i++)
        ids[40 + i] = ag_go_with(&(ag_go_opts){.name = "sender"}, waits_there, d);
    for (int i = 0; i < 47; i++)
        until_waits(ids[i]);
}
static void ends(ag_chan(int) c, ag_chan(int) d) {
    ag_close(c);
    for (int i = 0; i < 7; i++)
        ag_recv(d, NULL);
    eventually(ag_count() == 1);
    ag_unref(c);
    ag_unref(d);
}
static int count_of(const char *path, const char *function) {
    char *text = pprof(path, "-top");
    int n = (int)pprof_flat(text, function);
    free(text);
    return n;
}

AG_TEST_RUN(goroutines_are_counted_by_where_they_stand) {
    needs_go();
    ag_chan(int) c = ag_make(int, 0), d = ag_make(int, 0);
    makes(c, d);
    char *path = profile_of("goroutine"), place[64], made[64];
    ag_check_int(count_of(path, "waits_here"), 40);
    ag_check_int(count_of(path, "waits_there"), 7);
    char *text = pprof(path, "-raw");
    ag_check_contains(text, "goroutine/count");
    snprintf(made, sizeof made, "profile.c:%d] state:[chan receive]", MADE_AT);
    ag_check_contains(text, made);
    ag_check_contains(text, "name:[sender] state:[chan send]");
    ag_check_contains(text, "conformance_profile");
    ag_check_contains(text, "[FN][FL][LN]");
    const char *where = strstr(text, "M=1 waits_here ");
    snprintf(place, sizeof place, "profile.c:%d:", WAITS_AT);
    ag_check(where && strstr(where, place) && strstr(where, place) < strchr(where, '\n'));
    free(text);
    text = pprof(path, "-tagfocus=name=sender -top");
    ag_check_int(pprof_flat(text, "waits_there"), 7);
    ag_check(strstr(text, "waits_here") == NULL);
    free(text);
    forget(path);
    ends(c, d);
}

static void waits_labelled(ag_chan(int) c, const char *customer) {
    ag_label("customer", customer);
    ag_label("shard", "");
    waits_here(c);
}

AG_TEST_RUN(the_labels_of_contexts_tell_samples_apart) {
    needs_go();
    ag_chan(int) c = ag_make(int, 0);
    for (int i = 0; i < 5; i++)
        until_waits(ag_go(waits_labelled, c, i < 3 ? "adams" : "b=c"));
    char *path = profile_of("goroutine"), *text = pprof(path, "-raw");
    ag_check_contains(text, "customer:[adams]");
    ag_check_contains(text, "customer:[b=c]");
    ag_check(strstr(text, "shard") == NULL); /* the format has no empty labels */
    free(text);
    text = pprof(path, "-tagfocus=customer=adams -top");
    ag_check_int(pprof_flat(text, "waits_here"), 3);
    free(text);
    forget(path);
    ag_close(c);
    eventually(ag_count() == 1);
    ag_unref(c);
}

AG_TEST_RUN(goroutines_are_counted_by_where_they_were_made) {
    needs_go();
    ag_chan(int) c = ag_make(int, 0), d = ag_make(int, 0);
    makes(c, d);
    char *path = profile_of("spawn");
    char *text = pprof(path, "-top");
    ag_check_int(pprof_flat(text, "waits_here"), 40);
    ag_check_int(pprof_flat(text, "waits_there"), 7);
    ag_check_int(pprof_cum(text, "makes"), 47);
    free(text);
    forget(path);
    ends(c, d);
}

AG_TEST_RUN(who_waits_is_weighed_by_how_long) {
    needs_go();
    ag_chan(int) c = ag_make(int, 0), d = ag_make(int, 0);
    int64_t first = ag_go(waits_here, c);
    until_waits(first);
    ag_sleep(300 * AG_MS);
    until_waits(ag_go(waits_there, d));
    char *path = profile_of("offcpu");
    char *text = pprof(path, "-top -unit=ms");
    ag_check_contains(text, "Type: wait");
    double longer = pprof_flat(text, "waits_here"), shorter = pprof_flat(text, "waits_there");
    if (longer < 290 || shorter >= longer)
        ag_fail("%s", text);
    ag_check(strstr(text, "who_waits_is_weighed") == NULL); /* main runs */
    free(text);
    text = pprof(path, "-top -sample_index=goroutine");
    ag_check_int(pprof_flat(text, "waits_here"), 1);
    free(text);
    forget(path);
    ag_close(c);
    ag_recv(d, NULL);
    eventually(ag_count() == 1);
    ag_unref(c);
    ag_unref(d);
}

AG_TEST_RUN(what_is_no_profile_is_said) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    ag_check_int(ag_profile_write("nothing", out), -ENOENT);
    ag_check_int(ag_profile_write("", out), -ENOENT);
    fclose(out);
    ag_check_int(size, 0);
    free(text);
    out = fopen("/dev/full", "w");
    ag_check_int(ag_profile_write("goroutine", out), -EIO);
    fclose(out);
}

AG_TEST(without_a_runtime_a_profile_is_empty) {
    needs_go();
    char *path = profile_of("goroutine");
    char *text = pprof(path, "-raw");
    ag_check_contains(text, "goroutine/count");
    ag_check_contains(text, "Samples:\ngoroutine/count[dflt]\nLocations\n");
    free(text);
    forget(path);
}

/* Every processor is kept by a goroutine that never calls the runtime. */
static _Atomic bool go_on;
static KEPT void keeps_a_processor(void) {
    while (atomic_load(&go_on)) {
    }
}
static void *writes_from_outside(void *unused) {
    (void)unused;
    return profile_of("goroutine");
}
AG_TEST_RUN(a_profile_is_written_while_every_processor_is_kept) {
    needs_go();
    int many = ag_procs(0) + 4;
    atomic_store(&go_on, true);
    for (int i = 0; i < many; i++)
        ag_go(keeps_a_processor);
    pthread_t thread;
    void *path;
    ag_check_int(pthread_create(&thread, NULL, writes_from_outside, NULL), 0);
    ag_check_int(pthread_join(thread, &path), 0);
    atomic_store(&go_on, false);
    ag_check_int(count_of(path, "keeps_a_processor"), many);
    forget(path);
    eventually(ag_count() == 1);
}

/* Goroutines come, wait, go on and end all the time, while profiles are written by several. */
static _Atomic int64_t rounds;
static void short_life(ag_wg *wg) {
    for (int i = 0; i < 3; i++)
        ag_yield();
    ag_wg_done(wg);
}
static void churns(ag_wg *all) {
    while (atomic_load(&go_on)) {
        ag_wg wg = AG_WG_INIT;
        for (int i = 0; i < 20; i++) {
            ag_wg_add(&wg, 1);
            ag_go_with(&(ag_go_opts){.name = "short"}, short_life, &wg);
        }
        ag_wg_wait(&wg);
        atomic_fetch_add(&rounds, 1);
    }
    ag_wg_done(all);
}
static void writes_often(ag_wg *all, int times) {
    static const char *const names[] = {"goroutine", "offcpu", "spawn", "goroutineleak"};
    for (int i = 0; i < times; i++) {
        char *path = profile_of(names[i % 4]);
        if (i == times - 1)
            free(pprof(path, "-top"));
        forget(path);
    }
    ag_wg_done(all);
}
AG_TEST_RUN(profiles_are_written_under_load_and_several_at_once) {
    needs_go();
    ag_wg load = AG_WG_INIT, writers = AG_WG_INIT;
    atomic_store(&go_on, true);
    ag_wg_add(&load, 3);
    for (int i = 0; i < 3; i++)
        ag_go(churns, &load);
    ag_wg_add(&writers, 3);
    for (int i = 0; i < 3; i++)
        ag_go(writes_often, &writers, 31 / ag_test_slow() + 3);
    ag_wg_wait(&writers);
    atomic_store(&go_on, false);
    ag_wg_wait(&load);
    ag_check(atomic_load(&rounds) > 0);
    eventually(ag_count() == 1);
}
