#!/usr/bin/env bash
# The place that this script has in albert_zh; it fine-tunes on LCQMC.  All is said by scripts/run_classifier_lcqmc.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/scripts/run_classifier_lcqmc.sh" "$@"
