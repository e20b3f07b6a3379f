# shellcheck shell=bash
# Sourced by env.sh and test.sh, from the checkout's root: makes sure that `cargo` runs. rustup brings the compiler that
# rust-toolchain.toml names; where it cannot, as without a network, its default one builds this too when it is new enough.
# A cargo without rustup, such as a distribution's, never reads that file. RUSTUP_TOOLCHAIN of the user's own goes before all.

if [ -z "${RUSTUP_TOOLCHAIN:-}" ] && command -v rustup >/dev/null && ! cargo --version >/dev/null; then
    _default="$(rustup default 2>/dev/null | cut -d ' ' -f 1)"
    if [ -n "$_default" ] && RUSTUP_TOOLCHAIN="$_default" cargo --version >/dev/null; then
        printf 'the toolchain of rust-toolchain.toml cannot be had here, so %s is taken\n' "$_default" >&2
        export RUSTUP_TOOLCHAIN="$_default"
    fi
    unset _default
fi
