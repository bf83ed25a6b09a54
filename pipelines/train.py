"""Stage `train`: crop cache to a pose model."""

import shutil
from pathlib import Path

from dag.annotation import read_annotations
from dag.callbacks import remove_state, state_folder
from dag.files import sha256, whole_folder
from dag.inference.mean_pose import fit_mean_pose, write_mean_pose
from dag.params import load_params
from dag.stage import run
from dag.training.build import build_training
from dag.training.train import train_pose
from dag.training.validation import validation_metrics

LOOP = {"epochs", "validate_every", "precision", "compile", "ema", "max_grad_norm", "accumulate", "early_stop"}


def train(cache: Path, annotations: Path, out: Path, results: Path) -> None:
    """Train on CACHE, validate on the val split of ANNOTATIONS; write the model to OUT and the curves to RESULTS."""
    params = load_params()
    settings, data, engine = params.train, params.data, params.engine
    persons, skeleton = read_annotations(annotations)
    splits = {name: [person for person in persons if person.split == name] for name in ("train", "val")}
    model = params.model.model_dump() | params.attention.model_dump() | params.graph.model_dump()
    module, batches = build_training(
        cache,
        model={**model, "skeleton": skeleton.text, "input_wh": data.input_wh},
        occluded=data.occlusion,
        seed=params.seed,
        **settings.model_dump(exclude=LOOP | {"checkpoint"}),
        **engine.model_dump(include={"device", "workers"}),
    )
    shaped_by = params.model_dump(include={"seed", "data", "model", "attention", "graph", "train"})
    state = state_folder(".dag/train", [shaped_by, sha256(cache / "manifest.json"), sha256(annotations)])
    validate = validation_metrics(
        splits["val"],
        params.datasets[data.dataset].root,
        skeleton,
        input_wh=data.input_wh,
        batch_size=params.predict.batch_size,
        sheet=state / "samples.jpg",
        required=settings.checkpoint == "best" or settings.early_stop > 0,
    )
    loop = settings.model_dump(include=LOOP) | engine.model_dump(include={"device", "devices", "nodes", "strategy"})
    if train_pose(module, batches, validate=validate, state=state, **loop):
        with whole_folder(out) as partial:
            shutil.copytree(state / settings.checkpoint, partial, dirs_exist_ok=True)
            write_mean_pose(partial / "mean_pose.json", fit_mean_pose(splits["train"]), skeleton)
        with whole_folder(results) as partial:
            shutil.copytree(state / "live", partial, dirs_exist_ok=True)
            for name in ("samples.jpg", "speed.tsv"):
                shutil.copy(state / name, partial)
        remove_state(state)


if __name__ == "__main__":
    run(train)
