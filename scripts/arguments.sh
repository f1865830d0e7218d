# What scripts share: arguments of the form "NAME... [FLAG...]", and the table of learning rates.

# Sets positional to the arguments before the first flag, and flags to the others.  For -h before
# that it calls usage, which the script defines, and ends.
split_arguments() {
  positional=()
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) usage && exit ;;
      -*) break ;;
    esac
    positional+=("$1")
    shift
  done
  flags=("$@")
}

# usual_learning_rate CONFIG: prints the rate to fine-tune a model of that size with, as the README
# has it: tiny and small, base, large, larger ones.
usual_learning_rate() {
  local width
  width=$(sed -n 's/.*"hidden_size" *: *\([0-9]*\).*/\1/p' "$1")
  width=${width:-768}
  if ((width <= 384)); then
    echo 1e-4
  elif ((width <= 768)); then
    echo 3e-5
  elif ((width <= 1024)); then
    echo 2e-5
  else
    echo 1e-5
  fi
}
