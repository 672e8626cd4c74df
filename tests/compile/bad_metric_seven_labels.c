/* SPDX-License-Identifier: MIT */
/* A vector has six labels at most. */
#include <aglet/metric.h>
// expect: AG__SIX_7
static AG_COUNTER_VEC(requests, "requests_total", "Requests.", 10, "a", "b", "c", "d", "e", "f",
                      "g");
