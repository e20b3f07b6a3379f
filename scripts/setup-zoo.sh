#!/usr/bin/env bash
# Makes a virtual environment with PyTorch, torchvision and timm in the cache and prints its python as the last line of
# stdout. Only `make zoo` wants it. The environment of setup-python.sh is left as it is: its stamp names its packages.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

REQUIREMENTS="$(cd "$(dirname "$0")" && pwd)/zoo/requirements.txt"

main() {
    local folder="$SECATEUR_CACHE/zoo-venv"
    if ! is_complete "$folder"; then
        create_cache
        lock_cache_entry "$folder"
        is_complete "$folder" || install_venv "$folder"
    fi
    printf '%s\n' "$folder/bin/python"
}

is_complete() { cmp -s "$REQUIREMENTS" "$1/.complete" && [ -x "$1/bin/python" ]; }

# A virtual environment holds its own path, so it is built in place; the stamp comes last.
install_venv() {
    command -v python3 >/dev/null || fail "python3 was not found" "on Debian or Ubuntu: apt-get install python3 python3-venv"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$(python3 --version) is too old" "the zoo needs Python 3.11 or newer"
    require_space 9000000
    say "installing torch, torchvision and timm (2.5 GB to download, once) into $1"
    rm -rf "$1"
    python3 -m venv "$1" >&2 || fail "python3 cannot make a virtual environment" "on Debian or Ubuntu: apt-get install python3-venv"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --requirement "$REQUIREMENTS" >&2 ||
        fail "pip could not install scripts/zoo/requirements.txt (its own message is above)"
    "$1/bin/python" -c 'import torch, torchvision, timm' || fail "timm does not import (Python's message is above)"
    cp "$REQUIREMENTS" "$1/.complete"
    say "ready: $1 ($(du -sm "$1" | cut -f1) MB)"
}

main
