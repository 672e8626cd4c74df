/* SPDX-License-Identifier: MIT */
/* The format of ag_logf is checked as printf's. */
#include <aglet/log.h>
void bad(void);
void bad(void) {
    // warn: -Wformat
    ag_logf(AG_LOG_INFO, "%s", 1);
}
