"""Annotations and predictions are written and read back without loss."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dag.annotation import (
    Occluder,
    PersonAnnotation,
    Source,
    Visibility,
    read_annotation_table,
    read_annotations,
    read_split,
    write_annotations,
)
from dag.errors import UserError
from dag.prediction import Prediction, read_predictions, write_predictions
from dag.skeleton import COCO17


def some_person(**changes: object) -> PersonAnnotation:
    """A person with every visibility and coordinates that need full precision."""
    visibility = np.array([0, 1, 2, 3] * 4 + [2], dtype=np.int8)
    person = PersonAnnotation(
        dataset="test",
        split="train",
        image_id=7,
        image_path="train/7.jpg",
        image_width=640,
        image_height=480,
        person_id=2**40,
        bbox_xywh=np.array([1 / 3, 2.5, 100.25, 200.125]),
        area=12345.678901234567,
        is_crowd=False,
        keypoints_xy=np.arange(34).reshape(17, 2) + 1 / 3,
        visibility=visibility,
        visibility_source=np.full(17, Source.ANNOTATED, dtype=np.int8),
        occluder=np.full(17, Occluder.UNKNOWN, dtype=np.int8),
        segmentation="abc",
    )
    return replace(person, **changes)


def test_round_trip_is_exact(tmp_path: Path) -> None:
    gt = np.full(17, Occluder.PERSON, dtype=np.int8)
    persons = [some_person(), some_person(split="val", segmentation=None, crowd_index=0.25, gt_occluder=gt)]
    write_annotations(tmp_path / "p.parquet", persons, COCO17)
    back, skeleton = read_annotations(tmp_path / "p.parquet")
    assert skeleton is COCO17
    for before, after in zip(persons, back, strict=True):
        for field in fields(PersonAnnotation):
            np.testing.assert_array_equal(getattr(before, field.name), getattr(after, field.name), err_msg=field.name)
    assert back[0].visibility.dtype == np.int8


def test_the_same_annotations_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_annotations(tmp_path / name, [some_person()], COCO17)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_num_keypoints_counts_every_labelled_joint() -> None:
    assert some_person().num_keypoints == 13
    assert [int(v) for v in Visibility] == [0, 1, 2, 3]


def test_evaluated_are_labelled_persons_that_are_no_crowd() -> None:
    assert some_person().is_evaluated
    assert not some_person(is_crowd=True).is_evaluated
    assert not some_person(visibility=np.zeros(17, dtype=np.int8)).is_evaluated


def test_one_split(tmp_path: Path) -> None:
    write_annotations(tmp_path / "p.parquet", [some_person(), some_person(split="val")], COCO17)
    persons, _ = read_annotations(tmp_path / "p.parquet", split="val")
    assert [person.split for person in persons] == ["val"]
    assert read_annotation_table(tmp_path / "p.parquet", split="val")["split"].to_pylist() == ["val"]
    assert [person.split for person in read_split(tmp_path / "p.parquet", "val")[0]] == ["val"]
    assert read_split(tmp_path / "p.parquet", "test") == ([], COCO17)
    with pytest.raises(
        UserError, match=r"no annotations of this split: expected one of \['train', 'val'\], got 'test'"
    ):
        read_annotations(tmp_path / "p.parquet", split="test")


def test_files_that_are_not_annotations_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(UserError, match="not a table of annotations"):
        read_annotations(tmp_path / "text.parquet")
    with pytest.raises(UserError, match="not a table of annotations"):
        read_annotations(tmp_path / "missing.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="without a skeleton"):
        read_annotations(tmp_path / "other.parquet")


def test_predictions_round_trip(tmp_path: Path) -> None:
    xy = np.random.default_rng(0).normal(size=(17, 2))
    prediction = Prediction("graph", 3, 4, xy, np.linspace(0, 1, 17), 1 / 3)
    write_predictions(tmp_path / "p.parquet", [prediction], COCO17)
    (back,), skeleton = read_predictions(tmp_path / "p.parquet")
    assert skeleton is COCO17
    np.testing.assert_array_equal(back.keypoints_xy, xy)
    assert (back.output, back.image_id, back.person_id, back.score) == ("graph", 3, 4, 1 / 3)
