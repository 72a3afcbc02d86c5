#!/usr/bin/env python3
"""The figures of docs/networks.md: each network of `fixnet make-model` at its standard size, quantized on
generated images, with its layers, its memory, and the distance of int8 logits from float ones - those of
ONNX Runtime - beside that of ONNX Runtime's own static quantization (QDQ, per channel, least and greatest
values) on the same images.

    cargo build --release -p tools
    pip install numpy onnx onnxruntime pillow
    bench/networks.py                    # all: hours on two cores
    bench/networks.py resnet20 vgg19     # these
    bench/networks.py --out FILE.md ...  # a record with the machine and the command
"""

import argparse
import json
import logging
import math
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from PIL import Image

import machine
import worker

HEAD = (
    "| Network | Layers | MACs | Weights | Activations | Float to int8 | ONNX Runtime U8S8 | S8S8 "
    "| Least layer alone |\n|---|---|---|---|---|---|---|---|---|"
)
# Of `--preset imagenet`.
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def names(fixnet):
    """The networks that `make-model --help` lists."""
    text = subprocess.run([fixnet, "make-model", "--help"], check=True, capture_output=True, text=True).stdout
    lines = re.findall(r"^    (\S.*)$", text.split("Networks:\n")[1], re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def tensors(files, shape):
    """Images as the float network takes them."""
    result = []
    for file in files:
        pixels = numpy.asarray(Image.open(file).convert("RGB"), numpy.float32) / 255
        pixels = (pixels - numpy.float32(MEAN)) / numpy.float32(DEVIATION)
        nhwc = shape[-1] == 3
        result.append(numpy.ascontiguousarray(pixels if nhwc else pixels.transpose(2, 0, 1))[None])
    return result


def without_softmax(source, out):
    """The same network up to the scores, which is where int8 ends."""
    model = onnx.load(source)
    last = model.graph.node[-1]
    if last.op_type == "Softmax":
        model.graph.node.remove(last)
        model.graph.output[0].name = last.input[0]
    onnx.save(model, out)


def logits(model, inputs):
    run = session(model)
    name = run.get_inputs()[0].name
    return numpy.stack([run.run(None, {name: one})[0].ravel() for one in inputs])


def sqnr(reference, other):
    """Decibels."""
    noise = float(((reference - other) ** 2).sum())
    return 10 * math.log10(float((reference**2).sum()) / noise) if noise else math.inf


def fixnets_logits(args, file, images, size):
    run = [args.fixnet, "run", file, *images, "--resize", str(size), "--crop", str(size), "--json"]
    runs = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    runs = runs if isinstance(runs, list) else [runs]
    return numpy.array([one["logits"] for one in runs], numpy.float64)


def beside(args, source, summary, folder):
    """The distance of int8 from ONNX Runtime's float logits, and those of its own quantizations."""
    file, images, scores = folder / "network.fxn", folder / "images", folder / "scores.onnx"
    without_softmax(source, scores)
    shape = session(scores).get_inputs()[0].shape
    size, count = shape[2], args.images
    make = [args.fixnet, "make-images", "--out", images, "--count", str(count), "--size", str(size)]
    subprocess.run([*make, "--seed", str(args.seed)], check=True)
    comparison = sorted((images / "comparison").iterdir())
    calibration = tensors(sorted((images / "calibration").iterdir()), shape)
    inputs = tensors(comparison, shape)
    reference = logits(scores, inputs)
    ours = fixnets_logits(args, file, comparison, size) * summary["output"]["scale"]
    theirs = []
    for activations in ["u8s8", "s8s8"]:
        quantized = folder / f"{activations}.onnx"
        worker.quantize_onnx(str(scores), quantized, activations, calibration)
        theirs.append(f"{sqnr(reference, logits(quantized, inputs)):.1f} dB")
    return sqnr(reference, ours), theirs


def figures(args, name, folder):
    """One row of the table. What takes no RGB images or gives other than scores is held against tract alone, by its
    worst output."""
    source, file = folder / "network.onnx", folder / "network.fxn"
    seed = ["--seed", str(args.seed)]
    make = [args.fixnet, "make-model", name, *seed, "--json", "--out", source]
    made = json.loads(subprocess.run(make, check=True, capture_output=True, text=True).stdout)
    images = made["input"][0] == 3 or made["input"][-1] == 3
    limits = ["--calib-limit", str(args.images), "--limit", str(args.images), "--max-macs", str(1 << 40), *seed]
    recipe = ["--preset", "imagenet"] if images else []
    quantize = [args.fixnet, "quantize", source, *recipe, *limits, "--method", args.method, "--json", "--out", file]
    summary = json.loads(subprocess.run(quantize, check=True, capture_output=True, text=True).stdout)
    outputs = summary["outputs"]
    if images and len(outputs) == 1 and outputs[0]["kind"] == "scores":
        ours, theirs = beside(args, source, summary, folder)
    else:
        ours, theirs = min(output["sqnr_db"] for output in outputs), ["-", "-"]
    layers = summary["layers"]
    alone = min(layer["sqnr_isolated_db"] for layer in layers)
    return (
        f"| `{name}` | {len(layers):,} | {summary['macs']:,} | {summary['weight_bytes']:,} B "
        f"| {summary['activation_bytes']:,} B | {ours:.1f} dB | {' | '.join(theirs)} | {alone:.1f} dB |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks [default: all]")
    parser.add_argument("--fixnet", default="target/release/fixnet", help="the program")
    parser.add_argument("--seed", type=int, default=0, help="of weights and images")
    parser.add_argument("--images", type=int, default=8, help="to calibrate on, and others to compare on")
    parser.add_argument("--method", default="mse", help="of fixnet, to choose ranges by: mse, min-max or percentile")
    parser.add_argument("--out", type=pathlib.Path, help="file for the table and what it was measured on")
    args = parser.parse_args()
    # ONNX Runtime's quantizer warns of every batch norm that it leaves in float.
    logging.disable(logging.WARNING)
    known = names(args.fixnet)
    unknown = [name for name in args.names if name not in known]
    if unknown:
        parser.error(f"no network {unknown[0]!r}; known are {', '.join(known)}")
    record = machine.record("networks.py", {})
    lines = [
        f"{record['date']}, fixnet at {record['fixnet']}, ONNX Runtime {onnxruntime.__version__}, "
        f"{record['cpu']['model']} (family {record['cpu']['family']}, model {record['cpu']['number']}).",
        f"Method {args.method}, seed {args.seed}, {args.images} images to calibrate on and {args.images} others to compare on.",
        f"`{record['command']}`",
        "",
        HEAD,
    ]
    print("\n".join(lines), flush=True)
    for name in args.names or known:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(figures(args, name, pathlib.Path(folder)))
        print(lines[-1], flush=True)
        if args.out:
            args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
