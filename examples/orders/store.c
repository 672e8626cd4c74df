/* SPDX-License-Identifier: MIT */
/*
 * SQLite lets many read at a time and one write. So do we, with two channels:
 *
 *     readers --> s->idle, a channel of idle connections: receive one, use it, send it back
 *     changes --> s->changes, a channel to the one goroutine that writes
 *
 * The writer takes all the changes that are waiting, runs them in one transaction, and tells each
 * caller when the commit has returned: with a hundred callers the disk is waited for once, not a
 * hundred times, and each of them still has its order on the disk when it gets its answer. Nobody
 * waits for a lock of SQLite's, but for the second or two of a restart, in which another process
 * writes, too.
 *
 * A change lives on its caller's stack, which stands still until the writer is done with it. Its
 * statement changes all or nothing by itself, so one that fails does not harm the others.
 *
 * Refused: one transaction for each change, from as many connections. It is simpler, and on a disk
 * that takes 2 ms to sync it stores 500 orders a second at most, however many are waiting.
 */
#include "store.h"
#include "db.h"

#include <errno.h>
#include <stdlib.h>

enum {
    READERS = 4,
    TOGETHER_MAX = 128, /* changes in one transaction */
};

/* Owner: the caller, then, once sent, the writer until it calls ag_wg_done. */
struct change {
    int (*run)(struct db *db, struct change *c);
    int64_t id;
    int64_t shift;       /* 0: of no matter */
    struct order *order; /* in and out */
    const char *key;
    bool again;
    int result;
    ag_wg done;
};

struct store {
    struct db readers[READERS];
    ag_chan(struct db *) idle; /* the readers that nobody uses */
    struct db writer_db;       /* the writer's own */
    ag_chan(struct change *) changes;
    ag_wg writer;
    int64_t shift; /* constant once somebody claims */
};

/* ---- The writer ----------------------------------------------------------------------------- */

static int run_simple(struct db *db, enum db_statement which) {
    sqlite3_stmt *statement = db_statement(db, which);
    ag_defer(db_done, statement);
    return db_run(db, statement);
}

/* The wait for the disk: known to take long, so the processor is handed on at once. */
static int commit(struct db *db) {
    int err = (int)ag_blocking(run_simple, db, DB_COMMIT);
    if (err != 0 && !sqlite3_get_autocommit(db->handle))
        run_simple(db, DB_ROLLBACK);
    return err;
}

static void run_together(struct db *db, struct change **changes, int count) {
    int err = run_simple(db, DB_BEGIN);
    for (int i = 0; err == 0 && i < count; i++) {
        changes[i]->result = changes[i]->run(db, changes[i]);
        if (sqlite3_get_autocommit(db->handle)) /* a full disk has undone all of it */
            err = changes[i]->result;
    }
    if (err == 0)
        err = commit(db);
    for (int i = 0; i < count; i++) {
        if (err != 0)
            changes[i]->result = err;
        ag_wg_done(&changes[i]->done);
    }
}

static void store_writer(struct store *s) {
    struct change *together[TOGETHER_MAX];
    while (ag_recv(s->changes, &together[0])) {
        int count = 1;
        while (count < TOGETHER_MAX && ag_try_recv(s->changes, &together[count]) == 1)
            count++;
        run_together(&s->writer_db, together, count);
    }
}

/* Hands the change to the writer, and waits for its commit. */
static int make_change(struct store *s, struct change *c, ag_time deadline) {
    ag_wg_add(&c->done, 1);
    if (ag_select_ordered(AG_SEND(s->changes, c), AG_AFTER(deadline - ag_now())) != 0)
        return -ETIMEDOUT;
    ag_wg_wait(&c->done);
    return c->result;
}

/* ---- The readers ---------------------------------------------------------------------------- */

/* Returns: NULL when none was free by the deadline. */
static struct db *take_reader(struct store *s, ag_time deadline) {
    struct db *db;
    if (ag_select_ordered(AG_RECV(s->idle, &db), AG_AFTER(deadline - ag_now())) != 0)
        return NULL;
    db->deadline = deadline;
    return db;
}

static void give_back(struct store *s, struct db *db) {
    ag_send(s->idle, db);
}

/* ---- Opening and closing -------------------------------------------------------------------- */

static int open_all(struct store *s, const char *path) {
    int err = db_open(path, &s->writer_db);
    for (int i = 0; err == 0 && i < READERS; i++) {
        err = db_open(path, &s->readers[i]);
        if (err == 0)
            ag_send(s->idle, &s->readers[i]);
    }
    return err;
}

int store_open(const char *path, struct store **ret_store) {
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->idle = ag_make(struct db *, READERS);
    s->changes = ag_make(struct change *, 0);
    int err = open_all(s, path);
    ag_ctx_enter(NULL); /* the writer outlives who has opened it */
    if (err == 0 && ag_wg_go(&s->writer, store_writer, s) < 0)
        err = -ENOMEM;
    if (err != 0)
        store_close(s);
    else
        *ret_store = s;
    return err;
}

void store_close(struct store *s) {
    ag_close(s->changes);
    ag_wg_wait(&s->writer);
    for (int i = 0; i < READERS; i++)
        db_close(&s->readers[i]);
    db_close(&s->writer_db);
    ag_unref(s->changes);
    ag_unref(s->idle);
    free(s);
}

/* ---- Changes -------------------------------------------------------------------------------- */

static int64_t now_ms(void) {
    return ag_wall() / AG_MS;
}

static int read_one(struct db *db, enum db_statement which, int64_t id, struct order *ret_order) {
    sqlite3_stmt *statement = db_statement(db, which);
    ag_defer(db_done, statement);
    sqlite3_bind_int64(statement, 1, id);
    return db_one_order(db, statement, ret_order);
}

static int insert(struct db *db, struct change *c) {
    const struct order *o = c->order;
    sqlite3_stmt *statement = db_statement(db, DB_CREATE);
    ag_defer(db_done, statement);
    sqlite3_bind_text(statement, 1, o->item, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 2, o->quantity);
    sqlite3_bind_text(statement, 3, o->customer, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, c->key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 5, now_ms());
    return db_one_order(db, statement, c->order);
}

static int find_by_key(struct db *db, struct change *c) {
    struct order earlier;
    sqlite3_stmt *statement = db_statement(db, DB_BY_KEY);
    ag_defer(db_done, statement);
    sqlite3_bind_text(statement, 1, c->key, -1, SQLITE_STATIC);
    int err = db_one_order(db, statement, &earlier);
    if (err != 0)
        return err;
    if (!order_same(&earlier, c->order))
        return -EEXIST;
    *c->order = earlier;
    c->again = true;
    return 0;
}

static int create(struct db *db, struct change *c) {
    int err = insert(db, c);
    return err == -ENOENT ? find_by_key(db, c) : err; /* nothing inserted: the key is there */
}

/* A statement that changes the order `c->id` if it may, and gives it. */
static int move(struct db *db, struct change *c, enum db_statement which) {
    sqlite3_stmt *statement = db_statement(db, which);
    ag_defer(db_done, statement);
    sqlite3_bind_int64(statement, 1, c->id);
    sqlite3_bind_int64(statement, 2, now_ms());
    if (c->shift)
        sqlite3_bind_int64(statement, 3, c->shift);
    return db_one_order(db, statement, c->order);
}

static int cancel(struct db *db, struct change *c) {
    int err = move(db, c, DB_CANCEL);
    if (err != -ENOENT)
        return err;
    err = read_one(db, DB_BY_ID, c->id, c->order);
    if (err != 0)
        return err;
    c->again = c->order->status == ORDER_CANCELLED;
    return c->again ? 0 : -EEXIST;
}

static int claim(struct db *db, struct change *c) {
    return move(db, c, DB_CLAIM);
}

static int shipped(struct db *db, struct change *c) {
    return move(db, c, DB_SHIPPED);
}

static int begin_shift(struct db *db, struct change *c) {
    sqlite3_stmt *statement = db_statement(db, DB_BEGIN_SHIFT);
    ag_defer(db_done, statement);
    int result = sqlite3_step(statement);
    if (result != SQLITE_ROW)
        return db_error(db, result);
    c->shift = sqlite3_column_int64(statement, 0);
    c->id = sqlite3_column_int64(statement, 1);
    return 0;
}

int store_create(struct store *s, struct order *o, const char *key, ag_time deadline,
                 bool *ret_again) {
    struct change c = {.run = create, .order = o, .key = key};
    int err = make_change(s, &c, deadline);
    if (err == 0)
        *ret_again = c.again;
    return err;
}

int store_cancel(struct store *s, int64_t id, ag_time deadline, struct order *ret_order,
                 bool *ret_again) {
    struct change c = {.run = cancel, .id = id, .order = ret_order};
    int err = make_change(s, &c, deadline);
    if (err == 0)
        *ret_again = c.again;
    return err;
}

int store_begin_shift(struct store *s, int64_t *ret_newest) {
    struct change c = {.run = begin_shift};
    int err = make_change(s, &c, ag_now() + AG_MIN);
    if (err == 0) {
        s->shift = c.shift;
        *ret_newest = c.id;
    }
    return err;
}

int store_claim(struct store *s, int64_t id, struct order *ret_order) {
    struct change c = {.run = claim, .id = id, .shift = s->shift, .order = ret_order};
    return make_change(s, &c, ag_now() + AG_MIN);
}

int store_shipped(struct store *s, int64_t id, struct order *ret_order) {
    struct change c = {.run = shipped, .id = id, .shift = s->shift, .order = ret_order};
    return make_change(s, &c, ag_now() + AG_MIN);
}

/* ---- Searches ------------------------------------------------------------------------------- */

int store_get(struct store *s, int64_t id, ag_time deadline, struct order *ret_order) {
    struct db *db = take_reader(s, deadline);
    if (!db)
        return -ETIMEDOUT;
    ag_defer(give_back, s, db);
    return read_one(db, DB_BY_ID, id, ret_order);
}

int store_list(struct store *s, const struct store_page *page, ag_time deadline,
               struct order *ret_orders) {
    struct db *db = take_reader(s, deadline);
    if (!db)
        return -ETIMEDOUT;
    ag_defer(give_back, s, db);
    bool any = page->status == ORDER_STATUSES;
    sqlite3_stmt *statement = db_statement(db, any ? DB_LIST : DB_LIST_STATUS);
    ag_defer(db_done, statement);
    sqlite3_bind_int64(statement, 1, page->before);
    sqlite3_bind_int(statement, 2, page->limit);
    if (!any)
        sqlite3_bind_text(statement, 3, order_status_name(page->status), -1, SQLITE_STATIC);
    int count = 0, result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW && count < page->limit)
        db_read_order(statement, &ret_orders[count++]);
    return result == SQLITE_DONE ? count : db_error(db, result);
}

int store_waiting(struct store *s, int64_t after, int64_t last, int64_t *ret_ids, int max) {
    struct db *db = take_reader(s, ag_now() + AG_MIN);
    if (!db)
        return -ETIMEDOUT;
    ag_defer(give_back, s, db);
    sqlite3_stmt *statement = db_statement(db, DB_WAITING);
    ag_defer(db_done, statement);
    sqlite3_bind_int64(statement, 1, after);
    sqlite3_bind_int64(statement, 2, last);
    sqlite3_bind_int(statement, 3, max);
    int count = 0, result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW && count < max)
        ret_ids[count++] = sqlite3_column_int64(statement, 0);
    return result == SQLITE_DONE ? count : db_error(db, result);
}

int store_counts(struct store *s, ag_time deadline, int64_t ret_counts[ORDER_STATUSES]) {
    struct db *db = take_reader(s, deadline);
    if (!db)
        return -ETIMEDOUT;
    ag_defer(give_back, s, db);
    sqlite3_stmt *statement = db_statement(db, DB_COUNTS);
    ag_defer(db_done, statement);
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        enum order_status status;
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        if (name && order_status_find(name, &status))
            ret_counts[status] = sqlite3_column_int64(statement, 1);
    }
    return result == SQLITE_DONE ? 0 : db_error(db, result);
}
