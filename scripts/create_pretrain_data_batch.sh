#!/usr/bin/env bash
# Makes pre-training records from numbered text files, one by one.  See usage() below.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/arguments.sh"

usage() {
  printf '%s\n' \
    "usage: scripts/create_pretrain_data_batch.sh FIRST LAST [INPUT_DIR [OUTPUT_DIR [VOCAB]]] [FLAG...]" \
    "" \
    "For each N from FIRST to LAST makes OUTPUT_DIR/tf_web_text_zh_N.tfrecord from" \
    "INPUT_DIR/web_text_zh_N.txt.  Whole words, lower case, 512 tokens, at most 76 predictions," \
    "15% of the tokens." \
    "" \
    "  INPUT_DIR   folder of the texts (default: data)" \
    "  OUTPUT_DIR  local folder, made if it is missing (default: data)" \
    "  VOCAB       vocabulary of the model (default: ./albert_config/vocab.txt: put that of the zip there)" \
    "  FLAG        more flags for create_pretraining_data.py; they win over the settings above" \
    "" \
    "A file whose records and description (OUTPUT and OUTPUT.json) are there is skipped, with" \
    "whatever settings it was made; remove it to make it again.  After a failure the other files" \
    "are still made; the failed ones are named at the end, and the exit status is 1." \
    "" \
    "Environment:" \
    "  PYTHON  Python with the requirements installed (default: python)"
}

fail() {
  echo "error: $1" >&2
  usage >&2
  exit 2
}

split_arguments "$@"
if [ "${#positional[@]}" -lt 2 ] || [ "${#positional[@]}" -gt 5 ]; then
  fail "${#positional[@]} arguments before the flags; expected FIRST LAST and at most three more"
fi
for number in "${positional[@]:0:2}"; do
  [[ "$number" =~ ^[0-9]+$ ]] || fail "'$number': FIRST and LAST must be whole numbers from 0 on"
done
first=$((10#${positional[0]}))
last=$((10#${positional[1]}))
[ "$first" -le "$last" ] || fail "FIRST ($first) is larger than LAST ($last)"
input_dir="${positional[2]:-data}"
output_dir="${positional[3]:-data}"
vocab="${positional[4]:-./albert_config/vocab.txt}"
[[ "$output_dir" != *://* ]] || fail "'$output_dir': OUTPUT_DIR must be a local folder"

trap 'exit 130' INT # otherwise the loop would go on with the next file
mkdir -p "$output_dir"
failed=()
for ((number = first; number <= last; number++)); do
  output="$output_dir/tf_web_text_zh_$number.tfrecord"
  if [ -e "$output" ] && [ -e "$output.json" ]; then
    echo "$number: $output is there, skipped"
    continue
  fi
  echo "$number: $output"
  bash "$(dirname "$0")/create_pretrain_data.sh" \
    "$input_dir/web_text_zh_$number.txt" "$output" "$vocab" \
    --max_predictions_per_seq=76 --masked_lm_prob=0.15 ${flags[@]+"${flags[@]}"} || failed+=("$output")
done

if [ "${#failed[@]}" -gt 0 ]; then
  echo "error: ${#failed[@]} of $((last - first + 1)) files failed: ${failed[*]}" >&2
  exit 1
fi
