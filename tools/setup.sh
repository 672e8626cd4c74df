#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Looks for what the build needs; installs what is missing where it may (root, apt-get), else says
# what to install. Does nothing, and fast, when all is there.
#
#     tools/setup.sh [more Debian packages…]     extra packages are looked for by dpkg
set -u

missing=""
need() { # need <package> <command that succeeds when it is there>
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

need cmake command -v cmake
need ninja-build command -v ninja
need gcc command -v gcc
need g++ command -v g++
need pkg-config command -v pkg-config
need python3 command -v python3
if command -v pkg-config >/dev/null; then
    need libsqlite3-dev pkg-config --exists sqlite3
    need libjansson-dev pkg-config --exists jansson
    need libssl-dev pkg-config --exists openssl
    need libnghttp2-dev pkg-config --exists libnghttp2
    need zlib1g-dev pkg-config --exists zlib
else
    missing="$missing libsqlite3-dev libjansson-dev libssl-dev libnghttp2-dev zlib1g-dev"
fi
installed() {
    dpkg-query -W -f '${Status}' "$1" | grep -q '^install ok installed'
}
for package in "$@"; do
    need "$package" installed "$package"
done
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "setup: missing (Debian's names):$missing" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "setup: missing packages; install them with" >&2
    echo "    sudo apt-get install$missing" >&2
    exit 1
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
install="apt-get install -y -q --no-install-recommends"
# shellcheck disable=SC2086 # a list of packages
if ! $install $missing >/dev/null 2>&1; then
    apt-get update -q >/dev/null 2>&1
    # shellcheck disable=SC2086
    if ! $install $missing; then
        echo "setup: could not install$missing" >&2
        exit 1
    fi
fi
