"""The tables of benchmarks/results/: what was measured, when, on what, by which commit."""

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd


def processor() -> str:
    """The processor's name and the number of cores that may be used."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


def hardware() -> str:
    """The GPUs' names, or the processor's."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return processor()


def provenance(hardware: str) -> dict[str, str]:
    """The first columns of a row: date, commit (checked out) and hardware."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": today, "commit": commit, "hardware": hardware}


def add(table: Path, rows: list[dict[Any, Any]]) -> None:
    """Add rows to a CSV file; columns that only some rows have are empty in the others."""
    table.parent.mkdir(exist_ok=True)
    before = [pd.read_csv(table, dtype=str, keep_default_na=False)] if table.exists() else []
    after = pd.concat([*before, pd.DataFrame(rows, dtype=object)])
    after.to_csv(table, index=False, lineterminator="\n")
