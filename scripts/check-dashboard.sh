#!/usr/bin/env bash
# Checks the types of the dashboard's scripts, which stand in their comments, with a TypeScript of an exact version. It wants Node.js and npm,
# which nothing else of this project does; where there are none it says so and ends with 3.
set -euo pipefail
shopt -s inherit_errexit
umask 022
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/npm.sh
. "$(dirname "$0")/npm.sh"
cd "$(dirname "$0")/.."

TYPESCRIPT=5.9.3
TYPESCRIPT_SHA512=8e5d6f6733c38a72ebf5e52ddc9feded5e8580d130f508ef04f772b33f4a7d00c3e357d0ac2d98e2f290762694a454f86d795bd511e12e9a7cc2d9ba3394e04b

main() {
    local folder="$SECATEUR_CACHE/typescript-$TYPESCRIPT"
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        say "left out: there is no Node.js with npm here"
        exit 3
    fi
    if [ ! -d "$folder" ]; then
        create_cache
        lock_cache_entry "$folder"
        [ -d "$folder" ] || install "$folder"
    fi
    node "$folder/bin/tsc" --project dashboard/tsconfig.json
    printf 'the types of the dashboard are right\n'
}

# The folder appears whole, with its last rename.
install() {
    local folder="$1" work
    work="$(mktemp -d "$SECATEUR_CACHE/typescript.XXXXXX")"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$work'" EXIT
    say "fetching TypeScript $TYPESCRIPT (5 MB, once)"
    unpack_npm typescript "$TYPESCRIPT" "$TYPESCRIPT_SHA512" "$work"
    mv "$work/typescript" "$folder"
}

main
