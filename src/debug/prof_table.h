/* SPDX-License-Identifier: MIT */
/*
 * prof_table.h - a profile under construction: samples that were added up, and strings. Private to
 * what builds it (prof_table.c) and writes it (prof_write.c, prof_json.c, prof_text.c).
 */
#ifndef AG_PROF_TABLE_H
#define AG_PROF_TABLE_H

#include "debug/prof.h"
#include "debug/prof_bytes.h"

/* Numbers found again by the hash of what they stand for. The zero value is empty. */
typedef struct ag__prof_slot {
    uint32_t hash, number; /* number + 1; 0: free */
} ag__prof_slot;
typedef struct ag__prof_map {
    ag__prof_slot *slots;
    uint32_t size, used; /* size is a power of two */
} ag__prof_map;

/* Finds the number for which same(arg, number) holds, among those with this hash; if there is none,
 * `fresh` is put there and returned. Sets *failed when there is no memory. */
uint32_t ag__prof_map_get(ag__prof_map *map, uint32_t hash, uint32_t fresh,
                          bool (*same)(const void *arg, uint32_t number), const void *arg,
                          bool *failed);
uint32_t ag__prof_hash(uint32_t hash, const void *data, size_t n);
/* Makes room for one more element. False: no memory. */
bool ag__prof_grow(void **array, uint32_t count, uint32_t *room, size_t element);

/* Samples of one stack with the same labels. */
typedef struct ag__prof_group {
    uint32_t pcs; /* where they begin in p->pcs */
    int frames;
    bool is_exact, is_site;
    uint32_t name;   /* a string; 0: none */
    uint32_t labels; /* number + 1 in p->labels; 0: none */
    const char *state;
    const struct ag__site *site;
    int64_t values[AG__PROF_VALUES];
} ag__prof_group;

enum { AG__PROF_NOTES = 8 };

struct ag__prof {
    const ag__prof_kind *kind;
    int values; /* how many a sample has */
    int64_t period, began_wall, duration;
    bool failed; /* no memory */

    ag__prof_group *groups;
    uint32_t group_count, group_room;
    ag__prof_map group_map;
    uintptr_t *pcs;
    uint32_t pc_count, pc_room;

    /* String 0 is "". */
    char **strings;
    uint32_t string_count, string_room;
    ag__prof_map string_map;

    char **labels; /* key 0 value 0 ... 0 */
    uint32_t label_count, label_room;
    ag__prof_map label_map;

    uint32_t notes[AG__PROF_NOTES];
    int note_count;
};

/* The number of a string; 0 for NULL and "". */
uint32_t ag__prof_string(ag__prof *p, const char *text);
/* Whether something is left of it. */
bool ag__prof_is_there(const ag__prof *p, const ag__prof_group *g);

/* prof_write.c, prof_text.c */
int ag__prof_write(ag__prof *p, FILE *out);
int ag__prof_text(ag__prof *p, FILE *out);

/* A frame as people read it. */
typedef struct ag__prof_place {
    const char *function; /* NULL: unknown */
    char cut[256];        /* it, if compilers have appended something to it */
    char file[1024];      /* "": unknown */
    int line;
    bool is_runtime;
} ag__prof_place;
void ag__prof_place_of(uintptr_t pc, bool is_return, ag__prof_place *ret);

/* The frames of a group, 0 the innermost: of a site what was called and where, of others the stack.
 * Each has a key, which is the address of its instruction, or of a frame of a site is marked. */
int ag__prof_frames(const ag__prof_group *g);
uint64_t ag__prof_key(const ag__prof *p, const ag__prof_group *g, int i);
bool ag__prof_key_is_address(uint64_t key);
void ag__prof_place_of_key(uint64_t key, ag__prof_place *ret);

#endif
