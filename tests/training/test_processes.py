"""Two processes that train one model: started by torchrun, and one failing while the other waits."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dag.cache.batches import PersonCrops
from dag.errors import UserError
from dag.training.data import PoseData
from dag.training.distributed import broadcast, rank_and_world_size
from dag.training.train import train_pose
from tests import training_run
from tests.conftest import Rendered
from tests.imports import ROOT
from tests.training_run import AUGMENT, free_port, make_module, start

SCRIPT = """
import sys
from pathlib import Path
import torch
from tests.conftest import Rendered
from tests.training_run import train

torch.set_num_threads(1)
root, annotations, cache, state, batch_size = sys.argv[1:]
rendered = Rendered(Path(root), Path(annotations), Path(cache))
settings = {"epochs": 1, "batch_size": int(batch_size), "frozen": True, "devices": 2}
train(rendered, Path(state), {}, settings)
"""


def test_torchrun_trains_like_one_process(rendered: Rendered, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    size = len(PersonCrops(rendered.cache, occluded=0.5, seed=1, **AUGMENT)) // 2 * 2
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", free_port()]
    command += [tmp_path / "script.py", rendered.root, rendered.annotations, rendered.cache, tmp_path / "two", size]
    settings = {"epochs": 1, "batch_size": size, "frozen": True}
    with (tmp_path / "two.log").open("w") as log:
        torchrun = subprocess.Popen(
            list(map(str, command)), stdout=log, stderr=log, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        single = start(training_run.train, tmp_path / "one.log", rendered, tmp_path / "one", {}, settings)
        assert torchrun.wait(100) == 0, (tmp_path / "two.log").read_text()
    single.join(60)
    assert single.exitcode == 0
    curves = [sorted((tmp_path / name / "live/plots/metrics").rglob("*.tsv")) for name in ("one", "two")]
    assert len(curves[0]) >= 6
    for first, second in zip(*curves, strict=True):
        rows = [np.loadtxt(path, skiprows=1) for path in (first, second)]
        np.testing.assert_allclose(*rows, rtol=1e-4, err_msg=first.name)


def failing(rendered: Any, state: Path) -> None:
    """Process 0 fails to evaluate while the other waits for the metrics."""

    def validate(model: Any) -> dict[str, float]:
        if rank_and_world_size()[0] == 0:
            raise UserError("cannot evaluate")
        return broadcast({})

    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, **AUGMENT)
    train_pose(
        make_module(), PoseData(crops, 8, seed=1, workers=0), epochs=2, validate_every=1, validate=validate,
        state=state, device="cpu", devices=2,
    )  # fmt: skip


def test_a_failing_validation_ends_all_processes(rendered: Rendered, tmp_path: Path) -> None:
    port = free_port()
    pair = [
        start(failing, tmp_path / f"log{rank}", rendered, tmp_path / "state", rank=rank, port=port) for rank in range(2)
    ]
    for process in pair:
        process.join(60)
    assert [process.exitcode for process in pair] == [1, 1]
    logs = [(tmp_path / f"log{rank}").read_text() for rank in range(2)]
    assert logs[0].splitlines()[-1] == "error: cannot evaluate"
    assert "error: process 1 of 2: another process of this training has ended" in logs[1].splitlines()[-1]
    assert "Traceback" not in "".join(logs)
