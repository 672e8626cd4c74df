/* SPDX-License-Identifier: MIT */
/* When deferred calls run: at the end of their block, last in, first out, with the arguments as
 * they were at the statement; every round of a loop is a block. */
#include <aglet.h>

static void say(const char *text, int n) {
    printf("%s %d\n", text, n);
}

static int early(int n) {
    ag_defer(say, "deferred before the return", n);
    if (n > 0)
        return n * 10;
    ag_defer(say, "never reached", n);
    return 0;
}

static int app(void *arg) {
    (void)arg;
    int n = 1;
    ag_defer(say, "first in, last out, n was", n);
    n = 2;
    ag_defer(say, "second in, n was", n);
    for (int i = 0; i < 2; i++) {
        ag_defer(say, "end of round", i);
        printf("round %d\n", i);
    }
    {
        ag_defer(say, "end of the block", 0);
        printf("in the block\n");
    }
    int result = early(4);
    printf("early returned %d\n", result);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * round 0
 * end of round 0
 * round 1
 * end of round 1
 * in the block
 * end of the block 0
 * deferred before the return 4
 * early returned 40
 * second in, n was 2
 * first in, last out, n was 1
 */
