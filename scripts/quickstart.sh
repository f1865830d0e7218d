#!/usr/bin/env bash
# The whole way in a few minutes on a laptop: text, records, pre-training, fine-tuning, similarity.
# Run it again to continue where it stopped, or to see the results once more.
#
#   bash scripts/quickstart.sh [OUTPUT_DIR]
#
# OUTPUT_DIR  default quickstart_output; remove it to start over
# VENV        (environment variable) the virtual environment, default .venv
#
# Expected on 2 cores: masked-LM loss from 9.8 to about 4, dev accuracy about 0.8 where always giving
# one answer scores 0.50, in about 3 minutes after installing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"

output="${1:-quickstart_output}"
venv="${VENV:-.venv}"
config=albert_config/quickstart/albert_config_quickstart.json
vocab=albert_config/quickstart/vocab.txt
data=data/lcqmc_sample
started=$SECONDS

title() {
  printf '\n=== %s\n' "$1"
}

# Shows a command as one would type it, and runs it.
run() {
  echo "\$ python $*"
  "$venv/bin/python" "$@"
}

# value FILE KEY: the last "KEY = value" of a results file.
value() {
  awk -F' = ' -v key="$2" '$1 == key { found = $2 } END { print found }' "$1"
}

title "0. Environment"
bash scripts/setup_env.sh "$venv"
installed=$SECONDS
mkdir -p "$output"

title "1. Pre-training data: records with masked words and swapped sentences"
# Questions of the training file that mean the same become small documents beside the news: a
# model that has seen them restore each other's words learns to compare sentences from few examples.
awk -F'\t' 'NR > 1 && $3 == 1 { print $1 "\n" $2 "\n" }' "$data/train.txt" >"$output/questions.txt"
run create_pretraining_data.py \
  --input_file="data/news_zh_1.txt,$output/questions.txt" \
  --output_file="$output/records.tfrecord" --vocab_file="$vocab" \
  --do_whole_word_mask --max_seq_length=40 --max_predictions_per_seq=6 \
  --masked_lm_prob=0.2 --dupe_factor=10

title "2. Pre-training: masked words (masked_lm) and sentence order"
run run_pretraining.py --verbosity=-1 \
  --bert_config_file="$config" --input_file="$output/records.tfrecord" \
  --output_dir="$output/pretraining" --do_train --do_eval \
  --max_seq_length=40 --max_predictions_per_seq=6 --optimizer=adamw \
  --train_batch_size=32 --learning_rate=1e-3 --num_train_steps=2200 --num_warmup_steps=220 \
  --eval_batch_size=32 --max_eval_steps=50 --log_every_steps=200

title "3. Fine-tuning: do two questions mean the same?"
run run_classifier.py --verbosity=-1 \
  --task_name=lcqmc --data_dir="$data" --output_dir="$output/classifier" \
  --bert_config_file="$config" --vocab_file="$vocab" --init_checkpoint="$output/pretraining" \
  --do_train --do_eval --do_predict --max_seq_length=40 \
  --train_batch_size=32 --learning_rate=3e-4 --num_train_epochs=10 --eval_batch_size=64

title "4. Similarity of three pairs (probability that they mean the same)"
printf '%s\t%s\n' \
  家里绿萝叶子总是发黄为什么 绿萝的叶子为什么会发黄 \
  请问丢了身份证该怎么补 补办丢失的身份证要怎么做 \
  做菜盐放多了如何挽救 焖米饭水放多少才不硬 >"$output/pairs.tsv"
run similarity.py --model_dir="$output/classifier" --input_file="$output/pairs.tsv"

title "Results"
pretraining="$output/pretraining/eval_results.txt"
majority=$(awk -F'\t' 'NR > 1 { n[$3]++ } END { m = n[0] > n[1] ? n[0] : n[1]; printf "%.3f", m / (NR - 1) }' \
  "$data/dev.txt")
printf 'masked-LM accuracy       %s (loss %s), on the records it was trained on\n' \
  "$(value "$pretraining" masked_lm_accuracy)" "$(value "$pretraining" masked_lm_loss)"
printf 'sentence-order accuracy  %s\n' "$(value "$pretraining" sentence_order_accuracy)"
dev_accuracy=$("$venv/bin/python" -c \
  'import json, sys; print("%.4f" % json.load(open(sys.argv[1]))["dev"]["eval_accuracy"])' \
  "$output/classifier/results.json")
printf 'dev accuracy             %s, of the best checkpoint (always the same answer: %s)\n' \
  "$dev_accuracy" "$majority"
tail -n +2 "$data/test.txt" | cut -f3 | paste - "$output/classifier/test_results.tsv" |
  awk '{ sum[$1] += $3; n[$1]++ } END {
    printf "test pairs, mean score   %.3f where the meaning is the same, %.3f where it is not\n",
      sum[1] / n[1], sum[0] / n[0] }'
printf 'time                     %d s (and %d s for the environment)\n' \
  $((SECONDS - installed)) $((installed - started))
cat <<END

What next:
  $venv/bin/python similarity.py --model_dir=$output/classifier "句子一" "句子二"
  bash scripts/download_pretrained.sh --list     published models
  bash scripts/run_classifier_lcqmc.sh           fine-tune one of them
  README.md                                      everything else
END
