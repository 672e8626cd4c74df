/* SPDX-License-Identifier: MIT */
/*
 * prof_write.c - a profile in the format of pprof: a protobuf message of the schema profile.proto,
 * as a gzip file. https://github.com/google/pprof/blob/main/proto/profile.proto has the fields.
 *
 * The samples are put first; on the way each address gets a location, each location a function and
 * a mapping. Then these follow, and at last the strings, which everything before has named. Nobody
 * cares for the order of fields.
 *
 * An address is that of the instruction: of a return address, the byte before. Frames of the
 * runtime that would be in everybody's way are left out where the kind says so, unless nothing else
 * is there.
 */
#include "debug/prof_table.h"
#include "os/unwind.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of fields in profile.proto. */
enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE,
    PROFILE_MAPPING,
    PROFILE_LOCATION,
    PROFILE_FUNCTION,
    PROFILE_STRINGS,
    PROFILE_TIME = 9,
    PROFILE_DURATION,
    PROFILE_PERIOD_TYPE,
    PROFILE_PERIOD,
    PROFILE_COMMENT,
    PROFILE_SHOWN,
};
enum { TYPE_TYPE = 1, TYPE_UNIT };
enum { SAMPLE_LOCATIONS = 1, SAMPLE_VALUES, SAMPLE_LABEL };
enum { LABEL_KEY = 1, LABEL_TEXT };
enum {
    MAP_ID = 1,
    MAP_LO,
    MAP_HI,
    MAP_OFFSET,
    MAP_FILE,
    MAP_BUILD,
    MAP_NAMES,
    MAP_FILES,
    MAP_LINES
};
enum { LOCATION_ID = 1, LOCATION_MAPPING, LOCATION_ADDRESS, LOCATION_LINE };
enum { LINE_FUNCTION = 1, LINE_LINE };
enum { FUNCTION_ID = 1, FUNCTION_NAME, FUNCTION_SYSTEM_NAME, FUNCTION_FILE };

typedef struct location {
    uint64_t key;
    uint32_t function, mapping;
    int line;
    bool is_runtime;
} location;
typedef struct function {
    uint32_t name, file;
} function;
typedef struct mapping {
    ag__mapping_info info;
    bool has_names, has_lines;
} mapping;

struct writer {
    ag__prof *p;
    ag__bytes out;
    location *locations;
    uint32_t location_count, location_room;
    ag__prof_map location_map;
    function *functions;
    uint32_t function_count, function_room;
    ag__prof_map function_map;
    mapping *mappings;
    uint32_t mapping_count, mapping_room;
};

/* --- Functions, mappings, locations: numbers from 0, in the file from 1. --- */

struct function_asked {
    const struct writer *w;
    function f;
};

static bool same_function(const void *arg, uint32_t number) {
    const struct function_asked *asked = arg;
    const function *f = &asked->w->functions[number];
    return f->name == asked->f.name && f->file == asked->f.file;
}

static uint32_t function_of(struct writer *w, const ag__prof_place *place) {
    struct function_asked asked = {
        w, {ag__prof_string(w->p, place->function), ag__prof_string(w->p, place->file)}};
    uint32_t number = ag__prof_map_get(&w->function_map, ag__prof_hash(0, &asked.f, sizeof asked.f),
                                       w->function_count, same_function, &asked, &w->p->failed);
    if (w->p->failed || number < w->function_count)
        return number;
    if (!ag__prof_grow((void **)&w->functions, number, &w->function_room, sizeof asked.f)) {
        w->p->failed = true;
        return 0;
    }
    w->functions[w->function_count++] = asked.f;
    return number;
}

/* The number of the mapping plus 1; 0: the address is in none. */
static uint32_t mapping_of(struct writer *w, uintptr_t at, const ag__prof_place *place) {
    mapping *m = NULL;
    for (uint32_t i = 0; i < w->mapping_count && !m; i++)
        if (at - w->mappings[i].info.lo < w->mappings[i].info.hi - w->mappings[i].info.lo)
            m = &w->mappings[i];
    if (!m) {
        ag__mapping_info info;
        if (ag__mapping(at, &info) != 0)
            return 0;
        if (!ag__prof_grow((void **)&w->mappings, w->mapping_count, &w->mapping_room, sizeof *m)) {
            w->p->failed = true;
            return 0;
        }
        m = &w->mappings[w->mapping_count++];
        *m = (mapping){.info = info};
    }
    m->has_names |= place->function != NULL;
    m->has_lines |= place->line > 0;
    return (uint32_t)(m - w->mappings) + 1;
}

struct location_asked {
    const struct writer *w;
    uint64_t key;
};

static bool same_location(const void *arg, uint32_t number) {
    const struct location_asked *asked = arg;
    return asked->w->locations[number].key == asked->key;
}

static location *location_of(struct writer *w, uint64_t key) {
    struct location_asked asked = {w, key};
    uint32_t number = ag__prof_map_get(&w->location_map, ag__prof_hash(0, &key, sizeof key),
                                       w->location_count, same_location, &asked, &w->p->failed);
    if (w->p->failed)
        return NULL;
    if (number < w->location_count)
        return &w->locations[number];
    if (!ag__prof_grow((void **)&w->locations, number, &w->location_room, sizeof *w->locations)) {
        w->p->failed = true;
        return NULL;
    }
    ag__prof_place place;
    ag__prof_place_of_key(key, &place);
    location l = {.key = key, .line = place.line, .is_runtime = place.is_runtime};
    if (place.function)
        l.function = function_of(w, &place) + 1;
    if (ag__prof_key_is_address(key))
        l.mapping = mapping_of(w, (uintptr_t)key, &place);
    w->locations[w->location_count++] = l;
    return &w->locations[number];
}

/* --- The message. --- */

static void put_type(struct writer *w, int field, const char *type, const char *unit) {
    size_t at = ag__bytes_begin(&w->out, field);
    ag__bytes_number(&w->out, TYPE_TYPE, ag__prof_string(w->p, type));
    ag__bytes_number(&w->out, TYPE_UNIT, ag__prof_string(w->p, unit));
    ag__bytes_end(&w->out, at);
}

/* Puts the locations of a stack; returns how many. */
static int put_stack(struct writer *w, const ag__prof_group *g, bool hides) {
    int n = 0, frames = ag__prof_frames(g);
    for (int i = 0; i < frames; i++) {
        location *l = location_of(w, ag__prof_key(w->p, g, i));
        if (!l || (hides && l->is_runtime))
            continue;
        ag__bytes_varint(&w->out, (uint64_t)(l - w->locations) + 1);
        n++;
    }
    return n;
}

static void put_label(struct writer *w, const char *key, uint32_t text) {
    if (!text)
        return;
    size_t at = ag__bytes_begin(&w->out, SAMPLE_LABEL);
    ag__bytes_number(&w->out, LABEL_KEY, ag__prof_string(w->p, key));
    ag__bytes_number(&w->out, LABEL_TEXT, text);
    ag__bytes_end(&w->out, at);
}

/* Those of the context, which may have the name of one of ours: then both are there. */
static void put_labels(struct writer *w, const char *labels) {
    for (const char *key = labels; *key;) {
        const char *value = key + strlen(key) + 1;
        put_label(w, key, ag__prof_string(w->p, value));
        key = value + strlen(value) + 1;
    }
}

static void put_sample(struct writer *w, const ag__prof_group *g) {
    char place[1100];
    size_t at = ag__bytes_begin(&w->out, PROFILE_SAMPLE);
    size_t part = ag__bytes_begin(&w->out, SAMPLE_LOCATIONS);
    if (put_stack(w, g, w->p->kind->hides_runtime) == 0)
        put_stack(w, g, false);
    ag__bytes_end(&w->out, part);
    part = ag__bytes_begin(&w->out, SAMPLE_VALUES);
    for (int i = 0; i < w->p->values; i++)
        ag__bytes_varint(&w->out, (uint64_t)g->values[i]);
    ag__bytes_end(&w->out, part);
    if (g->labels)
        put_labels(w, w->p->labels[g->labels - 1]);
    put_label(w, "name", g->name);
    put_label(w, "state", ag__prof_string(w->p, g->state));
    if (g->site && !g->is_site) {
        snprintf(place, sizeof place, "%s:%d", g->site->file, g->site->line);
        put_label(w, "created_at", ag__prof_string(w->p, place));
    }
    ag__bytes_end(&w->out, at);
}

static void put_mapping(struct writer *w, uint32_t i) {
    static const char digits[] = "0123456789abcdef";
    const mapping *m = &w->mappings[i];
    char id[2 * 64 + 1];
    size_t n = m->info.build_id_bytes < 64 ? m->info.build_id_bytes : 64;
    for (size_t k = 0; k < n; k++) {
        id[2 * k] = digits[m->info.build_id[k] >> 4];
        id[2 * k + 1] = digits[m->info.build_id[k] & 15];
    }
    id[2 * n] = 0;
    size_t at = ag__bytes_begin(&w->out, PROFILE_MAPPING);
    ag__bytes_number(&w->out, MAP_ID, i + 1);
    ag__bytes_number(&w->out, MAP_LO, m->info.lo);
    ag__bytes_number(&w->out, MAP_HI, m->info.hi);
    ag__bytes_number(&w->out, MAP_OFFSET, m->info.offset);
    ag__bytes_number(&w->out, MAP_FILE, ag__prof_string(w->p, m->info.path));
    ag__bytes_number(&w->out, MAP_BUILD, ag__prof_string(w->p, id));
    ag__bytes_number(&w->out, MAP_NAMES, m->has_names);
    ag__bytes_number(&w->out, MAP_FILES, m->has_lines);
    ag__bytes_number(&w->out, MAP_LINES, m->has_lines);
    ag__bytes_end(&w->out, at);
}

static void put_location(struct writer *w, uint32_t i) {
    const location *l = &w->locations[i];
    size_t at = ag__bytes_begin(&w->out, PROFILE_LOCATION);
    ag__bytes_number(&w->out, LOCATION_ID, i + 1);
    ag__bytes_number(&w->out, LOCATION_MAPPING, l->mapping);
    if (ag__prof_key_is_address(l->key))
        ag__bytes_number(&w->out, LOCATION_ADDRESS, l->key);
    if (l->function) {
        size_t line = ag__bytes_begin(&w->out, LOCATION_LINE);
        ag__bytes_number(&w->out, LINE_FUNCTION, l->function);
        ag__bytes_number(&w->out, LINE_LINE, (uint64_t)l->line);
        ag__bytes_end(&w->out, line);
    }
    ag__bytes_end(&w->out, at);
}

static void put_function(struct writer *w, uint32_t i) {
    size_t at = ag__bytes_begin(&w->out, PROFILE_FUNCTION);
    ag__bytes_number(&w->out, FUNCTION_ID, i + 1);
    ag__bytes_number(&w->out, FUNCTION_NAME, w->functions[i].name);
    ag__bytes_number(&w->out, FUNCTION_SYSTEM_NAME, w->functions[i].name);
    ag__bytes_number(&w->out, FUNCTION_FILE, w->functions[i].file);
    ag__bytes_end(&w->out, at);
}

/* The program's own mapping comes first: that is what pprof takes the profile to be of. */
static void note_program(struct writer *w) {
    ag__prof_place nothing = {.function = NULL};
    mapping_of(w, ag__program_pc(), &nothing);
}

static void put_profile(struct writer *w) {
    ag__prof *p = w->p;
    const ag__prof_kind *kind = p->kind;
    note_program(w);
    for (int i = 0; i < p->values; i++)
        put_type(w, PROFILE_SAMPLE_TYPE, kind->values[i].type, kind->values[i].unit);
    for (uint32_t i = 0; i < p->group_count; i++)
        if (ag__prof_is_there(p, &p->groups[i]))
            put_sample(w, &p->groups[i]);
    for (uint32_t i = 0; i < w->mapping_count; i++)
        put_mapping(w, i);
    for (uint32_t i = 0; i < w->location_count; i++)
        put_location(w, i);
    for (uint32_t i = 0; i < w->function_count; i++)
        put_function(w, i);
    ag__bytes_number(&w->out, PROFILE_TIME, (uint64_t)p->began_wall);
    ag__bytes_number(&w->out, PROFILE_DURATION, (uint64_t)p->duration);
    if (kind->period_type)
        put_type(w, PROFILE_PERIOD_TYPE, kind->period_type, kind->period_unit);
    ag__bytes_number(&w->out, PROFILE_PERIOD, (uint64_t)p->period);
    for (int i = 0; i < p->note_count; i++)
        ag__bytes_number(&w->out, PROFILE_COMMENT, p->notes[i]);
    ag__bytes_number(&w->out, PROFILE_SHOWN, ag__prof_string(p, kind->values[kind->shown].type));
    for (uint32_t i = 0; i < p->string_count; i++)
        ag__bytes_field(&w->out, PROFILE_STRINGS, p->strings[i], strlen(p->strings[i]));
}

int ag__prof_write(ag__prof *p, FILE *out) {
    struct writer w = {.p = p};
    put_profile(&w);
    int r = p->failed ? -ENOMEM : ag__bytes_gzip(&w.out, out);
    free(w.locations);
    free(w.location_map.slots);
    free(w.functions);
    free(w.function_map.slots);
    free(w.mappings);
    ag__bytes_free(&w.out);
    return r;
}
