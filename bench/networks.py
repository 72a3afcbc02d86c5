#!/usr/bin/env python3
"""The figures of docs/networks.md: each network of `fixnet make-model` at its standard size, quantized on
generated images, with its layers, its memory and the distance of int8 from float.

    cargo build --release -p tools
    bench/networks.py                    # all: about an hour on two cores
    bench/networks.py resnet1202 vgg19   # these
"""

import argparse
import json
import pathlib
import re
import subprocess
import tempfile

HEAD = "| Network | Layers | MACs | Weights | Activations | Float to int8 | Least layer alone |\n|---|---|---|---|---|---|---|"


def names(fixnet):
    """The networks that `make-model --help` lists."""
    text = subprocess.run([fixnet, "make-model", "--help"], check=True, capture_output=True, text=True).stdout
    lines = re.findall(r"^    (\S.*)$", text.split("Networks:\n")[1], re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


def figures(args, name, folder):
    """One row of the table."""
    onnx, file = folder / f"{name}.onnx", folder / f"{name}.fxn"
    seed = ["--seed", str(args.seed)]
    subprocess.run([args.fixnet, "make-model", name, *seed, "--out", onnx], check=True)
    images = ["--calib-limit", str(args.images), "--limit", str(args.images), *seed]
    quantize = [args.fixnet, "quantize", onnx, "--preset", "imagenet", *images, "--json", "--out", file]
    summary = json.loads(subprocess.run(quantize, check=True, capture_output=True, text=True).stdout)
    onnx.unlink()
    file.unlink()
    layers = summary["layers"]
    alone = min(layer["sqnr_isolated_db"] for layer in layers)
    return (
        f"| `{name}` | {len(layers):,} | {summary['macs']:,} | {summary['weight_bytes']:,} B "
        f"| {summary['activation_bytes']:,} B | {layers[-1]['sqnr_db']:.1f} dB | {alone:.1f} dB |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks [default: all]")
    parser.add_argument("--fixnet", default="target/release/fixnet", help="the program")
    parser.add_argument("--seed", type=int, default=0, help="of weights and images")
    parser.add_argument("--images", type=int, default=16, help="to calibrate on, and others to compare on")
    args = parser.parse_args()
    known = names(args.fixnet)
    unknown = [name for name in args.names if name not in known]
    if unknown:
        parser.error(f"no network {unknown[0]!r}; known are {', '.join(known)}")
    print(f"Method mse, seed {args.seed}, {args.images} images to calibrate on and {args.images} others to compare on.\n")
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for name in args.names or known:
            print(figures(args, name, pathlib.Path(folder)), flush=True)


if __name__ == "__main__":
    main()
