/* SPDX-License-Identifier: MIT */
/*
 * wait_graph.h - who waits for what, and who has it, small enough to be drawn: of a hundred
 * thousand goroutines that stand at the same place there is one node.
 *
 *     goroutines --waits for--> objects --held by--> goroutines
 *
 * Circles are looked for among the single ones, before they are put together: a circle of nodes
 * alone would prove nothing.
 */
#ifndef AG_WAIT_GRAPH_H
#define AG_WAIT_GRAPH_H

#include "debug/dump_view.h"

enum {
    AG__OBJECT_CHAN,
    AG__OBJECT_MUTEX,
    AG__OBJECT_RWMUTEX,
    AG__OBJECT_GROUP,
    AG__OBJECT_SEM,
    AG__OBJECT_COND,
    AG__OBJECT_SCOPE,
    AG__OBJECT_JOB,
    AG__OBJECT_FD,
    AG__OBJECT_OTHER
};
enum { AG__SIDE_WAITS, AG__SIDE_SENDS, AG__SIDE_RECEIVES, AG__SIDE_READS };

/* That a goroutine waits for an object (`side`), or could end such waits. */
typedef struct ag__wait_link {
    uintptr_t key;
    uint32_t view, object;
    uint8_t kind, side;
    bool must; /* it can't go on before all who have the object have done something */
    const ag__chan_info *chan;
} ag__wait_link;

typedef struct ag__wait_object {
    uintptr_t key;
    uint8_t kind;
    uint32_t waits, waits_end; /* in links */
    uint32_t has, has_end;     /* in holders: views */
    uint32_t circle, node;
} ag__wait_object;

typedef struct ag__wait_graph {
    ag__dump dump;
    bool each; /* nothing is put together */
    ag__wait_link *links;
    uint32_t link_count, link_room;
    ag__wait_object *objects;
    uint32_t object_count;
    uint32_t *holders, holder_count, holder_room;
    uint32_t *circle_of, *circle_size; /* of views; by circle, 0 is none */
    uint32_t circles;
    uint32_t *node_of;  /* of views */
    uint32_t *views_by; /* views in the order of their nodes */
    uint32_t *nodes;    /* where in views_by each begins, and the end */
    uint32_t node_count;
    uint32_t *objects_by, *object_nodes; /* likewise of objects */
    uint32_t object_node_count;
    bool failed;
} ag__wait_graph;

/* each: 1: every goroutine is a node, 0: those that stand at the same place are one; -1: as suits
 * their number. 0, -ENOMEM; to be freed in either case. */
int ag__wait_graph_make(ag__wait_graph *w, int each);
void ag__wait_graph_free(ag__wait_graph *w);

#endif
