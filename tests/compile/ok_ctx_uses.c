/* SPDX-License-Identifier: MIT */
/* Every macro of ctx.h and ag_notify_ctx, with all kinds of arguments, in C and in C++. */
#include <aglet/ctx.h>
#include <aglet/signal.h>
#include <aglet/time.h>

struct user {
    int number;
};
enum color { RED, GREEN };

static const ag_key(struct user *) current_user = AG_KEY("current_user");
static const ag_key(int) attempt = AG_KEY("attempt");
static const ag_key(enum color) favourite = AG_KEY("favourite");
static const ag_key(const char *) label = AG_KEY("label");

void called(struct user *u, int n);
void called(struct user *u, int n) {
    (void)u;
    (void)n;
}

int uses(ag_ctx *c, struct user *u);
int uses(ag_ctx *c, struct user *u) {
    ag_ctx_enter(c);
    ag_ctx_enter(NULL);
    ag_within(5 * AG_MS);
    ag_within(1);
    ag_shield(AG_SEC);
    ag_label("customer", u ? "some" : NULL);
    ag_label("shard", "7");
    ag_with(&current_user, u);
    ag_with(&attempt, 1 + 2);
    ag_with(&favourite, GREEN);
    ag_with(&label, "a, b");
    ag_with(&ag_request_id, "r-1");
    if (c) {
        ag_ctx_enter(ag_ctx_background());
        ag_within(u->number);
    }
    ag_ctx *plus = ag_ctx_plus(ag_ctx_current(), &current_user, u);
    struct user *got = ag_ctx_get(plus, &current_user);
    enum color color = ag_local(&favourite);
    const char *const *fields = ag_local(&ag_log_fields);
    const char *who = ag_local(&ag_principal), *text = ag_local(&label);
    ag_ctx_call *call = ag_ctx_after(plus, called, got, 3);
    ag_ctx *stop = ag_notify_ctx(plus, SIGINT, SIGTERM), *any = ag_notify_ctx(NULL);
    bool stopped = ag_ctx_call_stop(call);
    int which = ag_select(AG_DONE(stop), AG_DONE(any), AG_DONE(ag_ctx_current()), AG_DONE(NULL));
    ag_unref(call);
    ag_unref(plus);
    ag_unref(stop);
    ag_unref(any);
    return which + (int)color + (who && fields && text) + ag_local(&attempt) + stopped;
}
