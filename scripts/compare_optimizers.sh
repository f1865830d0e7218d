#!/usr/bin/env bash
# Pre-trains the quick start's model with every optimizer, in both families, and prints the
# accuracies on the records that it was trained on.
#
#   bash scripts/compare_optimizers.sh [OUTPUT_DIR] [STEPS]
#
# OUTPUT_DIR  default optimizers_output; finished runs in it are not repeated
# STEPS       default 2200, the quick start's; about 1.5 minutes for each of the six runs on 2 cores
# VENV        (environment variable) the virtual environment, default .venv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"

output="${1:-optimizers_output}"
steps="${2:-2200}"
venv="${VENV:-.venv}"
python="$venv/bin/python"
quickstart=albert_config/quickstart
data=data/lcqmc_sample

# run FAMILY OPTIMIZER LEARNING_RATE
run() {
  local folder="$output/$1_$2"
  "$python" run_pretraining.py --verbosity=-1 \
    --bert_config_file="$output/$1.json" --input_file="$output/records.tfrecord" \
    --output_dir="$folder" --do_train --do_eval --max_eval_steps=100 \
    --max_seq_length=40 --max_predictions_per_seq=6 \
    --optimizer="$2" --learning_rate="$3" --train_batch_size=32 --eval_batch_size=32 \
    --num_train_steps="$steps" --num_warmup_steps="$((steps / 10))" \
    --save_checkpoints_steps="$steps" >"$folder.log" 2>&1 || { tail -n 5 "$folder.log"; exit 1; }
  awk -F' = ' -v run="$1 $2 $3" '{ value[$1] = $2 } END {
    printf "%-36s masked-LM %.3f (loss %.2f)   sentence order %.3f\n", run,
      value["masked_lm_accuracy"], value["masked_lm_loss"], value["sentence_order_accuracy"] }' \
    "$folder/eval_results.txt"
}

mkdir -p "$output"
# The quick start's records.
awk -F'\t' 'NR > 1 && $3 == 1 { print $1 "\n" $2 "\n" }' "$data/train.txt" >"$output/questions.txt"
[[ -e "$output/records.tfrecord" ]] || "$python" create_pretraining_data.py --verbosity=-1 \
  --input_file="data/news_zh_1.txt,$output/questions.txt" \
  --output_file="$output/records.tfrecord" --vocab_file="$quickstart/vocab.txt" \
  --do_whole_word_mask --max_seq_length=40 --max_predictions_per_seq=6 \
  --masked_lm_prob=0.2 --dupe_factor=10 >/dev/null
cp "$quickstart/albert_config_quickstart.json" "$output/brightmart.json"
# The same sizes as a google config.
sed 's/"ln_type": "postln"/"num_hidden_groups": 1, "inner_group_num": 1/' \
  "$output/brightmart.json" >"$output/google.json"

for family in brightmart google; do
  run "$family" lamb_brightmart 5e-3
  run "$family" lamb 5e-3
  run "$family" adamw 1e-3
done
