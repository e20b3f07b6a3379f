# shellcheck shell=bash
# Sourced by make's recipes, in bash, from the checkout's root: makes sure of libtorch and PostgreSQL (instant when
# they are there) and sets the environment that building, testing and running want. By hand: `. scripts/env.sh`.
# With SECATEUR_WITHOUT_LIBTORCH set it leaves out libtorch, which only the engine needs.

# shellcheck source=scripts/toolchain.sh
. scripts/toolchain.sh
if [ -z "${SECATEUR_WITHOUT_LIBTORCH:-}" ]; then
    LIBTORCH="$(scripts/setup-libtorch.sh)" || return 1
    export LIBTORCH
    # The engine links libtorch; build scripts, tests and the server's child processes all have to find it.
    export LD_LIBRARY_PATH="$LIBTORCH/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
_postgres_bin="$(scripts/setup-postgres.sh)" || return 1
# After the user's own folders: a PostgreSQL that they put on PATH stays the first.
export PATH="$PATH:$_postgres_bin"
unset _postgres_bin

# tch wants its exact version; another 2.11 that the user brought has the same API.
if [ -r "${LIBTORCH:-}/build-version" ] && ! grep -q '^2\.11\.0' "$LIBTORCH/build-version"; then
    export LIBTORCH_BYPASS_VERSION_CHECK=1
fi

# CI clones anew each time; its build folder is kept beside the other caches.
if [ -z "${CARGO_TARGET_DIR:-}" ]; then
    if [ "${CI:-}" = true ]; then
        CARGO_TARGET_DIR="${SECATEUR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/secateur}/target"
    else
        CARGO_TARGET_DIR="$PWD/target"
    fi
fi
export CARGO_TARGET_DIR

# Queries are checked against the committed .sqlx/ and never against a database that happens to be configured.
export SQLX_OFFLINE="${SQLX_OFFLINE:-true}"
