#!/usr/bin/env bash
# Makes dashboard/vendor anew: the libraries of the dashboard, out of their npm packages of exact versions and digests. What it makes is
# committed, so that a build needs neither npm nor a network. With --check nothing is written; what is there must be what would be made.
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
UPLOT=1.6.32
UPLOT_SHA512=2883159c6ebccefbb95d751b0b82d010f9e1c0ec41b8bc96d401eda66e882935c89a46cb824332fa369b8cb8122cc6ac36e186cd09bf7a9ded3a4c93c6989023

main() {
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
    unpack_npm lit-html "$LIT_HTML" "$LIT_HTML_SHA512" "$work"
    unpack_npm uplot "$UPLOT" "$UPLOT_SHA512" "$work"
    make_vendor "$work" "$work/vendor"
    if [ "${1:-}" = --check ]; then
        diff -r "$work/vendor" dashboard/vendor >&2 || fail "dashboard/vendor is not what its packages hold" "run scripts/vendor-dashboard.sh"
        say "dashboard/vendor is as it should be"
        return
    fi
    rm -rf dashboard/vendor
    mv "$work/vendor" dashboard/vendor
}

make_vendor() {
    local packages="$1" vendor="$2" file
    mkdir -p "$vendor/lit-html/directives" "$vendor/uplot"
    for file in LICENSE lit-html.js directive.js directive-helpers.js async-directive.js \
        directives/repeat.js directives/ref.js directives/live.js directives/class-map.js directives/keyed.js; do
        without_source_map "$packages/lit-html/$file" >"$vendor/lit-html/$file"
    done
    # The small form of uPlot is a script that sets a variable; one line makes a module of it.
    {
        without_source_map "$packages/uplot/dist/uPlot.iife.min.js"
        printf 'export default uPlot;\n'
    } >"$vendor/uplot/uplot.js"
    cp "$packages/uplot/dist/uPlot.min.css" "$vendor/uplot/uplot.css"
    cp "$packages/uplot/LICENSE" "$vendor/uplot/LICENSE"
    mv "$vendor/lit-html/LICENSE" "$vendor/lit-html/LICENSE.txt"
    mv "$vendor/uplot/LICENSE" "$vendor/uplot/LICENSE.txt"
}

# The maps are not served.
without_source_map() { sed '/^\/\/# sourceMappingURL=/d' "$1"; }

main "$@"
