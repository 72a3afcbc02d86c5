#!/usr/bin/env bash
# cargo for a board's target: firmware/cargo.sh TARGET COMMAND [ARGS...]
#
# The one place that knows how to call the compiler which setup.sh found. Runs in the caller's folder:
# for Linux targets on the repository's workspace (ARGS: -p fixnet-linux-board), for the others on this
# folder's. CARGO_TARGET_DIR and the variables of the images' build scripts apply.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 2 ]; then
    echo "usage: $0 TARGET COMMAND [ARGS...]" >&2
    exit 2
fi
target=$1 command=$2
shift 2
case $target in
aarch64-*-linux-gnu) workspace=$here/.. linker=aarch64-linux-gnu-gcc library=installed ;;
armv7-*-linux-gnueabihf) workspace=$here/.. linker=arm-linux-gnueabihf-gcc library=std ;;
*) workspace=$here linker=ld.lld library=core ;;
esac
way=$("$here/setup.sh" compiler "$target")
options=(--manifest-path "$workspace/Cargo.toml" --target "$target")
linker=CARGO_TARGET_$(printf %s "$target" | tr a-z- A-Z_)_LINKER=$linker
# Without the first, vectors of int8 and int16 are loaded byte by byte; images for this target allow
# unaligned access before any Rust code runs. The second keeps multiply-accumulates right on the
# Cortex-A53 of the Raspberry Pi 3. rustc warns that their names are not stable.
features=-strict-align,+fix-cortex-a53-835769
export CARGO_TARGET_AARCH64_UNKNOWN_NONE_RUSTFLAGS=-Ctarget-feature=$features
# Linux boards have C libraries of every age: their programs bring it along.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-Ctarget-feature=+crt-static
export CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_RUSTFLAGS=-Ctarget-feature=+crt-static
case $way/$library in
rustup/core) exec cargo "$command" "${options[@]}" "$@" ;;
rustup/*) exec env "$linker" cargo "$command" "${options[@]}" "$@" ;;
esac
debian=(env -u RUSTUP_TOOLCHAIN RUSTC=/usr/bin/rustc "$linker")
case $library in
installed) exec "${debian[@]}" /usr/bin/cargo "$command" "${options[@]}" "$@" ;;
*)
    exec "${debian[@]}" RUSTC_BOOTSTRAP=1 \
        /usr/bin/cargo "$command" "${options[@]}" "-Zbuild-std=$library" "$@"
    ;;
esac
