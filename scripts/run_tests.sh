#!/usr/bin/env bash
# Checks the formatting and runs the tests, one process for each core.
#
#   bash scripts/run_tests.sh [--quick] [PYTEST_ARGUMENT...]
#
# --quick       leave out the tests marked "slow": whole runs, killed processes, large graphs
# VENV          (environment variable) the environment, made when needed; default .venv
# PROCESSES     (environment variable) how many; default one for each core, at most 8
#
#   bash scripts/run_tests.sh tests/text -k offsets
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}"

choice=()
if [ "${1:-}" = --quick ]; then
    choice=(-m "not slow")
    shift
fi

venv="${VENV:-.venv}"
REQUIREMENTS=requirements-dev.txt bash scripts/setup_env.sh "$venv"
python="$venv/bin/python"

if "$python" -c "import sys; sys.exit(sys.version_info < (3, 9))"; then
    "$python" -m ruff format --check .
    "$python" -m ruff check .
fi
cores=$("$python" -c "import os; print(min(8, len(os.sched_getaffinity(0))))" 2>/dev/null || echo 2)
# Tests of a file stay together as long as there is work for all.
exec "$python" -m pytest -q -n "${PROCESSES:-$cores}" --dist worksteal ${choice[@]+"${choice[@]}"} "$@"
