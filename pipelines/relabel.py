"""Stage `relabel`: COCO-RE, where unlabelled joints are and what hides the occluded ones; people have the last word."""

from pathlib import Path

from dag.annotation import read_annotations, write_annotations
from dag.convert.coco import write_coco
from dag.files import whole_folder, write_json
from dag.image import read_image_table
from dag.parallel import Workers
from dag.params import load_params
from dag.relabel.candidates import write_candidates
from dag.relabel.relabel import relabel_persons as relabel_joints
from dag.relabel.evidence import fit_evidence, fitting_persons
from dag.relabel.metrics import relabel_metrics
from dag.relabel.model_poses import read_model_poses
from dag.relabel.recovery import recovery
from dag.relabel.apply import apply_candidates, apply_decisions
from dag.relabel.reviews import read_decisions, write_decisions
from dag.sheets.relabel import write_candidate_sheet
from dag.stage import run


def relabel(annotations: Path, images: Path, reviews: Path, out: Path, training: Path, results: Path) -> None:
    """Relabel PERSONS; REVIEWS has what people decided. Write the folder OUT, TRAINING rows, and RESULTS."""
    params = load_params()
    settings, name = params.relabel, params.data.dataset
    people, skeleton = read_annotations(annotations)
    decisions = read_decisions(reviews / f"{name}.jsonl")
    known = [image.image_id for image in read_image_table(images)]
    models = read_poses(settings.predictions, people, known, skeleton)
    evidence = learn(people, models, skeleton, params.seed)
    workers = Workers(params.engine.workers, params.engine.backend, params.engine.cluster)
    thresholds = {"margin": settings.margin, "min_confidence": settings.min_confidence}
    candidates = relabel_joints(people, skeleton, evidence, **thresholds, workers=workers)
    candidates, unused = with_reviews(candidates, people, decisions, skeleton)
    if unused:
        print(f"{len(unused)} decisions are about joints that are not there: {out / 'unused.jsonl'}")
    rows = apply(people, candidates, skeleton)
    judged = [person for person in people if person.split == "val"]
    metrics, plots = recovery(judged, learned_from(people), evidence, skeleton)
    with whole_folder(out) as folder:
        write_annotations(folder / "annotations.parquet", rows, skeleton)
        write_candidates(folder / "queue.parquet", candidates)
        write_candidates(folder / "changes.parquet", [row for row in candidates if row.is_change])
        write_decisions(folder / "unused.jsonl", unused)
        for split in sorted({row.split for row in rows}):
            write_coco(folder / f"person_keypoints_{split}_re.json", [r for r in rows if r.split == split], skeleton)
    with whole_folder(results) as folder:
        counts = relabel_metrics(people, candidates, skeleton)
        told = {poses.name: {"sha256": poses.sha256, "instances": len(poses.of_person)} for poses in models}
        write_json(
            folder / "metrics.json", {**counts, "unused_decisions": len(unused), "recovery": metrics, "models": told}
        )
        for plot, records in plots.items():
            write_json(folder / "plots" / f"{plot}.json", records)
        write_candidate_sheet(folder / "sheet.jpg", candidates, people, params.datasets[name].root, skeleton)
    relabelled = [new if params.data.relabelled and new.split == "train" else old for new, old in zip(rows, people)]
    write_annotations(training, relabelled, skeleton)


if __name__ == "__main__":
    run(relabel)
