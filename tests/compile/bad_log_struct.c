/* SPDX-License-Identifier: MIT */
/* A struct is no value of a field. */
#include <aglet/log.h>
struct pair {
    int a, b;
};
void bad(struct pair p);
void bad(struct pair p) {
    // expect gcc: incompatible type for argument 2
    // expect clang: passing 'struct pair' to parameter of incompatible type
    ag_log_info("x", ag_kv("p", p));
}
