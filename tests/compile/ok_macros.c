/* SPDX-License-Identifier: MIT */
/* The words inside a program's own macros: as arguments, in text, with names that look alike. */
#include <aglet.h>
#include <stdio.h>

#define CHECK(x) ((x) ? (void)0 : (void)fprintf(stderr, "%s\n", #x))
#define WRAP(...)                                                                                  \
    do {                                                                                           \
        __VA_ARGS__;                                                                               \
    } while (0)
#define TWO 2
#define PAIR 1, 2
#define START(f, ...) ag_go(f, __VA_ARGS__)
#define LATER(...) ag_defer(__VA_ARGS__)
#define EACH(c, p) for (; ag_recv((c), (p));)

static int add(int a, int b) {
    return a + b;
}

int macros(ag_chan(int) c, int ag_mine);
int macros(ag_chan(int) c, int ag_mine) {
    int fn = 1, args = 2, name = 3, site = 4, next = 5, head = 6, value = 7, x = 8, f = 9, a = 10;
    CHECK(ag_go(add, 1, 2) > 0);
    CHECK(ag_send(c, TWO) == 0);
    CHECK(ag_select(AG_RECV(c, &value), AG_SEND(c, x), AG_DEFAULT) >= 0);
    CHECK(ag_try(NULL, add, PAIR) == 0);
    CHECK(ag_timer_start(AG_MS, add, fn, args) != NULL);
    WRAP(ag_defer(add, name, site); ag_go(add, next, head));
    START(add, f, a);
    LATER(add, PAIR);
    ag_wg wg = AG_WG_INIT;
    WRAP(ag_wg_go(&wg, add, ag_mine, 1));
    EACH(c, &value) {
        CHECK(value);
    }
    return (int)ag_blocking(add, PAIR);
}
