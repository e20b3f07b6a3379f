#!/usr/bin/env bash
# Unpacks Fashion-MNIST into the cache and prints the folder of its four IDX files. It comes as Debian's package dataset-fashion-mnist; one that
# is installed is used where it is. `make demo` and the scripts in examples/ want it.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/packages.sh
. "$(dirname "$0")/packages.sh"

FILES=usr/share/datasets/fashion-mnist

fill() {
    can_fetch_debian || fail "there are no apt-get and dpkg here, which fetch Fashion-MNIST"
    require_space 200000
    say "fetching Fashion-MNIST (31 MB, once) into $SECATEUR_CACHE"
    mkdir "$2"
    fetch_debian dataset-fashion-mnist "$2"
}

if [ -d "/$FILES" ]; then
    printf '/%s\n' "$FILES"
else
    folder="$(print_packages fashion-mnist fill -)"
    printf '%s\n' "$folder/$FILES"
fi
