#!/usr/bin/env bash
# Fuzzes every target for FUZZ_SECONDS in all (60 unless set), shared equally, and prints one line for each.
# FUZZ_TARGETS="pickle code" are only those. What was found lies in fuzz/artifacts/TARGET; the exit code is then not 0.
# Starts from fuzz/corpus, which stays as it is; new inputs go to fuzz/corpus-found, which git ignores.
# With --minimise nothing is fuzzed: fuzz/corpus becomes the smallest set of inputs that reaches what all of them reach.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    local fuzzer targets seconds failed=0 target
    fuzzer="$(scripts/setup-fuzz.sh)"
    # Coverage instrumentation is a flag of the compiler that the stable one has too, behind this switch. The code is Rust
    # almost without `unsafe`, so the sanitizers for memory have nothing to find and are left out.
    export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
    "$fuzzer" fuzz build --sanitizer none 1>&2
    PROGRAMS="$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release"
    read -ra targets <<<"${FUZZ_TARGETS:-$("$fuzzer" fuzz list | tr '\n' ' ')}"
    seconds=$((${FUZZ_SECONDS:-60} / ${#targets[@]}))
    for target in "${targets[@]}"; do
        mkdir -p "fuzz/corpus/$target" "fuzz/corpus-found/$target" "fuzz/artifacts/$target"
        if [ "${1:-}" = --minimise ]; then
            minimise "$target"
        else
            fuzz "$target" "$((seconds > 0 ? seconds : 1))" || failed=1
        fi
    done
    return "$failed"
}

# fuzz TARGET SECONDS
fuzz() {
    local target="$1" seconds="$2" log status=0 options=()
    log="$(mktemp)"
    [ -f "fuzz/dictionaries/$target.dict" ] && options=("-dict=fuzz/dictionaries/$target.dict")
    "$PROGRAMS/$target" "fuzz/corpus-found/$target" "fuzz/corpus/$target" "-artifact_prefix=fuzz/artifacts/$target/" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=512 -max_len=65536 -print_final_stats=1 \
        "${options[@]}" >"$log" 2>&1 || status=$?
    awk -v target="$target" -v status="$status" -v seconds="$seconds" '
        / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") covered = $(i + 1) }
        /stat::number_of_executed_units:/ { executions = $2 }
        /stat::peak_rss_mb:/ { memory = $2 }
        END {
            printf "%-8s %5d s  %10d executions  %6d edges  %4d MB  %s\n", target, seconds, executions, covered, memory,
                status == 0 ? "nothing found" : "FOUND, see fuzz/artifacts/" target
        }' "$log"
    [ "$status" = 0 ] || tail -n 40 "$log" >&2
    rm -f "$log"
    return "$status"
}

# minimise TARGET
minimise() {
    local target="$1" smallest
    smallest="$(mktemp -d)"
    # By edges of the control flow alone; how often each is taken would need ten times as many inputs.
    "$PROGRAMS/$target" -set_cover_merge=1 -use_counters=0 -use_cmp=0 -max_len=4096 "$smallest" "fuzz/corpus/$target" \
        "fuzz/corpus-found/$target" 2>/dev/null
    rm -rf "fuzz/corpus/$target"
    mv "$smallest" "fuzz/corpus/$target"
    chmod 755 "fuzz/corpus/$target"
    printf '%-8s %5d inputs, %d KB\n' "$target" "$(find "fuzz/corpus/$target" -type f | wc -l)" \
        "$(du -k --apparent-size "fuzz/corpus/$target" | cut -f1)"
}

main "$@"
