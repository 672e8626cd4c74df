/* SPDX-License-Identifier: MIT */
/*
 * Buffers that grow: nothing is lost on the way from the own one to larger ones, what was read
 * makes room, and none is larger than it must be.
 */
#include "http/bytes.h"

#include <stdlib.h>

#include "ag_test.h"

AG_TEST(a_buffer_grows_out_of_its_own_memory) {
    char own[4] = "abcd", *buf = own;
    uint32_t size = sizeof own;
    ag_check(ag__http_grow(&buf, &size, own, 3, 1));
    ag_check_ptr(buf, own);
    ag_check(ag__http_grow(&buf, &size, own, 4, 5));
    ag_check_int(size, 16);
    ag_check_mem(buf, "abcd", 4);
    memcpy(buf + 4, "efgh", 4);
    ag_check(ag__http_grow(&buf, &size, own, 8, 100));
    ag_check_int(size, 128);
    ag_check_mem(buf, "abcdefgh", 8);
    ag_check(!ag__http_grow(&buf, &size, own, 8, (size_t)1 << 31));
    ag_check_int(size, 128);
    free(buf);
}

static void add(ag__http_bytes *b, size_t n, size_t most) {
    static unsigned char next;
    char *to = ag__http_bytes_room(b, n, most);
    ag_check(to != NULL);
    if (b->n == 0)
        next = 0;
    for (size_t i = 0; i < n; i++)
        to[i] = (char)next++;
    b->n += (uint32_t)n;
}

static void take(ag__http_bytes *b, size_t n, unsigned char first) {
    static char buf[8 * AG__HTTP_BYTES];
    ag_check_int(ag__http_bytes_take(b, buf, n), n);
    for (size_t i = 0; i < n; i++)
        ag_check_int((unsigned char)buf[i], (unsigned char)(first + i));
}

enum { FIRST = AG__HTTP_BYTES };

AG_TEST(what_was_read_makes_room) {
    ag__http_bytes b = {0};
    add(&b, FIRST, 4 * FIRST);
    take(&b, FIRST / 2, 0);
    add(&b, FIRST / 2, 4 * FIRST);
    ag_check_int(b.size, FIRST);
    ag_check_int(b.at, 0);
    take(&b, FIRST, FIRST / 2 & 255);
    ag_check_int(ag__http_bytes_left(&b), 0);
    free(b.p);
}

/* Much is moved only where it would become too large. */
AG_TEST(a_buffer_that_is_nearly_full_grows_up_to_its_bound) {
    ag__http_bytes b = {0};
    add(&b, FIRST, 2 * FIRST);
    take(&b, 8, 0);
    add(&b, 8, 2 * FIRST);
    ag_check_int(b.size, 2 * FIRST);
    add(&b, FIRST - 8, 2 * FIRST);
    take(&b, 8, 8);
    add(&b, 8, 2 * FIRST);
    ag_check_int(b.size, 2 * FIRST);
    ag_check_int(b.at, 0);
    add(&b, FIRST, 2 * FIRST); /* it must be */
    ag_check_int(b.size, 4 * FIRST);
    take(&b, 3 * FIRST - 8, 16);
    free(b.p);
}
