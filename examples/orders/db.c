/* SPDX-License-Identifier: MIT */
/*
 * The SQLite side: settings, schema, statements. No other file has SQL.
 *
 * Durability. WAL with synchronous=FULL: a commit that has returned is on the disk and survives the
 * death of the process and of the machine.
 *
 * Schema. user_version counts the migrations that have run. Each one runs in a transaction together
 * with its number, so a start that is interrupted goes on where it stood. They are never edited,
 * only added to, and leave what the version before needs: in a restart that one still has the file.
 *
 * Counting orders by state would read the whole index each time somebody looks at the metrics, so
 * triggers keep the numbers, in the same transaction as the change that they count.
 *
 * Shifts. Each process whose turn it is to ship begins one. An order that is `shipping` since an
 * earlier shift was dropped there, and may be claimed; one of this shift is in somebody's hands.
 */
#include "db.h"

#include <aglet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    BUSY_MS = 2000,        /* another process, a backup perhaps, holds the file */
    STEPS_PER_LOOK = 1000, /* of SQLite's machine, between two looks at the clock */
};

#define COLUMNS "id, item, quantity, customer, status, created_ms, updated_ms"

static const char *const migrations[] = {
    "CREATE TABLE orders ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  item TEXT NOT NULL,"
    "  quantity INTEGER NOT NULL CHECK (quantity > 0),"
    "  customer TEXT NOT NULL,"
    "  status TEXT NOT NULL CHECK (status IN ('accepted', 'shipping', 'shipped', 'cancelled')),"
    "  idempotency_key TEXT UNIQUE,"
    "  created_ms INTEGER NOT NULL,"
    "  updated_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX orders_by_status ON orders (status, id);",

    "CREATE TABLE order_counts (status TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO order_counts VALUES ('accepted', 0), ('shipping', 0), ('shipped', 0),"
    "  ('cancelled', 0);"
    "UPDATE order_counts SET n ="
    "  (SELECT count(*) FROM orders WHERE orders.status = order_counts.status);"
    "CREATE TRIGGER order_added AFTER INSERT ON orders BEGIN"
    "  UPDATE order_counts SET n = n + 1 WHERE status = new.status;"
    "END;"
    "CREATE TRIGGER order_moved AFTER UPDATE OF status ON orders BEGIN"
    "  UPDATE order_counts SET n = n - 1 WHERE status = old.status;"
    "  UPDATE order_counts SET n = n + 1 WHERE status = new.status;"
    "END;",

    "ALTER TABLE orders ADD COLUMN shift INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE shift (n INTEGER NOT NULL) STRICT;"
    "INSERT INTO shift VALUES (0);",
};

static const char *const sql[DB_STATEMENTS] = {
    [DB_BEGIN] = "BEGIN IMMEDIATE",
    [DB_COMMIT] = "COMMIT",
    [DB_ROLLBACK] = "ROLLBACK",
    [DB_CREATE] = "INSERT INTO orders (item, quantity, customer, status, idempotency_key,"
                  "  created_ms, updated_ms) VALUES (?1, ?2, ?3, 'accepted', ?4, ?5, ?5)"
                  "  ON CONFLICT (idempotency_key) DO NOTHING RETURNING " COLUMNS,
    [DB_BY_ID] = "SELECT " COLUMNS " FROM orders WHERE id = ?1",
    [DB_BY_KEY] = "SELECT " COLUMNS " FROM orders WHERE idempotency_key = ?1",
    [DB_LIST] = "SELECT " COLUMNS " FROM orders WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
    [DB_LIST_STATUS] = "SELECT " COLUMNS " FROM orders WHERE id < ?1 AND status = ?3"
                       "  ORDER BY id DESC LIMIT ?2",
    [DB_CANCEL] = "UPDATE orders SET status = 'cancelled', updated_ms = ?2"
                  "  WHERE id = ?1 AND status = 'accepted' RETURNING " COLUMNS,
    [DB_CLAIM] = "UPDATE orders SET status = 'shipping', shift = ?3, updated_ms = ?2 WHERE id = ?1"
                 "  AND (status = 'accepted' OR (status = 'shipping' AND shift < ?3))"
                 "  RETURNING " COLUMNS,
    [DB_SHIPPED] = "UPDATE orders SET status = 'shipped', updated_ms = ?2"
                   "  WHERE id = ?1 AND status = 'shipping' AND shift = ?3 RETURNING " COLUMNS,
    [DB_BEGIN_SHIFT] = "UPDATE shift SET n = n + 1"
                       "  RETURNING n, (SELECT coalesce(max(id), 0) FROM orders)",
    [DB_WAITING] = "SELECT id FROM orders WHERE status IN ('accepted', 'shipping') AND id > ?1"
                   "  AND id <= ?2 ORDER BY id LIMIT ?3",
    [DB_COUNTS] = "SELECT status, n FROM order_counts",
};

/* ---- Results -------------------------------------------------------------------------------- */

int db_error(struct db *db, int result) {
    switch (result & 0xff) {
    case SQLITE_INTERRUPT:
        return -ETIMEDOUT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    }
    ag_log_error("the database has failed", ag_kv("why", sqlite3_errmsg(db->handle)));
    switch (result & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EACCES;
    }
    return -EIO;
}

/* ---- Opening -------------------------------------------------------------------------------- */

static int interrupt_when_late(void *arg) {
    const struct db *db = arg;
    return db->deadline && ag_now() > db->deadline;
}

static int execute(struct db *db, const char *text) {
    int result = sqlite3_exec(db->handle, text, NULL, NULL, NULL);
    return result == SQLITE_OK ? 0 : db_error(db, result);
}

/* The first value of the first row. */
static int ask(struct db *db, const char *text, char *ret_value, size_t size) {
    sqlite3_stmt *statement;
    int result = sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL);
    if (result != SQLITE_OK)
        return db_error(db, result);
    ag_defer(sqlite3_finalize, statement);
    result = sqlite3_step(statement);
    if (result != SQLITE_ROW)
        return db_error(db, result);
    snprintf(ret_value, size, "%s", (const char *)sqlite3_column_text(statement, 0));
    return 0;
}

static int open_file(struct db *db, const char *path) {
    /* NOMUTEX: each connection has one user at a time, by construction. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int result = sqlite3_open_v2(path, &db->handle, flags, NULL);
    if (result != SQLITE_OK)
        return db_error(db, result);
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    return 0;
}

static int set_up(struct db *db) {
    char mode[16] = "";
    int err = ask(db, "PRAGMA journal_mode = WAL", mode, sizeof mode);
    if (err == 0 && strcmp(mode, "wal") != 0) {
        ag_log_error("this file system cannot hold a WAL database; see --db");
        err = -ENOTSUP;
    }
    if (err == 0)
        err = execute(db, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    return err;
}

static int schema_version(struct db *db, int *ret_version) {
    char text[16];
    int err = ask(db, "PRAGMA user_version", text, sizeof text);
    if (err == 0)
        sscanf(text, "%d", ret_version);
    return err;
}

static int migrate_to(struct db *db, int version) {
    char set_version[48];
    snprintf(set_version, sizeof set_version, "PRAGMA user_version = %d; COMMIT", version);
    int err = execute(db, migrations[version - 1]);
    return err == 0 ? execute(db, set_version) : err;
}

static int migrate(struct db *db) {
    const int newest = (int)(sizeof migrations / sizeof *migrations);
    for (int version = 0;;) {
        int err = schema_version(db, &version);
        if (err != 0 || version == newest)
            return err;
        if (version > newest) {
            ag_log_error("the database was made by a newer version of this program");
            return -ENOTSUP;
        }
        err = execute(db, "BEGIN IMMEDIATE");
        if (err == 0)
            err = migrate_to(db, version + 1);
        if (err != 0)
            return err;
    }
}

static int prepare(struct db *db) {
    for (int i = 0; i < DB_STATEMENTS; i++) {
        int result = sqlite3_prepare_v3(db->handle, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                        &db->statements[i], NULL);
        if (result != SQLITE_OK)
            return db_error(db, result);
    }
    return 0;
}

int db_open(const char *path, struct db *ret_db) {
    struct db *db = ret_db;
    *db = (struct db){0};
    int err = open_file(db, path);
    if (err == 0)
        err = set_up(db);
    if (err == 0)
        err = migrate(db);
    if (err == 0)
        err = prepare(db);
    if (err != 0) {
        ag_log_error("the database can't be used; see --db", ag_kv("path", path));
        db_close(db);
        return err;
    }
    sqlite3_progress_handler(db->handle, STEPS_PER_LOOK, interrupt_when_late, db);
    return 0;
}

void db_close(struct db *db) {
    for (int i = 0; i < DB_STATEMENTS; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->handle);
    *db = (struct db){0};
}

/* ---- Statements ----------------------------------------------------------------------------- */

sqlite3_stmt *db_statement(struct db *db, enum db_statement which) {
    return db->statements[which];
}

void db_done(sqlite3_stmt *statement) {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

static void copy_text(sqlite3_stmt *statement, int column, char ret_text[ORDER_TEXT_BYTES]) {
    const unsigned char *text = sqlite3_column_text(statement, column);
    snprintf(ret_text, ORDER_TEXT_BYTES, "%s", text ? (const char *)text : "");
}

void db_read_order(sqlite3_stmt *statement, struct order *o) {
    const char *status = (const char *)sqlite3_column_text(statement, 4);
    *o = (struct order){.id = sqlite3_column_int64(statement, 0)};
    copy_text(statement, 1, o->item);
    o->quantity = sqlite3_column_int(statement, 2);
    copy_text(statement, 3, o->customer);
    order_status_find(status ? status : "", &o->status);
    o->created_ms = sqlite3_column_int64(statement, 5);
    o->updated_ms = sqlite3_column_int64(statement, 6);
}

int db_one_order(struct db *db, sqlite3_stmt *statement, struct order *ret_order) {
    int result = sqlite3_step(statement);
    if (result == SQLITE_DONE)
        return -ENOENT;
    if (result != SQLITE_ROW)
        return db_error(db, result);
    db_read_order(statement, ret_order);
    return 0;
}

int db_run(struct db *db, sqlite3_stmt *statement) {
    int result = sqlite3_step(statement);
    return result == SQLITE_DONE ? 0 : db_error(db, result);
}
