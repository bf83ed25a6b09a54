"""mmpose's training samples and its DataLoader, in a process with another environment (benchmarks/peers.txt).

`Peer` is the client, for benchmarks/samples.py and loader.py; run as a program, this file is the server.
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
    """Starts the process with mmpose and calls its functions; a call and its result are one line of json each."""

    def __init__(self, python: Path, root: Path):
        self.process = subprocess.Popen(
            [python, __file__, root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def call(self, name: str, **keywords):
        """Result of one of the functions of `serve`."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([name, keywords]), file=self.process.stdin, flush=True)
        reply = self.process.stdout.readline()
        if not reply:
            sys.exit("error: the peer has ended; see benchmarks/peers.txt for its environment")
        return json.loads(reply)


def one_thread() -> None:
    """Use one thread, so that the time of a sample is that of one core."""
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
    """Call functions as requested on stdin, until it is closed."""
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader

    one_thread()
    datasets = {flip: _dataset(root, True, flip) for flip in (0.5, 0.0, 1.0)}
    plain = _dataset(root, False)

    def instances() -> list[int]:
        return [plain.get_data_info(index)["id"] for index in range(len(plain))]

    def samples(order: list[int], flip: float) -> float:
        start = cpu_seconds()
        for index in order:
            datasets[flip][index]
        return cpu_seconds() - start

    def gt(folder: str) -> None:
        plain_samples = [plain[index] for index in range(len(plain))]
        np.save(f"{folder}/images.npy", np.stack([sample["inputs"].numpy() for sample in plain_samples]))
        heatmaps = [sample["data_samples"].gt_fields.heatmaps.numpy() for sample in plain_samples]
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

    functions = {"instances": instances, "samples": samples, "ground_truth": gt, "loader": loader}
    for line in sys.stdin:
        name, keywords = json.loads(line)
        print(json.dumps(functions[name](**keywords)), file=replies, flush=True)


if __name__ == "__main__":
    replies = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        serve(sys.argv[1])
