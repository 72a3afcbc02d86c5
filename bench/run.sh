#!/usr/bin/env bash
# Measures fixnet beside other runtimes and writes bench/results/DATE-CPU.{json,md}.
# Makes its own Python environment (about 2.5 GB) and, if there is none, a release build of fixnet.
#
#   bench/run.sh                                  everything (about half an hour)
#   bench/run.sh --networks resnet18 --threads 1  a part of it; --help lists the choices
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${FIXNET_BENCH_VENV:-bench/.venv}
command -v python3 >/dev/null || { echo "error: python3 is not installed" >&2; exit 2; }
if ! cmp -s bench/requirements.txt "$venv/installed.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r bench/requirements.txt
    cp bench/requirements.txt "$venv/installed.txt"
fi
if [[ " $* " != *" --fixnet "* && " $* " != *" --help "* ]]; then
    cargo build --release --quiet -p tools
fi
exec "$venv/bin/python" bench/compare.py "$@"
