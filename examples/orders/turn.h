/* SPDX-License-Identifier: MIT */
/*
 * Whose turn it is to ship. In a restart two processes run for a while, and both take orders; one
 * of them ships, or every order would go out twice.
 *
 *     turn_queue --> [waits] --> turn_take --> ships --> turn_leave
 *
 * A process that ends in any way gives its turn up.
 */
#ifndef ORDERS_TURN_H
#define ORDERS_TURN_H

#include <stdbool.h>

struct turn {
    int fd; /* of the lock file */
};

/* Takes the place behind the process that ships: there is one. A successor waits until it is free.
 * Whoever else finds somebody there is refused. Says what is wrong. Returns: 0, a negative errno.
 */
int turn_queue(const char *db, bool successor, struct turn *ret_turn);
/* Waits until the one before has left. Returns: 0, a negative errno. */
int turn_take(const struct turn *t);
/* Whether somebody waits. */
bool turn_wanted(const struct turn *t);
void turn_leave(struct turn *t);

#endif
