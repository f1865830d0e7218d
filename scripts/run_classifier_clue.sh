#!/usr/bin/env bash
# Fine-tunes, evaluates and predicts the classification tasks of CLUE with one model.
#
#   bash scripts/run_classifier_clue.sh [MODEL_DIR [TASK...] [FLAG...]]
#
# MODEL_DIR   folder of scripts/download_pretrained.sh: checkpoint, config and vocab.txt
#             (default pretrained/albert_tiny_489k)
# TASK        default: afqmc tnews iflytek cmnli ocnli cluewsc2020 csl; also wsc and copa
# FLAG        more flags for run_classifier.py, for example --learning_rate=1e-5; the README's table
#             has the rate that is taken otherwise, for the model's size
#
# Environment:
#   CLUE_DATA_DIR    data, one folder for each task (default CLUEdataset); what is missing is
#                    fetched by scripts/download_clue.sh
#   CLUE_OUTPUT_DIR  where each task gets a folder <task>_output (default clue_output)
#   PYTHON           default python
#
# A task that fails does not stop the others.  At the end come a table beside the published numbers
# and the archive clue_submission.zip; the exit status is 1 if a task failed.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/arguments.sh"

# Length, batch, epochs and steps between checkpoints of albert_zh's script.  That one lacks the tasks
# at the end, which have the settings of the most similar one.  (It has learning rates of 1e-5 to
# 3e-5, the same for every size of model; here the size decides.)
SETTINGS="\
afqmc 128 16 3 300
tnews 128 16 3 300
iflytek 128 32 3 300
cmnli 128 64 2 300
csl 128 16 5 100
wsc 128 16 10 10
ocnli 128 64 2 300
cluewsc2020 128 16 10 10
copa 128 16 10 10"
DEFAULT_TASKS=(afqmc tnews iflytek cmnli ocnli cluewsc2020 csl)

root="$(dirname "$0")/.."
python="${PYTHON:-python}"
data="${CLUE_DATA_DIR:-CLUEdataset}"
output="${CLUE_OUTPUT_DIR:-clue_output}"

positional=()
flags=()
for argument in "$@"; do
  case $argument in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit ;;
  -*) flags+=("$argument") ;;
  *) positional+=("$argument") ;;
  esac
done
model="${positional[0]:-pretrained/albert_tiny_489k}"
tasks=("${positional[@]:1}")
((${#tasks[@]})) || tasks=("${DEFAULT_TASKS[@]}")

configs=("$model"/albert_config*.json)
if [ ! -f "${configs[0]}" ]; then
  echo "error: no albert_config*.json in '$model'; download a model first: bash scripts/download_pretrained.sh albert_tiny_489k" >&2
  exit 2
fi
for task in "${tasks[@]}"; do
  if ! grep -q "^$task " <<<"$SETTINGS"; then
    echo "error: no task '$task'; expected some of: $(cut -d ' ' -f 1 <<<"$SETTINGS" | paste -sd ' ')" >&2
    exit 2
  fi
done

run_task() {
  local task=$1 name length batch epochs steps
  if [ ! -d "$data/$task" ]; then
    CLUE_DATA_DIR="$data" PYTHON="$python" bash "$root/scripts/download_clue.sh" "$task" || return
  fi
  read -r name length batch epochs steps < <(grep "^$task " <<<"$SETTINGS")
  "$python" "$root/run_classifier.py" \
    --task_name="$name" \
    --do_train=true \
    --do_eval=true \
    --do_predict=true \
    --data_dir="$data/$task" \
    --vocab_file="$model/vocab.txt" \
    --bert_config_file="${configs[0]}" \
    --init_checkpoint="$model" \
    --max_seq_length="$length" \
    --train_batch_size="$batch" \
    --learning_rate="$(usual_learning_rate "${configs[0]}")" \
    --num_train_epochs="$epochs" \
    --save_checkpoints_steps="$steps" \
    --output_dir="$output/${task}_output" \
    ${flags[@]+"${flags[@]}"}
}

failed=()
for task in "${tasks[@]}"; do
  printf '\n=== %s\n' "$task"
  run_task "$task" || failed+=("$task")
done
echo
"$python" "$root/scripts/clue_report.py" --output_dir="$output" \
  --failed="$(IFS=, && echo "${failed[*]-}")" "${tasks[@]}"
if ((${#failed[@]})); then
  echo "error: failed: ${failed[*]}" >&2
  exit 1
fi
