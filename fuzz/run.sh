#!/usr/bin/env bash
# Fuzzing with AddressSanitizer, as cargo-fuzz does it but for any toolchain of rustup: the sanitizer is
# an unstable flag that RUSTC_BOOTSTRAP lets a stable compiler take.
#
#   fuzz/run.sh SECONDS [TARGET...]     each target for so long; all of them by default
#   fuzz/run.sh reproduce TARGET FILE   one finding
#   fuzz/run.sh shrink TARGET FILE      the same finding, smaller: a file beside FILE
#   fuzz/run.sh merge TARGET [FOLDER..] what of those folders (default: what earlier runs found) covers
#                                       more than corpus/TARGET goes there
#
# Findings are written to fuzz/artifacts/TARGET, inputs that cover more to fuzz/target/corpus/TARGET.
# Says NOT RUN and why where the sanitizer cannot be had.
set -euo pipefail
cd "$(dirname "$0")"
targets=(model network kernels onnx board image text)
host=$(rustc -vV | sed -n 's/^host: //p')

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

# Why the targets cannot be built here; empty if they can.
obstacle() {
    case "$host" in
        x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) ;;
        *) echo "there is no AddressSanitizer for $host"; return ;;
    esac
    if ! command -v "${CXX:-c++}" >/dev/null; then
        echo "libFuzzer needs a C++ compiler (Debian: apt-get install g++)"
    elif ! compgen -G "$(rustc --print sysroot)/lib/rustlib/$host/lib/librustc-*_rt.asan.a" >/dev/null; then
        echo "this Rust toolchain comes without AddressSanitizer; those of rustup have it"
    fi
}

build() {
    local flags=(
        --cfg fuzzing
        -Zsanitizer=address
        -Cpasses=sancov-module
        -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
        -Cllvm-args=-sanitizer-coverage-pc-table
        -Cllvm-args=-sanitizer-coverage-trace-compares
        -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    )
    # With a target the flags leave build scripts and macros alone.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" CARGO_INCREMENTAL=0 \
        cargo build --quiet --bins --target "$host"
}

# The program of a target with the options that bound each input: memory in MiB, time in seconds.
program() {
    local target=$1 length
    shift
    case "$target" in
        network | kernels) length=512 ;;
        onnx) length=9000 ;;
        *) length=6000 ;;
    esac
    mkdir -p "target/corpus/$target" "artifacts/$target"
    "target/$host/debug/$target" -rss_limit_mb=3000 -malloc_limit_mb=1100 -timeout=60 \
        -detect_leaks=0 -max_len=$length -len_control=0 -artifact_prefix="artifacts/$target/" "$@"
}

fuzz() {
    local target=$1 seconds=$2 log=target/$1.log
    if ! program "$target" -max_total_time="$seconds" -print_final_stats=1 \
        "target/corpus/$target" "corpus/$target" >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "error: fuzz target $target has a finding; fuzz/run.sh reproduce $target FILE shows it again:" >&2
        ls -t "artifacts/$target"/* | head -n 1 >&2
        return 1
    fi
    # Runs, edges and features covered, as libFuzzer counts them.
    printf '%-8s %s\n' "$target" "$(grep DONE "$log" | tr -s '\t ' ' ')"
}

action=${1:-}
case "$action" in
    reproduce | shrink) [ $# -eq 3 ] || usage; file=$(realpath "$3") ;;
    merge) [ $# -ge 2 ] || usage ;;
    '' | *[!0-9]*) usage ;;
esac
why=$(obstacle)
if [ -n "$why" ]; then
    echo "NOT RUN: the fuzz targets; $why"
    exit 0
fi
build
case "$action" in
    reproduce) program "$2" "$file" ;;
    shrink) program "$2" -minimize_crash=1 -max_total_time=60 -exact_artifact_path="$file.small" "$file" ;;
    merge)
        target=$2
        shift 2
        [ $# -gt 0 ] || set -- "target/corpus/$target"
        mkdir -p "corpus/$target"
        program "$target" -merge=1 "corpus/$target" "$@"
        ;;
    *)
        shift
        [ $# -gt 0 ] || set -- "${targets[@]}"
        for target; do fuzz "$target" "$action"; done
        ;;
esac
