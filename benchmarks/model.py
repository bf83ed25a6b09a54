"""Cost of attention and graph, and gain of channels_last: forward passes of HRNet-W32 on the CPU.

    python benchmarks/model.py [--rounds 9] [--batch 4]

The two models of a pair run alternately in one process, so that the load of the machine affects both; times are
medians. Targets: ADAM + graph add at most 15 % at 192 x 256 and 30 % at 288 x 384; channels_last is at least 1.15 times
as fast as the contiguous format.
"""

import statistics
import time
from collections.abc import Callable

import torch
import typer
from torch import nn

from dag.models.pose import build_model


def medians(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each step, run alternately after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def forward(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """A forward pass as a step of `medians`."""
    return lambda: model(images)


def main(rounds: int = 9, batch: int = 4) -> None:
    torch.manual_seed(0)
    plain, dag = build_model("hrnet_w32").eval(), build_model("hrnet_w32", adam=True, graph=True).eval()
    print(f"{batch} crops, {torch.get_num_threads()} threads, milliseconds\n")
    print("| input | plain | plain, channels_last | ratio | DAG, channels_last | DAG adds |\n|---|---|---|---|---|---|")
    for width, height in ((192, 256), (288, 384)):
        images = torch.randn(batch, 3, height, width)
        last = images.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            contiguous = plain.to(memory_format=torch.contiguous_format)
            eager = medians({"plain": forward(contiguous, images)}, rounds)["plain"]
            both = {"plain": forward(plain.to(memory_format=torch.channels_last), last)}
            both["dag"] = forward(dag.to(memory_format=torch.channels_last), last)
            times = medians(both, rounds)
        added = 100 * (times["dag"] / times["plain"] - 1)
        ratio = eager / times["plain"]
        row = f"{eager:.0f} | {times['plain']:.0f} | {ratio:.2f} | {times['dag']:.0f} | {added:.1f} %"
        print(f"| {width} x {height} | {row} |")


if __name__ == "__main__":
    typer.run(main)
