"""The machine: what result files say of it, and the priority that measured programs get."""

import datetime
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
TOLD = ["avx2", "avx_vnni", "avx512f", "avx512_vnni"]


def allowed_real_time() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        return False
    return True


REAL_TIME = allowed_real_time()


def prefer() -> None:
    """Real-time priority for this process and its threads, if it may have it."""
    if REAL_TIME:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def cpu() -> dict:
    info = Path("/proc/cpuinfo").read_text()

    def of(key: str) -> str:
        found = re.search(rf"^{key}\s*: (.*)$", info, re.M)
        return found[1] if found else "unknown"

    flags = set(of("flags").split())
    return {
        "model": of("model name"),
        "family": of("cpu family"),
        "number": of("model"),
        "cores": os.cpu_count(),
        "has": [flag for flag in TOLD if flag in flags],
    }


def record(script: str, results: dict) -> dict:
    """Results with the date, the machine and what was measured."""
    git = ["git", "-C", str(BENCH), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    return {
        "date": datetime.date.today().isoformat(),
        "command": " ".join([f"bench/{script}", *sys.argv[1:]]),
        "fixnet": commit,
        "cpu": cpu(),
        "system": platform.platform(),
    } | results


def heading(record: dict) -> str:
    machine = record["cpu"]
    return (
        f"# {record['date']}, {machine['model']}, family {machine['family']} model "
        f"{machine['number']}\n\n`{record['command']}` at {record['fixnet']}; {machine['cores']} cores "
        f"with {', '.join(machine['has'])}; {record['system']}.\n"
    )


def path(out: Path, suffix: str, record: dict) -> Path:
    """Where a record lies: the date and the processor, without an ending."""
    machine = record["cpu"]
    name = f"{machine['model']} {machine['family']} {machine['number']}".lower()
    name = re.sub(r"[^a-z0-9]+", "-", name).strip("-")
    return out / f"{record['date']}-{name}{suffix}"


def write(out: Path, suffix: str, record: dict, text: str) -> None:
    stem = path(out, suffix, record)
    out.mkdir(parents=True, exist_ok=True)
    Path(f"{stem}.json").write_text(json.dumps(record, indent=1) + "\n")
    Path(f"{stem}.md").write_text(f"{heading(record)}\n{text}")
    print(f"wrote {stem}.md and .json", file=sys.stderr)
