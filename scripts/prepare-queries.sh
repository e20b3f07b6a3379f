#!/usr/bin/env bash
# Writes .sqlx/: what the compiler must know of the database to check the queries without one. Run it after a change of a
# query or a migration. It starts a throw-away PostgreSQL, applies migrations/ and has the compiler ask it.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    local bin
    bin="$(scripts/setup-postgres.sh)"
    folder="$(mktemp -d)"
    trap stop EXIT
    if [ "$(id -u)" = 0 ]; then chown nobody "$folder"; fi
    as_server "$bin/initdb" -D "$folder/data" -U secateur --auth=trust -N --locale=C -E UTF8 >/dev/null
    as_server "$bin/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c fsync=off >"$folder/log" 2>&1 &

    # The program's own migrations need no checked queries, but the program does: so the files go in by hand, in order.
    local migration
    for migration in migrations/*.sql; do apply "$bin" "$migration"; done

    export DATABASE_URL="postgres://secateur@${folder//\//%2F}/postgres"
    rm -rf .sqlx
    mkdir .sqlx
    touch src/lib.rs
    SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$PWD/.sqlx" cargo check -p secateur --all-targets
    printf '%s queries in .sqlx/\n' "$(find .sqlx -name 'query-*.json' | wc -l)"
}

# apply BIN FILE
apply() {
    local psql="$1/psql"
    [ -x "$psql" ] || psql=psql
    for _ in $(seq 50); do
        if "$psql" -h "$folder" -U secateur -d postgres -qc 'select' >/dev/null 2>&1; then break; fi
        sleep 0.1
    done
    "$psql" -h "$folder" -U secateur -d postgres -q -v ON_ERROR_STOP=1 -f "$2"
}

as_server() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
    else
        "$@"
    fi
}

stop() {
    # The first line is the server's process id; it is a grandchild, so the shell's own `$!` would not do.
    kill -INT "$(head -1 "$folder/data/postmaster.pid" 2>/dev/null)" 2>/dev/null || true
    wait
    rm -rf "$folder"
}

main
