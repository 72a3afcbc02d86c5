#!/usr/bin/env bash
# Everything that must hold, in one command: format, lints, documentation, licences, tests.
# Installs what it needs beyond a Rust toolchain, and prints the time of each stage.
#
#   ./test.sh            all stages
#   ./test.sh quick      without licences, accuracy tests and fuzzing
#   ./test.sh long       with more of what may be drawn: a minute a fuzz target, 500 random graphs,
#                        networks at full size, and the runtime in Miri (docs/testing.md)
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
case "$mode" in all | quick | long) ;; *) echo "usage: ./test.sh [quick|long]" >&2; exit 2 ;; esac
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
export CARGO_INCREMENTAL=0
times=()

stage() {
    local name=$1 start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    "$@"
    times+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

need() {
    command -v "$1" >/dev/null || { echo "error: $1 is not installed: $2" >&2; exit 2; }
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
        echo "NOT RUN: the scripts of bench/ and tools/tests/ were not parsed; there is no python3"
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
            echo "NOT RUN: the runtime was not built for $target; 'rustup target add $target' installs it"
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
        echo "NOT RUN: clippy on the images, for which there is no rustup target"
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
    local test=(test --quiet -p fixnet --features write,threads --test kernels)
    firmware/cargo.sh aarch64-unknown-linux-gnu "${test[@]}"
    firmware/cargo.sh aarch64-unknown-linux-gnu test --quiet -p fixnet --features write,threads \
        --lib bands::
    # Those of ARMv8.0 on a processor that has nothing else.
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu cortex-a53" \
        firmware/cargo.sh aarch64-unknown-linux-gnu "${test[@]}" neon::
}

# Every kernel of Cortex-M against the specification: its instructions are ARMv7-A's, too.
cortex_m_kernels() {
    firmware/cargo.sh armv7-unknown-linux-gnueabihf test --quiet -p fixnet \
        --features write,threads,cortex-m --test kernels
    firmware/cargo.sh armv7-unknown-linux-gnueabihf test --quiet -p fixnet \
        --features write,threads,cortex-m --lib bands::
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
        echo "NOT RUN: no advisories were looked up, as RustSec's database cannot be fetched: $(grep . <<<"$log" | tail -n 1)"
        return
    fi
    for manifest in "${manifests[@]}"; do
        "${deny[@]}" --offline --manifest-path "$manifest" check advisories
    done
}

# Every kernel of portable Rust and of AVX2 in an interpreter that watches every access.
miri() {
    if ! cargo +nightly miri --version >/dev/null 2>&1; then
        echo "NOT RUN: Miri is not here; 'rustup toolchain install nightly --component miri,rust-src' installs it"
        return
    fi
    RUSTFLAGS=-Ctarget-feature=+avx2 cargo +nightly miri test -p fixnet --features write,threads \
        --test interpreted --target-dir target/miri-avx2
}

# The main job as the README tells it, on the bundled network.
main_job() {
    local folder
    folder=$(mktemp -d)
    cargo run --quiet -p tools -- quantize --calib-limit 32 --limit 32 --out "$folder/model.fxn"
    cargo run --quiet -p tools -- inspect "$folder/model.fxn" >/dev/null
    rm -r "$folder"
}

need cargo "install Rust with rustup (https://rustup.rs)"
need cc "install a C compiler (Debian: apt-get install gcc)"

stage "format" format
stage "lints" cargo clippy --workspace --all-targets --quiet -- -D warnings
stage "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
if [ "${FIXNET_NO_QEMU:-}" = 1 ]; then
    echo "NOT RUN: the boards' images were neither built nor run, as FIXNET_NO_QEMU=1 asks"
else
    stage "toolchain for boards" firmware/setup.sh
    stage "program for Linux boards" linux_boards
    stage "kernels of AArch64" aarch64_kernels
    stage "kernels of Cortex-M" cortex_m_kernels
    stage "lints of images" image_lints
fi
stage "runtime without std" bare_runtime
stage "package" package
stage "tools without tract" cargo clippy -p tools --lib --no-default-features --quiet -- -D warnings
stage "drivers of boards" board_drivers
stage "benchmarks" benchmarks
stage "build" cargo build --workspace --quiet
stage "main job" main_job
case "$mode" in
    quick) stage "tests" env FIXNET_DATA=none cargo test --workspace --quiet ;;
    all)
        stage "tests" cargo test --workspace
        stage "fuzz targets" fuzz/run.sh 10
        ;;
    long)
        stage "tests" env FIXNET_GRAPHS=500 FIXNET_LONG=1 cargo test --workspace
        stage "fuzz targets" fuzz/run.sh 60
        stage "Miri" miri
        ;;
esac
if [ "$mode" != quick ]; then
    stage "dependencies" dependencies
fi

printf '\n== time\n'
printf '%s\n' "${times[@]}"
