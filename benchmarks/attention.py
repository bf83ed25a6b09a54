"""Spatial attention (Eq. 2): the fused form of dag.attention against the explicit N x N form, forward + backward.

Features of HRNet-W32 at 256 x 192: 32 channels, 64 x 48 places. Goals: fused at least 2x faster, at most 1/5 of the
peak memory, no N x N matrix in memory. Run: python benchmarks/attention.py
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
    """The same with the N x N matrix written out."""

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = (layer(features).flatten(2) for layer in (self.query, self.key, self.value))
        share = (key.transpose(1, 2) @ query).softmax(-1)
        return (value @ share.transpose(1, 2)).reshape(features.shape)


FORMS = {"fused": SpatialAttention, "explicit": ExplicitSpatialAttention}


def step(module: SpatialAttention, batch: int) -> None:
    """One forward and backward pass."""
    features = torch.randn(batch, CHANNELS, HEIGHT, WIDTH, requires_grad=True)
    module(features).square().mean().backward()


def seconds(batch: int, rounds: int) -> dict[str, float]:
    """Median time of a step of each form, taken in turns so that both meet the same neighbours."""
    modules = {name: form(CHANNELS) for name, form in FORMS.items()}
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    for _ in range(rounds + 1):
        for name, module in modules.items():
            start = time.perf_counter()
            step(module, batch)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def peak_mib(form: str, batch: int) -> float:
    """What one step adds to the peak memory of a process of its own that has done a small step before."""
    command = [sys.executable, __file__, "--peak-of", form, "--batch", str(batch)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report_peak(form: str, batch: int) -> None:
    """Print the MiB that a step adds to this process."""
    module = FORMS[form](CHANNELS)
    features = torch.randn(1, CHANNELS, 8, 8, requires_grad=True)
    module(features).sum().backward()
    before = peak_kib()
    step(module, batch)
    print((peak_kib() - before) / 1024)


def peak_kib() -> int:
    """Largest resident size of this process so far (Linux). getrusage would count the parent's as well."""
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
    places = HEIGHT * WIDTH
    print(
        f"{arguments.batch} crops, {CHANNELS} channels, N = {places}, {arguments.threads} threads, forward + backward"
    )
    found, peak = seconds(arguments.batch, arguments.rounds), {form: peak_mib(form, arguments.batch) for form in FORMS}
    for form in FORMS:
        print(f"{form:>9}: {1000 * found[form]:7.1f} ms a step, peak memory +{peak[form]:6.1f} MiB")
    print(f"the N x N matrices: {4 * places**2 * arguments.batch / 2**20:.1f} MiB, one a crop")
    faster, smaller = found["explicit"] / found["fused"], peak["explicit"] / peak["fused"]
    print(f"fused is {faster:.2f} x as fast with 1/{smaller:.1f} of the memory")


if __name__ == "__main__":
    main()
