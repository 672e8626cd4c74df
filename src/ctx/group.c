/* SPDX-License-Identifier: MIT */
/*
 * group.c - groups of goroutines: whom a test started, directly or through others.
 *
 * A goroutine hands its group on with its current context, in the same branch of ag_go, so who
 * belongs to none pays nothing. A group counts its members exactly: one more before a new member
 * starts, one less when it has ended. The count is what a leak check asks; the list of numbers, for
 * its report, is a look at all records, which may miss one that comes or goes meanwhile.
 *
 * Each member holds a reference, so that a group outlives its test as long as something leaks.
 *
 * Refused: the tree of contexts as the group (who leaves the context leaves the test; what is below
 * one that has ended can't be found any more), and the number of the creator (it says nothing once
 * the creator has ended).
 */
#include "ctx/ctx.h"
#include <aglet/test.h>

void ag__group_init(struct ag__group *group, void (*free)(struct ag__group *)) {
    group->refs = 1;
    group->live = 0;
    group->free = free;
}

void ag__group_unref(struct ag__group *group) {
    AG__HB_RELEASE(group);
    if (__atomic_sub_fetch(&group->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        AG__HB_ACQUIRE(group);
        group->free(group);
    }
}

void ag__group_join(ag__g *g, struct ag__group *group) {
    __atomic_add_fetch(&group->refs, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&group->live, 1, __ATOMIC_RELAXED);
    atomic_store_explicit(&g->group, group, AG__RLX);
}

void ag__group_leave(ag__g *g) {
    struct ag__group *group = atomic_load_explicit(&g->group, AG__RLX);
    atomic_store_explicit(&g->group, NULL, AG__RLX);
    AG__HB_ACQUIRE(g); /* it may have been dropped where it stood */
    AG__HB_RELEASE(&group->live);
    /* Release: who sees 0 sees what the members did. Partner: ag__group_live. */
    __atomic_sub_fetch(&group->live, 1, __ATOMIC_RELEASE);
    ag__group_unref(group);
}

void ag__group_enter(struct ag__group *group) {
    ag__m *m = ag__enter();
    if (atomic_load_explicit(&m->g->group, AG__RLX))
        ag__group_leave(m->g);
    ag__group_join(m->g, group);
    ag__ctx_note(m->g);
    ag__leave(m);
}

struct ag__group *ag__group_here(void) {
    ag__g *g = ag__m_now()->g;
    return g ? atomic_load_explicit(&g->group, AG__RLX) : NULL;
}

int64_t ag__group_live(struct ag__group *group) {
    int64_t live = __atomic_load_n(&group->live, __ATOMIC_ACQUIRE);
    AG__HB_ACQUIRE(&group->live);
    return live;
}

struct list {
    struct ag__group *group;
    ag__g *self;
    int64_t *ids;
    size_t count, max;
};

static bool is_member(const struct list *l, const ag__g *g, int state) {
    bool wanted = !l->group || atomic_load_explicit(&g->group, AG__RLX) == l->group;
    return wanted && g != l->self && state != AG__G_WISH && !(g->flags & AG__GF_LOST) && g->id > 0;
}

static bool add(ag__g *g, void *arg) {
    struct list *l = arg;
    if (is_member(l, g, atomic_load_explicit(&g->state, AG__RLX)))
        l->ids[l->count++] = g->id;
    return l->count < l->max;
}

static bool count_ready(ag__g *g, void *arg) {
    struct list *l = arg;
    int state = atomic_load_explicit(&g->state, AG__RLX);
    l->count += (state == AG__G_RUNNABLE || state == AG__G_RUNNING) && is_member(l, g, state);
    return l->count == 0;
}

size_t ag__group_ids(struct ag__group *group, int64_t *ret_ids, size_t max) {
    struct list l = {group, ag__m_now()->g, ret_ids, 0, max};
    if (max > 0)
        ag__g_each(add, &l);
    return l.count;
}

bool ag__group_goes_on(struct ag__group *group) {
    struct list l = {group, ag__m_now()->g, NULL, 0, 0};
    ag__g_each(count_ready, &l);
    return l.count > 0;
}
