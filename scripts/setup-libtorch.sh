#!/usr/bin/env bash
# Puts libtorch 2.11.0 into the cache and prints its folder (the value for LIBTORCH) as the last line of stdout.
#
#   LIBTORCH         a libtorch 2.11 of your own: checked, and used as it is
#   SECATEUR_DEVICE  cpu | cuda | auto (default: cuda when nvidia-smi finds a GPU)
#   SECATEUR_CACHE   where to keep it (default: ~/.cache/secateur)
#
# The source is the PyPI wheel of torch. The CPU set-up keeps of it what a C++ program needs: 520 MB instead of 5 GB.
# Nothing half-done is ever visible: the folder is built under another name and renamed when it is complete.
set -euo pipefail
shopt -s inherit_errexit
umask 022
# shellcheck source=scripts/cache.sh
. "$(dirname "$0")/cache.sh"

VERSION=2.11.0
LAYOUT=1 # raise it when the contents of the folder change, so that old ones are built anew

TORCH_WHEEL='torch==2.11.0 --hash=sha256:7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a'

# libtorch_cpu.so of this build NEEDs these two even on a machine without a GPU.
CUDA_STUB_WHEELS='nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8'

# The rest of what the wheel's metadata asks for, Python packages left out.
CUDA_WHEELS='nvidia-cudnn-cu13==9.19.0.56 --hash=sha256:d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf
nvidia-cusparselt-cu13==0.8.0 --hash=sha256:25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd
nvidia-nccl-cu13==2.28.9 --hash=sha256:e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42
nvidia-nvshmem-cu13==3.4.5 --hash=sha256:290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80
nvidia-cublas==13.1.0.3 --hash=sha256:ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171
nvidia-cuda-nvrtc==13.0.88 --hash=sha256:ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575
nvidia-cufft==12.0.0.61 --hash=sha256:6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3
nvidia-cufile==1.15.1.6 --hash=sha256:08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44
nvidia-curand==10.4.0.35 --hash=sha256:1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc
nvidia-cusolver==12.0.4.66 --hash=sha256:0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112
nvidia-cusparse==12.6.3.3 --hash=sha256:2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b
nvidia-nvjitlink==13.0.88 --hash=sha256:13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b
nvidia-nvtx==13.0.85 --hash=sha256:4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4'

OWN_LIBTORCH_HINT="or set LIBTORCH to the folder of a libtorch $VERSION that you have (it holds include/ and lib/)"

main() {
    if [ -n "${LIBTORCH:-}" ]; then
        check_own_libtorch "$LIBTORCH"
        printf '%s\n' "$LIBTORCH"
        return
    fi
    local device folder libtorch
    device="$(chosen_device)"
    folder="$SECATEUR_CACHE/libtorch-$VERSION-$device"
    libtorch="$folder"
    # The wheel's libraries find the CUDA ones beside them by a relative path, so its layout is kept.
    [ "$device" = cuda ] && libtorch="$folder/torch"

    if ! is_complete "$folder"; then
        require_linux_x86_64 "$OWN_LIBTORCH_HINT"
        create_cache
        lock_cache_entry "$folder"
        is_complete "$folder" || "install_$device" "$folder"
    fi
    printf '%s\n' "$libtorch"
}

chosen_device() {
    case "${SECATEUR_DEVICE:-auto}" in
        cpu | cuda) printf '%s\n' "$SECATEUR_DEVICE" ;;
        auto) if nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then echo cuda; else echo cpu; fi ;;
        *) fail "SECATEUR_DEVICE is '$SECATEUR_DEVICE'; it can be cpu, cuda or auto" ;;
    esac
}

is_complete() { [ "$(cat "$1/.complete" 2>/dev/null)" = "$VERSION layout $LAYOUT" ]; }

check_own_libtorch() {
    local version
    version="$(libtorch_version "$1")"
    case "$version" in
        2.11.*) case "$1" in "$SECATEUR_CACHE"/*) ;; *) say "using LIBTORCH=$1 (version $version)" ;; esac ;;
        '') fail "LIBTORCH=$1 holds no libtorch: neither build-version nor include/torch says its version" \
            "unset LIBTORCH to have version $VERSION downloaded" ;;
        *) fail "LIBTORCH=$1 is libtorch $version, 2.11 is needed" "unset LIBTORCH to have version $VERSION downloaded" ;;
    esac
    [ -e "$1/lib/libtorch_cpu.so" ] || [ -e "$1/lib/libtorch_cpu.dylib" ] ||
        fail "LIBTORCH=$1 has no lib/libtorch_cpu.so" "unset LIBTORCH to have version $VERSION downloaded"
}

libtorch_version() {
    local header
    if [ -r "$1/build-version" ]; then
        sed 's/+.*//; q' "$1/build-version"
        return
    fi
    for header in "$1/include/torch/headeronly/version.h" "$1/include/torch/csrc/api/include/torch/version.h"; do
        [ -r "$header" ] || continue
        awk '$1 == "#define" && $2 ~ /^TORCH_VERSION_(MAJOR|MINOR|PATCH)$/ { printf "%s%s", dot, $3; dot = "." }' "$header"
        return
    done
}

install_cpu() {
    local folder="$1" partial="$1.partial"
    need_compiler
    require_space 2000000
    say "downloading torch $VERSION (550 MB, once) for $folder"
    start_partial "$partial"
    printf '%s\n' "$TORCH_WHEEL" "$CUDA_STUB_WHEELS" | download_wheels "$partial/wheels" "$OWN_LIBTORCH_HINT"

    say "unpacking"
    unpack_wheel "$partial"/wheels/torch-*.whl "$partial" \
        torch/include/ torch/lib/libtorch_cpu.so torch/lib/libc10.so torch/lib/libgomp
    unpack_wheel "$partial"/wheels/nvidia_cuda_runtime-*.whl "$partial" nvidia/cu13/lib/libcudart.so.13
    unpack_wheel "$partial"/wheels/nvidia_cuda_cupti-*.whl "$partial" nvidia/cu13/lib/libcupti.so.13
    mv "$partial/torch/include" "$partial/torch/lib" "$partial/"
    mv "$partial"/nvidia/cu13/lib/* "$partial/lib/"
    printf '%s+cpu\n' "$VERSION" >"$partial/build-version"
    build_libtorch_stub "$partial/lib"
    check_loads "$partial/lib"
    finish_partial "$partial" "$folder"
}

install_cuda() {
    local folder="$1" partial="$1.partial" wheel
    need_compiler
    require_space 12000000
    say "downloading torch $VERSION and the CUDA libraries (2.5 GB, once) for $folder"
    start_partial "$partial"
    printf '%s\n' "$TORCH_WHEEL" "$CUDA_STUB_WHEELS" "$CUDA_WHEELS" | download_wheels "$partial/wheels" "$OWN_LIBTORCH_HINT"

    say "unpacking"
    for wheel in "$partial"/wheels/*.whl; do
        unpack_wheel "$wheel" "$partial" torch/include/ torch/lib/ nvidia/
    done
    printf '%s+cu130\n' "$VERSION" >"$partial/torch/build-version"
    check_loads "$partial/torch/lib"
    finish_partial "$partial" "$folder"
}

need_compiler() {
    command -v "${CXX:-g++}" >/dev/null || fail "no C++ compiler: ${CXX:-g++} was not found" \
        "on Debian or Ubuntu: apt-get install g++ (the engine's build needs it too)"
}

start_partial() {
    rm -rf "$1"
    mkdir -p "$1/wheels"
    # shellcheck disable=SC2064 # the path of now is meant
    trap "rm -rf '$1'" EXIT
}

finish_partial() {
    rm -rf "$1/wheels" "$1/torch/lib/libshm" "$1/torch/lib/libshm_windows"
    rmdir "$1/torch" "$1/nvidia/cu13/lib" "$1/nvidia/cu13" "$1/nvidia" 2>/dev/null || true
    printf '%s layout %s\n' "$VERSION" "$LAYOUT" >"$1/.complete"
    rm -rf "$2"
    mv "$1" "$2"
    trap - EXIT
    say "ready: $2 ($(du -sm "$2" | cut -f1) MB)"
}

# The wheel's libtorch.so pulls in libtorch_cuda.so, so a CPU set-up needs its own: no code, only the two dependencies.
build_libtorch_stub() {
    printf '\n' | "${CXX:-g++}" -shared -fPIC -x c++ - -o "$1/libtorch.so" \
        -Wl,-soname,libtorch.so -Wl,-rpath,"\$ORIGIN" -Wl,--no-as-needed -L"$1" -ltorch_cpu -lc10 >&2 ||
        fail "${CXX:-g++} could not link the stub libtorch.so (its own message is above)"
}

# Every dependency must resolve before anyone spends five minutes on a build against this folder.
check_loads() {
    LD_LIBRARY_PATH="$1" python3 - "$1/libtorch.so" <<'PYTHON' || fail "libtorch.so does not load (the loader's message is above)"
import ctypes, os, sys

try:
    ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW)
except OSError as error:
    sys.exit(str(error))
PYTHON
}

main
