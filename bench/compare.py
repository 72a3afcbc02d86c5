"""fixnet beside other runtimes on the same networks, batch 1, measured in turn.

Every contestant is a process of its own that speaks worker.py's protocol; each is started three times,
since where a process lies in memory can change its speed. A round gives each of them one turn; all
others are stopped (SIGSTOP) meanwhile, so that no spinning thread takes a core. Where the system allows
it (root, or CAP_SYS_NICE) contestants have real-time priority, so that other programs of the machine
wait. Where it does not, a round during which others used more than a little of the processors counts as
disturbed, and its times are left out as long as there are enough quiet rounds. Processor time, which
waiting for a core does not lengthen, is recorded beside the clock's; threads that spin make it useless
for more than one.
"""

import argparse
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import machine

BENCH = Path(__file__).resolve().parent
NETWORKS = {
    "resnet18": [1, 3, 224, 224],
    "resnet34": [1, 3, 224, 224],
    "resnet50": [1, 3, 224, 224],
    "resnet20": [1, 3, 32, 32],
    "resnet20-cifar10": [1, 3, 32, 32],
    "preact-resnet20": [1, 3, 32, 32],
    "keras-resnet20-v2": [1, 32, 32, 3],
    "mobilenetv2": [1, 3, 224, 224],
    "resnext50": [1, 3, 224, 224],
    "densenet121": [1, 3, 224, 224],
    "se-resnet50": [1, 3, 224, 224],
    "mobilenetv3-large": [1, 3, 224, 224],
    "efficientnet-lite0": [1, 3, 224, 224],
    "highway": [1, 3, 32, 32],
    "shrinkage-resnet20": [1, 3, 32, 32],
}
BUNDLED = "resnet20-cifar10"
AVX2 = "x86-64-avx2"
AVX_VNNI = "x86-64-avxvnni"
VNNI = "x86-64-avx512vnni"
# The fastest of the others, held to AVX2 and with all instructions: what ratios are to.
RIVAL = "OpenVINO int8"
FREE_RIVAL = "OpenVINO int8, all instructions"
# What everybody has: ratios are to it, too.
COMMON_RIVAL = "ONNX Runtime U8S8"
# Before the names of the same contestants by another build of fixnet (--before).
BEFORE = "before: "
# Processes of each contestant, one after the other.
STARTS = 3
# What a turn should last, and the share of the processors that others may use in a quiet round.
TURN_SECONDS = 0.06
QUIET_SHARE = 0.05
ENOUGH_ROUNDS = 5
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Contestant:
    name: str
    command: list
    env: dict = field(default_factory=dict)
    # Instructions that the runtime was held to, or None for whatever it finds.
    isa: str | None = None


def told(contestant: Contestant) -> str:
    """The command as one would type it in the repository."""
    parts = (str(part).removeprefix(f"{BENCH.parent}/") for part in contestant.command)
    environment = [f"{name}={value}" for name, value in contestant.env.items()]
    return " ".join([*environment, *(part.replace(sys.executable, "python") for part in parts)])


class Failed(Exception):
    """What a contestant said instead of running."""


class Worker:
    """A running contestant, stopped between its turns."""

    def __init__(self, contestant: Contestant):
        start = time.perf_counter()
        self.process = subprocess.Popen(
            [str(part) for part in contestant.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | contestant.env,
            preexec_fn=machine.prefer,
        )
        line = self.process.stdout.readline()
        # To the first result, from before the process was there.
        self.first_ms = (time.perf_counter() - start) * 1e3
        self.facts = json.loads(line) if line else {"error": self.last_words()}
        if "error" in self.facts:
            self.close()
            raise Failed(self.facts["error"])
        self.rounds, self.runs = [], 1
        # The second turn, with all caches warm, says how many runs make a turn.
        self.turn()
        self.runs = max(1, min(200, round(TURN_SECONDS * 1e3 / min(self.turn()))))

    def last_words(self) -> str:
        lines = self.process.stderr.read().strip().splitlines()
        return lines[-1] if lines else "it ended without a word"

    def turn(self) -> list[float]:
        """Milliseconds of one turn's runs; one run before them warms the caches."""
        used = self.used_seconds()
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.write(f"{self.runs + 1}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failed(self.last_words())
        os.kill(self.process.pid, signal.SIGSTOP)
        self.cpu_ms = (self.used_seconds() - used) * 1e3 / (self.runs + 1)
        return [ns / 1e6 for ns in json.loads(line)[1:]]

    def used_seconds(self) -> float:
        """Processor time of all threads."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def peak_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+)", status)
        return int(peak[1]) / 1024 if peak else 0.0

    def close(self) -> None:
        self.peak = self.peak_mib()
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()


def machine_seconds() -> float:
    """Processor seconds that anything used, the host's other guests included."""
    fields = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / TICK


def measure(workers: dict, rounds: int, patience: float) -> int:
    """Fills each worker's rounds; returns how many were quiet. Gives disturbed ones another chance
    until `patience` seconds are over."""
    quiet, done, deadline = 0, 0, time.monotonic() + patience
    patient = not machine.REAL_TIME
    while done < rounds or (patient and quiet < rounds and time.monotonic() < deadline):
        before = machine_seconds() - sum(w.used_seconds() for w in workers.values())
        start = time.monotonic()
        times = {name: worker.turn() for name, worker in workers.items()}
        wall = time.monotonic() - start
        others = machine_seconds() - sum(w.used_seconds() for w in workers.values()) - before
        calm = others <= QUIET_SHARE * wall * os.cpu_count()
        quiet, done = quiet + calm, done + 1
        for name, worker in workers.items():
            worker.rounds.append((calm, times[name], worker.cpu_ms))
        if patient and not calm:
            time.sleep(0.2)
    return quiet


def summary(workers: list[Worker], quiet_only: bool) -> dict:
    """What one contestant's processes measured."""
    every_round = [one for worker in workers for one in worker.rounds]
    chosen = [(times, cpu) for calm, times, cpu in every_round if calm or not quiet_only]
    rounds, cpu = [times for times, _ in chosen], [cpu for _, cpu in chosen]
    every = sorted(time for times in rounds for time in times)
    median, first = statistics.median(every), [worker.first_ms for worker in workers]
    return {
        "median_ms": median,
        "best_ms": every[0],
        "cpu_median_ms": statistics.median(cpu),
        "cpu_best_ms": min(cpu),
        "round_cpu_ms": cpu,
        "round_medians_ms": [statistics.median(times) for times in rounds],
        "runs": len(every),
        "first_results_ms": first,
        "first_result_over_steady_ms": statistics.median(first) - median,
        "peak_resident_mib": max(worker.peak for worker in workers),
        "facts": workers[0].facts,
    }


def ratios(results: dict, to: str) -> None:
    """The median over rounds of one contestant's time over another's in the same round."""
    for kind, key in [("round_medians_ms", "ratio_to"), ("round_cpu_ms", "cpu_ratio_to")]:
        measure_of = results[to][kind]
        for result in results.values():
            pairs = zip(result[kind], measure_of)
            result.setdefault(key, {})[to] = statistics.median(a / b for a, b in pairs)


def prepare(args, network: str) -> dict:
    """The network's file for each runtime, made once."""
    folder, files = args.work, {}
    folder.mkdir(parents=True, exist_ok=True)

    def made(name: str, *command) -> Path:
        path = folder / name
        if not path.exists():
            print(f"making {name}", file=sys.stderr)
            partial = folder / f"partial-{name}"
            done = subprocess.run([str(c) for c in command] + [str(partial)], capture_output=True)
            if done.returncode != 0:
                lines = done.stderr.decode(errors="replace").strip().splitlines()
                raise Failed(f"{name}: {lines[-1] if lines else done.returncode}")
            weights = partial.with_suffix(".bin")
            if weights.exists():
                weights.rename(path.with_suffix(".bin"))
            partial.rename(path)
        return path

    if network == BUNDLED:
        files["onnx"] = BENCH.parent / "models" / f"{BUNDLED}.onnx"
    else:
        make = [args.fixnet, "make-model", network, "--seed", "0", "--out"]
        files["onnx"] = made(f"{network}.onnx", *make)
    quantize = [args.fixnet, "quantize", files["onnx"], "--calib-limit", "16", "--no-compare"]
    converter = [sys.executable, BENCH / "convert.py"]
    recipes = {
        "fixnet": (f"{network}.fxn", *quantize, "--out"),
        "fixnet-avx2": (f"{network}-{AVX2}.fxn", *quantize, "--target", AVX2, "--out"),
        "fixnet-7-bit": (f"{network}-{AVX2}-7-bit.fxn", *quantize, "--activation-bits", "7",
                         "--target", AVX2, "--out"),
        "fixnet-avx-vnni": (f"{network}-{AVX_VNNI}.fxn", *quantize, "--target", AVX_VNNI, "--out"),
        "fixnet-vnni": (f"{network}-{VNNI}.fxn", *quantize, "--target", VNNI, "--out"),
        "openvino": (f"{network}.nncf.xml", *converter, "openvino", files["onnx"]),
        "u8s8": (f"{network}.u8s8.onnx", *converter, "onnxruntime-u8s8", files["onnx"]),
        "s8s8": (f"{network}.s8s8.onnx", *converter, "onnxruntime-s8s8", files["onnx"]),
        "tflite": (f"{network}.tflite", *converter, "tflite", files["onnx"]),
    }
    for name, recipe in recipes.items():
        try:
            files[name] = made(*recipe)
        except Failed as error:
            files[name] = error
    return files


def contestants(args, network: str, threads: int, files: dict) -> list[Contestant]:
    shape = ",".join(str(side) for side in NETWORKS[network])
    python = [sys.executable, BENCH / "worker.py"]
    options = [threads, "--shape", shape]
    tract = [*python, "tract"]
    openvino = [*python, "openvino", files["openvino"], *options]
    avx2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    runtime = [*python, "onnxruntime"]
    field = [
        *builds_of_fixnet(args, threads, files),
        Contestant(RIVAL, openvino, avx2, isa="AVX2"),
        Contestant(FREE_RIVAL, openvino),
        Contestant(COMMON_RIVAL, [*runtime, files["u8s8"], *options]),
        Contestant("ONNX Runtime S8S8", [*runtime, files["s8s8"], *options]),
        Contestant("ONNX Runtime f32", [*runtime, files["onnx"], *options]),
        Contestant("TFLite int8", [*python, "tflite", files["tflite"], *options]),
    ]
    if threads == 1:
        # It does not know QLinearAdd, so its int8 is the QDQ file of ONNX Runtime.
        field.append(Contestant("tract f32", [*tract, files["onnx"], *options]))
        field.append(Contestant("tract int8 (S8S8 QDQ)", [*tract, files["s8s8"], *options]))
    return [one for one in field if not args.only or re.search(args.only, one.name)]


def builds_of_fixnet(args, threads: int, files: dict) -> list[Contestant]:
    """fixnet in its forms, and those of the build that it is compared with, each after its own."""
    field = []
    for name, isa, kernels, file in [
        ("fixnet, packed", "AVX2", "avx2", "fixnet-avx2"),
        ("fixnet, packed, 7-bit activations", "AVX2", "avx2", "fixnet-7-bit"),
        ("fixnet, portable", "AVX2", "avx2", "fixnet"),
        ("fixnet, packed, AVX-VNNI", "AVX-VNNI", "avx-vnni", "fixnet-avx-vnni"),
        ("fixnet, packed, all instructions", None, None, "fixnet-vnni"),
        ("fixnet, portable, all instructions", None, None, "fixnet"),
    ]:
        held = ["--kernels", kernels] if kernels else []
        for prefix, program in [("", args.fixnet), (BEFORE, args.before)]:
            if program:
                command = [program, "bench", "--worker", "--threads", threads, *held, files[file]]
                field.append(Contestant(prefix + name, command, isa=isa))
    return field


def start(field: list[Contestant], network: str, missing: dict) -> dict:
    """The contestants that run, and why the others do not."""
    workers = {}
    for one in field:
        lacking = next((part for part in one.command if isinstance(part, Failed)), None)
        try:
            if lacking:
                raise lacking
            workers[one.name] = Worker(one)
        except Failed as error:
            if one.name not in missing:
                print(f"NOT MEASURED: {network}: {one.name}: {error}", file=sys.stderr)
            missing[one.name] = str(error)
    return workers


def compare(args, network: str, threads: int) -> dict:
    files = prepare(args, network)
    processes, missing, quiet = {}, {}, 0
    field = contestants(args, network, threads, files)
    for _ in range(STARTS):
        workers = start(field, network, missing)
        try:
            quiet += measure(workers, -(-args.rounds // STARTS), args.patience / STARTS)
        finally:
            for name, worker in workers.items():
                worker.close()
                processes.setdefault(name, []).append(worker)
    quiet_only = not machine.REAL_TIME and quiet >= ENOUGH_ROUNDS
    results = {name: summary(workers, quiet_only) for name, workers in processes.items()}
    for reference in list(results):
        if reference in (RIVAL, FREE_RIVAL, COMMON_RIVAL) or reference.startswith(BEFORE):
            ratios(results, reference)
    isas = {one.name: one.isa for one in field}
    for name, result in results.items():
        result["isa"] = isas[name]
    return {
        "network": network,
        "threads": threads,
        "rounds": -(-args.rounds // STARTS) * STARTS,
        "quiet_rounds": quiet,
        "real_time": machine.REAL_TIME,
        "disturbed": not machine.REAL_TIME and not quiet_only,
        "commands": {one.name: told(one) for one in field},
        "results": results,
        "not_measured": missing,
    }


def table(group: dict) -> str:
    count = f"{group['threads']} thread" + ("s" if group["threads"] > 1 else "")
    rounds = f"{group['rounds']} rounds, {group['quiet_rounds']} with nothing else running"
    if group["real_time"]:
        rounds += "; real-time priority"
    rounds += f"; fixnet at {group['fixnet']}"
    if group["disturbed"]:
        rounds += "; **times of a disturbed machine**"
    lines = [
        f"### {group['network']}, {count} ({rounds})",
        "",
        "| runtime | instructions | median ms | best ms | CPU ms | of OpenVINO's (AVX2) | best of best "
        "| of OpenVINO's (all) | of ONNX Runtime's U8S8 | first result, ms more | peak MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    one_thread = group["threads"] == 1
    for name, result in group["results"].items():
        digits = 3 if result["best_ms"] < 2 else 2
        ratio, free_ratio, common_ratio = (
            result.get("ratio_to", {}).get(rival, float("nan"))
            for rival in (RIVAL, FREE_RIVAL, COMMON_RIVAL)
        )
        rival = group["results"].get(RIVAL, {}).get("best_ms", float("nan"))
        cells = [
            name,
            result["isa"] or "all",
            f"{result['median_ms']:.{digits}f}",
            f"{result['best_ms']:.{digits}f}",
            f"{result['cpu_median_ms']:.{digits}f}" if one_thread else "",
            f"{ratio:.2f}",
            f"{result['best_ms'] / rival:.2f}",
            f"{free_ratio:.2f}",
            f"{common_ratio:.2f}",
            f"{result['first_result_over_steady_ms']:.0f}",
            f"{result['peak_resident_mib']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"\n{line}" for line in since_before(group)]
    lines += [f"\nNot measured: {name}: {why}" for name, why in group["not_measured"].items()]
    return "\n".join(lines) + "\n"


def to_common_rival(group: dict) -> list[str]:
    """Each form of fixnet to what everybody has, medians of ratios in the same round."""
    ratios = {name: result.get("ratio_to", {}) for name, result in group["results"].items()}
    return [
        f"{name}: {ratio[COMMON_RIVAL]:.2f} of the time of {COMMON_RIVAL}"
        for name, ratio in ratios.items()
        if name.startswith("fixnet") and COMMON_RIVAL in ratio
    ]


def since_before(group: dict) -> list[str]:
    """Each contestant's time over that of the build before, of medians in the same round and of best times."""
    results, lines = group["results"], []
    for name, result in results.items():
        before = results.get(BEFORE + name)
        if before is None:
            continue
        pairs = zip(result["round_medians_ms"], before["round_medians_ms"])
        rounds = sorted(after / earlier for after, earlier in pairs)
        quarter = len(rounds) // 4
        lines.append(
            f"{name}: {statistics.median(rounds):.3f} of the time before "
            f"(middle half of the rounds {rounds[quarter]:.3f} to {rounds[-1 - quarter]:.3f}; "
            f"best of best {result['best_ms'] / before['best_ms']:.3f})"
        )
    return lines


def overview(groups: list[dict]) -> str:
    """Medians of all networks, one row each."""
    names = list(dict.fromkeys(name for group in groups for name in group["results"]))
    heads = [f"{name} ({isa_of(groups, name)})" for name in names]
    lines = [
        f"| network | threads | {' | '.join(heads)} |",
        "|---|---" + "|---" * len(names) + "|",
    ]
    for group in groups:
        cells = []
        for name in names:
            result = group["results"].get(name)
            if result is None:
                cells.append("")
                continue
            ratio = result.get("ratio_to", {}).get(RIVAL)
            time = f"{result['median_ms']:.{3 if result['best_ms'] < 2 else 1}f}"
            cells.append(time if ratio is None else f"{time} ({ratio:.2f})")
        lines.append(f"| {group['network']} | {group['threads']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def isa_of(groups: list[dict], name: str) -> str:
    found = next(group["results"][name] for group in groups if name in group["results"])
    return found["isa"] or "all"


def merged(stem: Path, groups: list[dict]) -> list[dict]:
    """These groups, and those of the same day that were not measured again."""
    earlier = Path(f"{stem}.json")
    every = json.loads(earlier.read_text())["groups"] if earlier.exists() else []
    by_key = {(group["network"], group["threads"]): group for group in every + groups}
    order = list(NETWORKS)
    return [by_key[key] for key in sorted(by_key, key=lambda key: (order.index(key[0]), key[1]))]


def write(args, groups: list[dict]) -> None:
    versions = (BENCH / "requirements.txt").read_text().split("\n", 1)[1].split()
    record = machine.record("run.sh", {"python": platform.python_version(), "versions": versions})
    for group in groups:
        group |= {"fixnet": record["fixnet"], "command": record["command"]}
    groups = merged(machine.path(args.out, args.suffix, record), groups)
    record["groups"] = groups
    head = [
        f"Python {record['python']}; {', '.join(versions)}.",
        "",
        "Batch 1, runs in turn. *Instructions* says what a runtime was held to; *all* includes AVX-512 and",
        "VNNI where the machine has them: ONNX Runtime and TFLite cannot be held to AVX2. *First result* is",
        f"the time from the start of the process to its first result (median of {STARTS} starts), less a",
        "steady run; of Python's workers it and the memory include Python itself.",
        "",
        "## Median ms, and in brackets the ratio to OpenVINO held to AVX2",
        "",
        overview(groups),
        "## Each network",
        "",
    ]
    text = "\n".join(head) + "\n" + "\n".join(map(table, groups))
    machine.write(args.out, args.suffix, record, text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="comma-separated [%(default)s]")
    parser.add_argument("--threads", default="1,2", help="comma-separated [%(default)s]")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for quiet rounds")
    parser.add_argument("--only", help="regular expression of the contestants' names")
    parser.add_argument("--fixnet", type=Path, default=BENCH.parent / "target/release/fixnet")
    parser.add_argument("--before", type=Path, help="another build of fixnet, timed beside this one")
    parser.add_argument("--work", type=Path, default=BENCH / ".models", help="where models are kept")
    parser.add_argument("--out", type=Path, default=BENCH / "results")
    parser.add_argument("--suffix", default="", help="of the result files' names")
    args = parser.parse_args()
    unknown = set(args.networks.split(",")) - set(NETWORKS)
    if unknown:
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    if not args.fixnet.exists():
        parser.error(f"{args.fixnet} is not there; build it with: cargo build --release -p tools")
    if args.before and not args.before.exists():
        parser.error(f"{args.before} is not there")
    return args


def main() -> None:
    args = parse()
    for network in args.networks.split(","):
        for threads in map(int, args.threads.split(",")):
            group = compare(args, network, threads)
            print(f"{network}, threads: {threads}\n{overview([group])}", flush=True)
            print("\n".join([*to_common_rival(group), *since_before(group)]), flush=True)
            write(args, [group])


if __name__ == "__main__":
    main()
