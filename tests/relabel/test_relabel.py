"""COCO-RE: what is decided about constructed people, what people decide, and nothing else changed."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools.coco import COCO
from ruamel.yaml import YAML

from dag.annotation import Occluder, PersonAnnotation, Source, Visibility, read_annotations, write_annotations
from dag.image import ImageRecord, write_image_table
from dag.parallel import Workers
from dag.relabel.calibration import ALL, Calibration
from dag.relabel.candidates import SCHEMA, Candidate, write_candidates
from dag.relabel.evidence import Evidence
from dag.relabel.relabel import relabel_persons
from dag.relabel.metrics import relabel_metrics
from dag.relabel.occluder import Reason
from dag.relabel.model_poses import ModelPoses
from dag.relabel.apply import apply_candidates
from dag.relabel.reviews import Decision, write_decisions
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.standing import HEIGHT, WIDTH, standing
from tests.relabel.test_occluder import ELSEWHERE, other, round_wrist, target
from tests.relabel.scenes import WRIST, X, Y

EXACT = Calibration({ALL: 1.0}, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
NOTHING = Evidence(None, [], {}, EXACT)
"""No source of places: the masks alone."""


def model(person: PersonAnnotation, name: str = "other.json", shift: float = 0.0, error: float = 0.1) -> Evidence:
    """One model that knows a person's joints to `error` OKS units, `shift` pixels off."""
    poses = Poses(name, "0" * 64, {person.person_id: person.keypoints_xy + shift})
    return Evidence(None, [poses], {name: error}, EXACT)


def rows_of_all_kinds() -> list[PersonAnnotation]:
    """Four images: occluded by another, by oneself, by nothing annotated, and undecided."""
    pairs = [
        (target(ELSEWHERE, gt_occluder={WRIST: 2}), other(round_wrist(5))),
        (target(round_wrist(5), gt_occluder={WRIST: 3}), other(ELSEWHERE)),
        (target(ELSEWHERE, gt_occluder={WRIST: 3}), other(ELSEWHERE)),
        (target(round_wrist(1), gt_occluder={WRIST: 3}), other(ELSEWHERE)),
    ]
    return [
        replace(row, image_id=image, image_path=f"{image}.png", person_id=10 * image + row.person_id, split=split)
        for image, (pair, split) in enumerate(zip(pairs, ("train", "train", "val", "val")))
        for row in pair
    ]


def decided(
    rows: list[PersonAnnotation], evidence: Evidence = NOTHING, workers: int = 1, **options: float
) -> list[Candidate]:
    options = {"margin": 2.0, "min_confidence": 0.8, **options}
    return relabel(rows, COCO17, evidence, **options, workers=Workers(workers))


def without_wrist() -> tuple[PersonAnnotation, PersonAnnotation]:
    """Somebody inside the image whose left wrist has no label, and the same person with it."""
    whole = standing(1, 60, 25, mask=ELSEWHERE)
    return replace(whole, visibility=np.where(np.arange(17) == WRIST, np.int8(0), whole.visibility)), whole


def test_decided_joints_change_and_nothing_else_does() -> None:
    before = rows_of_all_kinds()
    found = decided(before)
    assert [(c.person_id, c.occluder, c.reason, c.decision) for c in found] == [
        (1, "person", Reason.OTHER_MASK, "accepted"),
        (11, "self", Reason.OWN_MASK, "accepted"),
        (21, "object", Reason.NO_MASK, "accepted"),
        (31, "unknown", Reason.NEAR_BORDER, "queued"),
    ]
    labels = {(c.joint, c.x, c.y, c.x_before, c.y_before, c.visibility_before, c.visibility) for c in found}
    assert labels == {("left_wrist", *(2 * (float(X), float(Y))), 1, 3)}
    assert {(c.confidence, c.uncertainty, c.sources) for c in found} == {(1.0, 0.0, ())}
    kinds = {1: Occluder.PERSON, 11: Occluder.SELF, 21: Occluder.OBJECT}
    for old, new in zip(before, apply(before, found, COCO17)):
        expected = {name: getattr(old, name).copy() for name in ("visibility", "visibility_source", "occluder")}
        if old.person_id in kinds:
            expected["visibility"][WRIST] = Visibility.RELABELLED
            expected["visibility_source"][WRIST] = Source.RELABELLED
            expected["occluder"][WRIST] = kinds[old.person_id]
        for field in fields(PersonAnnotation):
            want = expected.get(field.name, getattr(old, field.name))
            np.testing.assert_array_equal(getattr(new, field.name), want, err_msg=field.name)


def test_same_rows_for_any_number_of_workers(tmp_path: Path) -> None:
    rows = [
        replace(row, image_id=10 * copy + row.image_id, person_id=1000 * copy + row.person_id)
        for copy in range(40)
        for row in rows_of_all_kinds()
    ]
    files = []
    for count in (0, 1, 2):
        found = decided(rows, workers=count)
        write_annotations(tmp_path / "rows", apply(rows, found, COCO17), COCO17)
        write_candidates(tmp_path / "queue", found)
        files.append([(tmp_path / name).read_bytes() for name in ("rows", "queue")])
        assert len(found) == 160
    assert files[0] == files[1] == files[2]


def test_truth_is_never_read_to_decide() -> None:
    rows = rows_of_all_kinds()
    assert str(decided(rows)) == str(decided([replace(row, gt_occluder=None) for row in rows]))


def test_a_model_tells_the_place_of_a_joint_without_label() -> None:
    person, whole = without_wrist()
    [found] = decided([person], model(whole, shift=1.5))
    assert (found.joint, found.visibility_before, found.visibility, found.decision) == ("left_wrist", 0, 3, "accepted")
    assert (found.x, found.y) == pytest.approx(whole.keypoints_xy[WRIST] + 1.5)
    assert found.sources == ("other.json",)
    assert found.uncertainty == pytest.approx(0.1)
    assert found.occluder == "object"
    new = apply([person], [found], COCO17)[0]
    assert new.visibility_source[WRIST] == Source.PROPOSED
    assert new.num_keypoints == person.num_keypoints + 1
    np.testing.assert_array_equal(np.delete(new.keypoints_xy, WRIST, 0), np.delete(person.keypoints_xy, WRIST, 0))


def test_what_is_not_sure_waits_and_changes_nothing() -> None:
    person, whole = without_wrist()
    unsure = decided([person], model(whole, error=2.0))
    strict = decided([person], model(whole, error=0.5), min_confidence=0.95)
    border = replace(person, bbox_xywh=np.array([0.0, *person.bbox_xywh[1:]]))
    cut_off = decided([border], model(whole))
    for found in (unsure, strict, cut_off):
        assert [one.decision for one in found] == ["queued"]
        assert apply([person], found, COCO17)[0] is person
    assert cut_off[0].reason == Reason.CUT_OFF
    assert unsure[0].confidence < 0.3


def test_joints_outside_the_photograph_are_no_candidates() -> None:
    person, whole = without_wrist()
    away = replace(whole, keypoints_xy=whole.keypoints_xy + [WIDTH, 0])
    assert decided([person], model(away)) == []
    assert decided([standing(2, 100, is_crowd=True)], model(whole)) == []


def decision(
    person_id: int, action: str, visibility: int, xy: tuple[float, float] = (5.0, 6.0), **more: str
) -> Decision:
    label = {"joint": "left_wrist", "occluder": "object", "reviewer": "ann", "time": "2026-01-02T03:04:05Z", **more}
    return Decision(person_id=person_id, action=action, visibility=visibility, x=xy[0], y=xy[1], **label)  # type: ignore[arg-type]


def test_metrics_count_and_compare_with_the_truth() -> None:
    before = rows_of_all_kinds()
    metrics = relabel_metrics(before, decided(before), COCO17)
    assert metrics["occluded"] == {
        "joints": 4,
        "decided": {"object": 1, "person": 1, "self": 1},
        "undecided": {"near a mask's border": 1},
        "undecided_share": 0.25,
    }
    assert metrics["ground_truth"] == {
        "joints": 3,
        "accuracy": 2 / 3,
        "confusion": {"object": {"self": 1}, "person": {"person": 1}, "self": {"self": 1}},
    }
    assert "ground_truth" not in relabel_metrics(
        [replace(row, gt_occluder=None) for row in before], decided(before), COCO17
    )
    assert relabel_metrics([], [], COCO17)["unlabelled"]["undecided_share"] == 0


def test_empty_table_has_its_columns(tmp_path: Path) -> None:
    write_candidates(tmp_path / "none.parquet", [])
    assert pq.read_table(tmp_path / "none.parquet").schema.equals(SCHEMA)


def stage(folder: Path, rows: list[PersonAnnotation], **settings: object) -> subprocess.CompletedProcess[str]:
    """The stage script on a few rows."""
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    params["datasets"]["toy"] = {"root": str(folder), "annotations": "none"}
    params["data"] |= {"dataset": "toy", "relabelled": settings.pop("relabelled", False)}
    params["relabel"] |= settings
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(params, file)
    write_annotations(folder / "before.parquet", rows, COCO17)
    write_image_table(folder / "images.parquet", [ImageRecord(p.split, p.image_id, p.image_path) for p in rows])
    paths = [
        "--annotations",
        "before.parquet",
        "--images",
        "images.parquet",
        "--reviews",
        "reviews",
        "--out",
        "re",
        "--training",
        "training.parquet",
    ]
    return subprocess.run(
        [sys.executable, str(ROOT / "pipelines/relabel.py"), *paths, "--results", "results"], cwd=folder,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip


def results_file(path: Path, person: PersonAnnotation, **changes: object) -> None:
    keypoints = np.column_stack([person.keypoints_xy, np.ones(17)]).ravel().tolist()
    path.write_text(
        json.dumps([{"image_id": person.image_id, "category_id": 1, "keypoints": keypoints, "score": 1, **changes}])
    )


def test_stage(tmp_path: Path) -> None:
    person, whole = without_wrist()
    person, whole = (
        replace(one, image_id=9, image_path="9.png", person_id=91, split="train") for one in (person, whole)
    )
    rows = [*rows_of_all_kinds(), person]
    for image in (0, 1, 2, 3, 9):
        cv2.imwrite(str(tmp_path / f"{image}.png"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    results_file(tmp_path / "theirs.json", whole)
    write_decisions(tmp_path / "reviews/toy.jsonl", [decision(31, "accept", 3), decision(500, "accept", 3)])
    files = []
    for _ in range(2):
        done = stage(tmp_path, rows, predictions=["theirs.json"], min_confidence=0.1, relabelled=True)
        assert done.returncode == 0, done.stderr
        assert "1 decisions are about joints that are not there" in done.stdout
        files.append({p.name: p.read_bytes() for folder in ("re", "results") for p in (tmp_path / folder).rglob("*.*")})
    assert files[0] == files[1]
    after, _ = read_annotations(tmp_path / "re/annotations.parquet")
    training, _ = read_annotations(tmp_path / "training.parquet")
    for row, new, used in zip(rows, after, training):
        np.testing.assert_array_equal(used.visibility, new.visibility if row.split == "train" else row.visibility)
    changes = pq.read_table(tmp_path / "re/changes.parquet").to_pylist()
    assert [(row["person_id"], row["decision"], row["sources"]) for row in changes] == [
        (1, "accepted", []), (11, "accepted", []), (21, "accepted", []), (31, "accept", []),
        (91, "accepted", ["theirs.json"]),
    ]  # fmt: skip
    assert [json.loads(line)["person_id"] for line in (tmp_path / "re/unused.jsonl").read_text().splitlines()] == [500]
    metrics = json.loads((tmp_path / "results/metrics.json").read_text())
    assert metrics["models"]["theirs.json"]["instances"] == 1
    assert metrics["reviewed"] == {"accept": 1}
    sheet = cv2.imread(str(tmp_path / "results/sheet.jpg"))
    assert sheet is not None
    assert sheet.shape[0] > 200
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "re/person_keypoints_train_re.json"))
    annotations: dict[int, Any] = {one["id"]: one for one in coco.loadAnns(coco.getAnnIds())}
    assert annotations[1]["keypoints"][3 * WRIST : 3 * WRIST + 3] == [float(X), float(Y), 3]
    assert annotations[91]["num_keypoints"] == 17
    assert annotations[91]["visibility_source"][WRIST] == Source.PROPOSED


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "theirs.json: no such file"),
        ("[", "theirs.json: not a json file"),
        ('{"a": 1}', "theirs.json: not COCO results"),
        (
            {"image_id": 12345},
            "theirs.json, result 0: unknown image: expected an image id of the ground truth, got 12345",
        ),
        ({"keypoints": [1, 2, 3]}, "theirs.json, result 0: keypoints of wrong length: expected 51, got 3"),
        ({"keypoints": [900.0, 900.0, 1.0] * 17}, "theirs.json: poses of nobody here"),
    ],
)
def test_results_that_propose_nothing(tmp_path: Path, content: object, fault: str) -> None:
    rows = rows_of_all_kinds()
    if isinstance(content, str):
        (tmp_path / "theirs.json").write_text(content)
    elif isinstance(content, dict):
        results_file(tmp_path / "theirs.json", rows[0], **content)
    done = stage(tmp_path, rows, predictions=["theirs.json"])
    assert done.returncode == 1
    assert fault in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "re").exists()


def test_a_review_that_is_not_one_stops_the_stage(tmp_path: Path) -> None:
    (tmp_path / "reviews").mkdir()
    (tmp_path / "reviews/toy.jsonl").write_text("<<<<<<< mine\n")
    done = stage(tmp_path, rows_of_all_kinds())
    assert done.returncode == 1
    assert "reviews/toy.jsonl, line 1: mark of a merge conflict" in done.stderr
