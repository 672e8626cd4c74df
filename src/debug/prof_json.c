/* SPDX-License-Identifier: MIT */
/*
 * prof_json.c - a profile as the pages take it, `?format=json`: stacks of places, each place named
 * once, so that a browser needs to know neither protobuf nor symbols.
 *
 *     {"profile": "block", "values": [["contentions", "count"], ["delay", "nanoseconds"]],
 *      "shown": 1, "duration_ns": 0, "notes": [], "stacks": [
 *     [[3, 1200], [0, 4, 2], "chan receive"],            values, places from outside in, state
 *      ...],
 *      "places": [["main", "/src/a.c", 12, 0], ...]}     function, file, line, 1: the runtime's
 *
 * A function without a name is called as the file that it is in, in brackets.
 */
#include "debug/json.h"
#include "debug/prof_table.h"
#include "os/unwind.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct place {
    uint64_t key;
    uint32_t function, file;
    int line;
    bool is_runtime;
};

struct list {
    ag__prof *p;
    struct place *places;
    uint32_t count, room;
    ag__prof_map map;
};

struct asked {
    const struct list *list;
    uint64_t key;
};

static bool same_place(const void *arg, uint32_t number) {
    const struct asked *asked = arg;
    return asked->list->places[number].key == asked->key;
}

static uint32_t name_of(struct list *l, const ag__prof_place *place, uint64_t key) {
    ag__mapping_info info;
    if (place->function)
        return ag__prof_string(l->p, place->function);
    if (!ag__prof_key_is_address(key) || ag__mapping((uintptr_t)key, &info) != 0 || !info.path)
        return ag__prof_string(l->p, "[?]");
    char text[80];
    const char *slash = strrchr(info.path, '/');
    snprintf(text, sizeof text, "[%s]", slash ? slash + 1 : info.path);
    return ag__prof_string(l->p, text);
}

/* The number of the i-th place of a stack, 0 the innermost. */
static uint32_t place_of(struct list *l, const ag__prof_group *g, int i) {
    uint64_t key = ag__prof_key(l->p, g, i);
    struct asked asked = {l, key};
    uint32_t number = ag__prof_map_get(&l->map, ag__prof_hash(0, &key, sizeof key), l->count,
                                       same_place, &asked, &l->p->failed);
    if (l->p->failed || number < l->count)
        return number;
    if (!ag__prof_grow((void **)&l->places, number, &l->room, sizeof *l->places)) {
        l->p->failed = true;
        return 0;
    }
    ag__prof_place place;
    ag__prof_place_of_key(key, &place);
    l->places[l->count++] =
        (struct place){key, name_of(l, &place, key), ag__prof_string(l->p, place.file), place.line,
                       place.is_runtime};
    return number;
}

/* Returns how many were written. */
static int put_places(struct list *l, const ag__prof_group *g, bool hides, FILE *out) {
    int n = 0;
    for (int i = ag__prof_frames(g) - 1; i >= 0; i--) {
        uint32_t place = place_of(l, g, i);
        if (!l->p->failed && !(hides && l->places[place].is_runtime))
            fprintf(out, "%s%u", n++ ? "," : "", place);
    }
    return n;
}

static void put_group(struct list *l, const ag__prof_group *g, FILE *out) {
    for (int i = 0; i < l->p->values; i++)
        fprintf(out, "%s%lld", i ? "," : "[[", (long long)g->values[i]);
    fprintf(out, "],[");
    if (put_places(l, g, l->p->kind->hides_runtime, out) == 0)
        put_places(l, g, false, out);
    fprintf(out, "],");
    ag__json_text(out, g->state);
    fprintf(out, "]");
}

int ag__prof_json(ag__prof *p, FILE *out) {
    struct list l = {.p = p};
    bool comma = false;
    fprintf(out, "{\"profile\":\"%s\",\"values\":[", p->kind->name);
    for (int i = 0; i < p->values; i++)
        fprintf(out, "%s[\"%s\",\"%s\"]", i ? "," : "", p->kind->values[i].type,
                p->kind->values[i].unit);
    fprintf(out, "],\"shown\":%d,\"duration_ns\":%lld,\"notes\":[", p->kind->shown,
            (long long)p->duration);
    for (int i = 0; i < p->note_count; i++) {
        fputs(i ? "," : "", out);
        ag__json_text(out, p->strings[p->notes[i]]);
    }
    fprintf(out, "],\"stacks\":[");
    for (uint32_t i = 0; i < p->group_count; i++) {
        if (!ag__prof_is_there(p, &p->groups[i]))
            continue;
        fputs(comma ? ",\n" : "\n", out);
        comma = true;
        put_group(&l, &p->groups[i], out);
    }
    fprintf(out, "],\"places\":[");
    for (uint32_t i = 0; i < l.count && !p->failed; i++) {
        fputs(i ? ",\n[" : "\n[", out);
        ag__json_text(out, p->strings[l.places[i].function]);
        fputc(',', out);
        ag__json_text(out, p->strings[l.places[i].file]);
        fprintf(out, ",%d,%d]", l.places[i].line, l.places[i].is_runtime);
    }
    fprintf(out, "]}\n");
    free(l.places);
    free(l.map.slots);
    return p->failed ? -ENOMEM : ferror(out) ? -EIO : 0;
}
