/* SPDX-License-Identifier: MIT */
/*
 * What addresses mean, and how they look as text.
 */
#include "ag_test.h"
#include "net/net.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int parse(const char *text, ag__host_port *p) {
    memset(p, 0x55, sizeof *p);
    return ag__host_port_parse(text, p);
}

AG_TEST(host_and_port_are_told_apart) {
    static const struct {
        const char *text, *host, *name;
        int port;
    } good[] = {
        {"127.0.0.1:80", "127.0.0.1", "", 80},
        {":8080", "", "", 8080},
        {"[::1]:0", "::1", "", 0},
        {"[fe80::1%lo]:65535", "fe80::1%lo", "", 65535},
        {"host:http", "host", "http", 0},
        {"a-b.c:00080", "a-b.c", "", 80},
        {"host:x-1", "host", "x-1", 0},
    };
    ag__host_port p;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ag_check_int(parse(good[i].text, &p), 0);
        ag_check_str(p.host, good[i].host);
        ag_check_str(p.port_name, good[i].name);
        ag_check_int(p.port, good[i].port);
    }
}

AG_TEST(what_is_no_address_is_refused) {
    static const char *bad[] = {"",        "host",       "host:",      ":",          "1:2:3",
                                "::1",     "::1:80",     "[::1]",      "[::1]80",    "[::1:80",
                                "::1]:80", "[]:80",      "[[::1]]:80", "host:65536", "[host]:80",
                                "host:-1", "host:+1",    "host: 80",   "host:8 0",   "host:123456",
                                "a/b:80",  "host:http/1"};
    ag__host_port p;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse(bad[i], &p) != -EINVAL)
            ag_fail("accepted: %s", bad[i]);
    char longer[400];
    memset(longer, 'h', sizeof longer);
    memcpy(longer + 390, ":80", 4);
    ag_check_int(parse(longer, &p), -EINVAL);
}

static int find(const char *net, const char *addr, bool listens, ag__target *t) {
    return ag__target_find(net, addr, listens, t);
}

static void expect(const ag__target *t, int i, const char *text) {
    char buf[AG__ADDR_TEXT];
    ag_check(i < t->count);
    ag__addr_text(&t->addrs[i], buf, sizeof buf);
    ag_check_str(buf, text);
}

AG_TEST(numbers_are_found_without_the_resolver) {
    ag__target t;
    ag_check_int(find("tcp", "127.0.0.1:80", false, &t), 0);
    ag_check_int(t.count, 1);
    expect(&t, 0, "127.0.0.1:80");
    ag_check_int(find("tcp6", "[2001:db8::7]:443", false, &t), 0);
    expect(&t, 0, "[2001:db8::7]:443");
    ag_check_int(find("udp", "[::1]:53", false, &t), 0);
    ag_check(t.datagram);
    ag_check_int(find("tcp4", "[::1]:80", false, &t), -EINVAL);
    ag_check_int(find("tcp6", "127.0.0.1:80", false, &t), -EINVAL);
    ag_check_int(find("tcp", "[::g]:80", false, &t), -EINVAL);
    ag_check_int(find("tcp", NULL, false, &t), -EINVAL);
    ag_check_int(find(NULL, ":1", false, &t), -EINVAL);
    ag_check_int(find("", ":1", false, &t), -EINVAL);
}

AG_TEST(an_empty_host_is_all_or_this_machine) {
    ag__target t;
    ag_check_int(find("tcp", ":80", true, &t), 0);
    ag_check(t.both);
    expect(&t, 0, "[::]:80");
    expect(&t, 1, "0.0.0.0:80");
    ag_check_int(find("tcp4", ":80", true, &t), 0);
    ag_check_int(t.count, 1);
    expect(&t, 0, "0.0.0.0:80");
    ag_check_int(find("tcp6", ":80", true, &t), 0);
    ag_check(!t.both);
    expect(&t, 0, "[::]:80");
    ag_check_int(find("tcp", ":80", false, &t), 0);
    expect(&t, 0, "127.0.0.1:80");
    expect(&t, 1, "[::1]:80");
    ag_check_int(find("tcp", "[::]:80", true, &t), 0);
    ag_check(t.both);
    ag_check_int(find("tcp", "[::1]:80", true, &t), 0);
    ag_check(!t.both);
}

AG_TEST(unix_addresses_are_paths_or_abstract_names) {
    ag__target t;
    char text[AG__ADDR_TEXT], path[200];
    ag_check_int(find("unix", "/tmp/x.sock", true, &t), 0);
    expect(&t, 0, "/tmp/x.sock");
    ag_check_int(find("unix", "@name", true, &t), 0);
    expect(&t, 0, "@name");
    ag_check_int(find("unix", "", true, &t), -EINVAL);
    memset(path, 'p', sizeof path);
    path[107] = 0; /* the longest with its end */
    ag_check_int(find("unix", path, true, &t), 0);
    ag__addr_text(&t.addrs[0], text, sizeof text);
    ag_check_str(text, path);
    path[107] = 'p';
    path[108] = 0;
    ag_check_int(find("unix", path, true, &t), -EINVAL);
    path[0] = '@'; /* an abstract name needs no end */
    ag_check_int(find("unix", path, true, &t), 0);
    ag__addr_text(&t.addrs[0], text, sizeof text);
    ag_check_str(text, path);
}

AG_TEST(names_and_port_names_are_looked_up) {
    ag__target t;
    ag_check_int(find("tcp4", "localhost:80", false, &t), 0);
    expect(&t, 0, "127.0.0.1:80");
    ag_check_int(find("tcp", "localhost:80", true, &t), 0);
    ag_check_int(t.count, 1);
    ag_check_int(find("tcp", "no-such-host.invalid:80", false, &t), -ENOENT);
    ag_check_int(find("tcp", "no-such-host.Invalid.:80", false, &t), -ENOENT);
    if (access("/etc/services", R_OK) != 0)
        ag_skip("/etc/services");
    ag_check_int(find("tcp", "127.0.0.1:http", false, &t), 0);
    expect(&t, 0, "127.0.0.1:80");
    ag_check_int(find("tcp", "127.0.0.1:no-such-port", false, &t), -EINVAL);
}
