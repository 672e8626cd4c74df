/* SPDX-License-Identifier: MIT */
/*
 * prof_table.c - adding up samples of the same stack and labels.
 *
 * Programs stand in few places: a hundred thousand samples become some hundred groups, so all of
 * a profile is kept in memory until it is written. A lack of memory is noted and reported at the
 * end, when it can be told to somebody.
 */
#include "debug/prof_table.h"
#include "ctx/ctx.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Maps, arrays, strings. --- */

uint32_t ag__prof_hash(uint32_t hash, const void *data, size_t n) {
    const unsigned char *at = data;
    uint64_t h = hash + UINT64_C(0x9e3779b97f4a7c15), word;
    for (; n > 0; at += sizeof word) {
        size_t k = n < sizeof word ? n : sizeof word;
        word = 0;
        memcpy(&word, at, k);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
        n -= k;
    }
    return (uint32_t)h;
}

static bool rehash(ag__prof_map *map) {
    uint32_t size = map->size ? map->size * 2 : 64;
    ag__prof_slot *slots = calloc(size, sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t i = 0; i < map->size; i++) {
        uint32_t at = map->slots[i].hash & (size - 1);
        if (!map->slots[i].number)
            continue;
        while (slots[at].number)
            at = (at + 1) & (size - 1);
        slots[at] = map->slots[i];
    }
    free(map->slots);
    map->slots = slots;
    map->size = size;
    return true;
}

uint32_t ag__prof_map_get(ag__prof_map *map, uint32_t hash, uint32_t fresh,
                          bool (*same)(const void *arg, uint32_t number), const void *arg,
                          bool *failed) {
    if (map->used * 2 >= map->size && !rehash(map)) {
        *failed = true;
        return fresh;
    }
    uint32_t at = hash & (map->size - 1);
    for (; map->slots[at].number; at = (at + 1) & (map->size - 1))
        if (map->slots[at].hash == hash && same(arg, map->slots[at].number - 1))
            return map->slots[at].number - 1;
    map->slots[at] = (ag__prof_slot){hash, fresh + 1};
    map->used++;
    return fresh;
}

bool ag__prof_grow(void **array, uint32_t count, uint32_t *room, size_t element) {
    if (count < *room)
        return true;
    uint32_t more = *room ? *room * 2 : 64;
    void *at = realloc(*array, more * element);
    if (!at)
        return false;
    *array = at;
    *room = more;
    return true;
}

struct text_asked {
    const ag__prof *p;
    const char *text;
};

static bool same_text(const void *arg, uint32_t number) {
    const struct text_asked *asked = arg;
    return strcmp(asked->p->strings[number], asked->text) == 0;
}

uint32_t ag__prof_string(ag__prof *p, const char *text) {
    if (!text || !*text || p->failed)
        return 0;
    struct text_asked asked = {p, text};
    uint32_t number = ag__prof_map_get(&p->string_map, ag__prof_hash(1, text, strlen(text)),
                                       p->string_count, same_text, &asked, &p->failed);
    if (p->failed || number < p->string_count)
        return p->failed ? 0 : number;
    char *copy = strdup(text);
    if (!copy || !ag__prof_grow((void **)&p->strings, number, &p->string_room, sizeof copy)) {
        free(copy);
        p->failed = true;
        return 0;
    }
    p->strings[p->string_count++] = copy;
    return number;
}

static bool same_labels(const void *arg, uint32_t number) {
    const struct text_asked *asked = arg;
    const char *known = asked->p->labels[number];
    size_t n = ag__labels_bytes(known);
    return n == ag__labels_bytes(asked->text) && memcmp(known, asked->text, n) == 0;
}

/* Their number + 1; 0: none. */
static uint32_t labels_of(ag__prof *p, const char *text) {
    if (!text || !*text || p->failed)
        return 0;
    struct text_asked asked = {p, text};
    size_t n = ag__labels_bytes(text);
    uint32_t number = ag__prof_map_get(&p->label_map, ag__prof_hash(2, text, n), p->label_count,
                                       same_labels, &asked, &p->failed);
    if (p->failed || number < p->label_count)
        return p->failed ? 0 : number + 1;
    char *copy = malloc(n + 1);
    if (!copy || !ag__prof_grow((void **)&p->labels, number, &p->label_room, sizeof copy)) {
        free(copy);
        p->failed = true;
        return 0;
    }
    memcpy(copy, text, n);
    copy[n] = 0;
    p->labels[p->label_count++] = copy;
    return number + 1;
}

/* --- Samples. --- */

ag__prof *ag__prof_new(const ag__prof_kind *kind) {
    ag__prof *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->kind = kind;
    while (p->values < AG__PROF_VALUES && kind->values[p->values].type)
        p->values++;
    p->began_wall = ag__os_wall();
    char *empty = strdup("");
    if (!empty || !ag__prof_grow((void **)&p->strings, 0, &p->string_room, sizeof empty)) {
        free(empty);
        p->failed = true;
    } else {
        p->strings[p->string_count++] = empty;
    }
    return p;
}

void ag__prof_free(ag__prof *p) {
    if (!p)
        return;
    for (uint32_t i = 0; i < p->string_count; i++)
        free(p->strings[i]);
    free(p->strings);
    free(p->string_map.slots);
    for (uint32_t i = 0; i < p->label_count; i++)
        free(p->labels[i]);
    free(p->labels);
    free(p->label_map.slots);
    free(p->groups);
    free(p->group_map.slots);
    free(p->pcs);
    free(p);
}

struct group_asked {
    const ag__prof *p;
    const ag__prof_sample *sample;
    uint32_t name, labels;
};

static bool same_group(const void *arg, uint32_t number) {
    const struct group_asked *asked = arg;
    const ag__prof_group *g = &asked->p->groups[number];
    const ag__prof_sample *s = asked->sample;
    return g->frames == s->frames && g->is_exact == s->is_exact && g->is_site == s->is_site &&
           g->name == asked->name && g->labels == asked->labels && g->state == s->state &&
           g->site == s->site &&
           (g->frames == 0 ||
            memcmp(&asked->p->pcs[g->pcs], s->pcs, sizeof *s->pcs * (size_t)s->frames) == 0);
}

static bool keep_pcs(ag__prof *p, const ag__prof_sample *s) {
    for (int i = 0; i < s->frames; i++) {
        if (!ag__prof_grow((void **)&p->pcs, p->pc_count, &p->pc_room, sizeof *p->pcs))
            return false;
        p->pcs[p->pc_count++] = s->pcs[i];
    }
    return true;
}

static ag__prof_group *group_of(ag__prof *p, const ag__prof_sample *s) {
    struct group_asked asked = {p, s, ag__prof_string(p, s->name), labels_of(p, s->labels)};
    const void *const marks[] = {s->state, s->site};
    uint32_t hash = ag__prof_hash(asked.name ^ asked.labels << 16, marks, sizeof marks);
    if (s->frames > 0)
        hash = ag__prof_hash(hash, s->pcs, sizeof *s->pcs * (size_t)s->frames);
    uint32_t number =
        ag__prof_map_get(&p->group_map, hash, p->group_count, same_group, &asked, &p->failed);
    if (p->failed || number < p->group_count)
        return p->failed ? NULL : &p->groups[number];
    uint32_t first = p->pc_count;
    if (!keep_pcs(p, s) ||
        !ag__prof_grow((void **)&p->groups, p->group_count, &p->group_room, sizeof *p->groups)) {
        p->failed = true;
        return NULL;
    }
    p->groups[number] = (ag__prof_group){.pcs = first,
                                         .frames = s->frames,
                                         .is_exact = s->is_exact,
                                         .is_site = s->is_site,
                                         .name = asked.name,
                                         .labels = asked.labels,
                                         .state = s->state,
                                         .site = s->site};
    p->group_count++;
    return &p->groups[number];
}

void ag__prof_add(ag__prof *p, const ag__prof_sample *sample, const int64_t *values) {
    ag__prof_group *g = p->failed ? NULL : group_of(p, sample);
    for (int i = 0; g && i < p->values; i++)
        g->values[i] += values[i];
}

bool ag__prof_is_there(const ag__prof *p, const ag__prof_group *g) {
    for (int i = 0; i < p->values; i++)
        if (g->values[i] != 0)
            return true;
    return false;
}

void ag__prof_set_period(ag__prof *p, int64_t period) {
    p->period = period;
}

void ag__prof_set_time(ag__prof *p, int64_t began_wall_ns, int64_t duration_ns) {
    p->began_wall = began_wall_ns;
    p->duration = duration_ns;
}

void ag__prof_note(ag__prof *p, int64_t n, const char *text) {
    char note[128];
    if (n <= 0 || p->note_count == AG__PROF_NOTES)
        return;
    snprintf(note, sizeof note, "%lld %s", (long long)n, text);
    p->notes[p->note_count++] = ag__prof_string(p, note);
}

int ag__prof_end_with(ag__prof *p, int (*write)(ag__prof *p, FILE *out), FILE *out) {
    if (!p)
        return -ENOMEM;
    int r = p->failed ? -ENOMEM : write(p, out);
    ag__prof_free(p);
    return r;
}

int ag__prof_end(ag__prof *p, bool as_text, FILE *out) {
    return ag__prof_end_with(p, as_text ? ag__prof_text : ag__prof_write, out);
}
