# shellcheck shell=bash
# Sourced by set-up scripts, after cache.sh: npm packages of exact versions, checked by their digests. npm only fetches them: nothing
# of them is run, and no other package comes along. What cannot be downloaded ends the script with 3.

# unpack_npm NAME VERSION SHA512 FOLDER: the package's files in FOLDER/NAME.
unpack_npm() {
    local name="$1" version="$2" sha512="$3" folder="$4" archive="$4/$1-$2.tgz"
    command -v npm >/dev/null || fail "npm was not found" "on Debian or Ubuntu: apt-get install npm"
    if ! (cd "$folder" && npm pack --silent --ignore-scripts "$name@$version" >/dev/null); then
        say "npm could not download $name $version (its own message is above)"
        exit 3
    fi
    printf '%s  %s\n' "$sha512" "$archive" | sha512sum --check --quiet - >&2 ||
        fail "$name $version is not the file that this release was tested with"
    mkdir "$folder/$name"
    tar -xzf "$archive" -C "$folder/$name" --strip-components 1
}
