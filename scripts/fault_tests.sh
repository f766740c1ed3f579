#!/usr/bin/env bash
# Disturb runs of the command in every way the tests know, and print what was tried, survived and lost.
#   scripts/fault_tests.sh [--quick | --limit N | --minutes N [--seed S]] [arguments of pytest]
# --quick: a few cases of each campaign, as in the normal tests; --limit N: N cases of each; --minutes N: cases of all campaigns at
# random, round after round, until so many minutes are over, the round under way being finished, and one table in the end (seed S,
# 1 if it is not given); else all, in some hours of processor time. The exit code is 1 if anything was lost.
# PYTHON chooses the interpreter (default: python3); it needs this project installed with its extra [test].
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=0 seed=1
case "${1-}" in
    --quick) shift ;;
    --limit) export FAULT_TESTS_LONG=1 FAULT_TESTS_LIMIT=$2; shift 2 ;;
    --minutes)
        export FAULT_TESTS_LONG=1 FAULT_TESTS_LIMIT=6; minutes=$2; shift 2
        if [ "${1-}" = --seed ]; then seed=$2; shift 2; fi ;;
    *) export FAULT_TESTS_LONG=1 ;;
esac
export PYTHONPATH="tests${PYTHONPATH:+:$PYTHONPATH}"
python="${PYTHON:-python3}"

campaigns() { "$python" -P -m pytest -q -p helpers.faults.tally --slow tests/faults "$@"; }

if [ "$minutes" = 0 ]; then
    campaigns "$@"
    exit
fi
notes=$(mktemp)
trap 'rm -f "$notes"' EXIT
export FAULT_TESTS_NOTES=$notes
round=0 failed=0
while [ $((SECONDS / 60)) -lt "$minutes" ]; do
    round=$((round + 1))
    FAULT_TESTS_SEED="$seed.$round" campaigns "$@" || failed=1
done
echo "$round rounds, seed $seed, $((SECONDS / 60)) minutes"
"$python" -P -m helpers.faults.tally "$notes" || failed=1
exit $failed
