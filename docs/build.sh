#!/usr/bin/env bash
# Build the site in docs/_build/html, warnings being errors. Commands of the tutorial run while it is built.
#   docs/build.sh [--links]
# --links also asks for every page that is linked to. PYTHON chooses the interpreter (default: python3), VENV the folder of the
# environment that the project is installed into.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(scripts/environment.sh docs)
rm -rf docs/_build
"$venv/bin/python" -P -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
if [ "${1-}" = --links ]; then
    "$venv/bin/python" -P -m sphinx --quiet -b linkcheck docs docs/_build/links
fi
echo "docs/_build/html/index.html"
