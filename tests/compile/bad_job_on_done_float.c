/* SPDX-License-Identifier: MIT */
/* A floating argument does not travel in an integer register. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

static void f(double x) {
    (void)x;
}

void g(ag_job *j);
void g(ag_job *j) {
    ag_job_on_done(j, f, 1.5);
}
