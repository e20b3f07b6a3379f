#!/usr/bin/env bash
# Makes a virtual environment with Schemathesis in the cache and prints its python as the last line of stdout. `make test-contract` and `make test` want it.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/venv.sh
. "$(dirname "$0")/venv.sh"

print_venv contract-venv "$(cd "$(dirname "$0")" && pwd)/contract/requirements.txt" 10 schemathesis 300000
