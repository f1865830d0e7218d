#!/usr/bin/env bash
# Checks the formatting and runs all tests in .venv, which it makes when needed.
#
#   bash scripts/run_tests.sh [PYTEST_ARGUMENT...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}"

REQUIREMENTS=requirements-dev.txt bash scripts/setup_env.sh .venv
python=.venv/bin/python

if "$python" -c "import sys; sys.exit(sys.version_info < (3, 9))"; then
    "$python" -m ruff format --check .
    "$python" -m ruff check .
fi
exec "$python" -m pytest -q tests "$@"
