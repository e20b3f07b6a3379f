#!/usr/bin/env bash
# How much memory the server takes for a large upload: sends a 2 GB data set and compares the peak of its resident memory
# with what it was before. Fails when the difference reaches 64 MB.
#
#   benches/upload_rss.sh [SECATEUR_BINARY] [GIGABYTES]
#
# The file is a valid .safetensors whose samples are a hole, so it takes no room here; the server stores it in full.
set -euo pipefail

BINARY="${1:-target/release/secateur}"
GIGABYTES="${2:-2}"
LIMIT_KB=$((64 * 1024))

main() {
    folder="$(mktemp -d)"
    trap clean_up EXIT
    chmod 755 "$folder"
    make_dataset "$folder/dataset.safetensors"
    env -u DATABASE_URL "$BINARY" serve --listen 127.0.0.1:0 --slots 0 --data-dir "$folder/data" \
        >"$folder/url" 2>"$folder/log" &
    server=$!
    until grep -q http "$folder/url"; do
        kill -0 "$server" || { cat "$folder/log" >&2; exit 1; }
        sleep 0.1
    done
    local url before after started status
    url="$(cat "$folder/url")"
    # Everything that is set up on first use is there before it is measured.
    head -c 4194304 /dev/zero | curl -s -o /dev/null -H 'content-type: application/octet-stream' --data-binary @- "$url/v1/models"
    echo 5 >"/proc/$server/clear_refs"
    before="$(peak_kb)"
    started="$(date +%s.%N)"
    status="$(curl -s -o "$folder/answer" -w '%{http_code}' -H 'content-type: application/octet-stream' -H 'expect:' \
        -T "$folder/dataset.safetensors" -X POST "$url/v1/datasets?name=large")"
    after="$(peak_kb)"
    printf 'upload of %s bytes: HTTP %s, %.1f s, peak RSS %d kB before, %d kB after: +%d kB\n' \
        "$(stat -c %s "$folder/dataset.safetensors")" "$status" \
        "$(awk "BEGIN { print $(date +%s.%N) - $started }")" "$before" "$after" $((after - before))
    [ "$status" = 201 ] || { cat "$folder/answer" >&2; exit 1; }
    [ $((after - before)) -lt "$LIMIT_KB" ] || { echo "more than $LIMIT_KB kB" >&2; exit 1; }
}

peak_kb() { awk '/^VmHWM/ { print $2 }' "/proc/$server/status"; }

make_dataset() {
    python3 - "$1" "$GIGABYTES" <<'PYTHON'
import json, sys

path, gigabytes = sys.argv[1], float(sys.argv[2])
sample = 3 * 32 * 32
count = int(gigabytes * 2**30) // sample
x, y = count * sample, count * 8
header = json.dumps({
    "x": {"dtype": "U8", "shape": [count, 3, 32, 32], "data_offsets": [0, x]},
    "y": {"dtype": "I64", "shape": [count], "data_offsets": [x, x + y]},
}).encode()
header += b" " * (-len(header) % 8)
with open(path, "wb") as file:
    file.write(len(header).to_bytes(8, "little") + header)
    file.truncate(8 + len(header) + x + y)
PYTHON
}

clean_up() {
    if [ -n "${server:-}" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}

main
