# What the download scripts share; sourced by them.

die() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

# download URL PART HINT: continues PART; HINT says what else to do when it fails.
download() {
  local url=$1 part=$2 status=0 code
  local options=(--fail --location --connect-timeout 30 --retry 3 --output "$part"
    --write-out '%{http_code}')
  [[ -t 2 ]] && options+=(--progress-bar) || options+=(--silent --show-error)
  code=$(curl "${options[@]}" --continue-at - "$url") || status=$?
  [[ $code != 416 ]] || return 0 # there is nothing left to fetch
  if ((status == 33)); then # the server cannot continue a download
    status=0
    curl "${options[@]}" "$url" >/dev/null || status=$?
  fi
  ((status == 0)) || die "$url could not be downloaded (curl exit status $status); run the \
same command again to continue, or $3."
}
