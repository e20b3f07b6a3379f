#!/usr/bin/env bash
# Makes a virtual environment for the tests of the recipes in the cache and prints its python as the last line of stdout. It has the requirements of
# every recipe, and sees the packages of setup-zoo.sh's. Only `make test-recipes` wants it.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"
# shellcheck source=scripts/venv.sh
. "$(dirname "$0")/venv.sh"

main() {
    local checkout requirements
    checkout="$(cd "$(dirname "$0")/.." && pwd)"
    requirements="$(mktemp)"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -f '$requirements'" EXIT
    cat "$checkout"/tests/recipes/requirements.txt "$checkout"/examples/recipes/*/requirements.txt >"$requirements"
    print_venv_on_zoo recipes-venv "$requirements" "torch, mlflow, prefect, dvc, tritonclient, pytest" 3000000
}

main
