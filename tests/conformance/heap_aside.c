/* SPDX-License-Identifier: MIT */
/*
 * Where a sanitizer is in the process, aglet-heap stands aside, and says so. This program has a
 * function by which one is known.
 */
#include "common.h"

__attribute__((visibility("default"))) void __msan_init(void);
void __msan_init(void) {
}

AG_TEST_RUN(under_a_sanitizer_there_is_no_heap_profile) {
    if (ag_profile_heap_rate(1) == -ENOSYS)
        ag_skip("this build has no aglet-heap: malloc is the sanitizer's");
    ag_check_int(ag_profile_heap_rate(1), -EOPNOTSUPP);
    FILE *out = fopen("/dev/null", "w");
    ag_check_int(ag_profile_write("heap", out), -EOPNOTSUPP);
    fclose(out);
    for (size_t n = 0; n < 10000; n++)
        free(realloc(malloc(n), 2 * n + 1));
}
