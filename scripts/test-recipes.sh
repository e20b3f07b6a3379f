#!/usr/bin/env bash
# The recipes of docs/recipes: runs the commands of each page against a real server and the real other programs. Options go to pytest, as in
# `test-recipes.sh -k mlflow`. The server is the one that SECATEUR_BIN names, with its engine beside it, or the release build.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    local python installed
    # shellcheck source=scripts/env.sh
    . scripts/env.sh
    # The tests start their own database.
    unset DATABASE_URL
    export SECATEUR_BIN="${SECATEUR_BIN:-$CARGO_TARGET_DIR/release/secateur}"
    require_program "$SECATEUR_BIN"
    require_program "$(dirname "$SECATEUR_BIN")/secateur-engine"
    python="$(scripts/setup-recipes.sh)"
    # Python's torch brings its own libraries; the tests give the server the others, from LIBTORCH.
    unset LD_LIBRARY_PATH SECATEUR_URL SECATEUR_KEY

    installed="$(mktemp -d)"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$installed'" EXIT
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --target "$installed" ./clients/python
    PYTHONPATH="$installed" "$python" -m pytest tests/recipes "$@"
}

require_program() {
    [ -x "$1" ] && return
    printf 'error: %s is not there\nhint: cargo build --release --workspace --bins, or set SECATEUR_BIN\n' "$1" >&2
    exit 1
}

main "$@"
