#!/usr/bin/env bash
# Usage, from the root of the repository: scripts/create_pretrain_data.sh [INPUT [OUTPUT [VOCAB]]]
set -euo pipefail

"${PYTHON:-python}" "$(dirname "$0")/../create_pretraining_data.py" \
  --input_file="${1:-data/news_zh_1.txt}" \
  --output_file="${2:-data/tf_news_2016_zh_raw_news2016zh_1.tfrecord}" \
  --vocab_file="${3:-./albert_config/vocab.txt}" \
  --do_whole_word_mask=true \
  --do_lower_case=true \
  --max_seq_length=512 \
  --max_predictions_per_seq=51 \
  --masked_lm_prob=0.10
