#!/usr/bin/env python3
"""Expected milliseconds on AArch64 boards: an analysis, not a measurement.

    bench/mca.py [--mca llvm-mca-19] [--fixnet PROGRAM] FILE.fxn...

llvm-mca gives the cycles of each kernel's inner loop, as compiled, from LLVM's model of a processor;
`fixnet qemu --count` gives the instructions of every layer. What is not in an inner loop is taken at a
flat number of cycles an instruction. Caches and memory are taken as perfect, so the figures are what one
core can reach at best: all weights are read once a run, or more often. A file runs on the boards that run
its target.

Needs llvm-mca 16 or later, which has a model of the Neoverse N1, the Cortex-A76's twin (Debian:
apt-get install llvm-19).
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = "aarch64-unknown-linux-gnu"

# Inner loops: the module in the mangled name, one of which another may have been inlined into, the instruction that tells its multiply-accumulates, and
# how many that stands for. Winograd's products stand for four times as many of direct convolution.
LOOPS = {
    "conv_direct8_dotprod": (("direct8_dotprod",), r"sdot\s", 16),
    "conv_direct8_neon": (("direct8_neon",), r"smlal2\s+v\d+\.8h", 16),
    "conv_winograd4_neon": (("outer_product", "winograd4_neon"), r"smlal2?\s+v\d+\.4s", 16),
}

# Board, counted there as, LLVM's model of the core, cycles of other instructions, GHz from and to.
BOARDS = [
    ("Raspberry Pi 3", "raspberry-pi-3", "cortex-a53", 1.0, (1.2, 1.4)),
    ("Jetson Nano", "jetson-nano", "cortex-a57", 0.6, (1.43, 1.43)),
    ("Raspberry Pi 4", "raspberry-pi-4", "cortex-a72", 0.6, (1.5, 1.8)),
    ("Raspberry Pi 5", "raspberry-pi-5", "neoverse-n1", 0.4, (2.4, 2.4)),
    ("Jetson Orin Nano", "jetson-orin", "neoverse-n1", 0.4, (1.5, 1.5)),
]


def fail(message):
    sys.exit(f"error: {message}")


def output(command):
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        fail(f"{command[0]} is not installed; see the head of bench/mca.py")
    except subprocess.CalledProcessError as error:
        words = error.stderr.strip().splitlines() or ["it said nothing"]
        fail(f"{command[0]} ended with {error.returncode}: {words[-1]}")
    return done.stdout


def assembly():
    """The runtime's kernels as they are compiled for boards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fixnet.s"
        output([
            str(ROOT / "firmware/cargo.sh"), TARGET, "rustc", "--release", "--quiet", "-p", "fixnet",
            "--features", "std,write,threads", "--lib", "--",
            "--emit", f"asm={path}", "-C", "codegen-units=1", "-C", "debuginfo=0",
        ])
        return path.read_text().splitlines()


def inner_loop(lines, modules, pattern):
    """The instructions of the loop with the most of a pattern among the modules' functions."""
    best, function, since = [], "", {}
    for at, line in enumerate(lines):
        label = re.match(r"^(\S+):", line)
        if label:
            if not label[1].startswith(".L"):
                function, since = label[1], {}
            since[label[1]] = at
            continue
        branch = re.match(r"^\s+(?:b|b\.\w+|cbn?z\s+\w+,|tbn?z\s+\w+, #\d+,)\s+(\.L\S+)", line)
        if not branch or branch[1] not in since or not any(m in function for m in modules):
            continue
        body = lines[since[branch[1]]:at + 1]
        inner = [x for x in body if re.match(r"^\s+[a-z]", x)]
        # A loop around another one is not the inner one.
        if any(re.match(r"^\.L", x) for x in body[1:]):
            continue
        if count(inner, pattern) > count(best, pattern):
            best = inner
    if not best:
        fail(f"no loop of {pattern} in {modules[0]}: the kernel has changed, and bench/mca.py has not")
    return best


def count(instructions, pattern):
    return sum(bool(re.match(rf"^\s+{pattern}", line)) for line in instructions)


def cycles(mca, core, loop):
    """Cycles of one turn."""
    turns = 200
    # The directive that admits dot products is not an instruction.
    text = "\n".join(line for line in loop if ".arch_extension" not in line)
    command = [mca, "-mtriple=aarch64", f"-mcpu={core}", f"-iterations={turns}"]
    command += ["-mattr=+dotprod"]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        fail(f"{mca} is not installed (Debian: apt-get install llvm-19)")
    except subprocess.CalledProcessError as error:
        fail(f"{mca} -mcpu={core}: {error.stderr.strip().splitlines()[0]}")
    return int(re.search(r"Total Cycles:\s+(\d+)", done.stdout)[1]) / turns


def products(layer, kernel):
    """Winograd's products, as multiply-accumulates of the loop, for one of direct convolution."""
    height, width = layer["shape"][:2]
    # 36 a tile; a stem's twelve channels stand for 147 values of a window.
    side, saved = (3, 36 * 12 / (9 * 147)) if "stem" in kernel else (4, 36 / (16 * 9))
    covered = (-(-height // side) * side) * (-(-width // side) * side) / (height * width)
    return covered * saved * 4


def estimate(mca, loops, board, run, shapes):
    """Cycles of a run on a board."""
    _, _, core, flat, _ = board
    total = inside = 0
    for layer in run["layers"]:
        instructions = layer["instructions"]
        kernel = layer["kernel"].replace("_stem", "")
        if kernel in loops:
            loop, macs = loops[kernel]
            covered = layer["macs"]
            if "winograd4" in kernel:
                covered *= products(shapes[layer["name"]], layer["kernel"])
            turns = covered / macs
            inside += turns * cycles(mca, core, loop)
            instructions = max(0, instructions - turns * len(loop))
        total += instructions * flat
    return total + inside


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE.fxn")
    parser.add_argument("--mca", default="llvm-mca-19", help="program [default: llvm-mca-19]")
    parser.add_argument("--fixnet", default="fixnet", help="program [default: fixnet]")
    parser.add_argument("--program", help="fixnet-board for AArch64 [default: built]")
    args = parser.parse_args()

    lines = assembly()
    loops = {}
    print("| inner loop | instructions | MACs | " + " | ".join(
        core for core in ["cortex-a53", "cortex-a57", "cortex-a72", "neoverse-n1"]) + " |")
    print("|---|---|---|---|---|---|---|")
    for kernel, (modules, pattern, each) in LOOPS.items():
        loop = [x for x in inner_loop(lines, modules, pattern) if ".arch_extension" not in x]
        loops[kernel] = loop, count(loop, pattern) * each
        cells = []
        for core in ["cortex-a53", "cortex-a57", "cortex-a72", "neoverse-n1"]:
            runs = "dotprod" not in kernel or core == "neoverse-n1"
            per_mac = cycles(args.mca, core, loop) / loops[kernel][1] if runs else None
            cells.append("-" if per_mac is None else f"{per_mac:.4f}")
        print(f"| `{kernel}` | {len(loop)} | {loops[kernel][1]} | " + " | ".join(cells) + " |")

    print("\n| board | file | weights | cycles a MAC | GHz | expected, at best |")
    print("|---|---|---|---|---|---|")
    for file in args.files:
        told = json.loads(output([args.fixnet, "inspect", "--json", file]))
        shapes = {layer["name"]: layer for layer in told["layers"]}
        for board in BOARDS:
            name, counted, _, _, (low, high) = board
            command = [args.fixnet, "qemu", "--board", counted, "--count", "--json", file]
            if args.program:
                command += ["--image", args.program]
            done = subprocess.run(command, capture_output=True, text=True)
            if "is packed for" in done.stderr:
                continue
            if done.returncode != 0:
                fail(done.stderr.strip() or f"fixnet ended with {done.returncode}")
            run = json.loads(done.stdout)
            total = estimate(args.mca, loops, board, run, shapes)
            macs = sum(layer["macs"] for layer in run["layers"])
            times = sorted({total / ghz / 1e6 for ghz in (high, low)})
            clock = f"{low}" if low == high else f"{low} to {high}"
            span = " to ".join(f"{time:.1f}" for time in times)
            weights = f"{told['weight_bytes'] / 1e6:.1f} MB"
            row = [name, Path(file).name, weights, f"{total / macs:.3f}", clock, f"{span} ms"]
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
