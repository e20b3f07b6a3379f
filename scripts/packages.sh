# shellcheck shell=bash
# Sourced by set-up scripts, after cache.sh: a folder of packages in the cache.

# print_packages NAME FILL PYTHON: prints the folder. Where it is missing it is filled by `FILL PYTHON FOLDER` and appears whole, with its
# last rename.
print_packages() {
    local folder="$SECATEUR_CACHE/$1" partial="$SECATEUR_CACHE/$1.partial.$$"
    if [[ ! -d "$folder" ]]; then
        create_cache
        lock_cache_entry "$folder"
    fi
    # Not in a condition, inside which a command that fails would not end the script.
    if [[ ! -d "$folder" ]]; then
        # shellcheck disable=SC2064 # the path of now is meant
        trap "rm -rf '$partial'" EXIT
        "$2" "$3" "$partial"
        mv "$partial" "$folder"
    fi
    printf '%s\n' "$folder"
}

# unpack PYTHON FOLDER PACKAGE...: without what they depend on.
unpack() {
    env -u LD_LIBRARY_PATH "$1" -m pip install --quiet --no-deps --target "${@:2}" >&2
}

# fetch_debian PACKAGE FOLDER: unpacks a Debian package there; apt-get fetches it without being root.
fetch_debian() {
    (cd "$2" && apt-get download --quiet "$1" >&2) ||
        fail "apt-get could not download $1 (its own message is above)" "if it knows no such package: apt-get update"
    dpkg -x "$2/$1"_*.deb "$2"
    rm "$2/$1"_*.deb
}

# Whether there is what fetch_debian calls.
can_fetch_debian() { command -v apt-get >/dev/null && command -v dpkg >/dev/null; }
