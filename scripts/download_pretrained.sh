#!/usr/bin/env bash
# Fetches, checks and unpacks a published Chinese ALBERT model.  See usage() below.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/download_functions.sh"

# name, archive, family, configuration in albert_config/ ("-": only in the archive)
MODELS="\
albert_tiny_489k albert_tiny_489k.zip brightmart albert_config_tiny.json
albert_base_zh albert_base_zh.zip brightmart albert_config_base.json
albert_base_zh_additional_36k_steps albert_base_zh_additional_36k_steps.zip brightmart albert_config_base.json
albert_large_zh albert_large_zh.zip brightmart albert_config_large.json
albert_xlarge_zh_177k albert_xlarge_zh_177k.zip brightmart albert_config_xlarge.json
albert_xlarge_zh_183k albert_xlarge_zh_183k.zip brightmart albert_config_xlarge.json
albert_tiny_zh_google albert_tiny_zh_google.zip google albert_config_tiny_google.json
albert_small_zh_google albert_small_zh_google.zip google albert_config_small_google.json
albert_base_zh_google albert_base_zh.tar.gz google -
albert_large_zh_google albert_large_zh.tar.gz google -
albert_xlarge_zh_google albert_xlarge_zh.tar.gz google -
albert_xxlarge_zh_google albert_xxlarge_zh.tar.gz google -"

usage() {
  printf '%s\n' \
    "usage: scripts/download_pretrained.sh NAME [TARGET_DIR]" \
    "       scripts/download_pretrained.sh --list" \
    "" \
    "Puts the files of the model NAME into TARGET_DIR (default: pretrained/NAME).  The archive" \
    "stays beside TARGET_DIR; one that is already there is used instead of a download.  An" \
    "interrupted download is continued by the next call.  No existing file is changed." \
    "" \
    "The publishers name no checksums.  Those of the first download are kept in" \
    "TARGET_DIR/SHA256SUMS, and later calls check the files against them." \
    "" \
    "Environment:" \
    "  ALBERT_ZH_BASE_URL      where the .zip archives are" \
    "  ALBERT_GOOGLE_BASE_URL  where the .tar.gz archives are" \
    "  ALBERT_SHA256           SHA-256 that the archive must have" \
    "  PYTHON                  Python 3.7 or later (default: python3)"
}

list_models() {
  local name file family config
  printf '%-36s %-40s %-11s %s\n' NAME ARCHIVE FAMILY CONFIGURATION
  while read -r name file family config; do
    [[ $config == - ]] && config="in the archive" || config=albert_config/$config
    printf '%-36s %-40s %-11s %s\n' "$name" "$file" "$family" "$config"
  done <<<"$MODELS"
}

# Sets file and config for a name; fails if there is none such.
find_model() {
  local name family
  while read -r name file family config; do
    [[ $name == "$1" ]] && return
  done <<<"$MODELS"
  return 1
}

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

# unpack ARCHIVE KIND FOLDER: writes the files of a "zip" or "gz" archive, without their
# directories, into FOLDER, and reads the archive to its end so that every checksum in it is
# verified.  Exit status 3: the archive is bad; 1: it could not be read or written out.
unpack() {
  "$python" - "$@" <<'PYTHON'
import gzip, os, shutil, sys, tarfile, zipfile, zlib

path, kind, folder = sys.argv[1:]


def open_zip():
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                yield member.filename, archive.open(member)


def open_tar():
    with gzip.open(path) as stream:
        while stream.read(1 << 20):
            pass
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, archive.extractfile(member)


try:
    for member, source in open_zip() if kind == "zip" else open_tar():
        name = os.path.basename(member)
        if member.startswith("__MACOSX/") or name.startswith("."):
            continue
        with source, open(os.path.join(folder, name), "xb") as target:
            shutil.copyfileobj(source, target)
except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError) as error:
    print(error)
    # gzip reports bad data by an OSError, too, but by one without a number.
    sys.exit(1 if getattr(error, "errno", None) else 3)
PYTHON
}

# Names of the settings in which two JSON files differ.
differing_settings() {
  "$python" - "$@" <<'PYTHON'
import json, sys

first, second = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
print(*sorted(k for k in {**first, **second} if first.get(k) != second.get(k)), sep=", ")
PYTHON
}

# find_one FOLDER PATTERN: the only file that matches, or nothing.
find_one() {
  local found
  found=$(find "$1" -maxdepth 1 -name "$2" -type f)
  [[ $found == *$'\n'* ]] || printf '%s' "$found"
}

# Sets checkpoint, or fails if FOLDER does not have exactly one.
find_checkpoint() {
  local index
  index=$(find_one "$1" '*.index')
  checkpoint=${index%.index}
  [[ -n $index && -f $checkpoint.data-00000-of-00001 ]]
}

# Verifies a folder that exists already.
check_existing() {
  local target=$1 sums=$1/SHA256SUMS
  find_checkpoint "$target" || die "$target exists but holds no complete checkpoint; nothing \
was changed, choose another TARGET_DIR."
  if [[ ! -f $sums && -z $required_sum ]]; then
    printf '%s holds a checkpoint that this script did not put there; not verified.\n' "$target"
    return
  fi
  [[ -z $required_sum ]] || grep -qs "^# $required_sum " "$sums" ||
    die "$target was not unpacked from an archive with the SHA-256 $required_sum (ALBERT_SHA256)."
  (cd "$target" && grep -v '^#' SHA256SUMS | sha256 -c - >/dev/null 2>&1) ||
    die "$target: files differ from $sums; nothing was changed, choose another TARGET_DIR."
  printf '%s is complete and agrees with its SHA256SUMS.\n' "$target"
}

# Prints the flags to use.  The archive's configuration goes with the weights beside it, that in
# albert_config/ may not: hidden_act was "relu" in one archive (brightmart/albert_zh issue 134).
print_flags() {
  local target=$1 ours=$root/albert_config/$2 config vocab different
  config=$(find_one "$target" '*config*.json')
  vocab=$(find_one "$target" '*vocab*.txt')
  if [[ -n $config && -f $ours ]]; then
    different=$(differing_settings "$config" "$ours")
    [[ -z $different ]] ||
      printf 'warning: %s and %s differ in %s; use the former.\n' "$config" "$ours" "$different" >&2
  fi
  if [[ -z $config && -f $ours ]]; then
    config=$ours
    printf 'warning: %s does not hold exactly one configuration; taking our own.\n' "$target" >&2
  fi
  printf -- '--init_checkpoint=%s\n' "$checkpoint"
  [[ -z $config ]] || printf -- '--bert_config_file=%s\n' "$config"
  [[ -z $vocab ]] || printf -- '--vocab_file=%s\n' "$vocab"
}

fetch_and_unpack() {
  local url=$1 archive=$2 target=$3 from=$2 sum sums reason status=0
  mkdir -p "${target%/*}"
  if [[ ! -f $archive ]]; then
    from=$archive.part
    printf 'Downloading %s\n' "$url"
    download "$url" "$from" "set ALBERT_ZH_BASE_URL or ALBERT_GOOGLE_BASE_URL to a mirror"
  fi

  sum=$(sha256 "$from")
  sum=${sum%% *}
  printf 'SHA-256 of %s: %s\n' "${archive##*/}" "$sum"
  [[ -z $required_sum || $sum == "$required_sum" ]] ||
    reject "$from" "$archive" "has the SHA-256 $sum, not $required_sum (ALBERT_SHA256)"

  temporary=$target.tmp-$$
  mkdir "$temporary"
  trap 'rm -rf "$temporary"' EXIT
  reason=$(unpack "$from" "${archive##*.}" "$temporary" 2>&1) || status=$?
  ((status != 3)) || reject "$from" "$archive" "is not a sound archive ($reason)"
  ((status == 0)) || die "$from could not be unpacked ($reason)."
  find_checkpoint "$temporary" || reject "$from" "$archive" "holds no complete checkpoint"
  sums=$(cd "$temporary" && sha256 -- *)
  printf '# %s  %s\n%s\n' "$sum" "${archive##*/}" "$sums" >"$temporary/SHA256SUMS"

  [[ $from == "$archive" ]] || mv "$from" "$archive"
  [[ ! -d $target ]] || rmdir "$target" # it is empty, see main
  mv "$temporary" "$target"
}

# reject FROM ARCHIVE REASON: dies; a bad download is renamed so that it is not continued.
reject() {
  if [[ $1 == "$2" ]]; then
    die "$2 $3; nothing was unpacked, move it away to download it anew."
  fi
  mv "$1" "$2.rejected"
  die "the downloaded ${2##*/} $3; nothing was unpacked, the download is kept as $2.rejected."
}

main() {
  case ${1:-} in
  -h | --help) usage && return ;;
  --list) list_models && return ;;
  esac
  if (($# < 1 || $# > 2)); then
    usage >&2
    exit 2
  fi
  local file config checkpoint base
  if ! find_model "$1"; then
    printf "error: there is no model '%s'; the names are:\n" "$1" >&2
    list_models >&2
    exit 2
  fi
  local target=${2:-pretrained/$1}
  target=${target%/}
  [[ $target == */* ]] || target=./$target
  local archive=${target%/*}/$file

  if [[ $file == *.zip ]]; then
    base=${ALBERT_ZH_BASE_URL:-https://storage.googleapis.com/albert_zh}
  else
    base=${ALBERT_GOOGLE_BASE_URL:-https://storage.googleapis.com/albert_models}
  fi
  local url=${base%/}/$file

  command -v "$python" >/dev/null || die "$python was not found; set PYTHON to a Python 3.7+."
  command -v curl >/dev/null ||
    die "curl was not found; install it, or put $url at $archive yourself and call this again."

  if [[ -d $target && -z $(ls -A "$target") || ! -e $target ]]; then
    fetch_and_unpack "$url" "$archive" "$target"
    find_checkpoint "$target"
  else
    check_existing "$target"
  fi
  print_flags "$target" "$config"
}

python=${PYTHON:-python3}
required_sum=$(tr A-F a-f <<<"${ALBERT_SHA256:-}")
temporary=
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
main "$@"
