/* SPDX-License-Identifier: MIT */
/* Log lines with fields. What belongs to a request is set once, in its context, and is in every
 * line that is logged on its behalf, also by the goroutines that it starts. */
#include <aglet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void look_up(const char *item) {
    ag_log_warn("slow look-up", ag_kv("item", item), ag_kv_ns("took", 1500 * AG_MS));
}

static void handle(const char *id) {
    ag_with(&ag_request_id, id);
    ag_wg wg = AG_WG_INIT;
    ag_log_info("begins");
    ag_wg_go(&wg, look_up, "blue chair");
    ag_wg_wait(&wg);
    ag_log_error("no answer", ag_kv_err(-110), ag_kv("tries", 3));
}

static int app(void *arg) {
    (void)arg;
    handle("r-17");
    ag_log_debug("not written: the level is INFO");
    return 0; /* ag_run returns when all is written */
}

int main(void) {
    int ends[2];
    char line[512];
    if (pipe(ends) != 0)
        return 1;
    const ag_log_config config = {.fd = ends[1], .format = AG_LOG_JSON, .no_source = true};
    ag_log_setup(&config);
    ag_run(app, NULL);
    FILE *in = fdopen(ends[0], "r");
    for (int i = 0; i < 3 && fgets(line, sizeof line, in); i++) {
        char *goroutine = strstr(line, "\"goroutine\"");
        *goroutine = 0; /* left out, as the time is: they differ from run to run */
        printf("%s%s", strstr(line, "\"level\""), strchr(goroutine + 1, ',') + 1);
    }
    return 0;
}
/* Output:
 * "level":"INFO","msg":"begins","request_id":"r-17"}
 * "level":"WARN","msg":"slow look-up","request_id":"r-17","item":"blue chair","took":1.5}
 * "level":"ERROR","msg":"no answer","request_id":"r-17","error":"Connection timed out","tries":3}
 */
