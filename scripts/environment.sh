#!/usr/bin/env bash
# Make a virtual environment, unless it is there, install the project with one of its extras, and print the folder.
#   scripts/environment.sh EXTRA
# PYTHON chooses the interpreter (default: python3), VENV the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
venv=${VENV:-.venv-$1-$version}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade ".[$1]" >&2
echo "$venv"
