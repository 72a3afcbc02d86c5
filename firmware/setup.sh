#!/usr/bin/env bash
# What images and programs for boards need to be built and emulated: found, or installed, or said in
# one line.
#
#   firmware/setup.sh                    everything; prints nothing if all is there
#   firmware/setup.sh bare-metal         compilers and QEMU for images without an operating system
#   firmware/setup.sh linux              compilers and QEMU for the program on Linux boards
#   firmware/setup.sh flash              ssh and e2fsprogs, which fixnet flash calls, and what its tests need
#   firmware/setup.sh compiler TARGET    compilers for one target; prints which one cargo.sh is to call
#
# The compiler is, in this order,
#   rustup  the active Rust toolchain, if it has the target or `rustup target add` brings it
#   debian  on Debian as root: the distribution's Rust, with its standard library for AArch64; for the
#           other targets it builds the library from the distribution's sources
# FIXNET_TOOLCHAIN=rustup or =debian takes one of them and tries no other.
set -euo pipefail
bare_metal=(
    thumbv7m-none-eabi thumbv7em-none-eabihf thumbv8m.main-none-eabihf aarch64-unknown-none
)
linux=(aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf)

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

# The Rust compiler.

rustup_has_target() {
    [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$1/lib" ]
}

rustup_compiler() {
    rustup_has_target "$1" && return
    command -v rustup >/dev/null || return 1
    echo "installing the Rust target $1" >&2
    limited 120 rustup target add "$1" >/dev/null 2>&1 && rustup_has_target "$1"
}

debian_packages() {
    case $1 in
    aarch64-unknown-linux-gnu) echo rustc-web cargo-web libstd-rust-web-dev:arm64 ;;
    armv7-unknown-linux-gnueabihf) echo rustc-web cargo-web rust-web-src ;;
    *) echo rustc-web cargo-web rust-web-src lld ;;
    esac
}

debian_is_complete() {
    local minor
    minor=$(/usr/bin/rustc --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge 91 ] && [ -x /usr/bin/cargo ] || return 1
    case $1 in
    aarch64-unknown-linux-gnu) [ -d "/usr/lib/rustlib/$1/lib" ] ;;
    armv7-unknown-linux-gnueabihf) [ -d /usr/lib/rustlib/src/rust/library/std ] ;;
    *) [ -d /usr/lib/rustlib/src/rust/library/core ] && command -v ld.lld >/dev/null ;;
    esac
}

debian_compiler() {
    debian_is_complete "$1" && return
    local packages
    read -ra packages <<<"$(debian_packages "$1")"
    case ${packages[*]} in
    *:arm64*)
        if may_install && ! { dpkg --print-architecture && dpkg --print-foreign-architectures; } |
            grep -qx arm64; then
            dpkg --add-architecture arm64
        fi
        ;;
    esac
    install_packages "${packages[@]}" && debian_is_complete "$1"
}

find_compiler() {
    local way
    for way in ${FIXNET_TOOLCHAIN:-rustup debian}; do
        case $way in
        rustup | debian) ;;
        *) fail "FIXNET_TOOLCHAIN=$way is neither rustup nor debian" ;;
        esac
        if "${way}_compiler" "$1"; then
            find_c_compiler "$1"
            compiler=$way
            return
        fi
    done
    fail "no Rust compiler for $1: run 'rustup target add $1'," \
        "or on Debian as root 'apt-get install $(debian_packages "$1")'"
}

# The C compiler that links Linux programs, and compiles the assembler of their dependencies.

links() {
    echo 'int main(void) { return 0; }' | "$1" -x c -o /dev/null - 2>/dev/null
}

find_c_compiler() {
    local gcc packages
    case $1 in
    aarch64-*-linux-gnu) gcc=aarch64-linux-gnu-gcc packages=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;;
    armv7-*-linux-gnueabihf) gcc=arm-linux-gnueabihf-gcc packages=(gcc-arm-linux-gnueabihf libc6-dev-armhf-cross) ;;
    *) return 0 ;;
    esac
    links "$gcc" && return
    install_packages "${packages[@]}" && links "$gcc" && return
    fail "no C compiler for $1: $gcc does not link (Debian: apt-get install ${packages[*]})"
}

# Programs of a Debian package.
find_programs() {
    local package=$1 program missing=()
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    [ ${#missing[@]} = 0 ] && return
    install_packages "$package" && command -v "${missing[@]}" >/dev/null && return
    fail "${missing[*]} not installed (Debian: apt-get install $package)"
}

setup_bare_metal() {
    local target
    for target in "${bare_metal[@]}"; do find_compiler "$target"; done
    find_programs qemu-system-arm qemu-system-arm qemu-system-aarch64
}

setup_linux() {
    local target
    for target in "${linux[@]}"; do find_compiler "$target"; done
    find_programs qemu-user qemu-aarch64 qemu-arm
}

setup_flash() {
    PATH=$PATH:/usr/sbin:/sbin
    find_programs e2fsprogs debugfs e2fsck mke2fs
    find_programs dosfstools fsck.fat
    find_programs openssh-client ssh ssh-keygen
    find_programs openssh-server sshd
}

case ${1:-all}${2:+ TARGET} in
all)
    setup_bare_metal
    setup_linux
    setup_flash
    ;;
bare-metal) setup_bare_metal ;;
linux) setup_linux ;;
flash) setup_flash ;;
"compiler TARGET")
    find_compiler "$2"
    echo "$compiler"
    ;;
*) fail "usage: $0 [bare-metal | linux | flash | compiler TARGET]" ;;
esac
