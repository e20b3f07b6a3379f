# shellcheck shell=bash
# Sourced by the set-up scripts: where downloads are kept, how a pinned wheel is fetched, how errors are worded.
# Everything printed here goes to stderr; the set-up scripts keep stdout for the one path that they report.

# The cache lies outside the checkout, so that clones share it and `git clean` does not cost a download.
SECATEUR_CACHE="${SECATEUR_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set: set SECATEUR_CACHE}/.cache}/secateur}"
case "$SECATEUR_CACHE" in /*) ;; *) SECATEUR_CACHE="$PWD/$SECATEUR_CACHE" ;; esac
SCRIPT_NAME="${0##*/}"

say() { printf '%s: %s\n' "$SCRIPT_NAME" "$*" >&2; }

# fail MESSAGE [HINT...]
fail() {
    printf '%s: error: %s\n' "$SCRIPT_NAME" "$1" >&2
    shift
    local hint
    for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done
    exit 1
}

create_cache() {
    mkdir -p "$SECATEUR_CACHE" || fail "cannot create the cache folder $SECATEUR_CACHE" \
        "set SECATEUR_CACHE to a folder that you may write"
}

# The pinned wheels are Linux x86_64 builds; any other machine has to bring its own.
require_linux_x86_64() {
    [ "$(uname -s)/$(uname -m)" = Linux/x86_64 ] || fail "no pinned build for $(uname -s) $(uname -m), only for Linux x86_64" "$1"
}

# require_space KILOBYTES: the cache's file system must have that much left.
require_space() {
    local free
    free="$(df -Pk "$SECATEUR_CACHE" | awk 'NR == 2 { print $4 }')"
    [ "$free" -ge "$1" ] || fail "$SECATEUR_CACHE has $((free / 1024)) MB free, $(($1 / 1024)) MB are needed" \
        "free some space, or set SECATEUR_CACHE to a folder on another disk"
}

# One set-up at a time per target: a second one waits, then finds the work done.
# The lock goes with the process, so a killed run leaves nothing to clean by hand.
lock_cache_entry() {
    exec 9>"$1.lock"
    command -v flock >/dev/null || return 0
    flock -n 9 || { say "waiting for another set-up of $1"; flock 9; }
}

# Sets PIP to a working pip: the user's, or one in a throw-away virtual environment ($1 is a folder to put it in).
find_pip() {
    command -v python3 >/dev/null || fail "python3 was not found" "on Debian or Ubuntu: apt-get install python3 python3-pip"
    if python3 -m pip --version >/dev/null 2>&1; then
        PIP=(python3 -m pip)
    elif command -v pip3 >/dev/null && pip3 --version >/dev/null 2>&1; then
        PIP=(pip3)
    elif python3 -m venv "$1/pip" >/dev/null 2>&1; then
        PIP=("$1/pip/bin/python" -m pip)
    else
        fail "python3 has no pip and cannot make a virtual environment" \
            "on Debian or Ubuntu: apt-get install python3-pip (or python3-venv)"
    fi
}

# download_wheels FOLDER: fetches the requirements on stdin (`name==version --hash=sha256:...`, one a line).
# pip checks every file against its hash. Interpreter and platform are named, so every machine gets the same bytes
# whichever Python 3 it has; only shared libraries are taken from these wheels.
download_wheels() {
    local folder="$1" bar=off
    find_pip "$folder"
    [ -t 2 ] && bar=on
    cat >"$folder/requirements.txt"
    "${PIP[@]}" download --quiet --disable-pip-version-check --no-cache-dir --progress-bar "$bar" \
        --no-deps --require-hashes --only-binary=:all: \
        --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 \
        --platform manylinux_2_18_x86_64 --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 \
        --platform manylinux1_x86_64 --platform any \
        --dest "$folder" --requirement "$folder/requirements.txt" >&2 ||
        fail "pip could not download the pinned wheels (its own message is above)" \
            "without a network, or behind a mirror: set PIP_INDEX_URL, or PIP_FIND_LINKS to a folder with the wheels" \
            "a hash mismatch means that the file is not the one this release was tested with" \
            "$2"
}

# unpack_wheel WHEEL FOLDER PREFIX...: the members under the given prefixes, file modes kept.
unpack_wheel() {
    python3 - "$@" <<'PYTHON'
import os, sys, zipfile

wheel, folder, *prefixes = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for member in archive.infolist():
        if not member.filename.startswith(tuple(prefixes)) or member.is_dir():
            continue
        path = archive.extract(member, folder)
        # Readable by every user: a database server started as root runs under another uid.
        executable = (member.external_attr >> 16) & 0o111
        os.chmod(path, 0o755 if executable else 0o644)
PYTHON
}
