/* SPDX-License-Identifier: MIT */
/*
 * name.c - the names of regions and tasks as numbers, so that they fit into an event.
 *
 * A table with open addressing that only grows: an entry, once written, stays. Looking up takes no
 * lock; a new name does. Names beyond NAMES are all called "?": a program that makes up a new name
 * for each request must not fill the memory.
 */
#include "probe/probe.h"
#include <stdlib.h>
#include <string.h>

enum { NAMES = AG__NAMES, NAME_BYTES = 64, SLOTS = AG__NAME_MAX };

static ag__lock name_lock;
static char *_Atomic names[SLOTS]; /* Written under name_lock; read without. */
static uint32_t count;             /* Guarded by name_lock. */

static uint32_t hash(const char *text, size_t n) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

/* The entry of the text, or the free one where it belongs. */
static uint32_t find(const char *text, size_t n, char **ret_there) {
    uint32_t at = hash(text, n) % SLOTS;
    for (;; at = (at + 1) % SLOTS) {
        /* Acquire: its text. Partner: the release store in ag__name. */
        char *there = *ret_there = atomic_load_explicit(&names[at], memory_order_acquire);
        if (there)
            AG__HB_ACQUIRE(there);
        if (!there || (strncmp(there, text, n) == 0 && there[n] == 0))
            return at;
    }
}

uint32_t ag__name(const char *text) {
    size_t n = strnlen(text, NAME_BYTES - 1);
    char *there;
    uint32_t at = find(text, n, &there);
    if (there)
        return at + 1;
    char *mine = malloc(n + 1);
    if (!mine)
        return 0;
    memcpy(mine, text, n);
    mine[n] = 0;
    AG__HB_RELEASE(mine);
    ag__lock_acquire(&name_lock);
    at = find(text, n, &there);
    bool add = !there && count < NAMES;
    if (add) {
        count++;
        atomic_store_explicit(&names[at], mine, memory_order_release);
    }
    ag__lock_release(&name_lock);
    if (!add)
        free(mine);
    return add || there ? at + 1 : 0;
}

const char *ag__name_text(uint32_t name) {
    char *text = name > 0 && name <= SLOTS
                     ? atomic_load_explicit(&names[name - 1], memory_order_acquire)
                     : NULL;
    if (!text)
        return "?";
    AG__HB_ACQUIRE(text);
    return text;
}
