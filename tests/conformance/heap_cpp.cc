/* SPDX-License-Identifier: MIT */
/*
 * The heap profile of a C++ program: new and delete, with and without sizes and alignment, and what
 * constructors allocate before main.
 */
#include "answer.h"
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

static std::string profile_text() {
    char *text = answer_to("/debug/pprof/heap?debug=1");
    std::string copy(text);
    free(text);
    return copy;
}

/* The sum of bytes in use of the stacks that have this function in them. */
static long in_use(const char *function) {
    std::string text = profile_text();
    long sum = 0, bytes = 0;
    bool counted = true;
    for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
        std::string line = text.substr(at, end - at);
        long v[4];
        if (std::sscanf(line.c_str(), "%ld %ld %ld %ld @", &v[0], &v[1], &v[2], &v[3]) == 4) {
            bytes = v[3];
            counted = false;
        } else if (!counted && line[0] == '#' && line.find(function) != std::string::npos) {
            sum += bytes;
            counted = true;
        }
    }
    return sum;
}

static KEPT std::vector<int> *builds_early() {
    return new std::vector<int>(1 << 22);
}
/* Of 16 MiB, 32 times the usual rate. */
static std::unique_ptr<std::vector<int>> early{builds_early()};

static void needs_library() {
    if (ag_profile_heap_rate(1) < 0)
        ag_skip("this build has no aglet-heap: malloc is the sanitizer's");
    if (ag_test_under("valgrind"))
        ag_skip("malloc is valgrind's");
    for (int i = 0; i < 64; i++) {
        char *p = new char[1 << 20];
        __asm__ volatile("" : "+r"(p)::"memory"); /* it must be there */
        delete[] p;
    }
}

AG_TEST(what_constructors_allocate_before_main_is_seen) {
    needs_library();
    long found = in_use("builds_early"); /* with AGLET_HEAP_RATE=1 the vector itself, too */
    ag_check(found == 4 << 22 || found == (4 << 22) + (long)sizeof(std::vector<int>));
    early.reset();
    ag_check_int(in_use("builds_early"), 0);
}

struct alignas(256) wide {
    char bytes[1024];
};
static KEPT wide *makes_wide() {
    wide *w = new wide;
    std::memset(w->bytes, 1, sizeof w->bytes);
    return w;
}
static KEPT std::string *makes_long() {
    return new std::string(5000, 'x');
}
AG_TEST(what_is_made_by_new_is_gone_by_delete) {
    needs_library();
    wide *w = makes_wide();
    std::string *s = makes_long();
    ag_check((uintptr_t)w % 256 == 0);
    ag_check(in_use("makes_wide") >= 1024);
    ag_check(in_use("makes_long") >= 5000);
    delete w;
    delete s;
    ag_check_int(in_use("makes_wide"), 0);
    ag_check_int(in_use("makes_long"), 0);
}
