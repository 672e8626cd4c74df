/* SPDX-License-Identifier: MIT */
/*
 * Code in a library that is opened with dlopen and closed again (plugin/deferring.c). Program and
 * library share the runtime, so this program is linked with libaglet.so.
 */
#include "notes.h"

#include <dlfcn.h>

/* It lies beside this program. */
static void *open_library(void) {
    static const char name[] = "deferring.so";
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof name);
    ag_check(n > 0);
    path[n] = 0;
    char *base = strrchr(path, '/') + 1;
    snprintf(base, sizeof name, "%s", name);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        ag_fail("%s", dlerror());
    return library;
}

static bool is_mapped(const char *name) {
    char line[4096];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && !found && fgets(line, sizeof line, maps))
        found = strstr(line, name) != NULL;
    if (maps)
        fclose(maps);
    return found;
}

static void close_library(void *library) {
    ag_check(is_mapped("deferring.so"));
    ag_check_int(dlclose(library), 0);
    ag_check(!is_mapped("deferring.so")); /* gone, not only counted down */
}

typedef void noting(void (*note)(int));

static noting *function(void *library, const char *name) {
    void *symbol = dlsym(library, name);
    ag_check(symbol != NULL);
    return (noting *)symbol;
}

static void use(void *library) {
    ag_panic_info info;
    function(library, "plugin_returns")(note);
    check_notes("bcda");
    noting *panics = function(library, "plugin_panics");
    ag_check_int(ag_try(&info, panics, note), AG_PANICKED);
    ag_check_str(info.msg, "in a library");
    ag_check_contains(info.file, "deferring.c");
    check_notes("ba");
    int (*tries)(void (*)(int)) = (int (*)(void (*)(int)))dlsym(library, "plugin_tries");
    ag_check_int(tries(note), AG_PANICKED);
    check_notes("bac");
}

AG_TEST_RUN(deferred_calls_of_a_library_run_and_it_can_be_closed) {
    for (int i = 0; i < 10; i++) {
        void *library = open_library();
        use(library);
        close_library(library);
    }
}

AG_TEST(deferred_calls_of_a_library_run_without_a_runtime) {
    void *library = open_library();
    use(library);
    close_library(library);
}

/* What the runtime remembers of goroutines is not in the library: a dump finds it when that is
 * closed. */
AG_TEST_RUN(goroutines_of_a_library_are_remembered_after_it_is_closed) {
    for (int i = 0; i < 3; i++) {
        void *library = open_library();
        ag_wg wg = AG_WG_INIT;
        int (*starts)(ag_wg *, void (*)(int)) =
            (int (*)(ag_wg *, void (*)(int)))dlsym(library, "plugin_starts");
        ag_check(starts(&wg, note));
        ag_wg_wait(&wg);
        ag_check(ag_go(function(library, "plugin_goes_out"), note) > 0);
        eventually(ag_count() == 1);
        check_notes("aa");
        close_library(library);
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        ag_dump(out);
        fclose(out);
        ag_check_contains(text, "plugin_starts");
        free(text);
    }
}

static int dies_in_a_library(void *arg) {
    function(open_library(), "plugin_panics")(note);
    (void)arg;
    return 0;
}
AG_TEST_DEATH(a_panic_in_a_library_names_its_functions, 2, "plugin_panics(") {
    ag_run(dies_in_a_library, NULL);
}
