# How scripts of the form "NAME... [FLAG...]" read their arguments; sourced by them.

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
