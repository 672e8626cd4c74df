/* SPDX-License-Identifier: MIT */
/*
 * ask.c - takes a question apart, finds who answers it, and hands the answer on as it is written.
 *
 * An answer may be longer than memory (a million goroutines), so it is not collected: what the
 * function writes goes through a buffer of its stream to the client. Until that buffer overflows
 * for the first time nothing has been said, so a function that fails early is answered with an
 * error page and its status; one that fails later breaks off, and the client is told by the
 * transport (no last chunk).
 */
#include "debug/ask.h"
#include "os/os.h"
#include "os/stream.h"
#include <aglet/debug.h>
#include <aglet/run.h>
#include <aglet/time.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TARGET_MAX = 2048, PAIRS_MAX = 16, BUFFER = 16 * 1024 };

struct pair {
    const char *key, *value;
};

struct ag__question {
    const ag_debug_client *client;
    const char *accept;
    char *path;
    int pairs;
    struct pair pair[PAIRS_MAX];
    /* Written while it is answered. */
    const char *type;    /* of the content, until the answer begins */
    const char *mistake; /* the key whose value is no number */
    const char *reason;  /* what the error page says; NULL: what the error means */
    bool refused;        /* what was not sent yet is for nobody: an error page follows */
    bool begun;          /* the client knows status and type */
    int failed;          /* what the client's functions said */
    char text[TARGET_MAX];
};

static const ag__answer answers[] = {
#define ASK(path, content_type, fn, about) {path, content_type, fn, about},
#include "debug/ask.def"
#undef ASK
};

const ag__answer *ag__answers(int *ret_count) {
    *ret_count = (int)(sizeof answers / sizeof *answers);
    return answers;
}

/* --- The question. --- */

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX, and + as a space, in place. False for what is no text. */
static bool decode(char *text) {
    char *to = text;
    for (const char *at = text; *at; at++) {
        char c = *at == '+' ? ' ' : *at;
        if (c == '%') {
            int hi = hex(at[1]), lo = hi < 0 ? -1 : hex(at[2]);
            if (lo < 0 || (hi | lo) == 0)
                return false;
            c = (char)(hi << 4 | lo);
            at += 2;
        }
        *to++ = c;
    }
    *to = 0;
    return true;
}

static int take_apart(ag__question *q, const char *target) {
    size_t n = strlen(target);
    if (n >= sizeof q->text)
        return -ENAMETOOLONG;
    memcpy(q->text, target, n + 1);
    q->path = q->text;
    q->text[strcspn(q->text, "#")] = 0;
    char *query = strchr(q->text, '?');
    char *rest = NULL;
    if (query)
        *query++ = 0;
    for (char *at = query ? strtok_r(query, "&", &rest) : NULL; at;
         at = strtok_r(NULL, "&", &rest)) {
        char *value = strchr(at, '=');
        if (value)
            *value++ = 0;
        if (q->pairs == PAIRS_MAX || !decode(at) || (value && !decode(value)))
            return -EINVAL;
        q->pair[q->pairs++] = (struct pair){at, value ? value : ""};
    }
    return 0;
}

const char *ag__question_text(const ag__question *q, const char *key) {
    for (int i = 0; i < q->pairs; i++)
        if (strcmp(q->pair[i].key, key) == 0)
            return q->pair[i].value;
    return NULL;
}

const char *ag__question_accept(const ag__question *q) {
    return q->accept;
}

int64_t ag__question_number(const ag__question *q, const char *key, int64_t otherwise) {
    const char *text = ag__question_text(q, key);
    if (!text)
        return otherwise;
    char *end;
    long long number = strtoll(text, &end, 10);
    /* At the ends of the range it may have been cut; nobody means such a number. */
    if (end == text || *end || number == INT64_MAX || number == INT64_MIN) {
        ((ag__question *)q)->mistake = key;
        return otherwise;
    }
    return number;
}

const char *ag__question_path(const ag__question *q) {
    return q->path;
}

bool ag__question_is_given_up(const ag__question *q) {
    return q->failed || q->mistake || (q->client->is_gone && q->client->is_gone(q->client->arg));
}

void ag__question_set_type(const ag__question *q, const char *content_type) {
    ((ag__question *)q)->type = content_type;
}

void ag__question_set_reason(const ag__question *q, const char *reason) {
    ((ag__question *)q)->reason = reason;
}

bool ag__question_sleep(const ag__question *q, int64_t ns) {
    const int64_t slice = 50 * AG_MS;
    bool is_goroutine = ag_id() > 0;
    for (int64_t until = ag__os_now() + ns, left = ns; left > 0; left = until - ag__os_now()) {
        if (ag__question_is_given_up(q))
            return false;
        if (!is_goroutine)
            ag__os_sleep(left < slice ? left : slice);
        else if (ag_sleep(left < slice ? left : slice) != 0)
            return false;
    }
    return !ag__question_is_given_up(q);
}

/* --- The answer. --- */

static void begin(ag__question *q, int status, const char *type) {
    q->begun = true;
    q->failed = q->client->begin(q->client->arg, status, type);
}

static bool put(void *question, const char *data, size_t n) {
    ag__question *q = question;
    if (!q->begun && (q->refused || q->mistake))
        return true;
    if (!q->begun)
        begin(q, 200, q->type);
    if (!q->failed)
        q->failed = q->client->write(q->client->arg, data, n);
    return q->failed == 0;
}

static int status_of(int error) {
    switch (error) {
    case -ENOENT:
    case -ESRCH:
        return 404;
    case -EINVAL:
    case -ENAMETOOLONG:
        return 400;
    case -EBUSY:
        return 409;
    case -ENOSYS:
    case -EOPNOTSUPP:
        return 501;
    case -EAGAIN:
    case -ENOMEM:
        return 503;
    default:
        return 500;
    }
}

/* The reason in words that say what to do. */
static void error_text(const ag__question *q, int error, char *text, size_t size) {
    if (q->mistake)
        snprintf(text, size, "the value of '%s' must be a number\n", q->mistake);
    else if (q->reason)
        snprintf(text, size, "%s", q->reason);
    else if (error == -ENOENT)
        snprintf(text, size, "nothing is at this path; /debug/list tells what there is\n");
    else if (error == -ESRCH)
        snprintf(text, size, "no goroutine has this number\n");
    else if (error == -EINVAL)
        snprintf(text, size, "the question can't be understood\n");
    else if (error == -ENAMETOOLONG)
        snprintf(text, size, "the question is too long\n");
    else if (error == -EBUSY)
        snprintf(text, size, "somebody else is having this done; ask again later\n");
    else if (error == -ENOSYS || error == -EOPNOTSUPP)
        snprintf(text, size, "this is not offered here\n");
    else if (error == -ENOMEM)
        snprintf(text, size, "there is no memory for the answer\n");
    else
        snprintf(text, size, "the answer failed with error %d\n", -error);
}

static int refuse(ag__question *q, int error) {
    char text[400];
    error_text(q, error, text, sizeof text);
    begin(q, q->mistake ? 400 : status_of(error), "text/plain; charset=utf-8");
    if (!q->failed)
        q->failed = q->client->write(q->client->arg, text, strlen(text));
    return q->failed;
}

/* A path of the table that ends with * stands for all that begin with the rest. */
static const ag__answer *find(const char *path) {
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const char *star = strchr(answers[i].path, '*');
        size_t n = star ? (size_t)(star - answers[i].path) : strlen(path) + 1;
        if (strncmp(answers[i].path, path, n) == 0)
            return &answers[i];
    }
    return NULL;
}

/* Lets the function write. Returns its error, or -EPIPE when the client has gone. */
static int let_answer(ag__question *q, const ag__answer *answer, char *buffer) {
    FILE *out = ag__stream_to(put, q, buffer, BUFFER);
    if (!out)
        return -ENOMEM;
    q->type = answer->content_type;
    const char *debug = ag__question_text(q, "debug");
    if (debug && strcmp(debug, "0") != 0)
        q->type = "text/plain; charset=utf-8";
    int error = answer->fn(q, out);
    q->refused = error < 0 || q->mistake;
    fclose(out);
    return error;
}

static int answer_it(ag__question *q, const char *target, char *buffer) {
    int error = take_apart(q, target);
    const ag__answer *answer = error ? NULL : find(q->path);
    if (!answer)
        return refuse(q, error ? error : -ENOENT);
    error = let_answer(q, answer, buffer);
    if (!q->begun && q->refused)
        return refuse(q, error);
    if (!q->begun)
        begin(q, 200, q->type);
    return q->failed ? q->failed : error < 0 ? error : 0;
}

int ag_debug_answer(const char *target, const ag_debug_client *client) {
    return ag_debug_answer_to(target, NULL, client);
}

int ag_debug_answer_to(const char *target, const char *accept, const ag_debug_client *client) {
    ag__question *q = malloc(sizeof *q + BUFFER);
    if (!q)
        return -ENOMEM;
    memset(q, 0, sizeof *q);
    q->client = client;
    q->accept = accept;
    int r = answer_it(q, target, (char *)(q + 1));
    free(q);
    return r;
}
