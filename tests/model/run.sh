#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Checks the models of the runtime's protocols, each completely:
#
#     tests/model/run.sh [WORD]        only names that contain WORD
#
# A model must hold in every variant of the first column below, with all of its statements reached.
# In every variant of the second column a part of the protocol is missing, and the checker must
# find the error.
set -u
here=$(cd "$(dirname "$0")" && pwd)
only=${1:-}

must_hold_and_must_fail() {
    cat <<'END'
handon  plain FULL_FENCES             : NO_HEAVY NO_HAND NO_QUEUE NO_LOOK
runq    plain FULL_FENCES             : NO_HEAVY NO_BACKOFF NO_WAIT YIELD_TO_GLOBAL CLOSE_EARLY
bias    plain FULL_FENCES TWO_LOCKS   : NO_HEAVY NO_RECHECK NO_WAIT REBIAS_UNLOCKED CLOSE_EARLY
bias                                  : UNSORTED
wake    plain FULL_FENCES TWICE       : NO_HEAVY NO_CHAIN_FENCE NO_CHAIN NO_RETRY NO_RECHECK
wake                                  : TAKE_BACK_QUIETLY NO_BREAK
park    plain                         : UNLOCK_EARLY NO_EPOCH NO_CLAIM ARM_EARLY NO_UNLINK
mutex   plain FULL_FENCES WAKE_LOCKED : NO_HEAVY NO_WAIT_OUT NO_RECHECK SHARED_EARLY KEEP_WOKEN
mutex                                 : HAND_TWICE BARGE FORGET FREED
rwmutex plain                         : NO_GRANT NO_DEBT KEEP_COUNT BARGE EARLY
netpoll plain                         : KEEP_DEADLINE KEEP_TIMER KEEP_CLOSING CLEAR_READY
netpoll                               : CLEAR_WISH STORE_WHO
END
}

for tool in spin gcc; do
    if ! command -v $tool >/dev/null; then
        echo "$tool is missing; install the packages spin (6.5 or newer) and gcc"
        exit 1
    fi
done
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0
failed=0

# check MODEL VARIANT: runs the checker; its report is in $dir/report.
check() {
    rm -f "$dir"/*
    (
        cd "$dir" || exit 1
        spin -a -D"$2" "$here/$1.pml" &&
            gcc -O1 -w -DSAFETY -DMEMLIM=2000 -o pan pan.c &&
            ./pan -m100000
    ) >"$dir/report" 2>&1
}

# Spin prints every complaint in the report; a complete search without one proves the model.
holds() {
    grep -q 'errors: 0' "$dir/report" &&
        grep -q '^Full statespace search' "$dir/report" &&
        ! grep -Eq 'Search not completed|max search depth|out of memory|truncated|^spin:' \
            "$dir/report" &&
        ! grep -E '^[[:space:]].*state [0-9]+,' "$dir/report" | grep -v '"-end-"' | grep -v '(0)'
}

finds_error() {
    grep -Eq '^pan:[0-9]*: (assertion violated|invalid end state)' "$dir/report" &&
        grep -Eq 'errors: [1-9]' "$dir/report"
}

# run NAME MODEL VARIANT VERDICT
run() {
    case "$1" in *"$only"*) ;; *) return ;; esac
    check "$2" "$3"
    if $4; then
        passed=$((passed + 1))
        echo "ok $1"
    else
        failed=$((failed + 1))
        echo "FAILED $1"
        sed 's/^/    /' "$dir/report"
    fi
}

while read -r model variants; do
    for variant in ${variants%%:*}; do
        run "${model}_$variant" "$model" "$variant" holds
    done
    for variant in ${variants#*:}; do
        run "${model}_finds_$variant" "$model" "$variant" finds_error
    done
done <<END
$(must_hold_and_must_fail)
END
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
