#!/usr/bin/env bash
# Makes dashboard/vendor anew: lit-html, the one library of the dashboard, out of its npm package of an exact version and digest. What it makes is
# committed, so that a build needs neither npm nor a network; the types are for scripts/check-dashboard.sh and are not served. With --check nothing is written; what is there must be what would be made.
set -euo pipefail
shopt -s inherit_errexit
umask 022
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/npm.sh
. "$(dirname "$0")/npm.sh"
cd "$(dirname "$0")/.."

LIT_HTML=3.3.3
LIT_HTML_SHA512=7a5f0cea32b6a37457067ad21d7dd92abb0df33115eb7a521314ced70609cfb427746619f37e777b66b93cf5fea877b66866b27e7721426900a2369601110e20

main() {
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
    unpack_npm lit-html "$LIT_HTML" "$LIT_HTML_SHA512" "$work"
    make_vendor "$work" "$work/vendor"
    if [ "${1:-}" = --check ]; then
        diff -r "$work/vendor" dashboard/vendor >&2 || fail "dashboard/vendor is not what its package holds" "run scripts/vendor-dashboard.sh"
        say "dashboard/vendor is as it should be"
        return
    fi
    rm -rf dashboard/vendor
    mv "$work/vendor" dashboard/vendor
}

make_vendor() {
    local packages="$1" vendor="$2" file
    mkdir -p "$vendor/lit-html/directives"
    for file in lit-html directive directive-helpers directives/repeat directives/live; do
        without_source_map "$packages/lit-html/$file.js" >"$vendor/lit-html/$file.js"
        without_source_map "$packages/lit-html/$file.d.ts" >"$vendor/lit-html/$file.d.ts"
    done
    cp "$packages/lit-html/LICENSE" "$vendor/lit-html/LICENSE.txt"
}

# The maps are not served.
without_source_map() { sed '/^\/\/# sourceMappingURL=/d' "$1"; }

main "$@"
