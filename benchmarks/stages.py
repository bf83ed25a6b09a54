"""Wall time and peak memory of every stage of the pipeline with the current params.yaml.

    python benchmarks/stages.py

DVC runs every stage, also those that are up to date, in the order of dvc.yaml, so that the inputs of a stage exist
whether or not the pipeline has run before. Outputs and dvc.lock are written as by `dvc repro`. Memory is the sum of the
resident sets of DVC's child processes, sampled ten times per second; shared pages count once per process.
"""

import subprocess
import sys
import time
from pathlib import Path

import psutil

PROJECT = Path(__file__).parent.parent
DVC = [sys.executable, "-m", "dvc"]


def measure(stage: str) -> tuple[float, float]:
    """Seconds and peak GiB of one stage."""
    started, peak = time.monotonic(), 0
    command = [*DVC, "repro", "--single-item", "--force", stage]
    process = psutil.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(_resident(child) for child in _children(process)))
        time.sleep(0.1)
    if process.returncode:
        sys.exit(f"error: stage {stage} failed; see DVC's message above")
    return time.monotonic() - started, peak / 2**30


def _children(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def main() -> None:
    command = [*DVC, "stage", "list", "--name-only"]
    stages = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    print("| stage | seconds | peak GiB |\n|---|---|---|")
    for stage in stages.stdout.split():
        seconds, memory = measure(stage)
        print(f"| {stage} | {seconds:.1f} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    main()
