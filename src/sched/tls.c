/* SPDX-License-Identifier: MIT */
/*
 * tls.c - the one thread-local of the runtime: which M this thread is.
 *
 * It is read by assembly (AG__TLS_LOAD), so that no compiler keeps its value or address over a
 * switch; a link-time optimizer does not see those reads and would drop or rename the variable,
 * so this file alone is compiled without it.
 */
#include "sched/inner.h"

_Thread_local ag__m *ag__tls_m __attribute__((tls_model("initial-exec"))) = &ag__m_stranger;
