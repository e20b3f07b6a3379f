#!/usr/bin/env bash
# Prints a folder with prometheus and promtool as the last line of stdout: where they are installed, or in the cache, with Debian's package, which
# apt-get fetches without being root. Only `make test-recipes` wants it.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

main() {
    local folder="$SECATEUR_CACHE/prometheus"
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
        dirname "$(command -v promtool)"
        return
    fi
    if [ ! -d "$folder" ]; then
        create_cache
        lock_cache_entry "$folder"
        [ -d "$folder" ] || install_package "$folder"
    fi
    printf '%s\n' "$folder/usr/bin"
}

# The folder appears whole, with its last rename.
install_package() {
    local folder="$1" work
    if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
        fail "prometheus and promtool were not found" "put them on PATH: there is no apt-get here that could fetch them"
    fi
    require_space 200000
    work="$(mktemp -d "$SECATEUR_CACHE/prometheus.XXXXXX")"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$work'" EXIT
    say "fetching Debian's package of Prometheus (20 MB, once) into $folder"
    (cd "$work" && apt-get download --quiet prometheus >&2) ||
        fail "apt-get could not download prometheus (its own message is above)" "if it knows no such package: apt-get update"
    dpkg -x "$work"/prometheus_*.deb "$work/package"
    "$work/package/usr/bin/promtool" --version >/dev/null || fail "promtool does not start (its own message is above)"
    chmod 755 "$work/package"
    mv "$work/package" "$folder"
}

main
