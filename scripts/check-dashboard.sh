#!/usr/bin/env bash
# Checks the types of the dashboard's scripts, which stand in their comments, and the format of scripts and styles, with TypeScript and
# Prettier of exact versions. With --fix the format is mended. It wants Node.js and npm, which nothing else of this project does; where there are
# none, or npm reaches no registry, it says so and ends with 3.
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

PRETTIER=3.9.6
PRETTIER_SHA512=3a9374cf355d89a880871a6eba3e5e7e9212e2c63d8fb6d8eae4799a78f9c8fcc691d92334a4897944e13dbeb4270dbd42e019800e28fbf881e3d90589a057ea

main() {
    local typescript prettier mode=--check
    [ "${1:-}" = --fix ] && mode=--write
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        say "left out: there is no Node.js with npm here"
        exit 3
    fi
    create_cache
    typescript="$(cached typescript "$TYPESCRIPT" "$TYPESCRIPT_SHA512")"
    prettier="$(cached prettier "$PRETTIER" "$PRETTIER_SHA512")"
    (cd dashboard && node "$prettier/bin/prettier.cjs" --log-level warn "$mode" js css)
    node "$typescript/bin/tsc" --project dashboard/tsconfig.json
    printf 'types and format of the dashboard are right\n'
}

# cached NAME VERSION SHA512: prints the package's folder, which is fetched once.
cached() {
    local folder="$SECATEUR_CACHE/$1-$2"
    if [ ! -d "$folder" ]; then
        lock_cache_entry "$folder"
        [ -d "$folder" ] || install "$folder" "$@"
    fi
    printf '%s\n' "$folder"
}

# The folder appears whole, with its last rename.
install() {
    local folder="$1" name="$2" work
    work="$(mktemp -d "$SECATEUR_CACHE/$name.XXXXXX")"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$work'" EXIT
    say "fetching $name $3 (once)"
    unpack_npm "$name" "$3" "$4" "$work"
    mv "$work/$name" "$folder"
}

main "$@"
