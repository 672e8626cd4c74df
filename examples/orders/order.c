/* SPDX-License-Identifier: MIT */
/*
 * Checks what a client sends and says what is wrong with it, one complaint at a time, in words that
 * tell what to send instead. Nothing is guessed or mended: an unknown member is more often a
 * misspelt one than one to be ignored.
 *
 * The JSON library descends one call deeper with each bracket, as deep as a goroutine's stack is
 * large, so nesting is counted before it is called.
 */
#include "order.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NESTING_MAX = 8 };

static const char *const status_names[ORDER_STATUSES] = {"accepted", "shipping", "shipped",
                                                         "cancelled"};

const char *order_status_name(enum order_status status) {
    return status_names[status];
}

bool order_status_find(const char *name, enum order_status *ret_status) {
    for (int i = 0; i < ORDER_STATUSES; i++) {
        if (strcmp(status_names[i], name) == 0) {
            *ret_status = (enum order_status)i;
            return true;
        }
    }
    return false;
}

/* ---- From JSON ------------------------------------------------------------------------------ */

static bool nested_too_deep(const char *json, size_t n) {
    bool in_string = false;
    int depth = 0;
    for (size_t i = 0; i < n; i++) {
        char c = json[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{') && ++depth > NESTING_MAX)
            return true;
        else if (!in_string && (c == ']' || c == '}'))
            depth--;
    }
    return false;
}

/* The number of characters of valid UTF-8, or -1 if one of them is a control character. */
static int count_characters(const char *text) {
    int count = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            return -1;
        count += (*p & 0xc0) != 0x80;
    }
    return count;
}

static bool take_text(const json_t *object, const char *field, char ret_text[ORDER_TEXT_BYTES],
                      struct complaint *c) {
    const char *text = json_string_value(json_object_get(object, field));
    int count = text ? count_characters(text) : 0;
    if (count < 1 || count > ORDER_TEXT_MAX) {
        c->field = field;
        snprintf(c->text, sizeof c->text,
                 "%s must be a text of 1 to %d characters, without line breaks or other control "
                 "characters",
                 field, ORDER_TEXT_MAX);
        return false;
    }
    snprintf(ret_text, ORDER_TEXT_BYTES, "%s", text);
    return true;
}

static bool take_quantity(const json_t *object, int *ret_quantity, struct complaint *c) {
    const json_t *value = json_object_get(object, "quantity");
    json_int_t quantity = json_integer_value(value);
    if (!json_is_integer(value) || quantity < 1 || quantity > ORDER_QUANTITY_MAX) {
        c->field = "quantity";
        snprintf(c->text, sizeof c->text, "quantity must be a whole number from 1 to %d",
                 ORDER_QUANTITY_MAX);
        return false;
    }
    *ret_quantity = (int)quantity;
    return true;
}

static bool only_known_members(json_t *object, struct complaint *c) {
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        if (strcmp(name, "item") != 0 && strcmp(name, "quantity") != 0 &&
            strcmp(name, "customer") != 0) {
            snprintf(c->text, sizeof c->text,
                     "there is no member \"%s\" in an order; it has item, quantity and customer",
                     strlen(name) <= 40 ? name : "(a long name)");
            return false;
        }
    }
    return true;
}

/* Returns: a reference, or NULL and a complaint. */
static json_t *parse(const char *json, size_t n, struct complaint *c) {
    json_error_t error = {0};
    if (nested_too_deep(json, n)) {
        snprintf(c->text, sizeof c->text, "the JSON is nested too deeply; an order is one object");
        return NULL;
    }
    json_t *value = json_loadb(json, n, JSON_REJECT_DUPLICATES, &error);
    if (!value && json_error_code(&error) == json_error_duplicate_key)
        snprintf(c->text, sizeof c->text, "a member is there twice; send each once");
    else if (!value)
        snprintf(c->text, sizeof c->text,
                 "the body is not valid JSON, see line %d, column %d; send an object such as "
                 "{\"item\":\"shoelace\",\"quantity\":2,\"customer\":\"c-1042\"}",
                 error.line, error.column);
    return value;
}

bool order_parse(const char *json, size_t n, struct order *ret_order,
                 struct complaint *ret_complaint) {
    struct order order = {.status = ORDER_ACCEPTED};
    struct complaint *c = ret_complaint;
    c->field = NULL;
    json_t *object = parse(json, n, c);
    if (object && !json_is_object(object))
        snprintf(c->text, sizeof c->text,
                 "an order is a JSON object with item, quantity and customer");
    bool ok = json_is_object(object) && only_known_members(object, c) &&
              take_text(object, "item", order.item, c) &&
              take_quantity(object, &order.quantity, c) &&
              take_text(object, "customer", order.customer, c);
    json_decref(object);
    if (ok)
        *ret_order = order;
    return ok;
}

bool order_same(const struct order *a, const struct order *b) {
    return a->quantity == b->quantity && strcmp(a->item, b->item) == 0 &&
           strcmp(a->customer, b->customer) == 0;
}

/* ---- To JSON -------------------------------------------------------------------------------- */

const char *order_time(int64_t ms, char ret_text[ORDER_TIME_BYTES]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    size_t n = gmtime_r(&seconds, &tm)
                   ? strftime(ret_text, ORDER_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &tm)
                   : 0;
    snprintf(ret_text + n, ORDER_TIME_BYTES - n, ".%03dZ", (int)(ms % 1000));
    return ret_text;
}

json_t *order_json(const struct order *o) {
    char created[ORDER_TIME_BYTES], updated[ORDER_TIME_BYTES];
    return json_pack("{s:I, s:s, s:i, s:s, s:s, s:s, s:s}", "id", (json_int_t)o->id, "item",
                     o->item, "quantity", o->quantity, "customer", o->customer, "status",
                     order_status_name(o->status), "created_at", order_time(o->created_ms, created),
                     "updated_at", order_time(o->updated_ms, updated));
}
