/* SPDX-License-Identifier: MIT */
/* A channel of jobs is no channel of integers. */
// c++
// expect gcc: cannot convert
// expect clang: no matching function
#include <aglet.h>

typedef struct job {
    int id;
} job;

void take(ag_chan(int) c);
void give(ag_chan(job) c) {
    take(c);
}
