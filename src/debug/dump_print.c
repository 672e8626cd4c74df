/* SPDX-License-Identifier: MIT */
/*
 * dump_print.c - the entry of one goroutine.
 *
 *     goroutine 17 "name" [sync.Mutex.Lock, 3 minutes]:
 *     labels: customer="ada", request_id="r-17"
 *     waits for mutex 0x7f..., held by goroutine 4 [sleep] since 183.125 s
 *     stack 312 of 262144 bytes, deadline in 1.500 s
 *     function(...)
 *     \tfile:line +0x12
 *     deferred: put_back at file:line
 *     created by function in goroutine 1 at file:line
 */
#include "debug/dump_view.h"

void ag__labels_print(FILE *out, const char *labels) {
    char buf[4 * AG__LABEL_BYTES + 16];
    ag__text t = {buf, sizeof buf, 0};
    buf[0] = 0;
    ag__put_labels(&t, labels);
    fputs(buf, out);
}

void ag__trail_print(FILE *out, ag__dump *d, const ag__trail *trail) {
    if (!trail)
        return;
    for (int i = 0; i < trail->frames; i++)
        ag__frame_print(out, d, trail->words[i]);
    for (int i = 0; i < trail->pending; i++) {
        const uintptr_t *words = trail->words + trail->frames + 2 * i;
        const ag__pending p = {(ag__fn)words[0], (const struct ag__site *)words[1]};
        const char *name = ag__pending_name(&p);
        if (name)
            fprintf(out, "deferred: %.*s at %s:%d\n", ag__symbol_length(name), name, p.site->file,
                    p.site->line);
    }
    if (trail->pending == AG__DEFERS)
        fprintf(out, "deferred: perhaps more\n");
}

static void print_head(FILE *out, const ag__dump *d, const ag__view *v) {
    int64_t minutes = v->state == AG__G_WAITING ? (d->now - v->since) / AG_MIN : 0;
    fprintf(out, "goroutine %lld", (long long)v->id);
    if (v->name)
        fprintf(out, " \"%s\"", v->name);
    fprintf(out, " [%s", ag__doing_name(v->state, v->reason));
    if (minutes > 0)
        fprintf(out, ", %lld minutes", (long long)minutes);
    if (v->is_bound)
        fprintf(out, ", locked to thread");
    fprintf(out, "]:\n");
}

static void print_facts(FILE *out, const ag__dump *d, const ag__view *v) {
    if (v->labels) {
        fprintf(out, "labels: ");
        ag__labels_print(out, v->labels);
        fprintf(out, "\n");
    }
    if (v->state == AG__G_WAITING && (v->object || v->wait || v->timer)) {
        fprintf(out, "waits for ");
        ag__wait_print(out, d, v);
        fprintf(out, " since %.3f s\n", (double)(d->now - v->since) / 1e9);
    }
    if (v->stack_used)
        fprintf(out, "stack %zu of %zu bytes\n", v->stack_used, v->stack_bytes);
    if (v->ends_at)
        fprintf(out, "deadline in %.3f s\n", (double)(v->ends_at - d->now) / 1e9);
}

void ag__view_print(FILE *out, ag__dump *d, const ag__view *v) {
    print_head(out, d, v);
    print_facts(out, d, v);
    if (!v->trail && v->state == AG__G_RUNNING && !v->is_self)
        fprintf(out, "\tgoroutine running on other thread; stack unavailable\n");
    ag__trail_print(out, d, v->trail);
    if (v->site && v->id != 1)
        fprintf(out, "created by %s in goroutine %lld at %s:%d\n", v->site->func,
                (long long)v->creator, v->site->file, v->site->line);
    fprintf(out, "\n");
}
