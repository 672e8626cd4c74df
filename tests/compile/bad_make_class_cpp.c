/* SPDX-License-Identifier: MIT */
/* Elements are copied as bytes; a class with a destructor can't be. */
// c++
// expect: aglet: elements are copied as bytes
#include <aglet.h>

struct owner {
    int *p;
    ~owner() {
        delete p;
    }
};

void g(void);
void g(void) {
    (void)ag_make(owner, 1);
}
