#!/usr/bin/env bash
# The Python client: types, the package as pip installs it, and its tests against a real server with a real engine. Options go to pytest, as in
# `test-client.sh -k upload`. The server is the one that SECATEUR_BIN names, with its engine beside it, or the debug build.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    local python installed
    # shellcheck source=scripts/env.sh
    . scripts/env.sh
    # Tests start their own database.
    unset DATABASE_URL
    export SECATEUR_BIN="${SECATEUR_BIN:-$CARGO_TARGET_DIR/debug/secateur}"
    require_program "$SECATEUR_BIN"
    require_program "$(dirname "$SECATEUR_BIN")/secateur-engine"
    python="$(scripts/setup-client.sh)"
    # Python's torch brings its own libraries; the tests give the server the others, from LIBTORCH.
    unset LD_LIBRARY_PATH SECATEUR_URL SECATEUR_KEY
    export HF_HUB_OFFLINE=1

    installed="$(mktemp -d)"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$installed'" EXIT
    step "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --target "$installed" ./clients/python
    cd clients/python
    step "$python" -m mypy
    PYTHONPATH="$installed" step "$python" -m pytest "$@"
}

step() {
    printf '\n==> %s\n' "$*"
    "$@"
}

require_program() {
    [ -x "$1" ] && return
    printf 'error: %s is not there\nhint: cargo build --workspace --bins, or set SECATEUR_BIN\n' "$1" >&2
    exit 1
}

main "$@"
