#!/usr/bin/env bash
# What bare-metal builds and their emulated boards need: found, or installed, or said in one line.
#
#   firmware/setup.sh             compiler and QEMU; prints nothing if all is there
#   firmware/setup.sh compiler    only the compiler; prints which one cargo.sh is to call
#
# The compiler is, in this order,
#   rustup  the active Rust toolchain, if it has the targets or `rustup target add` brings them
#   debian  on Debian as root: the distribution's Rust, which builds `core` from its sources
# FIXNET_TOOLCHAIN=rustup or =debian takes one of them and tries no other.
set -euo pipefail
targets=(thumbv7m-none-eabi thumbv7em-none-eabihf aarch64-unknown-none)
packages=(rustc-web cargo-web rust-web-src lld)

fail() {
    echo "error: $*" >&2
    exit 2
}

# A server that does not answer must not hang a build.
limited() {
    if command -v timeout >/dev/null; then timeout "$@"; else shift && "$@"; fi
}

may_install() {
    [ -e /etc/debian_version ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

install_packages() {
    may_install || return 1
    echo "installing $*" >&2
    export DEBIAN_FRONTEND=noninteractive
    local install=(limited 600 apt-get install -y -qq --no-install-recommends "$@")
    "${install[@]}" >/dev/null 2>&1 && return
    limited 120 apt-get update -qq >/dev/null 2>&1 && "${install[@]}" >/dev/null 2>&1
}

rustup_has_targets() {
    local library target
    library=$(rustc --print sysroot 2>/dev/null)/lib/rustlib || return 1
    for target in "${targets[@]}"; do
        [ -d "$library/$target/lib" ] || return 1
    done
}

rustup_compiler() {
    rustup_has_targets && return
    command -v rustup >/dev/null || return 1
    echo "installing the Rust targets ${targets[*]}" >&2
    limited 60 rustup target add "${targets[@]}" >/dev/null 2>&1 && rustup_has_targets
}

debian_is_complete() {
    local minor
    minor=$(/usr/bin/rustc --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge 91 ] && [ -x /usr/bin/cargo ] && command -v ld.lld >/dev/null &&
        [ -d /usr/lib/rustlib/src/rust/library/core ]
}

debian_compiler() {
    debian_is_complete || { install_packages "${packages[@]}" && debian_is_complete; }
}

find_compiler() {
    local way
    for way in ${FIXNET_TOOLCHAIN:-rustup debian}; do
        case $way in
        rustup | debian) ;;
        *) fail "FIXNET_TOOLCHAIN=$way is neither rustup nor debian" ;;
        esac
        if "${way}_compiler"; then
            compiler=$way
            return
        fi
    done
    fail "no Rust compiler for ${targets[*]}: run 'rustup target add ${targets[*]}'," \
        "or on Debian as root 'apt-get install ${packages[*]}'"
}

qemu_is_complete() {
    command -v qemu-system-arm >/dev/null && command -v qemu-system-aarch64 >/dev/null
}

find_qemu() {
    qemu_is_complete && return
    install_packages qemu-system-arm && qemu_is_complete && return
    fail "qemu-system-arm and qemu-system-aarch64 are not installed (Debian: apt-get install qemu-system-arm)"
}

case ${1:-all} in
all)
    find_compiler
    find_qemu
    ;;
compiler)
    find_compiler
    echo "$compiler"
    ;;
*) fail "usage: $0 [compiler]" ;;
esac
