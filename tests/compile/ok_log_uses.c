/* SPDX-License-Identifier: MIT */
/* Log lines with every kind of value, also as the body of an if without braces. */
#include <aglet/log.h>

struct thing;
enum color { RED, GREEN };

int log_uses(struct thing *thing, const char *text, char *mutable_text, enum color color);
int log_uses(struct thing *thing, const char *text, char *mutable_text, enum color color) {
    bool yes = color == GREEN;
    ag_log_config config = {0, 0, AG_LOG_JSON, AG_LOG_DEBUG, 0, true};
    ag_log_debug("nothing more");
    ag_log_info(text, ag_kv("a", 1), ag_kv("b", text), ag_kv("c", mutable_text), ag_kv("d", 1.5),
                ag_kv("e", thing), ag_kv("f", yes), ag_kv("g", color), ag_kv("h", "text"),
                ag_kv("i", 1ul), ag_kv("j", 'c'), ag_kv("k", 1.5f), ag_kv("l", (short)1),
                ag_kv("m", 1ull), ag_kv_err(-2), ag_kv_ns("n", 5), ag_kv_bytes("o", text, 1));
    if (yes)
        ag_logf(AG_LOG_WARN, "%d of %s", 1, text);
    else
        ag_log(AG_LOG_ERROR + 1, "worse", ag_kv_err(-1));
    ag_log_set_level(AG_LOG_INFO);
    return ag_log_setup(&config) + ag_log_reopen() + ag_log_flush(1) + (int)ag_log_dropped();
}
