/* SPDX-License-Identifier: MIT */
/* In C++ the value travels in the case. */
// c++
// expect: aglet: in C++ AG_SEND takes values of up to 16 bytes
#include <aglet.h>

struct big {
    char text[17];
};

int g(ag_chan(big) c, const big &b);
int g(ag_chan(big) c, const big &b) {
    return ag_select(AG_SEND(c, b));
}
