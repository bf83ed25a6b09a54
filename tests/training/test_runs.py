"""Training as a process: killed, stopped, diverging, on a full disk, and two processes against one."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dag.annotation import read_annotations
from dag.boxes import boxes_of, evaluated_persons
from dag.cache.batches import PersonCrops
from dag.models.weights import load_model
from dag.prediction import read_predictions
from dag.training.validation import predict_distributed
from tests import training_run
from tests.conftest import Rendered
from tests.training_run import AUGMENT, free_port, make_module, start

FULL = {"epochs": 30, "validate_every": 3, "ema": 0.9, "early_stop": 3, "max_grad_norm": 1.0, "accumulate": 2}


def result(state: Path) -> dict[str, bytes]:
    """Outputs that must not depend on how often a run was killed."""
    names = ("last/model.safetensors", "best/model.safetensors", "samples.jpg", "live/metrics.json")
    curves = sorted(str(path.relative_to(state)) for path in (state / "live").rglob("*.tsv"))
    return {name: (state / name).read_bytes() for name in (*names, *curves)}


def train(rendered: Rendered, state: Path, module: dict | None = None, log: str = "log", **settings: object) -> str:
    """Run to its end; returns the last line of its log."""
    process = start(training_run.train, state.parent / log, rendered, state, module or {}, settings)
    process.join()
    lines = (state.parent / log).read_text().splitlines()
    assert process.exitcode == int(bool(lines) and lines[-1].startswith(("error", "stopped"))), lines
    return lines[-1] if lines else ""


def wait_for(path: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)


def test_ten_kills_at_random_times_change_nothing(rendered: Rendered, tmp_path: Path) -> None:
    train(rendered, tmp_path / "whole/state", **FULL)
    rng, state, kills = np.random.default_rng(7), tmp_path / "parts/state", 0
    while kills < 10:
        process = start(training_run.train, tmp_path / "parts/log", rendered, state, {}, dict(FULL))
        process.join(rng.uniform(0.5, 3))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL if kills % 3 else signal.SIGTERM)  # type: ignore[arg-type]
            kills += 1
        else:
            shutil.rmtree(state)
        process.join()
    train(rendered, state, log="log2", **FULL)
    assert result(state) == result(tmp_path / "whole/state")
    rows = (state / "live/plots/metrics/val/graph_AP.tsv").read_text().splitlines()
    assert 4 <= len(rows) - 1 < 10, "stopped early, after three validations without improvement"
    assert "Traceback" not in (tmp_path / "parts/log").read_text()


def test_sigterm_ends_in_one_line(rendered: Rendered, tmp_path: Path) -> None:
    state = tmp_path / "state"
    process = start(training_run.train, tmp_path / "log", rendered, state, {}, {"epochs": 50, "validate_every": 50})
    wait_for(state / "last.ckpt")
    process.terminate()
    process.join(5)
    assert process.exitcode == 1
    text = (tmp_path / "log").read_text()
    assert "stopped by SIGTERM; run it again to resume from epoch " in text.splitlines()[-1]
    assert "Traceback" not in text


def test_divergence_names_the_persons_and_keeps_the_state(rendered: Rendered, tmp_path: Path) -> None:
    state = tmp_path / "state"
    train(rendered, state, epochs=1)
    kept = (state / "last.ckpt").read_bytes(), (state / "last/model.safetensors").read_bytes()
    lines = [train(rendered, state, {"learning_rate": 1e30}, log, epochs=3) for log in ("first", "second")]
    assert lines[0] == lines[1]
    crops = PersonCrops(rendered.cache, occluded=0.5, seed=1, **AUGMENT)
    known = {crops.shards.person_id(index) for index in range(len(crops))}
    named = lines[0].split("in a batch of persons ")[1].split(";")[0].split(", ")
    assert len(set(named)) == 8
    assert {int(name) for name in named} <= known
    assert lines[0].startswith("error: epoch 2, step ")
    assert "training diverged: expected a finite loss and gradient norm, got loss " in lines[0]
    do = f"lower train.learning_rate (1e+30), or set train.max_grad_norm; the model of epoch 1 is in {state}"
    assert do in lines[0]
    assert ((state / "last.ckpt").read_bytes(), (state / "last/model.safetensors").read_bytes()) == kept
    load_model(state / "last")


def test_a_full_disk_keeps_the_previous_state(rendered: Rendered, tmp_path: Path) -> None:
    state = tmp_path / "state"
    train(rendered, state, epochs=1)
    kept, size = (state / "last.ckpt").read_bytes(), (state / "last/model.safetensors").stat().st_size
    assert len(kept) > size + 1000
    for number, limit in enumerate([size - 1000, size + 1000]):  # too small for the model; for the whole state
        line = train(rendered, state, log=f"log{number}", epochs=2, validate_every=9, max_file_size=limit)
        assert line.startswith("error: ")
        assert "cannot write" in line
        assert "Traceback" not in (tmp_path / f"log{number}").read_text()
        assert (state / "last.ckpt").read_bytes() == kept
    train(rendered, state, log="log3", epochs=2)
    train(rendered, tmp_path / "whole/state", epochs=2)
    assert result(state) == result(tmp_path / "whole/state")


def both(target: object, folder: Path, *arguments: object) -> None:
    port = free_port()
    pair = [start(target, folder / f"log{rank}", *arguments, rank=rank, port=port) for rank in range(2)]
    for process in pair:
        process.join(60)
    assert [process.exitcode for process in pair] == [0, 0], (folder / "log0").read_text()


def test_two_processes_step_as_one(rendered: Rendered, tmp_path: Path) -> None:
    """With an odd batch size, so that the processes have different numbers of persons."""
    persons = len(PersonCrops(rendered.cache, occluded=0.5, seed=1, **AUGMENT))
    settings = {"epochs": 1, "batch_size": persons - 1 + persons % 2, "frozen": True, "max_grad_norm": 0.05}
    train(rendered, tmp_path / "one/state", **settings)
    both(training_run.train, tmp_path / "two", rendered, tmp_path / "two/state", {}, {**settings, "devices": 2})
    states = [torch.load(tmp_path / name / "state/last.ckpt", weights_only=True) for name in ("one", "two")]
    one, two = (state["optimizer_states"][0]["state"] for state in states)
    # After one step Adam's first moment is a tenth of the gradient.
    gradients = [torch.cat([value["exp_avg"].flatten() for value in moments.values()]) for moments in (one, two)]
    assert gradients[0].norm().item() == pytest.approx(0.005, rel=1e-3), "clipped to .05"
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[0].norm()
    curves = [sorted((tmp_path / name / "state/live/plots/metrics").rglob("*.tsv")) for name in ("one", "two")]
    for first, second in zip(*curves, strict=True):
        rows = [np.loadtxt(path, skiprows=1) for path in (first, second)]
        np.testing.assert_allclose(*rows, rtol=1e-4, err_msg=first.name)


def test_two_processes_predict_every_person_once(rendered: Rendered, tmp_path: Path) -> None:
    both(training_run.predict, tmp_path, rendered, tmp_path)
    persons, skeleton = read_annotations(rendered.annotations, "val")
    boxes = boxes_of(evaluated_persons(persons))
    single = predict_distributed(make_module().model, boxes, rendered.root, skeleton, input_wh=(96, 128), batch_size=8)
    for rank in range(2):
        poses = read_predictions(tmp_path / f"{rank}.parquet")[0]
        assert [(pose.output, pose.person_id) for pose in poses] == [(pose.output, pose.person_id) for pose in single]
        for pose, expected in zip(poses, single):
            np.testing.assert_allclose(pose.keypoints_xy, expected.keypoints_xy, atol=1e-2)


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_other(rendered: Rendered, tmp_path: Path, killed: int) -> None:
    port, state = free_port(), tmp_path / "state"
    settings = {"epochs": 50, "validate_every": 50, "devices": 2}
    arguments = (rendered, state, {}, settings)
    pair = [start(training_run.train, tmp_path / f"log{r}", *arguments, rank=r, port=port) for r in range(2)]
    wait_for(state / "last.ckpt")
    pair[killed].kill()
    pair[1 - killed].join(60)
    assert pair[1 - killed].exitcode == 1
    text = (tmp_path / f"log{1 - killed}").read_text()
    assert f"error: process {1 - killed} of 2: another process of this training has ended" in text.splitlines()[-1]
    assert "run again to resume from epoch" in text.splitlines()[-1]
    assert "Traceback" not in text
