/* SPDX-License-Identifier: MIT */
/*
 * What conformance/plugin.c opens with dlopen: the words of the language in a library of the
 * program's.
 */
#include <aglet.h>

void plugin_returns(void (*note)(int));
void plugin_panics(void (*note)(int));
void plugin_goes_out(void (*note)(int));
int plugin_tries(void (*note)(int));
int plugin_starts(ag_wg *wg, void (*note)(int));

void plugin_returns(void (*note)(int)) {
    ag_defer(note, 'a');
    for (int i = 0; i < 3; i++) {
        ag_defer(note, 'b' + i);
    }
}

void plugin_panics(void (*note)(int)) {
    ag_defer(note, 'a');
    ag_defer(note, 'b');
    ag_panic("in a library");
}

void plugin_goes_out(void (*note)(int)) {
    ag_defer(note, 'a');
    ag_goexit();
}

int plugin_tries(void (*note)(int)) {
    ag_panic_info info;
    ag_defer(note, 'c');
    return ag_try(&info, plugin_panics, note);
}

static void started(void (*note)(int)) {
    ag_defer(note, 'a');
    ag_yield();
}

int plugin_starts(ag_wg *wg, void (*note)(int)) {
    return ag_wg_go(wg, started, note) > 0;
}
