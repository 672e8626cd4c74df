/* SPDX-License-Identifier: MIT */
/*
 * prof_heap.c - the profiles of the heap, of what the library aglet-heap has written down.
 *
 * That library stands in for malloc, is preloaded or linked, and works by itself, from the start of
 * the process on (src/heap). The runtime adds who allocates - the goroutine's name, labels and
 * creation site - by a function that it is given, and reads its sums. They are scaled up: what was
 * sampled stands for what was not.
 *
 * `heap` and `allocs` are the same numbers; only which of them is looked at first differs, as in
 * Go.
 */
#include "ctx/ctx.h"
#include "debug/look.h"
#include "debug/prof.h"
#include "heap/heap.h"
#include "os/os.h"
#include <aglet/profile.h>
#include <errno.h>
#include <string.h>

#define VALUES                                                                                     \
    {                                                                                              \
        {"alloc_objects", "count"}, {"alloc_space", "bytes"}, {"inuse_objects", "count"}, {        \
            "inuse_space", "bytes"                                                                 \
        }                                                                                          \
    }

const ag__prof_kind ag__prof_heap = {.name = "heap",
                                     .values = VALUES,
                                     .period_type = "space",
                                     .period_unit = "bytes",
                                     .shown = 3,
                                     .hides_runtime = true};
const ag__prof_kind ag__prof_allocs = {.name = "allocs",
                                       .values = VALUES,
                                       .period_type = "space",
                                       .period_unit = "bytes",
                                       .shown = 1,
                                       .hides_runtime = true};

/* Who allocates. Written as far as the labels go. */
typedef struct heap_tag {
    const struct ag__site *site;
    char name[AG__NAME_BYTES];
    char labels[AG__LABEL_BYTES + 1];
} heap_tag;
_Static_assert(sizeof(heap_tag) <= AG__HEAP_TAG, "a tag has room for it");

/* NULL: the library is not there. Looked for once: the loader has a lock, and later nothing may
 * wait for it. */
static const ag__heap_shim *shim_now(void) {
    static _Atomic(const ag__heap_shim *) known;
    static _Atomic bool looked;
    if (atomic_load(&looked))
        return atomic_load(&known);
    void *found = ag__os_exported("ag_heap_shim");
    if (found) {
        ag__heap_shim_fn fn;
        memcpy(&fn, &found, sizeof fn);
        atomic_store(&known, fn(AG__HEAP_VERSION));
    }
    atomic_store(&looked, true);
    return atomic_load(&known);
}

static AG__NO_SANITIZE size_t write_tag(void *ret_tag) {
    heap_tag *tag = ret_tag;
    ag__g *g = ag__m_now()->g;
    if (!g || (g->flags & AG__GF_FOREIGN))
        return 0;
    tag->site = g->id == 1 ? NULL : g->site;
    for (int i = 0; i < AG__NAME_BYTES; i++)
        tag->name[i] = 0;
    ag__look_at_own_name(g, tag->name);
    size_t n = ag__labels_copy(g, tag->labels) ? ag__labels_bytes(tag->labels) : 0;
    tag->labels[n] = 0;
    if (!n && !tag->name[0] && !tag->site)
        return 0;
    return offsetof(heap_tag, labels) + n + 1;
}

void ag__prof_heap_begin(void) {
    const ag__heap_shim *shim = shim_now();
    if (shim)
        shim->set_tag(write_tag);
}

/* 0, or why there is nothing to read: -ENOSYS the library is not there, -EOPNOTSUPP malloc is
 * another one. */
static int shim_get(const ag__heap_shim **ret) {
    *ret = shim_now();
    return !*ret ? -ENOSYS : (*ret)->is_used() ? 0 : -EOPNOTSUPP;
}

int64_t ag_profile_heap_rate(int64_t bytes) {
    const ag__heap_shim *shim;
    int r = shim_get(&shim);
    return r == 0 ? shim->rate(bytes) : r;
}

struct gathering {
    ag__prof *p;
    int times;
};

static void add(void *arg, const ag__heap_count *count) {
    struct gathering *to = arg;
    const heap_tag *tag = count->tag;
    ag__prof_sample s = {.pcs = count->pcs, .frames = count->frames};
    if (tag) {
        s.site = tag->site;
        s.name = tag->name;
        s.labels = tag->labels;
    }
    int64_t values[AG__PROF_VALUES] = {count->blocks, count->bytes,
                                       count->blocks - count->freed_blocks,
                                       count->bytes - count->freed_bytes};
    for (int i = 0; i < AG__PROF_VALUES; i++)
        values[i] *= to->times;
    ag__prof_add(to->p, &s, values);
}

int ag__prof_gather_heap(ag__prof *p, int times) {
    const ag__heap_shim *shim;
    int r = shim_get(&shim);
    if (r != 0)
        return r;
    struct gathering to = {p, times};
    shim->each(add, &to);
    ag__prof_set_period(p, shim->rate(-1));
    if (times > 0) {
        ag__prof_note(p, shim->crowded(), "samples are without a stack: there are too many stacks");
        ag__prof_note(p, shim->lost(), "samples were lost: no memory");
    }
    return 0;
}
int ag__prof_gather_allocs(ag__prof *p, int times) {
    return ag__prof_gather_heap(p, times);
}

const char *ag__prof_heap_why(int error) {
    if (error == -ENOSYS)
        return "the heap is not watched: start the program with "
               "LD_PRELOAD=$(pkg-config --variable=libdir aglet-heap)/libaglet-heap.so or link it "
               "with $(pkg-config --libs aglet-heap)\n"; /* one line: `aglet pprof` prints one */
    if (error == -EOPNOTSUPP)
        return "the heap is not watched: libaglet-heap is there, but malloc is another library's "
               "or a sanitizer's\n";
    return NULL;
}
