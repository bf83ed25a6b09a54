"""Stage `relabel`: COCO-RE, locations of unlabelled joints, occluders of occluded joints, reviewed decisions."""

from pathlib import Path

from dag.annotation import read_annotations, write_annotations
from dag.files import whole_folder, write_json
from dag.image import read_image_table
from dag.parallel import Workers
from dag.params import load_params
from dag.relabel.apply import apply_candidates, apply_decisions
from dag.relabel.evidence import fit_evidence, fitting_persons
from dag.relabel.metrics import relabel_metrics
from dag.relabel.model_poses import read_model_poses
from dag.relabel.output import write_relabelled
from dag.relabel.recovery import recovery
from dag.relabel.relabel import relabel_persons
from dag.relabel.reviews import read_decisions
from dag.sheets.relabel import write_candidate_sheet
from dag.stage import run


def relabel(annotations: Path, images: Path, reviews: Path, out: Path, training: Path, results: Path) -> None:
    """Relabel ANNOTATIONS with the decisions in REVIEWS. Write OUT, the annotations for TRAINING, and RESULTS."""
    params = load_params()
    settings, name = params.relabel, params.data.dataset
    persons, skeleton = read_annotations(annotations)
    decisions = read_decisions(reviews / f"{name}.jsonl")
    image_ids = [image.image_id for image in read_image_table(images)]
    models = read_model_poses(settings.predictions, persons, image_ids, skeleton)
    evidence = fit_evidence(persons, models, skeleton, params.seed)
    workers = Workers(params.engine.workers, params.engine.backend, params.engine.cluster)
    thresholds = {"margin": settings.margin, "min_confidence": settings.min_confidence}
    candidates = relabel_persons(persons, skeleton, evidence, **thresholds, workers=workers)
    candidates, unused = apply_decisions(candidates, persons, decisions, skeleton)
    if unused:
        print(f"{len(unused)} decisions without a matching person and joint: {out / 'unused.jsonl'}")
    relabelled = apply_candidates(persons, candidates, skeleton)
    write_relabelled(out, relabelled, candidates, unused, skeleton)
    evaluated = [person for person in persons if person.split == "val"]
    metrics, plots = recovery(evaluated, fitting_persons(persons), evidence, skeleton)
    with whole_folder(results) as folder:
        counts = {**relabel_metrics(persons, candidates, skeleton), "unused_decisions": len(unused)}
        sources = {poses.name: {"sha256": poses.sha256, "instances": len(poses.of_person)} for poses in models}
        write_json(folder / "metrics.json", {**counts, "recovery": metrics, "models": sources})
        for plot, records in plots.items():
            write_json(folder / "plots" / f"{plot}.json", records)
        write_candidate_sheet(folder / "sheet.jpg", candidates, persons, params.datasets[name].root, skeleton)
    use = params.data.relabelled
    trained_on = [new if use and new.split == "train" else old for new, old in zip(relabelled, persons)]
    write_annotations(training, trained_on, skeleton)


if __name__ == "__main__":
    run(relabel)
