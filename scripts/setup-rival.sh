#!/usr/bin/env bash
# Unpacks Torch-Pruning, which `make bench-study` compares with, into the cache, with the pip of the python that is given, and prints its
# folder. Its dependencies, PyTorch and NumPy, are that python's.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/packages.sh
. "$(dirname "$0")/packages.sh"

fill() { unpack "$1" "$2" torch-pruning==1.6.1; }

print_packages rival-1 fill "$1"
