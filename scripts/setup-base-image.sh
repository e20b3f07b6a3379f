#!/usr/bin/env bash
# Makes the base of the images in docker/ where no registry of images is reached: Debian's smallest system as a tar, in the cache. Prints its
# path as the last line of stdout. Only `make test-deploy` wants it. It needs root and mmdebstrap, which scripts/setup-deploy.sh installs.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

SUITE=bookworm

main() {
    local archive="$SECATEUR_CACHE/debian-$SUITE-base.tar"
    if [ ! -f "$archive" ]; then
        create_cache
        lock_cache_entry "$archive"
        [ -f "$archive" ] || make_base "$archive"
    fi
    printf '%s\n' "$archive"
}

# Without documentation and translations, as in Debian's own slim images.
make_base() {
    command -v mmdebstrap >/dev/null || fail "mmdebstrap was not found" "on Debian: apt-get install mmdebstrap"
    require_space 600000
    say "making a base image of Debian $SUITE (130 MB, once) for $1"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -f '$1.partial.tar'" EXIT
    mmdebstrap --variant=minbase --quiet \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        "$SUITE" "$1.partial.tar" >&2 || fail "mmdebstrap could not make it (its own message is above)"
    mv "$1.partial.tar" "$1"
    trap - EXIT
}

main
