#!/usr/bin/env bash
# Makes a virtual environment with moto, an S3 server, in the cache and prints its python as the last line of stdout. Only `make test-partition` wants it.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/venv.sh
. "$(dirname "$0")/venv.sh"

print_venv partition-venv "$(cd "$(dirname "$0")" && pwd)/partition/requirements.txt" 10 moto 400000
