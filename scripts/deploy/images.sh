#!/usr/bin/env bash
# Builds images of docker/ under the names secateur-server, secateur-worker and secateur-worker-cuda, with version, commit and the digest of
# their list of parts in their labels.
#
#   scripts/deploy/images.sh [--builder docker|buildah] [--base IMAGE] [--prebuilt SECATEUR] server|worker|worker-cuda ...
#
# --prebuilt takes the program SECATEUR, secateur-engine beside it and libtorch in LIBTORCH instead of compiling in the container. --base is
# the image that takes the place of debian:bookworm-slim.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."

main() {
    local builder=docker base='' prebuilt=''
    while [[ "${1:-}" == --* ]]; do
        case "$1" in
            --builder) builder="$2" ;;
            --base) base="$2" ;;
            --prebuilt) prebuilt="$2" ;;
            *) fail "$1 is no option" ;;
        esac
        shift 2
    done
    [ $# -gt 0 ] || fail "no image is named: server, worker, worker-cuda"
    local name
    for name; do
        [ -f "docker/$name.Dockerfile" ] || fail "there is no docker/$name.Dockerfile"
        build "$name"
    done
}

# With main's builder, base and prebuilt.
build() {
    local name="$1" context=. words=()
    words=(
        --file "docker/$name.Dockerfile" --tag "secateur-$name"
        --build-arg "VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p; /^version/q' Cargo.toml)"
        --build-arg "SBOM_SHA256=$(parts_of "$name" | sha256sum | cut -d ' ' -f 1)"
    )
    if git rev-parse --quiet --verify HEAD >/dev/null; then
        words+=(--build-arg "REVISION=$(git rev-parse HEAD)" --build-arg "CREATED=$(git log -1 --format=%cI)")
    fi
    [ -z "$base" ] || words+=(--build-arg "BASE=$base")
    if [ -n "$prebuilt" ]; then
        context="$(mktemp -d)"
        # shellcheck disable=SC2064 # the path of now is meant
        trap "rm -rf '$context'" EXIT
        fill_context "$name" "$context"
        words+=(--build-arg BINARIES=prebuilt)
    fi
    # Without layers of its own for each line: they would be full copies where the storage knows no overlays.
    [ "$builder" != buildah ] || words+=(--format docker --layers=false)
    "$builder" build "${words[@]}" "$context"
}

# The same words as in the Dockerfiles, whose result is held against this one's digest.
parts_of() {
    local packages=(secateur)
    case "$1" in
        worker) packages+=(secateur-engine --libtorch cpu) ;;
        worker-cuda) packages+=(secateur-engine --libtorch cuda) ;;
    esac
    python3 scripts/deploy/sbom.py Cargo.lock "${packages[@]}"
}

# What a build without a compiler reads, in a folder of its own, with links where the file system allows them.
fill_context() {
    local name="$1" folder="$2"
    mkdir "$folder/prebuilt"
    cp --recursive --parents .dockerignore Cargo.lock LICENSE-APACHE LICENSE-MIT docker scripts "$folder"
    link "$prebuilt" "$folder/prebuilt/secateur"
    [ "$name" != server ] || return 0
    link "$(dirname "$prebuilt")/secateur-engine" "$folder/prebuilt/secateur-engine"
    : "${LIBTORCH:?names no libtorch}"
    mkdir "$folder/prebuilt/libtorch"
    if [ "$name" = worker ]; then
        link "$LIBTORCH/lib" "$folder/prebuilt/libtorch/lib"
    else
        mkdir "$folder/prebuilt/libtorch/torch"
        link "$LIBTORCH/lib" "$folder/prebuilt/libtorch/torch/lib"
        link "$LIBTORCH/../nvidia" "$folder/prebuilt/libtorch/nvidia"
    fi
}

link() { cp --recursive --link "$1" "$2" 2>/dev/null || cp --recursive "$1" "$2"; }

fail() {
    printf 'error: %s\nhint: images.sh [--builder docker|buildah] [--base IMAGE] [--prebuilt SECATEUR] server|worker|worker-cuda ...\n' "$1" >&2
    exit 2
}

main "$@"
