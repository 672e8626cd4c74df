/* SPDX-License-Identifier: MIT */
/*
 * prof.c - the profiles by name: a table, prof.def, of what gathers each. A profile of a span of
 * time is gathered twice, and what was there at its beginning counted negative.
 */
#include "debug/prof.h"
#include <aglet/profile.h>
#include <errno.h>
#include <string.h>

static const ag__prof_source sources[] = {
#define PROFILE(kind, gather, about) {&kind, gather, about},
#include "debug/prof.def"
#undef PROFILE
};

const ag__prof_source *ag__prof_sources(int *ret_count) {
    *ret_count = (int)(sizeof sources / sizeof *sources);
    return sources;
}

const ag__prof_source *ag__prof_find(const char *name) {
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (strcmp(sources[i].kind->name, name) == 0)
            return &sources[i];
    return NULL;
}

int ag_profile_write(const char *name, FILE *out) {
    const ag__prof_source *source = ag__prof_find(name);
    if (!source)
        return -ENOENT;
    ag__prof *p = ag__prof_new(source->kind);
    int r = p ? source->gather(p, 1) : -ENOMEM;
    if (r != 0) {
        ag__prof_free(p);
        return r;
    }
    r = ag__prof_end(p, false, out);
    return r == 0 && fflush(out) != 0 ? -EIO : r;
}
