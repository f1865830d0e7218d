#!/usr/bin/env bash
# Fine-tunes a published model on LCQMC, with the parameters of albert_zh and the learning rate for
# its size, and evaluates it on the dev file and, with the best checkpoint there, on the test file.
#
#   bash scripts/run_classifier_lcqmc.sh [MODEL_DIR [DATA_DIR [OUTPUT_DIR [FLAG...]]]]
#
# MODEL_DIR   folder of scripts/download_pretrained.sh: checkpoint, config and vocab.txt
#             (default pretrained/albert_tiny_489k)
# DATA_DIR    train.txt, dev.txt, test.txt (text_a, text_b, label; tab separated, with a header);
#             default chineseGLUEdatasets/lcqmc.  Nothing fetches LCQMC: its authors give it out on
#             request.  data/lcqmc_sample is a small set of the same form.
# FLAG        more flags for run_classifier.py, for example --learning_rate=2e-5 or --seeds=5
#
# OUTPUT_DIR (default albert_lcqmc_checkpoints, where BertSim and the service look) gets the scores in
# results.json and the best checkpoint in best/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/arguments.sh"

root="$(dirname "$0")/.."
model="${1:-pretrained/albert_tiny_489k}"
data="${2:-chineseGLUEdatasets/lcqmc}"
output="${3:-albert_lcqmc_checkpoints}"

configs=("$model"/albert_config*.json)
if [ ! -f "${configs[0]}" ]; then
  echo "error: no albert_config*.json in '$model'; download a model first: bash scripts/download_pretrained.sh albert_tiny_489k" >&2
  exit 2
fi
"${PYTHON:-python}" "$root/run_classifier.py" \
  --task_name=lcqmc_pair \
  --do_train=true \
  --do_eval=true \
  --do_eval_test=true \
  --data_dir="$data" \
  --vocab_file="$model/vocab.txt" \
  --bert_config_file="${configs[0]}" \
  --init_checkpoint="$model" \
  --max_seq_length=128 \
  --train_batch_size=64 \
  --learning_rate="$(usual_learning_rate "${configs[0]}")" \
  --num_train_epochs=5 \
  --output_dir="$output" \
  "${@:4}"
