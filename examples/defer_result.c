/* SPDX-License-Identifier: MIT */
/* A deferred call that changes the result, Go's named result: it gets the address of the variable,
 * and the variable is returned by the caller of the block. C computes `return x` before deferred
 * calls run; so the result lives where both see it. */
#include <aglet.h>

static void add_one(int *n) {
    ++*n;
}

static void answer(int *ret_n) {
    ag_defer(add_one, ret_n);
    *ret_n = 41;
}

static void to_error(int *ret_error) {
    if (ag_recover())
        *ret_error = -1;
}

static void parse(const char *digits, int *ret_error) {
    ag_defer(to_error, ret_error);
    for (const char *c = digits; *c; c++)
        if (*c < '0' || *c > '9')
            ag_panic("not a digit: %c", *c);
}

static int copied_before(void) {
    int n = 41;
    ag_defer(add_one, &n);
    return n;
}

static int app(void *arg) {
    (void)arg;
    int n = 0, error = 0;
    answer(&n);
    printf("answer: %d\n", n);
    printf("a plain return: %d\n", copied_before());
    ag_try(NULL, parse, "123", &error);
    printf("123: %d\n", error);
    ag_try(NULL, parse, "12x", &error);
    printf("12x: %d\n", error);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * answer: 42
 * a plain return: 41
 * 123: 0
 * 12x: -1
 */
