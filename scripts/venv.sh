# shellcheck shell=bash
# Sourced by setup-python.sh, setup-zoo.sh, setup-contract.sh, setup-partition.sh, setup-client.sh and setup-recipes.sh, after cache.sh: a
# virtual environment in the cache.

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

# print_venv_on_zoo FOLDER REQUIREMENTS IMPORTS KILOBYTES: the same for an environment that sees the packages of setup-zoo.sh's, which is large,
# and has the others itself. A change of either list makes it anew.
print_venv_on_zoo() {
    local folder="$SECATEUR_CACHE/$1" requirements="$2" scripts zoo
    scripts="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
    zoo="$("$scripts/setup-zoo.sh")"
    if ! is_complete "$folder" "$requirements" "$scripts/zoo/requirements.txt"; then
        create_cache
        lock_cache_entry "$folder"
        is_complete "$folder" "$requirements" "$scripts/zoo/requirements.txt" ||
            install_venv_on_zoo "$folder" "$requirements" "$scripts/zoo/requirements.txt" "$zoo" "$3" "$4"
    fi
    printf '%s\n' "$folder/bin/python"
}

# is_complete FOLDER REQUIREMENTS...: whether the environment was made of these, all of them in this order.
is_complete() { cmp -s "$1/.complete" <(cat "${@:2}") && [ -x "$1/bin/python" ]; }

# A virtual environment holds its own path, so it is built in place.
install_venv() {
    local folder="$1" requirements="$2" minor="$3" imports="$4"
    command -v python3 >/dev/null || fail "python3 was not found" "on Debian or Ubuntu: apt-get install python3 python3-venv"
    python3 -c "import sys; sys.exit(sys.version_info < (3, $minor))" ||
        fail "$(python3 --version) is too old" "Python 3.$minor or newer is needed, first on PATH"
    say_installing "$folder" "$requirements" "$5"
    rm -rf "$folder"
    python3 -m venv "$folder" >&2 ||
        fail "python3 cannot make a virtual environment" "on Debian or Ubuntu: apt-get install python3-venv"
    fill_venv "$folder" "$imports" "$requirements"
}

install_venv_on_zoo() {
    local folder="$1" requirements="$2" zoo_requirements="$3" zoo="$4" imports="$5"
    say_installing "$folder" "$requirements" "$6"
    rm -rf "$folder"
    "$zoo" -m venv "$folder" >&2
    # A file of this kind names another folder to import from; pip sees it too, and leaves alone what is there.
    "$zoo" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        >"$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zoo.pth"
    fill_venv "$folder" "$imports" "$requirements" "$zoo_requirements"
}

say_installing() {
    require_space "$3"
    say "installing $(grep -c '==' "$2") packages and their dependencies (up to $(($3 / 1000)) MB of disk, once) into $1"
}

# fill_venv FOLDER IMPORTS REQUIREMENTS [OTHERS...]: installs the requirements; the stamp comes last and has the others too.
fill_venv() {
    local folder="$1" imports="$2" requirements="$3"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --requirement "$requirements" >&2 ||
        fail "pip could not install $requirements (its own message is above)" \
            "without a network, or behind a mirror: set PIP_INDEX_URL, or PIP_FIND_LINKS to a folder with the wheels"
    # A libtorch in LD_LIBRARY_PATH would come before the one that is tried here.
    env -u LD_LIBRARY_PATH "$folder/bin/python" -c "import $imports" >&2 ||
        fail "one of $imports does not import (Python's message is above)"
    cat "${@:3}" >"$folder/.complete"
    say "ready: $folder ($(du -sm "$folder" | cut -f1) MB)"
}
