"""Images shared by data sets are detected by their hash and removed from training."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dag.annotation import PersonAnnotation, read_annotations, write_annotations
from dag.convert.duplicates import without_leaked_images
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.makers import make_person


def annotation(number: int, split: str, digest: str | None, dataset: str = "toy") -> PersonAnnotation:
    rng = np.random.default_rng(number)
    person = make_person(rng, number, number, (10, 10, 50, 90), split=split)
    return replace(person, dataset=dataset, image_path=f"{split}/{number}.png", image_hash=digest)


TOY = [
    annotation(1, "train", "a"),
    annotation(2, "train", "b"),
    annotation(3, "train", "c"),
    annotation(4, "val", "d"),
    annotation(5, "train", None),
]
OTHER = [
    annotation(1, "test", "b", "other"),
    annotation(2, "train", "c", "other"),
    annotation(3, "val", "d", "other"),
    annotation(4, "val", None, "other"),
]


def test_training_images_of_a_validation_split_are_removed() -> None:
    kept, report = without_leaked_images(TOY, [*TOY, *OTHER], "toy")
    assert [person.person_id for person in kept] == [1, 3, 4, 5]
    assert report == {
        "dataset": "toy",
        "annotations": {"before": 5, "after": 4},
        "shared_images": {
            "other/test and toy/train": 1, "other/train and toy/train": 1, "other/val and toy/val": 1
        },
        "removed": {"images": 1, "files": ["train/2.png"]},
        "duplicates_within_a_data_set": 0,
        "annotations_without_hash": 2,
    }  # fmt: skip


def test_the_validation_split_of_the_same_data_set_counts() -> None:
    persons = [
        annotation(1, "train", "a"),
        annotation(2, "val", "a"),
        annotation(3, "train", "e"),
        annotation(4, "train", "e"),
    ]
    kept, report = without_leaked_images(persons, persons, "toy")
    assert [person.person_id for person in kept] == [2, 3, 4]
    assert report["duplicates_within_a_data_set"] == 2


def dedupe(folder: Path, dataset: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "pipelines/dedupe.py", "--annotations", "annotations", "--dataset", dataset]
    return subprocess.run(
        [*command, "--out", "out.parquet", "--metrics", "metrics.json"], cwd=folder, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_annotations(tmp_path / "annotations/toy.parquet", TOY, COCO17)
    write_annotations(tmp_path / "annotations/other.parquet", OTHER, COCO17)
    return tmp_path


def test_the_stage(folder: Path) -> None:
    assert dedupe(folder, "toy").returncode == 0
    assert [person.person_id for person in read_annotations(folder / "out.parquet")[0]] == [1, 3, 4, 5]
    assert json.loads((folder / "metrics.json").read_text())["removed"]["files"] == ["train/2.png"]


def test_an_unknown_data_set_is_one_line(folder: Path) -> None:
    done = dedupe(folder, "moon")
    assert done.returncode == 1
    assert done.stderr == "error: annotations: no such data set: expected one of other, toy, got moon\n"
    assert not (folder / "out.parquet").exists()
