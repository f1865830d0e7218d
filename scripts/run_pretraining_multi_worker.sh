#!/usr/bin/env bash
# Pre-trains with several workers, and starts this worker again when one is lost.  See usage().

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/arguments.sh"

usage() {
  printf '%s\n' \
    "usage: scripts/run_pretraining_multi_worker.sh INDEX HOST0:PORT,HOST1:PORT... FLAG..." \
    "" \
    "Runs one of several workers of run_pretraining.py.  Run it once for each, on one machine or on" \
    "many; for two workers here:" \
    "" \
    "  scripts/run_pretraining_multi_worker.sh 1 localhost:2222,localhost:2223 --input_file=... &" \
    "  scripts/run_pretraining_multi_worker.sh 0 localhost:2222,localhost:2223 --input_file=..." \
    "" \
    "A worker that is killed, or that has lost another one, is started again; all go on from the" \
    "last checkpoint.  Any other error ends it." \
    "" \
    "  INDEX   0 for the chief, which alone writes --output_dir; 1, 2, ... for the others" \
    "  HOSTS   addresses of all workers, the same list everywhere" \
    "  FLAG    flags of run_pretraining.py, the same everywhere; --train_batch_size is that of all" \
    "          workers together" \
    "" \
    "Environment:" \
    "  PYTHON           Python with the requirements installed (default: python)" \
    "  MAX_RESTARTS     how often to start again (default: 100)" \
    "  RESTART_SECONDS  time before that (default: 5)"
}

split_arguments "$@"
if [ "${#positional[@]}" -ne 2 ]; then
  echo "error: expected INDEX and HOSTS before the flags" >&2
  usage >&2
  exit 2
fi
index=${positional[0]}
addresses="\"${positional[1]//,/\", \"}\""
task="{\"type\": \"worker\", \"index\": $index}"
export TF_CONFIG="{\"cluster\": {\"worker\": [$addresses]}, \"task\": $task}"

# The worker gets what is sent to this script.  With job control it is in a process group of its own,
# so that Ctrl-C reaches it once and not twice, which would end it without a checkpoint.
set -m
worker='' stopped=''
stop() {
  stopped=1
  [ -z "$worker" ] || kill -s "$1" "$worker" 2>/dev/null || true
}
trap 'stop TERM' TERM
trap 'stop INT' INT

restarts=0
while true; do
  status=0
  "${PYTHON:-python}" "$(dirname "$0")/../run_pretraining.py" --distribution=multi_worker \
    ${flags[@]+"${flags[@]}"} &
  worker=$!
  wait "$worker" || status=$?
  while kill -0 "$worker" 2>/dev/null; do # a signal ended the waiting, not the worker
    status=0
    wait "$worker" || status=$?
  done
  if [ -n "$stopped" ]; then
    exit "$status"
  fi
  case "$status" in
    75 | 134 | 137 | 139) ;; # another worker was lost; aborted, killed, crashed
    *) exit "$status" ;;
  esac
  restarts=$((restarts + 1))
  if [ "$restarts" -gt "${MAX_RESTARTS:-100}" ]; then
    exit "$status"
  fi
  echo "worker $index ended with status $status; starting it again" >&2
  worker=''
  sleep "${RESTART_SECONDS:-5}"
  if [ -n "$stopped" ]; then
    exit "$status"
  fi
done
