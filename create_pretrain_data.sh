#!/usr/bin/env bash
# The place that this script has in albert_zh; it makes pre-training records.  All is said by scripts/create_pretrain_data.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/scripts/create_pretrain_data.sh" "$@"
