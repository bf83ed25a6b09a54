"""mmpose's training samples and its DataLoader, in a process of their own environment (benchmarks/peers.txt).

`Peer` is what benchmarks/samples.py and loader.py talk to; run as a program, this file is the other end.
"""

import contextlib
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

INPUT_WH = (192, 256)
STRIDE = 4
SIGMA = 2.0
BATCH = 64
ANNOTATIONS = "annotations/person_keypoints_train2017.json"
IMAGES = "train2017/"


class Peer:
    """Starts mmpose and asks it, a line of json each way."""

    def __init__(self, python: Path, root: Path):
        self.process = subprocess.Popen(
            [python, __file__, root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, question: str, **keywords):
        """Call one of the functions of `serve` there."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([question, keywords]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("error: the peer has ended; its environment is made by benchmarks/peers.txt")
        return json.loads(answer)


def one_thread() -> None:
    """So that a sample's time is a core's time."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def cpu_seconds() -> float:
    """User and system time of this process and of its loader processes so far (Linux)."""
    pids = ["self", *(child.pid for child in multiprocessing.active_children())]
    clocks = [clock for pid in pids for clock in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(clock.read_text().split()[0]) for clock in clocks) / 1e9


def _dataset(root: str, augmented: bool, flip: float = 0.5):
    """HRNet-W32's pipeline, as in mmpose's td-hm_hrnet-w32_8xb64-210e_coco-256x192.py."""
    from mmengine.registry import init_default_scope
    from mmpose.datasets import CocoDataset

    init_default_scope("mmpose")
    heatmap_wh = tuple(side // STRIDE for side in INPUT_WH)
    random = [
        {"type": "RandomFlip", "direction": "horizontal", "prob": flip},
        {"type": "RandomHalfBody"},
        {"type": "RandomBBoxTransform"},
    ]
    codec = {"type": "MSRAHeatmap", "input_size": INPUT_WH, "heatmap_size": heatmap_wh, "sigma": SIGMA}
    return CocoDataset(
        ann_file=ANNOTATIONS,
        data_root=root,
        data_prefix={"img": IMAGES},
        data_mode="topdown",
        pipeline=[
            {"type": "LoadImage"},
            {"type": "GetBBoxCenterScale"},
            *(random if augmented else ()),
            {"type": "TopdownAffine", "input_size": INPUT_WH},
            {"type": "GenerateTarget", "encoder": codec},
            {"type": "PackPoseInputs"},
        ],
    )


def serve(root: str) -> None:
    """Answer questions from stdin until it is closed."""
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader

    one_thread()
    datasets = {flip: _dataset(root, True, flip) for flip in (0.5, 0.0, 1.0)}
    plain = _dataset(root, False)

    def people() -> list[int]:
        return [plain.get_data_info(index)["id"] for index in range(len(plain))]

    def samples(order: list[int], flip: float) -> float:
        start = cpu_seconds()
        for index in order:
            datasets[flip][index]
        return cpu_seconds() - start

    def gt(folder: str) -> None:
        found = [plain[index] for index in range(len(plain))]
        np.save(f"{folder}/images.npy", np.stack([sample["inputs"].numpy() for sample in found]))
        heatmaps = [sample["data_samples"].gt_fields.heatmaps.numpy() for sample in found]
        np.save(f"{folder}/heatmaps.npy", np.stack(heatmaps))

    loaders: list[DataLoader] = []

    def loader(order: list[int]) -> float:
        if not loaders:
            loaders.append(
                DataLoader(datasets[0.5], BATCH, sampler=order, num_workers=1, persistent_workers=True,
                           collate_fn=pseudo_collate)
            )  # fmt: skip
        start = cpu_seconds() if loaders[0]._iterator else None
        for _ in loaders[0]:
            pass
        return cpu_seconds() - start if start else 0.0

    questions = {"instances": people, "samples": samples, "ground_truth": gt, "loader": loader}
    for line in sys.stdin:
        question, keywords = json.loads(line)
        print(json.dumps(questions[question](**keywords)), file=answers, flush=True)


if __name__ == "__main__":
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        serve(sys.argv[1])
