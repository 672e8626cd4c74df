/* SPDX-License-Identifier: MIT */
/*
 * One connection to the SQLite file, with its schema brought up to date and its statements
 * prepared.
 *
 * A connection has one user at a time; which goroutine and which thread that is may change from
 * call to call. SQLite's calls are called as they are: one that takes long loses its goroutine's
 * processor to another thread, and the other goroutines go on.
 */
#ifndef ORDERS_DB_H
#define ORDERS_DB_H

#include "order.h"

#include <aglet.h>
#include <sqlite3.h>

enum db_statement {
    DB_BEGIN,
    DB_COMMIT,
    DB_ROLLBACK,
    DB_CREATE,
    DB_BY_ID,
    DB_BY_KEY,
    DB_LIST,
    DB_LIST_STATUS,
    DB_CANCEL,
    DB_CLAIM,
    DB_SHIPPED,
    DB_BEGIN_SHIFT,
    DB_WAITING,
    DB_COUNTS,
    DB_STATEMENTS
};

struct db {
    sqlite3 *handle;
    sqlite3_stmt *statements[DB_STATEMENTS];
    ag_time deadline; /* a statement that still runs then is interrupted; 0: none */
};

/* Opens the file, makes it if it is not there, brings its schema up to date. Logs what is wrong.
 * Returns: 0, a negative errno. */
int db_open(const char *path, struct db *ret_db);
/* Zeroed or half open ones, too. */
void db_close(struct db *db);

/* A statement of this connection; ag_defer(db_done, statement) follows. */
sqlite3_stmt *db_statement(struct db *db, enum db_statement which);
/* Ready for its next use. */
void db_done(sqlite3_stmt *statement);
/* Runs it, and reads an order out of the row it gives. Returns: 0, -ENOENT without a row, an error
 * of db_error. */
int db_one_order(struct db *db, sqlite3_stmt *statement, struct order *ret_order);
/* The order in the row where the statement stands. */
void db_read_order(sqlite3_stmt *statement, struct order *ret_order);
/* Runs a statement that gives no row. Returns: 0, an error of db_error. */
int db_run(struct db *db, sqlite3_stmt *statement);

/* What a result of SQLite means: -ETIMEDOUT past the deadline, -EBUSY when another process holds
 * the file, -ENOSPC, else -EIO; logged unless it is a matter of time. */
int db_error(struct db *db, int result);

#endif
