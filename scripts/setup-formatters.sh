#!/usr/bin/env bash
# Puts the pinned ruff and clang-format into the cache, and prints the folder with both as the last line of stdout.
# Another version lays some lines out differently, so programs of the same names on PATH are not taken.
set -euo pipefail
shopt -s inherit_errexit
umask 022
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

RUFF=0.17.6
CLANG_FORMAT=23.1.5
WHEELS="ruff==$RUFF --hash=sha256:aa3b08254a732acba246891089a152c47c5733dc36b8ecb76ce8602f8326e5e4
clang-format==$CLANG_FORMAT --hash=sha256:d97ce49911ba8c89ef3f3c0735a9c7818e4780ab4812c67d1c5fcd829d16ae52"

main() {
    local folder="$SECATEUR_CACHE/formatters-$RUFF-$CLANG_FORMAT"
    if [ ! -d "$folder" ]; then
        require_linux_x86_64 "leave these checks to the forge's machines"
        create_cache
        lock_cache_entry "$folder"
        [ -d "$folder" ] || install_wheels "$folder"
    fi
    printf '%s\n' "$folder"
}

# The folder appears whole, with its last rename.
install_wheels() {
    local folder="$1" work programs
    work="$(mktemp -d "$SECATEUR_CACHE/formatters.XXXXXX")"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$work'" EXIT
    say "fetching ruff $RUFF and clang-format $CLANG_FORMAT (13 MB, once)"
    download_wheels "$work" "or leave these checks to the forge's machines" <<<"$WHEELS"
    programs=("ruff-$RUFF.data/scripts/ruff" clang_format/data/bin/clang-format)
    mkdir "$work/programs"
    unpack_wheel "$work"/ruff-*.whl "$work" "${programs[0]}"
    unpack_wheel "$work"/clang_format-*.whl "$work" "${programs[1]}"
    mv "${programs[@]/#/$work/}" "$work/programs/"
    chmod 755 "$work/programs" "$work/programs/"*
    mv "$work/programs" "$folder"
}

main
