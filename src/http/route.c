/* SPDX-License-Identifier: MIT */
/*
 * The router's tree.
 *
 *     root --host--> node --method--> node --segment--> node ... node
 *                                                         route: a pattern ends here
 *                                                         end:   ... ends here with {$}
 *                                                         rest:  ... ends here with {...} or a
 * slash
 *
 * Idea: at each node the literal child is tried first, then {name}, then {...}, and a branch that
 * leads nowhere is left again. That finds the most specific pattern, because patterns of which
 * neither is more specific are refused when they are registered. A node is entered at most once per
 * search, since its depth fixes the place in the path: searching is linear in the tree, whatever
 * the request.
 *
 * Paths are searched escaped; a segment that has a '%' is decoded into a small buffer to find its
 * literal child. A literal is at most AG__SEGMENT_MAX bytes long, so a longer segment has none.
 *
 * Invariants: children are sorted by their key; a node without route, end, rest or children matches
 * nothing, so an addition that runs out of memory half-way leaves nothing to undo.
 */
#include "http/route.h"
#include "http/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct route {
    ag__http_pattern *pattern;
    void *handler; /* NULL: the addition failed; the pattern only keeps its text for the nodes */
} route;

typedef struct node {
    const char *key; /* lies in a pattern; NULL in the root and in `any` */
    size_t key_len;
    struct node **children;
    uint32_t child_count;
    struct node *any; /* no host, any method, {name} */
    const route *route, *end, *rest;
} node;

struct ag__http_router {
    node root;
    uint32_t route_max, route_count;
    char message[AG__MESSAGE_MAX];
    route routes[]; /* never move: nodes point to them */
};

/* ---- The tree ------------------------------------------------------------------------------- */

static int compare_keys(const char *a, size_t a_len, const char *b, size_t b_len) {
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* The place of a key among the children: where it is or where it would be. */
static uint32_t child_place(const node *n, const char *key, size_t len, bool *ret_found) {
    uint32_t low = 0, high = n->child_count;
    *ret_found = false;
    while (low < high && !*ret_found) {
        uint32_t middle = low + (high - low) / 2;
        const node *child = n->children[middle];
        int order = compare_keys(key, len, child->key, child->key_len);
        if (order == 0) {
            *ret_found = true;
            low = middle;
        } else if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static const node *child_find(const node *n, ag__http_text key) {
    bool found = false;
    uint32_t place = n->child_count ? child_place(n, key.p, key.n, &found) : 0;
    return found ? n->children[place] : NULL;
}

/* The child with this key, made if need be; NULL without memory. */
static node *child_get(node *n, const char *key, size_t len) {
    bool found;
    uint32_t place = child_place(n, key, len, &found);
    if (found)
        return n->children[place];
    node **children = realloc(n->children, (n->child_count + 1) * sizeof *children);
    if (!children)
        return NULL;
    n->children = children;
    node *child = calloc(1, sizeof *child);
    if (!child)
        return NULL;
    child->key = key;
    child->key_len = len;
    memmove(children + place + 1, children + place, (n->child_count - place) * sizeof *children);
    children[place] = child;
    n->child_count++;
    return child;
}

static node *any_get(node *n) {
    if (!n->any)
        n->any = calloc(1, sizeof *n->any);
    return n->any;
}

static node *key_get(node *n, const char *key) {
    return *key ? child_get(n, key, strlen(key)) : any_get(n);
}

static void node_free_below(node *n) {
    for (uint32_t i = 0; i < n->child_count; i++) {
        node_free_below(n->children[i]);
        free(n->children[i]);
    }
    if (n->any)
        node_free_below(n->any);
    free(n->any);
    free(n->children);
}

/* ---- Registering ---------------------------------------------------------------------------- */

ag__http_router *ag__http_router_new(uint32_t route_max) {
    ag__http_router *r = calloc(1, sizeof *r + route_max * sizeof(route));
    if (r)
        r->route_max = route_max;
    return r;
}

void ag__http_router_free(ag__http_router *r) {
    if (!r)
        return;
    node_free_below(&r->root);
    for (uint32_t i = 0; i < r->route_count; i++)
        free(r->routes[i].pattern);
    free(r);
}

const char *ag__http_router_message(const ag__http_router *r) {
    return r->message;
}

/* Builds the branch of a pattern. Returns: where the pointer to its route goes, NULL without
   memory. The keys lie in the pattern, which a failed addition frees: it must not leave nodes
   behind. */
static const route **branch(ag__http_router *r, const ag__http_pattern *p) {
    node *n = key_get(&r->root, p->host);
    if (n)
        n = key_get(n, p->method);
    for (uint32_t i = 0; n && i < p->segment_count; i++) {
        const ag__http_segment *s = &p->segments[i];
        if (s->kind == AG__SEGMENT_END)
            return &n->end;
        if (s->kind == AG__SEGMENT_REST)
            return &n->rest;
        n = s->kind == AG__SEGMENT_ONE ? any_get(n) : child_get(n, s->text, s->n);
    }
    return n ? &n->route : NULL;
}

int ag__http_router_add(ag__http_router *r, const char *source, void *handler) {
    ag__http_pattern *p;
    if (r->route_count == r->route_max) {
        snprintf(r->message, sizeof r->message, "more than %u patterns", (unsigned)r->route_max);
        return -ENOSPC;
    }
    int bad = ag__http_pattern_parse(source, &p, r->message);
    if (bad)
        return bad;
    for (uint32_t i = 0; i < r->route_count; i++) {
        const route *other = &r->routes[i];
        if (other->handler && ag__http_pattern_conflict(p, other->pattern, r->message)) {
            free(p);
            return -EEXIST;
        }
    }
    route *new_route = &r->routes[r->route_count++];
    new_route->pattern = p;
    const route **place = branch(r, p);
    if (!place) {
        snprintf(r->message, sizeof r->message, "no memory for \"%s\"", source);
        return -ENOMEM;
    }
    new_route->handler = handler;
    *place = new_route;
    return 0;
}

/* ---- Searching ------------------------------------------------------------------------------ */

static const node *find_literal(const node *n, ag__http_text segment) {
    char room[3 * AG__SEGMENT_MAX];
    if (!n->child_count || !segment.n)
        return NULL;
    if (!memchr(segment.p, '%', segment.n))
        return child_find(n, segment);
    if (segment.n > sizeof room)
        return NULL;
    int64_t len = ag__http_decode(room, segment, AG__DECODE_PATH);
    return child_find(n, len < 0 ? segment : (ag__http_text){room, (size_t)len});
}

/* `path` is what is left of the path below `n`: empty, or it starts with a slash. `count` values
   are there already. */
static const route *search(const node *n, ag__http_text path, ag__http_match *m, uint32_t count) {
    if (!path.n) {
        m->value_count = count;
        m->exact = true;
        return n->route;
    }
    ag__http_text after = {path.p + 1, path.n - 1};
    if (!after.n && n->end) {
        m->value_count = count;
        m->exact = true;
        return n->end;
    }
    if (after.n) {
        const char *slash = memchr(after.p, '/', after.n);
        ag__http_text segment = {after.p, slash ? (size_t)(slash - after.p) : after.n};
        ag__http_text below = {after.p + segment.n, after.n - segment.n};
        const node *child = find_literal(n, segment);
        const route *found = child ? search(child, below, m, count) : NULL;
        if (!found && n->any && segment.n) {
            m->values[count] = segment;
            found = search(n->any, below, m, count + 1);
        }
        if (found)
            return found;
    }
    if (n->rest) {
        if (n->rest->pattern->segments[n->rest->pattern->segment_count - 1].n)
            m->values[count++] = after;
        m->value_count = count;
        m->exact = !after.n;
    }
    return n->rest;
}

static const route *search_method(const node *host, ag__http_text method, ag__http_text path,
                                  ag__http_match *m) {
    const ag__http_text get = {"GET", 3};
    const node *n = child_find(host, method);
    const route *found = n ? search(n, path, m, 0) : NULL;
    if (!found && method.n == 4 && memcmp(method.p, "HEAD", 4) == 0) {
        n = child_find(host, get);
        found = n ? search(n, path, m, 0) : NULL;
    }
    if (!found && host->any)
        found = search(host->any, path, m, 0);
    return found;
}

/* The nodes of this host and of no host; NULL where there is none. */
static void find_hosts(const ag__http_router *r, ag__http_text host, const node *ret_hosts[2]) {
    char lower[256];
    ret_hosts[0] = NULL;
    ret_hosts[1] = r->root.any;
    if (!r->root.child_count || !host.n || host.n > sizeof lower)
        return;
    for (size_t i = 0; i < host.n; i++)
        lower[i] = ag__http_lower(host.p[i]);
    ret_hosts[0] = child_find(&r->root, (ag__http_text){lower, host.n});
}

static const route *search_hosts(const node *const hosts[2], ag__http_text method,
                                 ag__http_text path, ag__http_match *m) {
    const route *found = hosts[0] ? search_method(hosts[0], method, path, m) : NULL;
    if (!found && hosts[1])
        found = search_method(hosts[1], method, path, m);
    return found;
}

/* The path, cleaned into `scratch` if it has to be; `*ret_clean` says if it did not. */
static ag__http_text clean(ag__http_text path, char *scratch, bool *ret_clean) {
    *ret_clean = ag__http_path_is_clean(path);
    return *ret_clean ? path : (ag__http_text){scratch, ag__http_path_clean(scratch, path)};
}

/* `path` with a slash behind it, in `scratch`, where it may be already. */
static ag__http_text with_slash(ag__http_text path, char *scratch) {
    memmove(scratch, path.p, path.n);
    scratch[path.n] = '/';
    return (ag__http_text){scratch, path.n + 1};
}

/* True if some method is registered under these hosts that matches the path. */
static bool any_method(const node *const hosts[2], ag__http_text path) {
    ag__http_match m;
    for (int h = 0; h < 2; h++)
        for (uint32_t i = 0; hosts[h] && i < hosts[h]->child_count; i++)
            if (search(hosts[h]->children[i], path, &m, 0))
                return true;
    return false;
}

int ag__http_route(const ag__http_router *r, ag__http_text method, ag__http_text host,
                   ag__http_text path, char *scratch, size_t scratch_size,
                   ag__http_match *ret_match) {
    const node *hosts[2];
    bool is_clean;
    if (scratch_size < path.n + 2)
        return -ENOBUFS;
    if (!path.n)
        return AG__ROUTE_NOT_FOUND;
    find_hosts(r, host, hosts);
    path = clean(path, scratch, &is_clean);
    const route *found = search_hosts(hosts, method, path, ret_match);
    if ((!found || !ret_match->exact) && path.p[path.n - 1] != '/') {
        ag__http_match longer;
        ag__http_text slashed = with_slash(path, scratch);
        const route *below = search_hosts(hosts, method, slashed, &longer);
        if (below && longer.exact) {
            ret_match->location = slashed;
            return AG__ROUTE_REDIRECT;
        }
        if (!found && is_clean)
            return any_method(hosts, path) || any_method(hosts, slashed) ? AG__ROUTE_BAD_METHOD
                                                                         : AG__ROUTE_NOT_FOUND;
    }
    if (!is_clean) {
        ret_match->location = path;
        return AG__ROUTE_REDIRECT;
    }
    if (!found)
        return any_method(hosts, path) ? AG__ROUTE_BAD_METHOD : AG__ROUTE_NOT_FOUND;
    ret_match->handler = found->handler;
    ret_match->pattern = found->pattern;
    return AG__ROUTE_FOUND;
}

/* ---- Allow ---------------------------------------------------------------------------------- */

/* The first method behind `last` in the alphabet that matches one of the paths, or NULL. */
static const char *next_method(const node *const hosts[2], const ag__http_text paths[2],
                               const char *last) {
    const char *best = NULL;
    ag__http_match m;
    for (int h = 0; h < 2; h++) {
        for (uint32_t i = 0; hosts[h] && i < hosts[h]->child_count; i++) {
            const node *n = hosts[h]->children[i];
            if (strcmp(n->key, last) <= 0 || (best && strcmp(n->key, best) >= 0))
                continue;
            if (search(n, paths[0], &m, 0) || search(n, paths[1], &m, 0))
                best = n->key;
        }
    }
    return best;
}

int64_t ag__http_router_allow(const ag__http_router *r, ag__http_text host, ag__http_text path,
                              char *scratch, size_t scratch_size, char *dst, size_t size) {
    const node *hosts[2];
    bool is_clean, get = false;
    size_t n = 0;
    if (scratch_size < path.n + 2)
        return -ENOBUFS;
    find_hosts(r, host, hosts);
    path = clean(path, scratch, &is_clean);
    const ag__http_text paths[2] = {path,
                                    path.p[path.n - 1] == '/' ? path : with_slash(path, scratch)};
    for (const char *method = "";;) {
        const char *next = next_method(hosts, paths, method);
        if (get && (!next || strcmp(next, "HEAD") > 0) && strcmp(method, "HEAD") < 0)
            next = "HEAD";
        if (!next)
            return (int64_t)n;
        size_t len = strlen(next), comma = n ? 2 : 0;
        if (n + comma + len > size)
            return (int64_t)n;
        memcpy(dst + n, ", ", comma);
        memcpy(dst + n + comma, next, len);
        n += comma + len;
        get = get || strcmp(next, "GET") == 0;
        method = next;
    }
}

bool ag__http_match_value(const ag__http_match *m, const char *name, ag__http_text *ret_value) {
    const ag__http_pattern *p = m->pattern;
    uint32_t k = 0;
    for (uint32_t i = 0; i < p->segment_count; i++) {
        const ag__http_segment *s = &p->segments[i];
        if (s->kind == AG__SEGMENT_LITERAL || s->kind == AG__SEGMENT_END || !s->n)
            continue;
        if (strcmp(s->text, name) == 0) {
            *ret_value = m->values[k];
            return true;
        }
        k++;
    }
    return false;
}
