# shellcheck shell=bash
# Sourced by setup-recover.sh, setup-rival.sh and setup-fashion.sh, after cache.sh: a folder of packages in the cache.

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

# fetch_fashion FOLDER: unpacks Fashion-MNIST there, which is Debian's package dataset-fashion-mnist (31 MB); apt-get fetches it without being root.
fetch_fashion() {
    (cd "$1" && apt-get download --quiet dataset-fashion-mnist >&2) ||
        fail "apt-get could not download dataset-fashion-mnist (its own message is above)" "if it knows no such package: apt-get update"
    dpkg -x "$1"/dataset-fashion-mnist_*.deb "$1"
    rm "$1"/dataset-fashion-mnist_*.deb
}

# Whether there is what fetch_fashion calls.
can_fetch_fashion() { command -v apt-get >/dev/null && command -v dpkg >/dev/null; }
