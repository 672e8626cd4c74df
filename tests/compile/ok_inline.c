/* SPDX-License-Identifier: MIT */
/* The words inside inline functions, as a program's own headers have them. */
#include <aglet.h>

static inline void nothing(void) {
}

static inline int64_t start(void) {
    return ag_go(nothing);
}

static inline int guarded(ag_chan(int) c) {
    ag_defer(ag_unref, ag_ref(c));
    return ag_select(AG_RECV(c, NULL), AG_SEND(c, 1), AG_AFTER(AG_MS));
}

static inline const ag_panic_info *seen(void) {
    return ag_recover();
}

inline int everywhere(ag_chan(int) c);
inline int everywhere(ag_chan(int) c) {
    ag_defer(ag_unref, ag_ref(c));
    return ag_try(NULL, start) + ag_send(c, 1);
}
extern inline int everywhere(ag_chan(int) c);

__attribute__((always_inline)) static inline bool last(ag_chan(int) c, int *ret_v) {
    return ag_recv(c, ret_v) && ag_len(c) == 0;
}

int all(ag_chan(int) c);
int all(ag_chan(int) c) {
    int v;
    return start() && guarded(c) && seen() && everywhere(c) && last(c, &v);
}
