#!/usr/bin/env bash
# Prints a folder with prometheus and promtool as the last line of stdout: where they are installed, or in the cache, with Debian's package, which
# apt-get fetches without being root. Only `make test-recipes` wants it.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/packages.sh
. "$(dirname "$0")/packages.sh"

fill() {
    can_fetch_debian || fail "prometheus and promtool were not found" "put them on PATH: there is no apt-get here that could fetch them"
    require_space 200000
    say "fetching Debian's package of Prometheus (20 MB, once) into $SECATEUR_CACHE"
    mkdir "$2"
    fetch_debian prometheus "$2"
    "$2/usr/bin/promtool" --version >/dev/null || fail "promtool does not start (its own message is above)"
}

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    dirname "$(command -v promtool)"
else
    folder="$(print_packages prometheus fill -)"
    printf '%s\n' "$folder/usr/bin"
fi
