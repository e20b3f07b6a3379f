# shellcheck shell=bash
# Sourced by setup-python.sh, setup-zoo.sh, setup-contract.sh and setup-client.sh, after cache.sh: a virtual environment in the cache.

# print_venv FOLDER REQUIREMENTS MINOR IMPORTS [KILOBYTES]: prints the python of an environment with these requirements, on Python
# 3.MINOR or newer; makes it where it is missing or has others. IMPORTS is what has to import then, KILOBYTES the space that it takes: as much
# as PyTorch where it is not given.
print_venv() {
    local folder="$SECATEUR_CACHE/$1" requirements="$2"
    if ! is_complete "$folder" "$requirements"; then
        create_cache
        lock_cache_entry "$folder"
        is_complete "$folder" "$requirements" || install_venv "$folder" "$requirements" "$3" "$4" "${5:-9000000}"
    fi
    printf '%s\n' "$folder/bin/python"
}

is_complete() { cmp -s "$2" "$1/.complete" && [ -x "$1/bin/python" ]; }

# A virtual environment holds its own path, so it is built in place; the stamp comes last.
install_venv() {
    local folder="$1" requirements="$2" minor="$3" imports="$4"
    command -v python3 >/dev/null || fail "python3 was not found" "on Debian or Ubuntu: apt-get install python3 python3-venv"
    python3 -c "import sys; sys.exit(sys.version_info < (3, $minor))" ||
        fail "$(python3 --version) is too old" "Python 3.$minor or newer is needed, first on PATH"
    require_space "$5"
    say "installing $(grep -c '==' "$requirements") packages and their dependencies (up to $(($5 / 1000)) MB of disk, once) into $folder"
    rm -rf "$folder"
    python3 -m venv "$folder" >&2 ||
        fail "python3 cannot make a virtual environment" "on Debian or Ubuntu: apt-get install python3-venv"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --requirement "$requirements" >&2 ||
        fail "pip could not install $requirements (its own message is above)" \
            "without a network, or behind a mirror: set PIP_INDEX_URL, or PIP_FIND_LINKS to a folder with the wheels"
    # A libtorch in LD_LIBRARY_PATH would come before the one that is tried here.
    env -u LD_LIBRARY_PATH "$folder/bin/python" -c "import $imports" >&2 ||
        fail "one of $imports does not import (Python's message is above)"
    cp "$requirements" "$folder/.complete"
    say "ready: $folder ($(du -sm "$folder" | cut -f1) MB)"
}
