"""Stage `train`: cached crops to a pose model."""

import shutil
from pathlib import Path

import torch

from dag.data.batches import PersonCrops
from dag.evaluation.mean_pose import fit_mean_pose, write_mean_pose
from dag.files import whole_folder
from dag.model import build_model
from dag.params import load_params
from dag.person import read_persons
from dag.stage import run
from dag.training.data import PoseData
from dag.training.module import PoseTraining
from dag.training.state import file_hash, state_folder
from dag.training.train import train_pose
from dag.training.validation import validation_figures
from dag.weights import load_weights, save_model

STATE = Path(".dag/train")


def train(cache: Path, persons: Path, out: Path, results: Path) -> None:
    """Train on CACHE, validate on the val split of PERSONS; write the model to OUT and the curves to RESULTS."""
    params = load_params()
    settings = params.train
    rows, skeleton = read_persons(persons)
    torch.manual_seed(params.seed)
    model = build_model(
        **params.model.model_dump(),
        **params.attention.model_dump(),
        **params.graph.model_dump(),
        skeleton=skeleton.text,
        input_wh=params.data.input_wh,
    )
    if settings.weights:
        print(f"{settings.weights}: {load_weights(model, settings.weights, strict=False)}")
    crops = PersonCrops(cache, occluded=params.data.occlusion, seed=params.seed, **settings.augment.model_dump())
    module = PoseTraining(
        model,
        input_wh=params.data.input_wh,
        **settings.loss.model_dump(),
        **settings.photometric.model_dump(),
        learning_rate=settings.learning_rate,
        warmup=settings.warmup,
        milestones=settings.milestones,
        seed=params.seed,
    )
    shaped_by = params.model_dump(include={"seed", "data", "model", "attention", "graph", "train"})
    state = state_folder(STATE, [shaped_by, file_hash(cache / "manifest.json"), file_hash(persons)])
    train_pose(
        module,
        PoseData(crops, settings.batch_size, params.seed, workers=0),
        epochs=settings.epochs,
        validate_every=settings.validate_every,
        figures=validation_figures(
            [row for row in rows if row.split == "val"],
            params.datasets[params.data.dataset].root,
            skeleton,
            input_wh=params.data.input_wh,
            batch_size=params.evaluate.batch_size,
        ),
        state=state,
        device=params.engine.device,
    )
    with whole_folder(out) as partial:
        save_model(model, partial)
        write_mean_pose(partial / "mean_pose.json", fit_mean_pose([r for r in rows if r.split == "train"]), skeleton)
    with whole_folder(results) as partial:
        shutil.copytree(state / "live", partial, dirs_exist_ok=True)
    shutil.rmtree(state)


if __name__ == "__main__":
    run(train)
