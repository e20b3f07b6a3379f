#!/usr/bin/env bash
# Puts axe-core, which finds what keeps people from using a page, into the cache, and prints the path of its script as the last line of
# stdout. Only the tests of the dashboard want it. It is taken out of a wheel from PyPI, of which nothing else is used.
set -euo pipefail
shopt -s inherit_errexit
umask 022
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

WHEEL_VERSION=0.1.8 # axe-core 4.12.1
WHEEL="axe-playwright-python==$WHEEL_VERSION --hash=sha256:fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8"

main() {
    local folder="$SECATEUR_CACHE/axe-$WHEEL_VERSION"
    if [ ! -d "$folder" ]; then
        create_cache
        lock_cache_entry "$folder"
        [ -d "$folder" ] || install_wheel "$folder"
    fi
    printf '%s\n' "$folder/axe.min.js"
}

# The folder appears whole, with its last rename.
install_wheel() {
    local folder="$1" work
    work="$(mktemp -d "$SECATEUR_CACHE/axe.XXXXXX")"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$work'" EXIT
    say "fetching axe-core (200 KB, once)"
    download_wheels "$work" "or leave the tests with a browser out: SECATEUR_CHROMIUM=none" <<<"$WHEEL"
    unpack_wheel "$work"/*.whl "$work/unpacked" axe_playwright_python/axe.min.js
    mv "$work/unpacked/axe_playwright_python" "$folder"
}

main
