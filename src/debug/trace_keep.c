/* SPDX-License-Identifier: MIT */
/*
 * trace_keep.c - files of what ran before a finding of the detector or a stall.
 *
 * AGLET_RECORD_DIR names the folder. The files are aglet-1.trace … aglet-16.trace; the first name
 * that is free is taken, so a folder never has more, whoever writes there and how often: who has
 * looked at one deletes it. Each is as large as the recorder's rings. The file is complete before
 * the finding is told, which names it.
 */
#include "debug/trace.h"
#include "lang/report.h"
#include <stdlib.h>

enum { FILES = 16, PATH = 1024 };

/* Creates the first that is free. */
static FILE *create(const char *folder, char ret_path[PATH]) {
    for (int i = 1; i <= FILES; i++) {
        if (snprintf(ret_path, PATH, "%s/aglet-%d.trace", folder, i) >= PATH)
            return NULL;
        FILE *out = fopen(ret_path, "wxe");
        if (out)
            return out;
    }
    return NULL;
}

void ag__trace_keep(ag__report *r) {
    const char *folder = getenv("AGLET_RECORD_DIR");
    char path[PATH];
    FILE *out = folder && *folder ? create(folder, path) : NULL;
    if (!out)
        return;
    bool whole = ag_trace_snapshot(out) == 0;
    if (fclose(out) == 0 && whole)
        ag__report_detail(r, "    what ran before: go tool trace %s\n", path);
    else
        remove(path);
}
