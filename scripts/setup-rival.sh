#!/usr/bin/env bash
# Unpacks Torch-Pruning, which `make bench-study` compares with, into the cache, with the pip of the python that is given, and prints its
# folder. Its dependencies, PyTorch and NumPy, are that python's.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

main() {
    local python="$1" folder="$SECATEUR_CACHE/rival-1"
    if [[ ! -d "$folder" ]]; then
        create_cache
        lock_cache_entry "$folder"
        [[ -d "$folder" ]] || install_package "$python" "$folder"
    fi
    printf '%s\n' "$folder"
}

# The folder appears whole, with its last rename.
install_package() {
    local python="$1" folder="$2" partial="$2.partial.$$"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$partial'" EXIT
    env -u LD_LIBRARY_PATH "$python" -m pip install --quiet --no-deps --target "$partial" torch-pruning==1.6.1 >&2
    mv "$partial" "$folder"
}

main "$@"
