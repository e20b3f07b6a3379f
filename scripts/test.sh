#!/usr/bin/env bash
# All checks, in the order in which they are cheap: format and lints, dependencies, build, tests, a minute of fuzzing and one of made-up requests.
# With --fast only what needs neither libtorch nor a browser: format, lints and tests without the engine.
# The last line is "N passed, N failed"; the exit code is not 0 when anything failed or no test ran.
set -euo pipefail
cd "$(dirname "$0")/.."

# Checks that could not be made; told at the end.
LEFT_OUT=()

main() {
    # shellcheck source=scripts/toolchain.sh
    . scripts/toolchain.sh
    require_cargo_parts
    case "${1:-}" in
        '') check_all ;;
        --fast) check_fast ;;
        *)
            printf 'error: %s is no option\nhint: scripts/test.sh [--fast]\n' "$1" >&2
            exit 2
            ;;
    esac
}

check_all() {
    # shellcheck source=scripts/env.sh
    . scripts/env.sh
    # Tests start their own database.
    unset DATABASE_URL
    SECATEUR_CHROMIUM="$(scripts/setup-chromium.sh)"
    SECATEUR_AXE="$(scripts/setup-axe.sh)"
    export SECATEUR_CHROMIUM SECATEUR_AXE
    local locked=()
    [ "${CI:-}" = true ] && locked=(--locked)

    step cargo fmt --all --check
    step cargo clippy --workspace --all-targets "${locked[@]}" -- -D warnings
    check_other_languages
    check_dependencies
    # The server's tests start the engine, which is no dependency of theirs that cargo knows of.
    step cargo build --workspace --bins "${locked[@]}"
    run_tests "${locked[@]}"
}

# The names of the tests that are left out are in .config/nextest.toml too.
check_fast() {
    local log status=0 without_engine=(--workspace --exclude secateur-engine)
    export SECATEUR_WITHOUT_LIBTORCH=1
    # shellcheck source=scripts/env.sh
    . scripts/env.sh
    unset DATABASE_URL
    step cargo fmt --all --check
    step cargo clippy "${without_engine[@]}" --all-targets -- -D warnings
    log="$(mktemp)"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -f '$log'" EXIT
    if command -v cargo-nextest >/dev/null; then
        step cargo nextest run --profile fast "${without_engine[@]}" 2>&1 | tee "$log" || status=1
    else
        step cargo test "${without_engine[@]}" --no-fail-fast -- \
            --skip with_engine:: --skip routes::access::browser:: 2>&1 | tee "$log" || status=1
    fi
    closing_line "$log" "$status"
}

step() {
    printf '\n==> %s\n' "$*"
    "$@"
}

require_cargo_parts() {
    local part
    command -v cargo >/dev/null || {
        printf 'error: cargo was not found\nhint: install Rust 1.95 or newer with rustup\n' >&2
        exit 1
    }
    for part in fmt clippy; do
        cargo "$part" --version >/dev/null 2>&1 || {
            printf 'error: cargo %s was not found\nhint: rustup component add rustfmt clippy\n' "$part" >&2
            exit 1
        }
    done
}

# ruff and clang-format come from PyPI.
check_other_languages() {
    if scripts/setup-formatters.sh >/dev/null; then
        step scripts/lint.sh
    else
        LEFT_OUT+=("format and lints of Python and C++: ruff and clang-format cannot be fetched from here")
    fi
    check_dashboard
}

# Only this wants Node.js.
check_dashboard() {
    local status=0
    step scripts/check-dashboard.sh || status=$?
    case "$status" in
        0) ;;
        3) LEFT_OUT+=("types of the dashboard: there is no Node.js here, or npm reaches no registry") ;;
        *) return "$status" ;;
    esac
}

# Licences, bans and sources need no network; advisories do, and the end of the run says when they could not be fetched.
check_dependencies() {
    local tool
    if ! tool="$(scripts/setup-cargo-deny.sh)"; then
        LEFT_OUT+=("cargo deny: it cannot be fetched from here")
        return
    fi
    PATH="$PATH:$tool"
    step cargo deny --workspace check bans licenses sources
    if cargo deny fetch db >/dev/null 2>&1; then
        step cargo deny --workspace check advisories
    else
        LEFT_OUT+=("cargo deny check advisories: the advisory database cannot be fetched from here")
    fi
}

run_tests() {
    local log status=0 with_nextest=() with_cargo=()
    log="$(mktemp)"
    if [ "$SECATEUR_CHROMIUM" = none ]; then
        printf '\n==> tests with a browser: left out, since SECATEUR_CHROMIUM is none\n'
        with_nextest=(-E 'not test(/^(routes::access|with_engine)::browser::/)')
        with_cargo=(-- --skip routes::access::browser:: --skip with_engine::browser::)
    fi
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -f '$log'" EXIT
    if command -v cargo-nextest >/dev/null; then
        step cargo nextest run --workspace --no-fail-fast "${with_nextest[@]}" "$@" 2>&1 | tee "$log" || status=1
        step cargo test --workspace --doc --no-fail-fast "$@" 2>&1 | tee -a "$log" || status=1
    else
        step cargo test --workspace --no-fail-fast "$@" "${with_cargo[@]}" 2>&1 | tee "$log" || status=1
    fi
    fuzz_briefly || status=1
    ask_briefly || status=1
    [ ${#LEFT_OUT[@]} -eq 0 ] || printf '\nleft out: %s\n' "${LEFT_OUT[@]}"
    closing_line "$log" "$status"
}

# cargo-fuzz comes from crates.io; what was found fails the run like a test.
fuzz_briefly() {
    if scripts/setup-fuzz.sh >/dev/null; then
        FUZZ_SECONDS="${FUZZ_SECONDS:-60}" step scripts/fuzz.sh
    else
        LEFT_OUT+=("fuzzing: cargo-fuzz cannot be installed from here")
    fi
}

# Schemathesis comes from PyPI; an answer that the API's description does not have fails the run like a test.
ask_briefly() {
    local python
    if python="$(scripts/setup-contract.sh)"; then
        step "$python" scripts/contract/test.py "$CARGO_TARGET_DIR/debug/secateur" --seconds 60
    else
        LEFT_OUT+=("made-up requests to the API: Schemathesis cannot be fetched from here")
    fi
}

# closing_line LOG STATUS: adds up nextest's "Summary" line and cargo test's "test result" lines.
closing_line() {
    sed 's/\x1b\[[0-9;]*m//g' "$1" | awk -v status="$2" '
        function count(word,    text) {
            if (!match($0, "[0-9]+ " word)) return 0
            text = substr($0, RSTART, RLENGTH)
            return text + 0
        }
        /^ *Summary \[/ {
            passed += count("passed"); skipped += count("skipped")
            # "exec failed" contains "failed" only after another number, so the three counts do not overlap
            failed += count("failed") + count("exec failed") + count("timed out")
        }
        /^test result:/ { passed += count("passed"); failed += count("failed"); skipped += count("ignored") }
        END {
            printf "\n%d passed, %d failed%s\n", passed, failed, skipped ? sprintf(", %d skipped", skipped) : ""
            exit status != 0 || failed > 0 || passed == 0
        }'
}

main "$@"
