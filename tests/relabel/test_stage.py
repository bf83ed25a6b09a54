"""The stage script `relabel` on constructed persons: outputs, and errors in results files and reviews."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools.coco import COCO
from ruamel.yaml import YAML

from dag.annotation import PersonAnnotation, Source, read_annotations, write_annotations
from dag.image import ImageRecord, write_image_table
from dag.relabel.reviews import write_decisions
from dag.skeleton import COCO17
from tests.imports import ROOT
from tests.relabel.scenes import WRIST, X, Y, decision, persons_of_all_kinds, without_wrist
from tests.standing import HEIGHT, WIDTH


def run_stage(folder: Path, persons: list[PersonAnnotation], **settings: object) -> subprocess.CompletedProcess[str]:
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    params["datasets"]["toy"] = {"root": str(folder), "annotations": "none"}
    params["data"] |= {"dataset": "toy", "relabelled": settings.pop("relabelled", False)}
    params["relabel"] |= settings
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(params, file)
    write_annotations(folder / "before.parquet", persons, COCO17)
    write_image_table(folder / "images.parquet", [ImageRecord(p.split, p.image_id, p.image_path) for p in persons])
    options = "--annotations before.parquet --images images.parquet --reviews reviews"
    options += " --out re --training training.parquet --results results"
    return subprocess.run(
        [sys.executable, str(ROOT / "pipelines/relabel.py"), *options.split()], cwd=folder,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip


def write_results(path: Path, person: PersonAnnotation, **changes: object) -> None:
    keypoints = np.column_stack([person.keypoints_xy, np.ones(17)]).ravel().tolist()
    path.write_text(
        json.dumps([{"image_id": person.image_id, "category_id": 1, "keypoints": keypoints, "score": 1, **changes}])
    )


def test_stage(tmp_path: Path) -> None:
    person, complete = (
        replace(one, image_id=9, image_path="9.png", person_id=91, split="train") for one in without_wrist()
    )
    persons = [*persons_of_all_kinds(), person]
    for image in (0, 1, 2, 3, 9):
        cv2.imwrite(str(tmp_path / f"{image}.png"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    write_results(tmp_path / "other.json", complete)
    write_decisions(tmp_path / "reviews/toy.jsonl", [decision(31, "accept", 3), decision(500, "accept", 3)])
    files = []
    for _ in range(2):
        done = run_stage(tmp_path, persons, predictions=["other.json"], min_confidence=0.1, relabelled=True)
        assert done.returncode == 0, done.stderr
        assert "1 decisions without a matching person and joint" in done.stdout
        files.append({p.name: p.read_bytes() for folder in ("re", "results") for p in (tmp_path / folder).rglob("*.*")})
    assert files[0] == files[1]
    after, _ = read_annotations(tmp_path / "re/annotations.parquet")
    training, _ = read_annotations(tmp_path / "training.parquet")
    for old, new, used in zip(persons, after, training):
        np.testing.assert_array_equal(used.visibility, new.visibility if old.split == "train" else old.visibility)
    changes = pq.read_table(tmp_path / "re/changes.parquet").to_pylist()
    assert [(row["person_id"], row["decision"], row["sources"]) for row in changes] == [
        (1, "accepted", []), (11, "accepted", []), (21, "accepted", []), (31, "accept", []),
        (91, "accepted", ["other.json"]),
    ]  # fmt: skip
    assert [json.loads(line)["person_id"] for line in (tmp_path / "re/unused.jsonl").read_text().splitlines()] == [500]
    metrics = json.loads((tmp_path / "results/metrics.json").read_text())
    assert metrics["models"]["other.json"]["instances"] == 1
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
        (None, "other.json: no such file"),
        ("[", "other.json: not a json file"),
        ('{"a": 1}', "other.json: not COCO results"),
        (
            {"image_id": 12345},
            "other.json, result 0: unknown image: expected an image id of the ground truth, got 12345",
        ),
        ({"keypoints": [1, 2, 3]}, "other.json, result 0: keypoints of wrong length: expected 51, got 3"),
        ({"keypoints": [900.0, 900.0, 1.0] * 17}, "other.json: no pose matches an annotated person"),
    ],
)
def test_unusable_results_files_stop_the_stage(tmp_path: Path, content: object, fault: str) -> None:
    persons = persons_of_all_kinds()
    if isinstance(content, str):
        (tmp_path / "other.json").write_text(content)
    elif isinstance(content, dict):
        write_results(tmp_path / "other.json", persons[0], **content)
    done = run_stage(tmp_path, persons, predictions=["other.json"])
    assert done.returncode == 1
    assert fault in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "re").exists()


def test_an_invalid_review_file_stops_the_stage(tmp_path: Path) -> None:
    (tmp_path / "reviews").mkdir()
    (tmp_path / "reviews/toy.jsonl").write_text("<<<<<<< mine\n")
    done = run_stage(tmp_path, persons_of_all_kinds())
    assert done.returncode == 1
    assert "reviews/toy.jsonl, line 1: merge conflict marker" in done.stderr
