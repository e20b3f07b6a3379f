#!/usr/bin/env bash
# Makes a virtual environment for the tests of the Python client in the cache and prints its python as the last line of stdout. It sees the
# packages of setup-zoo.sh's, which is large, and has the few others itself. Only `make test-client` wants it.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/venv.sh
. "$(dirname "$0")/venv.sh"

main() {
    local scripts requirements folder="$SECATEUR_CACHE/client-venv" zoo stamp
    scripts="$(cd "$(dirname "$0")" && pwd)"
    requirements="$scripts/../clients/python/tests/requirements.txt"
    zoo="$("$scripts/setup-zoo.sh")"
    create_cache
    stamp="$(mktemp "$SECATEUR_CACHE/client.XXXXXX")"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -f '$stamp'" EXIT
    cat "$requirements" "$scripts/zoo/requirements.txt" >"$stamp"
    if ! is_complete "$folder" "$stamp"; then
        lock_cache_entry "$folder"
        is_complete "$folder" "$stamp" || install "$folder" "$requirements" "$zoo" "$stamp"
    fi
    printf '%s\n' "$folder/bin/python"
}

# The stamp comes last.
install() {
    local folder="$1" requirements="$2" zoo="$3" stamp="$4"
    require_space 1000000
    say "installing $(grep -c '==' "$requirements") packages and their dependencies (500 MB of disk, once) into $folder"
    rm -rf "$folder"
    "$zoo" -m venv "$folder" >&2
    # A file of this kind names another folder to import from; pip sees it too, and leaves alone what is there.
    "$zoo" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        >"$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zoo.pth"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --requirement "$requirements" >&2 ||
        fail "pip could not install $requirements (its own message is above)" \
            "without a network, or behind a mirror: set PIP_INDEX_URL, or PIP_FIND_LINKS to a folder with the wheels"
    env -u LD_LIBRARY_PATH "$folder/bin/python" -c "import torch, transformers, httpx, pytest, datasets, matplotlib" >&2 ||
        fail "a package does not import (Python's message is above)"
    cp "$stamp" "$folder/.complete"
    say "ready: $folder ($(du -sm "$folder" | cut -f1) MB)"
}

main
