/* SPDX-License-Identifier: MIT */
/* What can travel, and where a channel can be kept. */
#include <aglet.h>

enum colour { RED, GREEN };
typedef union either {
    int i;
    double d;
} either;
typedef struct pair {
    int a, b;
} pair;
typedef struct big {
    char text[1000];
} big;
typedef void (*handler)(int);
typedef ag_chan(pair) pairs;

struct hub {
    ag_chan(int) in;
    ag_chan(pair) out[4];
    pairs more;
};

extern ag_chan(int) global;
ag_chan(int) global = NULL;
ag_chan(int) pick(struct hub *hub);
int types(struct hub *hub, const struct hub *fixed);

ag_chan(int) pick(struct hub *hub) {
    return hub->in;
}

static void fill(ag_chan(double) d, ag_chan(bool) b, ag_chan(enum colour) e, ag_chan(handler) h,
                 ag_chan(const char *) s, ag_chan(either) u) {
    either value;
    value.i = 1;
    ag_send(d, 1.5);
    ag_send(d, 1);
    ag_send(b, true);
    ag_send(e, GREEN);
    ag_send(h, (handler)NULL);
    ag_send(s, "text");
    ag_send(u, value);
}

int types(struct hub *hub, const struct hub *fixed) {
    ag_chan(double) d = ag_make(double, 2);
    ag_chan(bool) b = ag_make(bool, 1);
    ag_chan(enum colour) e = ag_make(enum colour, 1);
    ag_chan(handler) h = ag_make(handler, 1);
    ag_chan(const char *) s = ag_make(const char *, 1);
    ag_chan(either) u = ag_make(either, 1);
    ag_chan(big) large = ag_make(big, 0);
    ag_chan(ag_chan(int)) replies = ag_make(ag_chan(int), 1);
    ag_chan(int) const constant = ag_make(int, 1);
    const size_t many = 8;
    pairs p = ag_make(pair, many);
    fill(d, b, e, h, s, u);
    handler f;
    const char *text;
    enum colour colour;
    ag_recv(h, &f);
    ag_recv(s, &text);
    ag_recv(e, &colour);
    big block;
    ag_recv(large, &block);
    hub->in = ag_make(int, 0);
    hub->out[1] = p;
    hub->more = hub->out[1];
    pair one = {1, 2};
    ag_send(hub->out[1], one);
    ag_recv(fixed->out[one.a], &one);
    ag_recv(fixed->more, NULL);
    ag_send(pick(hub), 1);
    ag_send(global, 1);
    ag_send(constant, 2);
    ag_send(replies, constant);
    ag_chan(int) reply;
    ag_recv(replies, &reply);
    ag_close(hub->in);
    ag_close(pick(hub));
    ag_unref(p);
    ag_unref(global);
    return (int)(ag_len(hub->more) + ag_cap(fixed->in) + ag_len(pick(hub)));
}
