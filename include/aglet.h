/* SPDX-License-Identifier: MIT */
/*
 * aglet.h - Go's concurrency for C: everything. Each part can be included alone.
 */
#ifndef AGLET_H
#define AGLET_H

#include <aglet/base.h>
#include <aglet/bufio.h>
#include <aglet/chan.h>
#include <aglet/ctx.h>
#include <aglet/debug.h>
#include <aglet/defer.h>
#include <aglet/file.h>
#include <aglet/io.h>
#include <aglet/log.h>
#include <aglet/metric.h>
#include <aglet/net.h>
#include <aglet/process.h>
#include <aglet/run.h>
#include <aglet/scope.h>
#include <aglet/signal.h>
#include <aglet/sync.h>
#include <aglet/time.h>
#include <aglet/trace.h>

#endif
