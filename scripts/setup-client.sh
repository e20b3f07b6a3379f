#!/usr/bin/env bash
# Makes a virtual environment for the tests of the Python client in the cache and prints its python as the last line of stdout. It sees the
# packages of setup-zoo.sh's, which is large, and has the few others itself. Only `make test-client` wants it.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/venv.sh
. "$(dirname "$0")/venv.sh"

print_venv_on_zoo client-venv "$(cd "$(dirname "$0")/.." && pwd)/clients/python/tests/requirements.txt" \
    "torch, transformers, httpx, pytest, datasets, matplotlib" 1000000
