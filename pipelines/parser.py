"""Stage `parser`: train CE2P on label maps of human parsing."""

import shutil
from pathlib import Path

import torch

from dag.callbacks.resume_state import remove_state, state_folder
from dag.errors import UserError
from dag.files import sha256, whole_folder, write_json
from dag.params import load_params
from dag.parsing.ce2p import Ce2p
from dag.parsing.label_maps import LabelMaps
from dag.parsing.labels import common_labels
from dag.parsing.save import save_parser
from dag.parsing.training.crops import PartCrops
from dag.parsing.training.metrics import parsing_metrics
from dag.parsing.training.module import ParserTraining, confusion_over_crops
from dag.parsing.training.train import train_parser
from dag.parsing.weights import load_parsing_weights
from dag.sheets.parser import write_parser_sheet
from dag.stage import run

STATE = Path(".dag/parser")


def parser(name: str, parts: Path, out: Path, results: Path) -> None:
    """Train the parser NAME of params.yaml on label maps in PARTS; write the model to OUT, metrics to RESULTS."""
    params = load_params()
    settings, engine = params.parser[name], params.engine
    if unknown := [table for table in settings.parts if table not in params.parts]:
        known = f"some of {', '.join(params.parts)}"
        raise UserError("unknown label maps", where=f"params.yaml, parser.{name}.parts", expected=known, got=unknown)
    files = [parts / f"{table}.arrow" for table in settings.parts]
    tables = [(LabelMaps(file), params.parts[table].root) for file, table in zip(files, settings.parts)]
    labels = common_labels([table.labels for table, _ in tables])
    side, seed, batch_size = settings.input, params.seed, settings.batch_size
    crops = PartCrops(tables, "train", labels, side, augment=True, seed=seed)
    val_crops = PartCrops(tables, "val", labels, side, augment=False, seed=seed)
    torch.manual_seed(seed)
    network = Ce2p(len(labels), settings.backbone)
    if settings.weights:
        load_parsing_weights(network, settings.weights)
    module = ParserTraining(network, learning_rate=settings.learning_rate, seed=seed)
    state = state_folder(STATE / name, [settings.model_dump(), seed, *map(sha256, files)])
    options = {"epochs": settings.epochs, "batch_size": batch_size, "seed": seed, "device": engine.device}
    train_parser(module, crops, val_crops, labels, workers=0, state=state, **options)
    metrics = parsing_metrics(confusion_over_crops(network, val_crops, len(labels), batch_size), labels)
    with whole_folder(out) as partial:
        save_parser(partial, network, labels, backbone=settings.backbone, side=side)
    with whole_folder(results) as partial:
        shutil.copytree(state / "live" / "plots", partial / "plots", dirs_exist_ok=True)
        write_json(partial / "metrics.json", {**metrics, "crops": {"train": len(crops), "val": len(val_crops)}})
        write_parser_sheet(partial / "sheet.jpg", network, val_crops, labels)
    remove_state(state)


if __name__ == "__main__":
    run(parser)
