"""COCO-RE from masks: each decision on constructed people, the margin to the pixel, and nothing else changed."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools.coco import COCO

from dag.data.relabel import CHANGE_SCHEMA, Reason, decide, pixels_near, relabel, relabel_metrics, write_changes
from dag.person import Occluder, Person, Source, Visibility, read_persons, write_persons
from dag.skeleton import COCO17
from dag.work import Workers
from tests.imports import ROOT
from tests.standing import HEIGHT, JOINTS, WIDTH, outline, standing

WRIST = COCO17.joints.index("left_wrist")
ELSEWHERE = outline(5, 45)
LEFT, TOP = 60, 25
X, Y = (JOINTS[WRIST] + (LEFT, TOP)).astype(int)


def rectangle(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def round_wrist(reach: int) -> np.ndarray:
    return rectangle(X - reach, Y - reach, X + reach + 1, Y + reach + 1)


def target(mask: np.ndarray, **options) -> Person:
    """Somebody whose left wrist, at (X, Y), is hidden."""
    return standing(1, LEFT, TOP, mask=mask, visibility={WRIST: 1}, **options)


def other(mask: np.ndarray, **options) -> Person:
    return standing(2, 100, mask=mask, **options)


def reason_of(*people: Person, margin: float = 2.0) -> Reason:
    [(joint, reason)] = decide(people, margin)[0].items()
    assert joint == WRIST
    return reason


def test_each_decision():
    assert reason_of(target(ELSEWHERE), other(round_wrist(5))) is Reason.OTHER_MASK
    assert reason_of(target(round_wrist(5)), other(ELSEWHERE)) is Reason.OWN_MASK
    assert reason_of(target(ELSEWHERE), other(ELSEWHERE)) is Reason.NO_MASK


def test_two_others_together_are_one_answer():
    halves = rectangle(X - 5, Y - 5, X, Y + 6), rectangle(X, Y - 5, X + 6, Y + 6)
    both = [other(halves[0]), replace(other(halves[1]), person_id=3)]
    assert reason_of(target(ELSEWHERE), *both) is Reason.OTHER_MASK
    overlapping = [other(round_wrist(5)), replace(other(round_wrist(4)), person_id=3)]
    assert reason_of(target(ELSEWHERE), *overlapping) is Reason.OTHER_MASK


def test_undecided_where_the_evidence_is_not_clear():
    assert reason_of(target(round_wrist(5)), other(round_wrist(5))) is Reason.OVERLAP
    crowd = standing(2, 100, mask=round_wrist(3), is_crowd=True)
    assert reason_of(target(round_wrist(5)), crowd) is Reason.CROWD
    assert reason_of(target(ELSEWHERE), replace(crowd, segmentation=None)) is Reason.CROWD
    assert reason_of(target(ELSEWHERE, masked=False), other(round_wrist(5))) is Reason.UNMASKED
    unmasked = other(round_wrist(5), masked=False)
    assert reason_of(target(ELSEWHERE), unmasked) is Reason.NEIGHBOUR_UNMASKED
    assert reason_of(target(round_wrist(5)), unmasked) is Reason.OWN_MASK
    person = target(ELSEWHERE)
    person.keypoints_xy[WRIST] = (WIDTH + 3, 50)
    assert reason_of(person) is Reason.OUTSIDE


@pytest.mark.parametrize("kind", ["own", "other"])
@pytest.mark.parametrize(("distance", "decided"), [(1, False), (2, False), (3, True), (4, True)])
def test_margin_to_the_pixel(kind, distance, decided):
    """The mask ends `distance` pixels right of the joint: pixels at most 2 away must agree."""
    inside, outside = rectangle(X - 9, Y - 9, X + distance, Y + 10), rectangle(X + distance, Y - 9, X + 12, Y + 10)
    for mask, reason in ((inside, Reason.OWN_MASK if kind == "own" else Reason.OTHER_MASK), (outside, Reason.NO_MASK)):
        people = [target(mask)] if kind == "own" else [target(ELSEWHERE), other(mask)]
        assert reason_of(*people) is (reason if decided else Reason.NEAR_BORDER)


def test_margin_is_a_disc_of_pixel_centres_and_never_empty():
    rows, columns = pixels_near(np.array([10.4, 20.0]), 1.0, WIDTH, HEIGHT)
    assert set(zip(columns.tolist(), rows.tolist())) == {(10, 20), (11, 20), (10, 19), (10, 21)} - {(10, 19), (10, 21)}
    rows, columns = pixels_near(np.array([10.4, 20.3]), 0.0, WIDTH, HEIGHT)
    assert (columns.tolist(), rows.tolist()) == ([10], [20])
    rows, columns = pixels_near(np.array([0.0, HEIGHT - 1.0]), 1.0, WIDTH, HEIGHT)
    assert set(zip(columns.tolist(), rows.tolist())) == {(0, HEIGHT - 1), (1, HEIGHT - 1), (0, HEIGHT - 2)}
    assert len(pixels_near(np.array([50.0, 50.0]), 2.0, WIDTH, HEIGHT)[0]) == 13


def rows_of_all_kinds() -> list[Person]:
    """Four photographs: hidden by another, by oneself, by nothing annotated, and undecided."""
    pairs = [
        (target(ELSEWHERE, true_occluder={WRIST: 2}), other(round_wrist(5))),
        (target(round_wrist(5), true_occluder={WRIST: 3}), other(ELSEWHERE)),
        (target(ELSEWHERE, true_occluder={WRIST: 3}), other(ELSEWHERE)),
        (target(round_wrist(1), true_occluder={WRIST: 3}), other(ELSEWHERE)),
    ]
    return [
        replace(row, image_id=image, image_path=f"{image}.png", person_id=10 * image + row.person_id, split=split)
        for image, (pair, split) in enumerate(zip(pairs, ("train", "train", "val", "val")))
        for row in pair
    ]


def test_decided_joints_change_and_nothing_else_does():
    before = rows_of_all_kinds()
    after, changes, undecided = relabel(before, COCO17, margin=2.0, workers=Workers(1))
    assert [(c.person_id, c.occluder, c.reason) for c in changes] == [
        (1, "person", Reason.OTHER_MASK), (11, "self", Reason.OWN_MASK), (21, "object", Reason.NO_MASK),
    ]  # fmt: skip
    assert undecided == {Reason.NEAR_BORDER: 1}
    assert {(c.joint, c.x, c.y, c.visibility_before, c.visibility_after) for c in changes} == {
        ("left_wrist", float(X), float(Y), 1, 3)
    }
    kinds = {1: Occluder.PERSON, 11: Occluder.SELF, 21: Occluder.OBJECT}
    for old, new in zip(before, after):
        expected = {
            "visibility": old.visibility.copy(),
            "visibility_source": old.visibility_source.copy(),
            "occluder": old.occluder.copy(),
        }
        if old.person_id in kinds:
            expected["visibility"][WRIST] = Visibility.RELABELLED
            expected["visibility_source"][WRIST] = Source.RELABELLED
            expected["occluder"][WRIST] = kinds[old.person_id]
        for field in fields(Person):
            want = expected.get(field.name, getattr(old, field.name))
            np.testing.assert_array_equal(getattr(new, field.name), want, err_msg=field.name)
        assert new.num_keypoints == old.num_keypoints


def test_same_rows_and_changes_for_any_number_of_workers(tmp_path):
    rows = [
        replace(row, image_id=10 * copy + row.image_id, person_id=1000 * copy + row.person_id)
        for copy in range(40)
        for row in rows_of_all_kinds()
    ]
    files = []
    for count in (0, 1, 2):
        after, changes, undecided = relabel(rows, COCO17, margin=2.0, workers=Workers(count))
        write_persons(tmp_path / "rows", after, COCO17)
        write_changes(tmp_path / "changes", changes)
        files.append([(tmp_path / name).read_bytes() for name in ("rows", "changes")])
        assert undecided == {Reason.NEAR_BORDER: 40}
        assert len(changes) == 120
    assert files[0] == files[1] == files[2]


def test_relabelling_again_changes_nothing():
    once, _, undecided = relabel(rows_of_all_kinds(), COCO17, margin=2.0, workers=Workers(1))
    twice, changes, still = relabel(once, COCO17, margin=2.0, workers=Workers(1))
    assert changes == []
    assert still == undecided
    for a, b in zip(once, twice):
        np.testing.assert_array_equal(a.visibility, b.visibility)
        np.testing.assert_array_equal(a.occluder, b.occluder)


def test_truth_is_never_read_to_decide():
    rows = rows_of_all_kinds()
    blind = [replace(row, true_occluder=None) for row in rows]
    for seeing, not_seeing in zip(
        relabel(rows, COCO17, margin=2.0, workers=Workers(1))[0],
        relabel(blind, COCO17, margin=2.0, workers=Workers(1))[0],
    ):
        np.testing.assert_array_equal(seeing.occluder, not_seeing.occluder)


def test_metrics_count_and_compare_with_the_truth():
    before = rows_of_all_kinds()
    after, _, undecided = relabel(before, COCO17, margin=2.0, workers=Workers(1))
    metrics = relabel_metrics(before, after, undecided)
    assert metrics["hidden_joints"] == 4
    assert metrics["decided"] == {"object": 1, "person": 1, "self": 1}
    assert metrics["undecided"]["near a mask's border"] == 1
    assert metrics["undecided_share"] == 0.25
    assert metrics["truth"] == {
        "joints": 3,
        "accuracy": 2 / 3,
        "confusion": {"object": {"self": 1}, "person": {"person": 1}, "self": {"self": 1}},
    }
    blind = [replace(row, true_occluder=None) for row in before]
    assert "truth" not in relabel_metrics(blind, after, undecided)
    assert relabel_metrics([], [], {})["undecided_share"] == 0


def test_empty_change_table_has_its_columns(tmp_path):
    write_changes(tmp_path / "none.parquet", [])
    assert pq.read_table(tmp_path / "none.parquet").schema.equals(CHANGE_SCHEMA)


def test_stage_writes_rows_json_that_tools_read_and_changes(tmp_path):
    before = rows_of_all_kinds()
    write_persons(tmp_path / "persons.parquet", before, COCO17)
    (tmp_path / "params.yaml").write_text((ROOT / "presets/default.yaml").read_text())
    words = ["--persons", "persons.parquet", "--out", "re", "--metrics", "results/relabel.json"]
    command = [sys.executable, str(ROOT / "pipelines/relabel.py"), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    names = {"persons.parquet", "changes.parquet", "person_keypoints_train_re.json", "person_keypoints_val_re.json"}
    assert {path.name for path in (tmp_path / "re").iterdir()} == names
    rows, _ = read_persons(tmp_path / "re/persons.parquet")
    assert [row.person_id for row in rows] == [row.person_id for row in before]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "re/person_keypoints_train_re.json"))
    annotations = coco.loadAnns(coco.getAnnIds())
    assert [annotation["id"] for annotation in annotations] == [1, 2, 11, 12]
    assert annotations[0]["keypoints"][3 * WRIST : 3 * WRIST + 3] == [X, Y, 3]
    assert annotations[0]["num_keypoints"] == 17
    assert annotations[0]["occluder"][WRIST] == Occluder.PERSON
    assert (coco.annToMask(annotations[1]) == round_wrist(5)).all()
    changes = pq.read_table(tmp_path / "re/changes.parquet").to_pylist()
    assert [(row["person_id"], row["joint"], row["split"]) for row in changes] == [
        (1, "left_wrist", "train"), (11, "left_wrist", "train"), (21, "left_wrist", "val"),
    ]  # fmt: skip
    assert json.loads((tmp_path / "results/relabel.json").read_text())["hidden_joints"] == 4
