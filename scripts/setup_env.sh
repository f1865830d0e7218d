#!/usr/bin/env bash
# Makes a virtual environment with the pinned requirements, or reuses it when it is complete.
#
#   bash scripts/setup_env.sh [VENV_DIR [PYTHON]]
#
# VENV_DIR      default .venv; relative to the repository, as REQUIREMENTS is
# PYTHON        a version ("3.13"), a command or a path; by default the Python that the
#               environment already has, or else the first one found in the order below
# REQUIREMENTS  (environment variable) default requirements.txt
#
# Afterwards use VENV_DIR/bin/python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

supported="3.11 3.10 3.9 3.13 3.12 3.7"
venv="${1:-.venv}"
wanted="${2:-}"
requirements="${REQUIREMENTS:-requirements.txt}"
# One line per requirements file that is installed; empty while an installation is under way, so
# that an environment whose installation was killed is made anew.
stamp="$venv/setup_env.stamp"

fail() {
    echo "setup_env.sh: $1" >&2
    exit 1
}

# Prints the version of a Python; fails when it does not run or cannot make environments.
probe() {
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3]); import ensurepip, venv' \
        </dev/null 2>/dev/null
}

# Prints the path of every Python that may do, one per line.
list_pythons() {
    local version
    if [ -n "$wanted" ] && [ -z "$wanted_version" ]; then
        type -P "$wanted" || true
        return
    fi
    for version in $supported; do
        type -ap "python$version" || true
    done
    type -ap python3 python || true
    if type -P pyenv >/dev/null; then
        # The shims of versions that are not selected do not run; the interpreters do.
        ls -d "$(pyenv root)"/versions/*/bin/python3 2>/dev/null || true
    fi
}

# Sets `python` and `version` to the first usable Python in the order of preference.
choose_python() {
    local candidate preferred usable="" found=""
    while read -r candidate; do
        # With the environment activated, its own Python is on the PATH; it cannot remake itself.
        [ ! "${candidate%/*}" -ef "$venv/bin" ] || continue
        if version=$(probe "$candidate"); then
            usable+="$version $candidate"$'\n'
            found+="${found:+, }$version ($candidate)"
        elif [ -n "$version" ]; then
            found+="${found:+, }$version ($candidate, without the venv module)"
        fi
    done < <(list_pythons)
    for preferred in $supported; do
        [ "${wanted_version:-$preferred}" = "$preferred" ] || continue
        while read -r version python; do
            [ "${version%.*}" != "$preferred" ] || return 0
        done <<<"$usable"
    done
    fail "no supported Python${wanted:+ for PYTHON='$wanted'}: supported are ${supported// /, }; found ${found:-none}."
}

# Prints "PYTHON_VERSION SHA256 FILE" for the requirements file and each one that it includes.
stamp_lines() {
    "$venv/bin/python" - "$requirements" <<'END'
import hashlib, os, platform, re, sys

files = [sys.argv[1]]
for name in files:
    with open(name, "rb") as handle:
        content = handle.read()
    print(platform.python_version(), hashlib.sha256(content).hexdigest(), name)
    for included in re.findall(r"^-r\s+(\S+)", content.decode("utf-8"), re.MULTILINE):
        files.append(os.path.join(os.path.dirname(name), included))
END
}

is_complete() {
    local line
    while read -r line; do
        grep -qxF -- "$line" "$stamp" || return 1
    done < <(stamp_lines)
}

[ -f "$requirements" ] || fail "REQUIREMENTS is '$requirements', which is not a file."

wanted_version=""
if [[ "$wanted" =~ ^[0-9]+\.[0-9]+$ ]]; then
    wanted_version="$wanted"
fi

# An environment whose installation ended, with the Python that is wanted now, can be kept.
keep=""
if [ -s "$stamp" ] && version=$(probe "$venv/bin/python"); then
    if [ -n "$wanted_version" ]; then
        [ "${version%.*}" != "$wanted_version" ] || keep=yes
    elif [ -z "$wanted" ] || [ "$version" = "$(probe "$wanted")" ]; then
        keep=yes
    fi
fi

if [ -n "$keep" ] && is_complete; then
    echo "Using $venv (Python $version, $requirements)."
    exit 0
fi

if [ -z "$keep" ]; then
    choose_python
    if [ ! -f "$stamp" ] && [ -n "$(ls -A "$venv" 2>/dev/null)" ]; then
        fail "'$venv' exists and was not made by this script; remove it or name another VENV_DIR."
    fi
    echo "Making $venv with Python $version ($python)."
    mkdir -p "$venv"
    : >"$stamp"
    find "$venv" -mindepth 1 -maxdepth 1 ! -path "$stamp" -exec rm -rf {} +
    "$python" -m venv "$venv" </dev/null
fi

echo "Installing $requirements into $venv; downloading TensorFlow takes some minutes."
: >"$stamp"
"$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
    -r "$requirements" </dev/null || fail "installing $requirements failed, see pip's message above."
lines=$(stamp_lines)
echo "$lines" >"$stamp"
echo "Ready: $venv (Python $version, $requirements)."
