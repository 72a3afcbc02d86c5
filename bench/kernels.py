"""Times and instruction counts of every kernel on every convolution shape of two networks."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import machine

BENCH = Path(__file__).resolve().parent
NETWORKS = ["resnet18", "resnet8"]
# Emulated boards with the target of their packed files, the most bytes of one, and the networks that
# fit them.
BOARDS = [
    ("qemu-mps2-an385", "cortex-m3", 3 << 20, ["resnet8"]),
    ("qemu-mps2-an386", "cortex-m4", 15 << 20, ["resnet8", "resnet18"]),
    ("qemu-raspi3b", "armv8-neon", 128 << 20, ["resnet8", "resnet18"]),
    ("raspberry-pi-5", "armv8-dotprod", 128 << 20, ["resnet8", "resnet18"]),
    ("graviton3", "armv8-i8mm", 128 << 20, ["resnet8", "resnet18"]),
]


class Failed(Exception):
    """The last line of a program that failed."""


def output(*command, prefer=None) -> str:
    parts = [str(part) for part in command]
    done = subprocess.run(parts, capture_output=True, text=True, preexec_fn=prefer)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise Failed(lines[-1] if lines else f"{command[0]} ended with {done.returncode}")
    return done.stdout


def models(args) -> dict:
    """Portable files, made once."""
    args.work.mkdir(parents=True, exist_ok=True)
    files = {}
    for network in NETWORKS:
        files[network] = args.work / f"{network}.fxn"
        if not files[network].exists():
            onnx = args.work / f"{network}.onnx"
            output(args.fixnet, "make-model", network, "--out", onnx)
            fixed = ["--calib-limit", "16", "--no-compare", "--out"]
            output(args.fixnet, "quantize", onnx, *fixed, files[network])
            seven = ["--activation-bits", "7", *fixed, seven_bits(files[network])]
            output(args.fixnet, "quantize", onnx, *seven)
    return files


def seven_bits(file: Path) -> Path:
    """The same network with inputs that byte products take."""
    return file.with_name(f"{file.stem}-7-bit.fxn")


def host(args, files: dict) -> dict:
    """Every kernel by the networks of 8 bits, and byte products by those of 7."""
    program = BENCH / "kernels/target/release/kernel-bench"
    flags = [] if args.no_callgrind else ["--callgrind"]

    def measured(of, *more) -> dict:
        return json.loads(output(program, *of, *flags, *more, prefer=machine.prefer))

    every = measured(files.values())
    every["rows"] += measured(map(seven_bits, files.values()), "--only=u8s8")["rows"]
    return every


def boards(args, files: dict) -> list[dict]:
    """Counted instructions of each layer, portable and packed."""
    counts = []
    for board, target, most, networks in BOARDS:
        for network in networks:
            packed = args.work / f"{network}-{target}.fxn"
            for form, file in [("portable", files[network]), (target, packed)]:
                try:
                    if form == target:
                        pack = ["--target", target, "--max-bytes", most, "--out", packed]
                        output(args.fixnet, "pack", files[network], *pack)
                    run = output(args.fixnet, "qemu", "--board", board, "--count", "--json", file)
                except Failed as error:
                    print(f"NOT RUN: {board}: {network}, {form}: {error}", file=sys.stderr)
                    continue
                told = json.loads(run)
                row = {"board": board, "network": network, "form": form, "bytes": file.stat().st_size}
                row |= {key: told[key] for key in ("instructions", "equals_host", "layers")}
                counts.append(row)
    return counts


def host_table(measured: dict, every: bool) -> str:
    """One row a kernel; without `every`, of each shape only what portable files get, the fastest, and the
    fastest of AVX2."""
    peak = measured["peak_gmacs"]
    lines = [
        f"Peak of 16-bit multiply-adds, measured: {peak:.1f} GMAC/s a core." if peak else "",
        "",
        "| network | shape | kernel | weights | µs | GMAC/s | of peak | instructions a MAC |",
        "|---|---|---|---|---|---|---|---|",
    ]
    shapes = {}
    for row in measured["rows"]:
        shapes.setdefault((row["network"], row["what"]), []).append(row)
    for rows in shapes.values():
        avx2 = [row for row in rows if row["kernel"].endswith("_avx2")]
        fastest = [min(of, key=lambda row: row["best_ns"]) for of in (rows, avx2) if of]
        for row in rows:
            chosen = row["chosen"] and row["layout"] == "ohwi"
            if not every and not chosen and row not in fastest:
                continue
            rate = row["macs"] / row["best_ns"]
            count = row["instructions"]
            cells = [
                row["network"],
                row["what"],
                f"`{row['kernel']}`",
                row["layout"],
                f"{row['best_ns'] / 1e3:.1f}",
                f"{rate:.1f}",
                f"{100 * rate / peak:.0f} %" if peak else "",
                f"{count / row['macs']:.3f}" if count else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def board_table(measured: dict, counts: list[dict]) -> str:
    """Instructions a MAC of each shape, and of the whole network."""
    if not counts:
        return "Boards: not run.\n"
    names = {(row["network"], row["layer"]): row["what"] for row in measured["rows"]}
    columns = list(dict.fromkeys((row["board"], row["form"]) for row in counts))
    heads = [f"{board.removeprefix('qemu-')}, {form}" for board, form in columns]
    lines = [f"| network | shape | {' | '.join(heads)} |", "|---|---" + "|---" * len(columns) + "|"]
    for network in NETWORKS:
        runs = {(r["board"], r["form"]): r for r in counts if r["network"] == network}
        for (of, layer), what in names.items():
            if of != network:
                continue
            cells = []
            for column in columns:
                layers = runs[column]["layers"] if column in runs else []
                found = next((one for one in layers if one["name"] == layer), None)
                cells.append(f"{found['instructions'] / found['macs']:.3f}" if found else "")
            lines.append(f"| {network} | {what} | {' | '.join(cells)} |")
        whole = []
        for column in columns:
            run = runs.get(column)
            whole.append(f"{run['instructions'] / 1e6:.2f} M, {run['bytes']} B" if run else "")
        lines.append(f"| {network} | all, file | {' | '.join(whole)} |")
    differ = [row for row in counts if not row["equals_host"]]
    lines += [f"\n**{row['board']} differs from the host on {row['network']}.**" for row in differ]
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-boards", action="store_true", help="without emulated boards")
    parser.add_argument("--no-callgrind", action="store_true", help="without valgrind's counts")
    parser.add_argument("--fixnet", type=Path, default=BENCH.parent / "target/release/fixnet")
    parser.add_argument("--work", type=Path, default=BENCH / ".models", help="where models are kept")
    parser.add_argument("--out", type=Path, default=BENCH / "results")
    args = parser.parse_args()
    if not args.fixnet.exists():
        parser.error(f"{args.fixnet} is not there; build it with: cargo build --release -p tools")
    return args


def main() -> int:
    args = parse()
    try:
        files = models(args)
        measured = host(args, files)
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    counts = [] if args.no_boards else boards(args, files)
    short = host_table(measured, every=False)
    on_boards = board_table(measured, counts)
    text = f"{short}\n## Boards, emulated: instructions a MAC\n\n{on_boards}"
    text += f"\n## Every kernel\n\n{host_table(measured, every=True)}"
    record = machine.record("kernels.sh", {"host": measured, "boards": counts})
    machine.write(args.out, "-kernels", record, text)
    print(f"{short}\n{on_boards}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
