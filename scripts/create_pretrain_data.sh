#!/usr/bin/env bash
# Makes pre-training records with the settings of albert_zh's example.  See usage() below.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/arguments.sh"

usage() {
  printf '%s\n' \
    "usage: scripts/create_pretrain_data.sh [INPUT [OUTPUT [VOCAB]]] [FLAG...]" \
    "" \
    "Makes pre-training records from text: one sentence per line, a blank line between documents." \
    "Whole words, lower case, 512 tokens, at most 51 predictions, 10% of the tokens." \
    "" \
    "  INPUT   text files: comma-separated names or globs (default: data/news_zh_1.txt)" \
    "  OUTPUT  TFRecord files, comma-separated" \
    "          (default: data/tf_news_2016_zh_raw_news2016zh_1.tfrecord)" \
    "  VOCAB   vocabulary of the model (default: ./albert_config/vocab.txt: put that of the zip there)" \
    "  FLAG    more flags for create_pretraining_data.py, for example --dupe_factor=5; they win" \
    "          over the settings above" \
    "" \
    "Environment:" \
    "  PYTHON  Python with the requirements installed (default: python)"
}

split_arguments "$@"
if [ "${#positional[@]}" -gt 3 ]; then
  echo "error: '${positional[3]}': expected at most INPUT OUTPUT VOCAB before the flags" >&2
  usage >&2
  exit 2
fi

"${PYTHON:-python}" "$(dirname "$0")/../create_pretraining_data.py" \
  --input_file="${positional[0]:-data/news_zh_1.txt}" \
  --output_file="${positional[1]:-data/tf_news_2016_zh_raw_news2016zh_1.tfrecord}" \
  --vocab_file="${positional[2]:-./albert_config/vocab.txt}" \
  --do_whole_word_mask=true \
  --do_lower_case=true \
  --max_seq_length=512 \
  --max_predictions_per_seq=51 \
  --masked_lm_prob=0.10 \
  ${flags[@]+"${flags[@]}"}
