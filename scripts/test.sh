#!/usr/bin/env bash
# Make a virtual environment, install the project and what its tests need, run ruff, mypy and pytest.
# Arguments go to pytest: none for the quick part, --slow for all tests, as CI has it; a file, or FILE::TEST, for some.
# PYTHON chooses the interpreter (default: python3), VENV the folder, TEST_WORKERS how many run at once (default: 2).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(scripts/environment.sh test)
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
"$venv/bin/mypy"
"$venv/bin/codespell" --toml pyproject.toml README.md CHANGELOG.md CONTRIBUTING.md docs image_extractor scripts tests
# Loops of ctapipe are compiled when it is first imported. Processes that do so at once may leave a cache that crashes
# every later one (https://github.com/numba/numba/issues/10128): one fills it before tests run side by side.
"$venv/bin/python" -P -c 'import ctapipe.calib, ctapipe.image'
exec "$venv/bin/python" -P -m pytest -n "${TEST_WORKERS:-2}" --dist worksteal "$@"
