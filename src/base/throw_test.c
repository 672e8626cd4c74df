/* SPDX-License-Identifier: MIT */
/*
 * Throwing: words and status. References: the last one frees, and one too many is told.
 */
#include "ag_test.h"
#include "base/base.h"
#include <aglet/base.h>

static ag__object object; /* outlives its references */
static int freed;

static void free_it(ag__object *o) {
    ag_check(o == &object);
    freed++;
}

AG_TEST(the_last_reference_frees) {
    ag__object_init(&object, free_it);
    ag__ref(&object);
    ag_unref(&object);
    ag_check_int(freed, 0);
    ag_unref(&object);
    ag_check_int(freed, 1);
}

AG_TEST_DEATH(one_unref_too_many_ends_the_process, 2,
              "fatal error: ag_unref of an object that was freed\n") {
    ag__object_init(&object, free_it);
    ag_unref(&object);
    ag_unref(&object);
}

AG_TEST_DEATH(a_reference_to_what_was_freed_ends_the_process, 2,
              "fatal error: ag_ref of an object that was freed\n") {
    ag__object_init(&object, free_it);
    ag_unref(&object);
    ag__ref(&object);
}
