#!/usr/bin/env bash
# Disturb runs of the command in every way the tests know, and print what was tried, survived and lost.
#   scripts/fault_tests.sh [--quick | --limit N] [arguments of pytest]
# --quick: a few cases of each campaign, as in the normal tests; --limit N: N cases of each; else all, in about an hour of processor time.
# PYTHON chooses the interpreter (default: python3); it needs this project installed with its extra [test].
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1-}" in
    --quick) shift ;;
    --limit) export FAULT_TESTS_LONG=1 FAULT_TESTS_LIMIT=$2; shift 2 ;;
    *) export FAULT_TESTS_LONG=1 ;;
esac
export PYTHONPATH="tests${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" -P -m pytest -q -p helpers.faults.tally --slow tests/faults "$@"
