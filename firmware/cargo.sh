#!/usr/bin/env bash
# cargo for a bare-metal target: firmware/cargo.sh TARGET COMMAND [ARGS...]
#
# The one place that knows how to call the compiler which setup.sh found. Runs in the caller's
# folder on this workspace; CARGO_TARGET_DIR and the variables of cortex-m/build.rs apply.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 2 ]; then
    echo "usage: $0 TARGET COMMAND [ARGS...]" >&2
    exit 2
fi
target=$1 command=$2
shift 2
way=$("$here/setup.sh" compiler)
options=(--manifest-path "$here/Cargo.toml" --target "$target")
# Loads of int8 and int16 vectors would go byte by byte; images for this target allow unaligned access
# before any Rust code runs. rustc warns that the feature is not stable.
export CARGO_TARGET_AARCH64_UNKNOWN_NONE_RUSTFLAGS=-Ctarget-feature=-strict-align
case $way in
rustup) exec cargo "$command" "${options[@]}" "$@" ;;
debian)
    linker=CARGO_TARGET_$(printf %s "$target" | tr a-z- A-Z_)_LINKER
    exec env -u RUSTUP_TOOLCHAIN RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 "$linker=ld.lld" \
        /usr/bin/cargo "$command" "${options[@]}" -Zbuild-std=core "$@"
    ;;
esac
