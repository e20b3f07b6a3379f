#!/usr/bin/env bash
# Finds a Chromium for the tests of what web pages can do to a server, or installs Debian's, and prints its path.
#
#   SECATEUR_CHROMIUM  the browser to use; `none` leaves these tests out
set -euo pipefail

main() {
    local found
    if [ -n "${SECATEUR_CHROMIUM:-}" ]; then
        printf '%s\n' "$SECATEUR_CHROMIUM"
        return
    fi
    if found="$(find_chromium)" || { install_chromium && found="$(find_chromium)"; }; then
        printf '%s\n' "$found"
        return
    fi
    printf 'error: there is no Chromium, and none could be installed\n' >&2
    printf 'hint: apt-get install chromium, name one with SECATEUR_CHROMIUM=/a/path, or leave its tests out with SECATEUR_CHROMIUM=none\n' >&2
    return 1
}

find_chromium() {
    local name
    for name in chromium google-chrome; do
        command -v "$name" && return
    done
    return 1
}

# Ubuntu's package is only a pointer to a snap, which cannot run everywhere; so only Debian's is taken without asking.
install_chromium() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && grep -q '^ID=debian' /etc/os-release || return 1
    printf 'installing chromium (once)\n' >&2
    apt-get install -y --no-install-recommends chromium >&2 ||
        { apt-get update >&2 && apt-get install -y --no-install-recommends chromium >&2; }
}

main
