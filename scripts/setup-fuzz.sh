#!/usr/bin/env bash
# Prints cargo-fuzz; installs it from crates.io into the cache (once, two minutes) when there is none on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/cache.sh
. scripts/cache.sh

VERSION=0.13.1

main() {
    local folder="$SECATEUR_CACHE/cargo-fuzz-$VERSION"
    if command -v cargo-fuzz; then
        return
    fi
    if [ ! -x "$folder/bin/cargo-fuzz" ]; then
        create_cache
        lock_cache_entry "$folder"
        [ -x "$folder/bin/cargo-fuzz" ] || install "$folder"
    fi
    printf '%s\n' "$folder/bin/cargo-fuzz"
}

install() {
    say "installing cargo-fuzz $VERSION into $1"
    cargo install --quiet --locked --root "$1" "cargo-fuzz@$VERSION" >&2 ||
        fail "cargo-fuzz could not be installed (cargo's message is above)" \
            "without a network: put a cargo-fuzz on PATH"
}

main
