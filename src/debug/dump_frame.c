/* SPDX-License-Identifier: MIT */
/*
 * dump_frame.c - frames as text: function, file, line. The runtime's own are left out.
 *
 * A look into the line tables takes some microseconds, and the same few places come again and
 * again: a dump keeps the text of each.
 */
#include "debug/dump_view.h"
#include "debug/look.h"
#include <string.h>

void ag__frame_text(ag__text *t, uintptr_t pc, bool is_return, bool always) {
    ag__symbol_info symbol;
    ag__line_info line;
    int known = ag__symbol(pc, is_return, &symbol);
    if (!always && known == 0 && ag__is_runtime_frame(&symbol, pc, is_return))
        return;
    if (known == 0)
        ag__put_some(t, symbol.name, (size_t)ag__symbol_length(symbol.name));
    else
        ag__put(t, "?");
    ag__put(t, "(...)\n\t");
    if (ag__line(pc, is_return, &line) == 0) {
        ag__put(t, line.dir ? line.dir : "");
        ag__put(t, line.dir ? "/" : "");
        ag__put(t, line.file);
        ag__put(t, ":");
        ag__put_number(t, line.line);
    } else {
        ag__put(t, symbol.module ? symbol.module : "?");
    }
    ag__put(t, " +");
    ag__put_hex(t, symbol.offset);
    ag__put(t, "\n");
}

/* The slot of this place, or a free one; NULL: the table is full, or there is none. */
static struct ag__frame_slot *slot_of(ag__dump *d, uintptr_t pc, bool is_return) {
    enum { TRIES = 16 };
    if (!d || !d->tables)
        return NULL;
    size_t at = (size_t)((pc * 2 + is_return) * 0x9E3779B97F4A7C15ull >> 40);
    for (int i = 0; i < TRIES; i++) {
        struct ag__frame_slot *s = &d->tables->frames[(at + (size_t)i) % AG__FRAME_SLOTS];
        if (!s->text || (s->pc == pc && s->is_return == is_return))
            return s;
    }
    return NULL;
}

/* The text of a frame, kept or in buf. */
static const char *text_of(ag__dump *d, uintptr_t pc, bool is_return, char buf[AG__FRAME_TEXT]) {
    struct ag__frame_slot *s = slot_of(d, pc, is_return);
    if (s && s->text)
        return s->text;
    ag__text t = {buf, AG__FRAME_TEXT, 0};
    buf[0] = 0;
    ag__frame_text(&t, pc, is_return, false);
    char *copy = s ? ag__dump_take(d, t.n + 1) : NULL;
    if (copy)
        *s = (struct ag__frame_slot){pc, is_return, memcpy(copy, buf, t.n + 1)};
    return buf;
}

void ag__frame_print(FILE *out, ag__dump *d, uintptr_t pc) {
    char buf[AG__FRAME_TEXT];
    fputs(text_of(d, pc, true, buf), out);
}

int ag__frames_shown(ag__dump *d, uintptr_t *pcs, int n, bool is_self) {
    char buf[AG__FRAME_TEXT];
    int shown = 0;
    for (int i = 0; i < n; i++)
        if (text_of(d, pcs[i], i > 0 || is_self, buf)[0])
            pcs[shown++] = pcs[i];
    return shown;
}

const char *ag__pending_name(const ag__pending *p) {
    ag__symbol_info symbol;
    uintptr_t pc = (uintptr_t)p->fn;
    if (ag__symbol(pc, false, &symbol) != 0)
        return "?";
    return ag__is_runtime_frame(&symbol, pc, false) ? NULL : symbol.name;
}
