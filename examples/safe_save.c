/* SPDX-License-Identifier: MIT */
/* A settings file is always whole: a save that fails half-way, here by a panic, changes nothing. */
#include <aglet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/aglet-settings-XXXXXX";

static int save(int volume, const char *name) {
    char buf[256];
    ag_replace file;
    int err = ag_replace_begin(&file, path, 0, buf, sizeof buf);
    if (err)
        return err;
    ag_defer(ag_replace_cancel, &file); /* unless it is committed */
    ag_writer_printf(&file.out, "volume=%d\n", volume);
    if (strlen(name) > 8)
        ag_panic("a name of %zu letters", strlen(name));
    ag_writer_printf(&file.out, "name=%s\n", name);
    return ag_replace_commit(&file); /* the first error of all that was written, synced, renamed */
}

static void show(void) {
    char text[64] = "";
    FILE *f = fopen(path, "r");
    for (size_t n; f && (n = fread(text, 1, sizeof text, f)) > 0;)
        fwrite(text, 1, n, stdout);
    if (f)
        fclose(f);
}

static int app(void *arg) {
    (void)arg;
    ag_panic_info why;
    close(mkstemp(path));
    printf("saved: %d\n", save(7, "ada"));
    show();
    if (ag_try(&why, save, 9, "bartholomew") == AG_PANICKED)
        printf("not saved: %s\n", why.msg);
    show();
    return unlink(path);
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * saved: 0
 * volume=7
 * name=ada
 * not saved: a name of 11 letters
 * volume=7
 * name=ada
 */
