"""Seconds and peak memory of every stage of the pipeline on the current params.yaml.

    python benchmarks/stages.py

Each stage is run again by DVC, so the pipeline must have run before. Memory is the sum of the resident sets of DVC's
child processes, looked at ten times a second; shared pages are counted once a process.
"""

import subprocess
import sys
import time

import psutil


def measure(stage: str) -> tuple[float, float]:
    """Seconds and peak GiB of one stage."""
    started, peak = time.monotonic(), 0
    process = psutil.Popen(["dvc", "repro", "--single-item", "--force", stage], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(_resident(child) for child in _children(process)))
        time.sleep(0.1)
    if process.returncode:
        sys.exit(f"error: stage {stage} failed; run `dvc repro` first")
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
    stages = subprocess.run(["dvc", "stage", "list", "--name-only"], check=True, capture_output=True, text=True)
    print("| stage | seconds | peak GiB |\n|---|---|---|")
    for stage in stages.stdout.split():
        seconds, memory = measure(stage)
        print(f"| {stage} | {seconds:.1f} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    main()
