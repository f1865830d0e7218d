#!/usr/bin/env bash
# Fetches and unpacks data sets of CLUE.  See usage() below.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/download_functions.sh"

# name, archive
SETS="\
afqmc afqmc_public.zip
tnews tnews_public.zip
iflytek iflytek_public.zip
cmnli cmnli_public.zip
ocnli ocnli_public.zip
cluewsc2020 cluewsc2020_public.zip
wsc wsc_public.zip
csl csl_public.zip
copa copa_public.zip
cmrc2018 cmrc2018_public.zip
drcd drcd_public.zip
chid chid_public.zip
c3 c3_public.zip
cluener cluener_public.zip
clue_diagnostics clue_diagnostics_public.zip
clue_submit_examples clue_submit_examples.zip"

usage() {
  printf '%s\n' \
    "usage: scripts/download_clue.sh NAME..." \
    "       scripts/download_clue.sh all" \
    "       scripts/download_clue.sh --list" \
    "" \
    "Puts the files of the data set NAME into CLUEdataset/NAME.  The archive stays beside that" \
    "folder; one that is already there is used instead of a download.  An interrupted download is" \
    "continued by the next call.  No existing file is changed or deleted: one that differs from" \
    "the archive's is kept, and said.  After a failure the other names are still fetched." \
    "" \
    "Environment:" \
    "  CLUE_BASE_URL   where the archives are" \
    "  CLUE_DATA_DIR   instead of CLUEdataset" \
    "  PYTHON          Python 3.7 or later (default: python3)"
}

list_sets() {
  local name archive
  while read -r name archive; do
    printf '%-22s %s/%s\n' "$name" "$base" "$archive"
  done <<<"$SETS"
}

# Sets archive for a name; fails if there is none such.
find_set() {
  local name
  while read -r name archive; do
    [[ $name == "$1" ]] && return
  done <<<"$SETS"
  return 1
}

# unpack ARCHIVE FOLDER: writes the files, without their directories, that FOLDER lacks.  Nothing
# is written unless every checksum in the archive is right.  Exit status 3: the archive is bad.
unpack() {
  "$python" - "$@" <<'PYTHON'
import os, sys, zipfile, zlib

path, folder = sys.argv[1:]
contents = {}
try:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = os.path.basename(member.filename)
            if not name or member.filename.startswith("__MACOSX/") or name.startswith("."):
                continue
            if name in contents:
                raise zipfile.BadZipFile("two files are named " + name)
            contents[name] = archive.read(member)
except (zipfile.BadZipFile, zlib.error, EOFError) as error:
    print(error)
    sys.exit(3)
if not contents:
    print("it is empty")
    sys.exit(3)
os.makedirs(folder, exist_ok=True)
for name, content in sorted(contents.items()):
    target = os.path.join(folder, name)
    if not os.path.exists(target):
        temporary = "%s.tmp-%d" % (target, os.getpid())
        with open(temporary, "wb") as handle:
            handle.write(content)
        os.replace(temporary, target)
    elif open(target, "rb").read() != content:
        print("kept: %s differs from the one in the archive" % target)
        continue
    print("%8d lines  %s" % (content.count(b"\n"), target))
PYTHON
}

fetch() {
  local archive listing status=0
  find_set "$1"
  local folder=$target/$1 from=$target/$archive
  if [[ ! -f $from && -d $folder && -n $(ls -A "$folder") ]]; then
    printf '%s is there already, without %s; nothing was fetched.\n' "$folder" "$from"
    return
  fi
  mkdir -p "$target"
  if [[ ! -f $from ]]; then
    command -v curl >/dev/null ||
      die "curl was not found; install it, or put $base/$archive at $from yourself."
    printf 'Downloading %s\n' "$base/$archive"
    download "$base/$archive" "$from.part" "set CLUE_BASE_URL to a mirror"
    from=$from.part
  fi
  listing=$(unpack "$from" "$folder") || status=$?
  if ((status == 3)); then
    [[ $from == *.part ]] || die "$from is not a sound archive ($listing); nothing was \
unpacked, move it away to download it anew."
    mv "$from" "$target/$archive.rejected"
    die "the downloaded $archive is not a sound archive ($listing); nothing was unpacked, the \
download is kept as $target/$archive.rejected."
  fi
  ((status == 0)) || die "$from could not be unpacked into $folder."
  [[ $from != *.part ]] || mv "$from" "$target/$archive"
  printf '%s\n' "$listing"
}

main() {
  case ${1:-} in
  -h | --help) usage && return ;;
  --list) list_sets && return ;;
  "") usage >&2 && exit 2 ;;
  esac
  local name archive failed=()
  local names=("$@")
  # shellcheck disable=SC2207 # names without spaces; mapfile is missing in bash 3
  [[ $* != all ]] || names=($(cut -d ' ' -f 1 <<<"$SETS"))
  for name in "${names[@]}"; do
    if ! find_set "$name"; then
      printf "error: there is no data set '%s'; the names are:\n" "$name" >&2
      list_sets >&2
      exit 2
    fi
  done
  command -v "$python" >/dev/null || die "$python was not found; set PYTHON to a Python 3.7+."
  if ((${#names[@]} == 1)); then
    fetch "${names[0]}"
    return
  fi
  for name in "${names[@]}"; do
    "$BASH" "${BASH_SOURCE[0]}" "$name" || failed+=("$name")
  done
  ((${#failed[@]} == 0)) || die "not fetched: ${failed[*]}."
}

python=${PYTHON:-python3}
target=${CLUE_DATA_DIR:-CLUEdataset}
base=${CLUE_BASE_URL:-https://storage.googleapis.com/cluebenchmark/tasks}
base=${base%/}
main "$@"
