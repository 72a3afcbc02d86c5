#!/usr/bin/env bash
# Everything that must hold, in one command: format, lints, documentation, licences, tests.
# Installs what it needs beyond a Rust toolchain, and prints the time of each stage.
#
#   ./test.sh            all stages
#   ./test.sh quick      without licences, accuracy tests and fuzzing
#   ./test.sh long       with more of what may be drawn: a minute a fuzz target, 500 random graphs,
#                        networks at full size, and the runtime in Miri (docs/testing.md)
#
# A part of it, for other systems and for continuous integration:
#
#   ./test.sh portable         what any system with Rust and a C compiler can run: no emulator, no
#                              cross compiler, no accuracy tests
#   ./test.sh stage NAME...    these stages; one that cannot run is an error, not a line NOT RUN
#   ./test.sh stages           the names of all stages
#
# The boards' tests run in QEMU: firmware/setup.sh finds or installs it and a compiler, or says what is
# missing. FIXNET_NO_QEMU=1 does without them.
#
# Random networks are judged by an oracle, 200 of them unless FIXNET_GRAPHS says otherwise
# (docs/testing.md).
#
# Accuracy tests read real networks and images from the folder that FIXNET_DATA names (default:
# ../shared/data) and say plainly when it is not there.
set -euo pipefail
cd "$(dirname "$0")"
mode=${1:-all}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
export CARGO_INCREMENTAL=0

need() {
    command -v "$1" >/dev/null || { echo "error: $1 is not installed: $2" >&2; exit 2; }
}

# What this machine cannot do; whoever asked for the stage by its name must not take it for done.
not_run() {
    echo "NOT RUN: $*"
    [ "$mode" != stage ] || exit 1
}

format() {
    cargo fmt --all --check
    cargo fmt --all --manifest-path firmware/Cargo.toml --check
    cargo fmt --manifest-path bench/kernels/Cargo.toml --check
    cargo fmt --manifest-path tools/tests/oracle/Cargo.toml --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check
}

# Programs that measure; what they measure is nobody's promise, that they run is.
benchmarks() {
    cargo clippy --manifest-path bench/kernels/Cargo.toml --all-targets --quiet -- -D warnings
    cargo test --manifest-path bench/kernels/Cargo.toml --quiet
    if command -v python3 >/dev/null; then
        python3 -c 'import ast, sys; [ast.parse(open(p).read(), p) for p in sys.argv[1:]]' bench/*.py tools/tests/*.py
    else
        not_run "the scripts of bench/ and tools/tests/ were not parsed; there is no python3"
    fi
}

# Processors without an operating system: those without Thumb-2 and those with it, with DSP instructions
# and without, hard-float and soft.
bare_targets=(
    thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabi thumbv7em-none-eabihf
    thumbv8m.base-none-eabi thumbv8m.main-none-eabi thumbv8m.main-none-eabihf aarch64-unknown-none
)

# The runtime alone, as an application without an operating system sees it.
bare_runtime() {
    local target
    cargo clippy --quiet -p fixnet --no-default-features -- -D warnings
    cargo clippy --quiet -p fixnet --no-default-features --features defmt,embedded-hal -- -D warnings
    for target in "${bare_targets[@]}"; do
        bare_target "$target"
    done
}

# Built, not checked: only then is the assembly read.
bare_target() {
    local target=$1 features build=(cargo rustc --quiet -p fixnet --no-default-features --target "$1")
    local library
    library=$(rustc --print sysroot)/lib/rustlib
    if [ ! -d "$library/$target/lib" ] && command -v rustup >/dev/null; then
        timeout 120 rustup target add "$target" >/dev/null 2>&1 ||
            timeout 120 rustup component add rust-src >/dev/null 2>&1 || true
    fi
    if [ ! -d "$library/$target/lib" ]; then
        if [ ! -d "$library/src/rust/library/core" ]; then
            not_run "the runtime was not built for $target; 'rustup target add $target' installs it"
            return
        fi
        # Only the nightly compiler, or this one told to be it, builds `core` from its sources; build
        # scripts run differently then, so not in the same folder.
        export RUSTC_BOOTSTRAP=1
        build+=(-Zbuild-std=core --target-dir target/build-std)
    fi
    for features in "" cortex-m; do
        "${build[@]}" --features "$features" -- -D warnings -C opt-level=0
    done
    unset RUSTC_BOOTSTRAP
}

# What an application gets from the registry: the files, which compile without what lies around them.
package() {
    local file files
    for file in LICENSE-MIT LICENSE-APACHE; do
        cmp "$file" "runtime/$file"
    done
    files=$(cargo package --quiet -p fixnet --list --allow-dirty)
    for file in README.md LICENSE-MIT LICENSE-APACHE build.rs src/lib.rs tests/golden/small.fxn; do
        grep -qxF "$file" <<<"$files" || { echo "error: the package lacks $file" >&2; return 1; }
    done
    cargo package --quiet -p fixnet --allow-dirty
}

# The program for Linux boards, as it ships; 32-bit boards get it without tract.
linux_boards() {
    local build=(build --release --locked --quiet -p fixnet-linux-board)
    firmware/cargo.sh aarch64-unknown-linux-gnu "${build[@]}"
    firmware/cargo.sh armv7-unknown-linux-gnueabihf "${build[@]}" --no-default-features
}

# The images, each console of them. Only rustup brings clippy for them.
image_lints() {
    local m4=thumbv7em-none-eabihf a53=aarch64-unknown-none lints=(--quiet -- -D warnings)
    if [ "$(firmware/setup.sh compiler $m4)" != rustup ]; then
        not_run "clippy on the images, for which there is no rustup target"
        return
    fi
    FIXNET_BOARD=qemu-mps2-an386 firmware/cargo.sh $m4 clippy --release \
        -p fixnet-board -p fixnet-cortex-m --features fixnet-cortex-m/semihosting "${lints[@]}"
    FIXNET_BOARD=nucleo-f446re FIXNET_PAYLOAD=$PWD/runtime/tests/golden/small.fxn \
        firmware/cargo.sh $m4 clippy --release \
        -p fixnet-cortex-m --features rtt "${lints[@]}"
    FIXNET_BOARD=qemu-raspi3b firmware/cargo.sh $a53 clippy --release \
        -p fixnet-raspi --features semihosting "${lints[@]}"
    cargo clippy --manifest-path firmware/Cargo.toml -p fixnet-decode "${lints[@]}"
}

# Every kernel of AArch64 against the specification, emulated.
aarch64_kernels() {
    local test=(test --quiet -p fixnet --features "write,threads" --test kernels)
    firmware/cargo.sh aarch64-unknown-linux-gnu "${test[@]}"
    firmware/cargo.sh aarch64-unknown-linux-gnu test --quiet -p fixnet --features write,threads \
        --lib parallel::
    # Those of ARMv8.0 on a processor that has nothing else.
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu cortex-a53" \
        firmware/cargo.sh aarch64-unknown-linux-gnu "${test[@]}" neon::
}

# Every kernel of Cortex-M against the specification: its instructions are ARMv7-A's, too.
cortex_m_kernels() {
    firmware/cargo.sh armv7-unknown-linux-gnueabihf test --quiet -p fixnet \
        --features write,threads,cortex-m --test kernels
    firmware/cargo.sh armv7-unknown-linux-gnueabihf test --quiet -p fixnet \
        --features write,threads,cortex-m --lib parallel::
}

# What of the images needs no board.
board_drivers() {
    FIXNET_BOARD=qemu-raspi3b cargo test --quiet --manifest-path firmware/Cargo.toml \
        -p fixnet-board -p fixnet-raspi --lib
}

# Of everything that is linked: licences, crates that may not be there or only once, and known holes.
dependencies() {
    local root=$PWD/target/cargo-tools manifest
    if ! cargo deny --version >/dev/null 2>&1 && [ ! -x "$root/bin/cargo-deny" ]; then
        cargo install --quiet --locked --root "$root" cargo-deny
    fi
    local deny=(env "PATH=$root/bin:$PATH" cargo deny --log-level error --config "$PWD/deny.toml")
    local manifests=(Cargo.toml bench/kernels/Cargo.toml firmware/Cargo.toml fuzz/Cargo.toml
        tools/tests/oracle/Cargo.toml)
    for manifest in "${manifests[@]}"; do
        "${deny[@]}" --manifest-path "$manifest" check licenses bans
    done
    local log
    if ! log=$("${deny[@]}" fetch db 2>&1); then
        not_run "no advisories were looked up, as RustSec's database cannot be fetched: $(grep . <<<"$log" | tail -n 1)"
        return
    fi
    for manifest in "${manifests[@]}"; do
        "${deny[@]}" --offline --manifest-path "$manifest" check advisories
    done
}

# An interpreter that watches every access: every kernel of portable Rust and of AVX2.
miri() {
    RUSTFLAGS=-Ctarget-feature=+avx2 interpreted target/miri-avx2
}

interpreted() {
    if ! cargo +nightly miri --version >/dev/null 2>&1; then
        not_run "Miri is not here; 'rustup toolchain install nightly --component miri,rust-src' installs it"
        return
    fi
    cargo +nightly miri test -p fixnet --features write,threads --test interpreted --target-dir "$1"
}

# The oldest compiler that Cargo.toml promises, on all that users build.
oldest_rust() {
    local oldest
    oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if ! cargo "+$oldest" --version >/dev/null 2>&1 &&
        ! rustup toolchain install "$oldest" --profile minimal >/dev/null 2>&1; then
        not_run "Rust $oldest is not here; 'rustup toolchain install $oldest' installs it"
        return
    fi
    cargo "+$oldest" check --locked --quiet -p fixnet --no-default-features --features defmt,embedded-hal
    cargo "+$oldest" check --locked --quiet --workspace
}

# The main job as the README tells it, on the bundled network.
main_job() {
    local folder
    folder=$(mktemp -d)
    cargo run --quiet -p tools -- quantize --calib-limit 32 --limit 32 --out "$folder/model.fxn"
    cargo run --quiet -p tools -- inspect "$folder/model.fxn" >/dev/null
    rm -r "$folder"
}

# Stages, in the order of their names below.
first=("format" "lints" "documentation")
boards=("toolchain for boards" "program for Linux boards" "kernels of AArch64" "kernels of Cortex-M"
    "lints of images")
host=("runtime without std" "package" "tools without tract" "drivers of boards" "benchmarks" "build"
    "main job" "tests")
last=("fuzz targets" "Miri" "dependencies")
# Those of no other mode.
alone=("Miri of portable kernels" "oldest Rust")

run_tests() {
    case "$mode" in
        quick | portable) env FIXNET_DATA=none cargo test --workspace --quiet ;;
        long) env FIXNET_GRAPHS=500 FIXNET_LONG=1 cargo test --workspace ;;
        *) cargo test --workspace ;;
    esac
}

run_stage() {
    case "$1" in
        "format") format ;;
        "lints") cargo clippy --workspace --all-targets --quiet -- -D warnings ;;
        "documentation") env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet ;;
        "toolchain for boards") firmware/setup.sh ;;
        "program for Linux boards") linux_boards ;;
        "kernels of AArch64") aarch64_kernels ;;
        "kernels of Cortex-M") cortex_m_kernels ;;
        "lints of images") image_lints ;;
        "runtime without std") bare_runtime ;;
        "package") package ;;
        "tools without tract") cargo clippy -p tools --lib --no-default-features --quiet -- -D warnings ;;
        "drivers of boards") board_drivers ;;
        "benchmarks") benchmarks ;;
        "build") cargo build --workspace --quiet ;;
        "main job") main_job ;;
        "tests") run_tests ;;
        "fuzz targets") fuzz/run.sh "$([ "$mode" = long ] && echo 60 || echo 10)" ;;
        "Miri") miri ;;
        "Miri of portable kernels") interpreted target/miri ;;
        "oldest Rust") oldest_rust ;;
        "dependencies") dependencies ;;
    esac
}

stages=("${first[@]}" "${boards[@]}" "${host[@]}" "${last[@]}" "${alone[@]}")

# Whether the first word is among the others.
among() {
    local wanted=$1 word
    shift
    for word; do [ "$word" != "$wanted" ] || return 0; done
    return 1
}

usage() {
    echo "usage: ./test.sh [quick | long | portable | stage NAME... | stages]" >&2
    exit 2
}

[ "$mode" = stage ] || [ $# -le 1 ] || usage
case "$mode" in
    all) chosen=("${first[@]}" "${boards[@]}" "${host[@]}" "fuzz targets" "dependencies") ;;
    quick) chosen=("${first[@]}" "${boards[@]}" "${host[@]}") ;;
    long) chosen=("${first[@]}" "${boards[@]}" "${host[@]}" "${last[@]}") ;;
    portable)
        export FIXNET_NO_QEMU=1
        chosen=("${first[@]}" "package" "tools without tract" "build" "main job" "tests")
        ;;
    stage)
        shift
        [ $# -gt 0 ] || usage
        chosen=("$@")
        for name; do
            among "$name" "${stages[@]}" ||
                { echo "error: there is no stage '$name'; './test.sh stages' lists them" >&2; exit 2; }
        done
        ;;
    stages)
        printf '%s\n' "${stages[@]}"
        exit
        ;;
    *) usage ;;
esac

need cargo "install Rust with rustup (https://rustup.rs)"
case "$(uname -s)" in
    # Rust finds Microsoft's compiler by itself.
    MINGW* | MSYS* | CYGWIN*) ;;
    *) need cc "install a C compiler (Debian: apt-get install gcc)" ;;
esac

times=()
for name in "${chosen[@]}"; do
    if [ "${FIXNET_NO_QEMU:-}" = 1 ] && among "$name" "${boards[@]}"; then
        [ "$name" != "${boards[0]}" ] && [ "$mode" != stage ] ||
            not_run "the boards' images were neither built nor run, as FIXNET_NO_QEMU=1 asks"
        continue
    fi
    start=$SECONDS
    printf '\n== %s\n' "$name"
    run_stage "$name"
    times+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
done

printf '\n== time\n'
printf '%s\n' "${times[@]}"
