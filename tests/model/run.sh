#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Checks the models of the runtime's protocols, each completely:
#
#     tests/model/run.sh [WORD]        only names that contain WORD
#
# As many at a time as AG_MODEL_JOBS says (2), each with up to 2 GB of memory.
#
# A model must hold in every variant of the first column below, with all of its statements reached.
# In every variant of the second column a part of the protocol is missing, and the checker must
# find the error.
set -u
here=$(cd "$(dirname "$0")" && pwd)

must_hold_and_must_fail() {
    cat <<'END'
handon  plain FULL_FENCES             : NO_HEAVY NO_HAND NO_QUEUE NO_LOOK
runq    plain FULL_FENCES             : NO_HEAVY NO_BACKOFF NO_WAIT YIELD_TO_GLOBAL CLOSE_EARLY
bias    plain FULL_FENCES TWO_LOCKS   : NO_HEAVY NO_RECHECK NO_WAIT REBIAS_UNLOCKED CLOSE_EARLY
bias                                  : UNSORTED
wake    plain FULL_FENCES TWICE       : NO_HEAVY NO_CHAIN_FENCE NO_CHAIN NO_RETRY NO_RECHECK
wake                                  : TAKE_BACK_QUIETLY NO_BREAK
park    plain                         : UNLOCK_EARLY NO_EPOCH NO_CLAIM ARM_EARLY NO_UNLINK
cancel  plain                         : OPEN_EARLY NO_LOOK OPEN_BACK WEAK_TOLD NO_CLAIM NO_EPOCH
mutex   plain FULL_FENCES WAKE_LOCKED : NO_HEAVY NO_WAIT_OUT NO_RECHECK SHARED_EARLY KEEP_WOKEN
mutex   MOVES                         : HAND_TWICE BARGE FORGET FREED MOVE_ALL MOVE_QUIETLY
rwmutex plain                         : NO_GRANT NO_DEBT KEEP_COUNT BARGE EARLY
netpoll plain                         : KEEP_DEADLINE KEEP_TIMER KEEP_CLOSING CLEAR_READY
netpoll                               : CLEAR_WISH STORE_WHO
deadlock plain                        : NO_SUSPECT NO_NUDGE NO_SECOND NO_COUNT UNLOCKED EARLY
END
}

# holds REPORT: Spin prints every complaint in its report; a complete search without one proves the
# model.
holds() {
    grep -q 'errors: 0' "$1" &&
        grep -q '^Full statespace search' "$1" &&
        ! grep -Eq 'Search not completed|max search depth|out of memory|truncated|^spin:' "$1" &&
        ! grep -E '^[[:space:]].*state [0-9]+,' "$1" | grep -v '"-end-"' | grep -v '(0)'
}

finds_error() {
    grep -Eq '^pan:[0-9]*: (assertion violated|invalid end state)' "$1" &&
        grep -Eq 'errors: [1-9]' "$1"
}

# one DIR NAME MODEL VARIANT VERDICT: runs the checker in a folder of its own, whose report stays if
# the verdict is wrong. Says so in one line.
one() {
    mkdir "$1/$2" && cd "$1/$2" || exit 1
    {
        spin -a -D"$4" "$here/$3.pml" &&
            gcc -O1 -w -DSAFETY -DMEMLIM=2000 -o pan pan.c &&
            ./pan -m100000
    } >report 2>&1
    if $5 report; then
        rm -rf "${1:?}/$2"
        echo "ok $2"
    else
        echo "FAILED $2"
    fi
}

# NAME MODEL VARIANT VERDICT, for each.
list() {
    must_hold_and_must_fail | while read -r model variants; do
        for variant in ${variants%%:*}; do
            echo "${model}_$variant $model $variant holds"
        done
        for variant in ${variants#*:}; do
            echo "${model}_finds_$variant $model $variant finds_error"
        done
    done
}

if [ "${1:-}" = --one ]; then
    shift
    one "$@"
    exit
fi

for tool in spin gcc; do
    if ! command -v $tool >/dev/null; then
        echo "$tool is missing; install the packages spin (6.5 or newer) and gcc"
        exit 1
    fi
done
case $(spin -V) in
*' '6.[5-9]* | *' '[7-9].*) ;;
*)
    echo "spin 6.5 or newer is needed, this is: $(spin -V)"
    exit 1
    ;;
esac
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
list | grep "^[^ ]*${1:-}" >"$dir/list"
xargs -L 1 -P "${AG_MODEL_JOBS:-2}" sh "$0" --one "$dir" <"$dir/list" | tee "$dir/lines"
for report in "$dir"/*/report; do
    [ -e "$report" ] || continue
    echo "FAILED $(basename "$(dirname "$report")"):"
    sed 's/^/    /' "$report"
done
all=$(wc -l <"$dir/list")
passed=$(grep -c '^ok ' "$dir/lines")
echo "$passed passed, $((all - passed)) failed"
[ "$passed" = "$all" ] && [ "$all" -gt 0 ]
