#!/usr/bin/env bash
# Format and lints of what cargo does not see: Python by ruff, C++ by clang-format. With --fix, what can be mended is.
# `lint.sh python` and `lint.sh cpp` look at one of the two.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    local fix=no tools languages=()
    tools="$(scripts/setup-formatters.sh)"
    PATH="$tools:$PATH"
    if [ "${1:-}" = --fix ]; then
        fix=yes
        shift
    fi
    languages=("$@")
    [ $# -gt 0 ] || languages=(python cpp)
    for language in "${languages[@]}"; do
        case "$language" in
            python | cpp) "lint_$language" "$fix" ;;
            *)
                printf 'error: there are no lints for `%s`\nhint: lint.sh [--fix] [python] [cpp]\n' "$language" >&2
                exit 2
                ;;
        esac
    done
}

lint_python() {
    if [ "$1" = yes ]; then
        ruff check --quiet --fix .
        ruff format .
    else
        ruff check .
        ruff format --check .
    fi
}

lint_cpp() {
    local files=(engine/cpp/*.cpp engine/cpp/*.h examples/recipes/*/*.cpp)
    if [ "$1" = yes ]; then
        clang-format -i "${files[@]}"
    else
        clang-format --dry-run -Werror "${files[@]}"
        printf 'engine/cpp and the recipes are as clang-format lays them out\n'
    fi
}

main "$@"
