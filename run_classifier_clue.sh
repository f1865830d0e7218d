#!/usr/bin/env bash
# The place that this script has in albert_zh; it fine-tunes on CLUE's tasks.  All is said by scripts/run_classifier_clue.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/scripts/run_classifier_clue.sh" "$@"
