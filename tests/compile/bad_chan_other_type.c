/* SPDX-License-Identifier: MIT */
/* A channel of jobs is no channel of integers. */
// warn: incompatible pointer type
#include <aglet.h>

typedef struct job {
    int id;
} job;

void take(ag_chan(int) c);
void give(ag_chan(job) c);

void give(ag_chan(job) c) {
    take(c);
}
