#!/usr/bin/env bash
# Makes a virtual environment with PyTorch in the cache and prints its python as the last line of stdout.
# Only the scripts under examples/ and engine/tests/fixtures/ and `make bench-search` and `make bench-step` want it: neither `make test` nor
# `make demo` needs Python's torch. It is large (about 6 GB: the PyPI build of torch brings the CUDA libraries along).
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/venv.sh
. "$(dirname "$0")/venv.sh"

# torch 2.11 needs Python 3.10.
print_venv venv "$(cd "$(dirname "$0")/.." && pwd)/examples/requirements.txt" 10 "torch, sklearn"
