/* SPDX-License-Identifier: MIT */
/*
 * trace_keep.c - files of what ran before a finding of the detector, a stall, or what the program
 * itself finds remarkable.
 *
 * AGLET_RECORD_DIR names the folder. The files are aglet-1.trace … aglet-16.trace; the first name
 * that is free is taken, so a folder never has more, whoever writes there and how often: who has
 * looked at one deletes it. Each is as large as the recorder's rings. The file is complete before
 * the finding is told, which names it.
 */
#include "debug/trace.h"
#include "lang/report.h"
#include <errno.h>
#include <stdarg.h>
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

/* Returns: 0 and the path of a whole file, -ENOENT where none is asked for, -ENOSPC when all names
 * are taken or the folder can't be written to, an error of ag_trace_snapshot. */
static int keep(char ret_path[PATH]) {
    const char *folder = getenv("AGLET_RECORD_DIR");
    if (!folder || !*folder)
        return -ENOENT;
    FILE *out = create(folder, ret_path);
    if (!out)
        return -ENOSPC;
    int r = ag_trace_snapshot(out);
    if (fclose(out) != 0 && r == 0)
        r = -EIO;
    if (r != 0)
        remove(ret_path);
    return r;
}

void ag__trace_keep(ag__report *r) {
    char path[PATH];
    if (keep(path) == 0)
        ag__report_detail(r, "    what ran before: go tool trace %s\n", path);
}

static ag__who who_asks(void) {
    ag__m *m = ag__enter();
    ag__who who = ag__who_of(m->g);
    ag__leave(m);
    return who;
}

int ag_trace_keep(const char *fmt, ...) {
    char path[PATH];
    int r = keep(path);
    ag__report *report = r == 0 ? ag__report_new("kept") : NULL;
    if (!report)
        return r;
    va_list args;
    va_start(args, fmt);
    vsnprintf(report->text, sizeof report->text, fmt, args);
    va_end(args);
    ag__report_goroutine(report, who_asks());
    ag__report_detail(report, "    what ran before: go tool trace %s\n", path);
    ag__report_send(report);
    return 0;
}
