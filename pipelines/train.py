"""Stage `train`: cached crops to a pose model."""

import shutil
from pathlib import Path

import torch

from dag.annotation import read_annotations
from dag.boxes import evaluated_persons
from dag.cache.batches import PersonCrops
from dag.callbacks.resume_state import remove_state, state_folder
from dag.errors import UserError
from dag.files import sha256, whole_folder
from dag.inference.mean_pose import fit_mean_pose, write_mean_pose
from dag.inference.predictor import torch_device
from dag.models.pose import build_model
from dag.params import load_params
from dag.stage import run
from dag.training.data import PoseData
from dag.training.initialisation import initialise
from dag.training.module import PoseTraining
from dag.training.train import train_pose
from dag.training.validation import validation_metrics

STATE = Path(".dag/train")


def train(cache: Path, annotations: Path, out: Path, results: Path) -> None:
    """Train on CACHE, validate on the val split of PERSONS; write the model to OUT and the curves to RESULTS."""
    params = load_params()
    settings, engine = params.train, params.engine
    rows, skeleton = read_annotations(annotations)
    val_rows = [row for row in rows if row.split == "val"]
    if (settings.checkpoint == "best" or settings.early_stop) and not evaluated_persons(val_rows):
        raise UserError(
            "nobody to validate on", where=annotations, do="set train.checkpoint: last and train.early_stop: 0"
        )
    torch.manual_seed(params.seed)
    model = build_model(
        **params.model.model_dump(),
        **params.attention.model_dump(),
        **params.graph.model_dump(),
        skeleton=skeleton.text,
        input_wh=params.data.input_wh,
    )
    if settings.weights:
        print(f"{settings.weights}: {initialise(model, settings.weights)}")
    crops = PersonCrops(cache, occluded=params.data.occlusion, seed=params.seed, **settings.augment.model_dump())
    workers = engine.workers if torch_device(engine.device).type == "cuda" else 0
    data = PoseData(crops, settings.batch_size, params.seed, workers)
    module = PoseTraining(
        model,
        input_wh=params.data.input_wh,
        **settings.loss.model_dump(),
        **settings.photometric.model_dump(),
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        milestones=settings.milestones,
        seed=params.seed,
    )
    shaped_by = params.model_dump(include={"seed", "data", "model", "attention", "graph", "train"})
    state = state_folder(STATE, [shaped_by, sha256(cache / "manifest.json"), sha256(annotations)])
    metrics = validation_metrics(
        val_rows,
        params.datasets[params.data.dataset].root,
        skeleton,
        input_wh=params.data.input_wh,
        batch_size=params.predict.batch_size,
        sheet=state / "samples.jpg",
    )
    how = settings.model_dump(
        include={"epochs", "validate_every", "precision", "compile", "ema", "max_grad_norm", "accumulate", "early_stop"}
    ) | engine.model_dump(include={"device", "devices", "nodes", "strategy"})
    if not train_pose(module, data, metrics=metrics, state=state, **how):
        return
    with whole_folder(out) as partial:
        shutil.copytree(state / settings.checkpoint, partial, dirs_exist_ok=True)
        write_mean_pose(partial / "mean_pose.json", fit_mean_pose([r for r in rows if r.split == "train"]), skeleton)
    with whole_folder(results) as partial:
        shutil.copytree(state / "live", partial, dirs_exist_ok=True)
        for name in ("samples.jpg", "speed.tsv"):
            shutil.copy(state / name, partial)
    remove_state(state)


if __name__ == "__main__":
    run(train)
