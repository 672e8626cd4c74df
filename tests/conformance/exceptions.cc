/* SPDX-License-Identifier: MIT */
/*
 * C++ exceptions inside goroutines: the C++ library keeps what was thrown and caught in
 * thread-local variables, while goroutines wait in the middle of it and go on elsewhere. Each must
 * find its own exceptions again.
 */
#include "ag_test.h"
#include <aglet.h>

#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>

static std::string number(int n) {
    return "number " + std::to_string(n);
}

static void throw_one(int n) {
    throw std::runtime_error(number(n));
}

AG_TEST_RUN(an_exception_is_thrown_and_caught_inside_a_goroutine) {
    std::string text;
    try {
        throw_one(1);
    } catch (const std::exception &e) {
        text = e.what();
    }
    ag_check_str(text.c_str(), "number 1");
}

/* Waits in the middle of a handler, then throws the same exception again. */
static void catch_wait_and_rethrow(int n, ag_chan(int) c) {
    try {
        throw_one(n);
    } catch (const std::exception &e) {
        ag_check_str(e.what(), number(n).c_str());
        ag_yield();
        ag_sleep(n % 7 * AG_US * 100);
        ag_send(c, n);
        ag_recv(c, nullptr);
        ag_check_str(e.what(), number(n).c_str());
        ag_check(std::current_exception() != nullptr);
        throw;
    }
}

static void handler_in_a_handler(int n, ag_chan(int) c, std::atomic<int> *ok) {
    try {
        catch_wait_and_rethrow(n, c);
    } catch (const std::runtime_error &e) {
        ag_sleep(n % 5 * AG_US * 100);
        try {
            catch_wait_and_rethrow(n + 1000, c);
        } catch (const std::exception &inner) {
            ag_yield();
            ag_check_str(inner.what(), number(n + 1000).c_str());
        }
        ag_check_str(e.what(), number(n).c_str());
        try {
            throw; /* the outer one, after the inner one is over */
        } catch (const std::exception &again) {
            ag_check_str(again.what(), number(n).c_str());
        }
    }
    ag_check(std::current_exception() == nullptr);
    ok->fetch_add(1);
}

AG_TEST_RUN(many_wait_inside_their_handlers_and_rethrow) {
    std::atomic<int> ok{0};
    int many = 200 / ag_test_slow();
    ag_chan(int) c = ag_make(int, many);
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < many; i++)
        ag_wg_go(&wg, handler_in_a_handler, i, c, &ok);
    ag_wg_wait(&wg);
    ag_check_int(ok.load(), many);
    ag_unref(c);
}

struct waits_when_destroyed {
    int before = std::uncaught_exceptions();
    std::atomic<int> *unwound;
    ~waits_when_destroyed() {
        if (std::uncaught_exceptions() > before)
            unwound->fetch_add(1);
        ag_sleep(AG_US * 50);
        ag_yield();
        if (std::uncaught_exceptions() > before)
            unwound->fetch_add(1);
    }
};

static void unwind_slowly(int n, std::atomic<int> *unwound) {
    try {
        waits_when_destroyed a{std::uncaught_exceptions(), unwound};
        waits_when_destroyed b{std::uncaught_exceptions(), unwound};
        if (n % 2)
            throw n;
    } catch (int got) {
        ag_check_int(got, n);
    }
}

AG_TEST_RUN(destructors_may_wait_while_the_stack_is_unwound) {
    std::atomic<int> unwound{0};
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 100; i++)
        ag_wg_go(&wg, unwind_slowly, i, &unwound);
    ag_wg_wait(&wg);
    ag_check_int(unwound.load(), 50 * 2 * 2);
}

/* Each waits inside its handler, and ends in the place of the next. */
static void one_of_a_chain(ag_wg *wg, int left, std::atomic<int> *clean) {
    if (std::current_exception() == nullptr && std::uncaught_exceptions() == 0)
        clean->fetch_add(1);
    try {
        throw left;
    } catch (int) {
        ag_yield();
    }
    if (left > 1)
        ag_wg_go(wg, one_of_a_chain, wg, left - 1, clean);
}

AG_TEST_RUN(a_new_goroutine_has_nothing_of_one_before_it) {
    std::atomic<int> clean{0};
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 5; i++)
        ag_wg_go(&wg, one_of_a_chain, &wg, 20, &clean);
    ag_wg_wait(&wg);
    ag_check_int(clean.load(), 5 * 20);
}

static void panic_inside_a_handler() {
    try {
        throw 1;
    } catch (int) {
        ag_panic("inside");
    }
}

/* A panic passes over what ends a handler, so this goroutine keeps what it caught. */
static void one_that_recovers(ag_wg *wg, int left, std::atomic<int> *clean) {
    if (std::current_exception() == nullptr)
        clean->fetch_add(1);
    ag_panic_info info;
    ag_check_int(ag_try(&info, panic_inside_a_handler), AG_PANICKED);
    if (left > 1)
        ag_wg_go(wg, one_that_recovers, wg, left - 1, clean);
}

AG_TEST_RUN(nor_of_one_that_panicked_inside_a_handler) {
    std::atomic<int> clean{0};
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, one_that_recovers, &wg, 20, &clean);
    ag_wg_wait(&wg);
    ag_check_int(clean.load(), 20);
}

static void count(std::atomic<int> *n) {
    n->fetch_add(1);
}

static void throws_past_deferred_calls(std::atomic<int> *n) {
    ag_defer(count, n);
    {
        ag_defer(count, n);
        throw std::runtime_error("past them");
    }
}

AG_TEST_RUN(an_exception_that_leaves_a_block_runs_its_deferred_calls) {
    std::atomic<int> n{0};
    bool caught = false;
    try {
        throws_past_deferred_calls(&n);
    } catch (const std::exception &) {
        caught = true;
    }
    ag_check(caught);
    ag_check_int(n.load(), 2);
    ag_panic_info info;
    ag_check_int(ag_try(&info, count, &n), 0); /* the list of deferred calls is whole */
    ag_check_int(n.load(), 3);
}

static int main_lets_one_out(void *arg) {
    (void)arg;
    ag_go(throw_one, 5);
    return ag_sleep(20 * AG_SEC);
}

AG_TEST_DEATH(one_that_leaves_the_goroutine_terminates, 134, "number 5") {
    ag_run(main_lets_one_out, nullptr);
}
