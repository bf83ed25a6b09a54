"""Images that two data sets share are found by their bytes and do not leak."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dag.annotation import PersonAnnotation, read_annotations, write_annotations
from dag.convert.duplicates import without_leaks
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.makers import make_person


def row(number: int, split: str, digest: str | None, dataset: str = "toy") -> PersonAnnotation:
    rng = np.random.default_rng(number)
    person = make_person(rng, number, number, (10, 10, 50, 90), split=split)
    return replace(person, dataset=dataset, image_path=f"{split}/{number}.png", image_hash=digest)


TOY = [row(1, "train", "a"), row(2, "train", "b"), row(3, "train", "c"), row(4, "val", "d"), row(5, "train", None)]
OTHER = [
    row(1, "test", "b", "other"),
    row(2, "train", "c", "other"),
    row(3, "val", "d", "other"),
    row(4, "val", None, "other"),
]


def test_train_photographs_that_a_validation_split_holds_are_left_out() -> None:
    kept, report = without_leaks(TOY, [*TOY, *OTHER], "toy")
    assert [person.person_id for person in kept] == [1, 3, 4, 5]
    assert report == {
        "dataset": "toy",
        "rows": {"before": 5, "after": 4},
        "shared_photographs": {
            "other/test and toy/train": 1, "other/train and toy/train": 1, "other/val and toy/val": 1
        },
        "left_out": {"images": 1, "files": ["train/2.png"]},
        "twice_in_one_data_set": 0,
        "rows_without_hash": 2,
    }  # fmt: skip


def test_its_own_validation_split_counts_too() -> None:
    rows = [row(1, "train", "a"), row(2, "val", "a"), row(3, "train", "e"), row(4, "train", "e")]
    kept, report = without_leaks(rows, rows, "toy")
    assert [person.person_id for person in kept] == [2, 3, 4]
    assert report["twice_in_one_data_set"] == 2


def dedupe(folder: Path, dataset: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "pipelines/dedupe.py", "--annotations", "persons", "--dataset", dataset]
    return subprocess.run(
        [*command, "--out", "out.parquet", "--metrics", "metrics.json"], cwd=folder, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_annotations(tmp_path / "persons/toy.parquet", TOY, COCO17)
    write_annotations(tmp_path / "persons/other.parquet", OTHER, COCO17)
    return tmp_path


def test_the_stage(folder: Path) -> None:
    assert dedupe(folder, "toy").returncode == 0
    assert [person.person_id for person in read_annotations(folder / "out.parquet")[0]] == [1, 3, 4, 5]
    assert json.loads((folder / "metrics.json").read_text())["left_out"]["files"] == ["train/2.png"]


def test_an_unknown_data_set_is_one_line(folder: Path) -> None:
    done = dedupe(folder, "moon")
    assert done.returncode == 1
    assert done.stderr == "error: persons: no such data set: expected one of other, toy, got moon\n"
    assert not (folder / "out.parquet").exists()
