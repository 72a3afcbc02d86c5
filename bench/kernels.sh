#!/usr/bin/env bash
# The table of docs/performance.md, kernel by kernel: times and callgrind's instructions on this
# machine, counted instructions of emulated boards. Writes bench/results/DATE-CPU-kernels.{json,md}.
#
#   bench/kernels.sh               everything (about ten minutes)
#   bench/kernels.sh --no-boards   this machine alone
#
# For distributions and regressions of single kernels there is criterion:
#   FIXNET_KERNEL_FILES="$PWD/bench/.models/resnet8.fxn" cargo bench --manifest-path bench/kernels/Cargo.toml
set -euo pipefail
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || { echo "error: python3 is not installed" >&2; exit 2; }
if [[ " $* " != *" --fixnet "* && " $* " != *" --help "* ]]; then
    cargo build --release --quiet -p tools
fi
cargo build --release --quiet --manifest-path bench/kernels/Cargo.toml
exec python3 bench/kernels.py "$@"
