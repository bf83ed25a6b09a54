"""Spatial attention (Eq. 2): fused implementation of dag.attention against the explicit N x N matrix.

    python benchmarks/attention.py

Forward and backward pass on features of HRNet-W32 at 256 x 192: 32 channels, 64 x 48 positions. Targets: the fused
implementation is at least twice as fast, needs at most 1/5 of the peak memory and materialises no N x N matrix.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from dag.attention import SpatialAttention

CHANNELS, HEIGHT, WIDTH = 32, 64, 48


class ExplicitSpatialAttention(SpatialAttention):
    """Spatial attention with an explicit N x N matrix."""

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = (layer(features).flatten(2) for layer in (self.query, self.key, self.value))
        weights = (key.transpose(1, 2) @ query).softmax(-1)
        return (value @ weights.transpose(1, 2)).reshape(features.shape)


FORMS = {"fused": SpatialAttention, "explicit": ExplicitSpatialAttention}


def step(module: SpatialAttention, batch: int) -> None:
    """One forward and backward pass."""
    features = torch.randn(batch, CHANNELS, HEIGHT, WIDTH, requires_grad=True)
    module(features).square().mean().backward()


def seconds(batch: int, rounds: int) -> dict[str, float]:
    """Median time of a step of each form, run alternately so that the load of the machine affects both."""
    modules = {name: form(CHANNELS) for name, form in FORMS.items()}
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    for _ in range(rounds + 1):
        for name, module in modules.items():
            start = time.perf_counter()
            step(module, batch)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def peak_mib(form: str, batch: int) -> float:
    """Increase of the peak memory by one step, in a separate process after a small warm-up step."""
    command = [sys.executable, __file__, "--peak-of", form, "--batch", str(batch)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report_peak(form: str, batch: int) -> None:
    """Print the increase of the peak memory of this process by one step, in MiB."""
    module = FORMS[form](CHANNELS)
    features = torch.randn(1, CHANNELS, 8, 8, requires_grad=True)
    module(features).sum().backward()
    before = peak_kib()
    step(module, batch)
    print((peak_kib() - before) / 1024)


def peak_kib() -> int:
    """Largest resident size of this process so far (Linux). getrusage also counts the parent process."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


def main() -> None:
    """Print times, memory and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peak-of", choices=FORMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.peak_of:
        return report_peak(arguments.peak_of, arguments.batch)
    positions = HEIGHT * WIDTH
    print(f"{arguments.batch} crops, {CHANNELS} channels, N = {positions}, {arguments.threads} threads")
    times, peak = seconds(arguments.batch, arguments.rounds), {form: peak_mib(form, arguments.batch) for form in FORMS}
    for form in FORMS:
        print(f"{form:>9}: {1000 * times[form]:7.1f} ms per step, peak memory +{peak[form]:6.1f} MiB")
    print(f"the N x N matrices: {4 * positions**2 * arguments.batch / 2**20:.1f} MiB, one per crop")
    faster, smaller = times["explicit"] / times["fused"], peak["explicit"] / peak["fused"]
    print(f"fused is {faster:.2f} x as fast with 1/{smaller:.1f} of the memory")


if __name__ == "__main__":
    main()
