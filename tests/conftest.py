"""Shared fixtures: real data where available, and a small synthetic data set."""

import os
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dag.annotation import Source
from dag.boxes import evaluated_persons
from dag.cache.build import write_cache
from dag.convert.convert import Split, convert_coco
from dag.parallel import Workers
from dag.pool.pool import write_pool
from dag.skeleton import COCO17
from dag.synthetic.coco import write_synthetic
from tests.toy import people, predict


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skipped test fails, unless it needs a GPU."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and "gpu" not in item.keywords:
        report.outcome, report.longrepr = "failed", f"skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder DAG_REAL_DATA with `data/`, `models/` and `golden/`; skips the test if the variable is unset."""
    folder = os.environ.get("DAG_REAL_DATA")
    if folder is None:
        reason = "DAG_REAL_DATA is unset: no real images, models or golden metrics to test on"
        pytest.fail(reason) if os.environ.get("DAG_REQUIRE_REAL") == "1" else pytest.skip(reason)
    return Path(folder)


@dataclass(frozen=True)
class Rendered:
    """A small synthetic data set: its root, its annotations, and a cache of clean crops."""

    root: Path
    annotations: Path
    cache: Path


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """16 + 6 synthetic images, converted and cached as in the pipeline."""
    folder = tmp_path_factory.mktemp("rendered")
    data_set = Rendered(folder / "synthetic", folder / "annotations.parquet", folder / "cache")
    write_synthetic(
        data_set.root,
        {"train": 16, "val": 6},
        width=320,
        height=240,
        max_persons=3,
        occlusion=0.3,
        seed=5,
        workers=Workers(1),
    )
    splits = [Split(s, data_set.root / f"annotations/person_keypoints_{s}.json", s) for s in ("train", "val")]
    convert_coco(
        data_set.root, splits, dataset="synthetic", skeleton=COCO17, source=Source.RENDERED,
        invalid_annotations="stop", workers=1, check_images=True, out=data_set.annotations,
        images=folder / "images.parquet", report=folder / "report.json",
    )  # fmt: skip
    write_pool(folder / "pool.arrow", [], COCO17)
    write_cache(
        data_set.cache, data_set.annotations, folder / "pool.arrow", data_set.root, input_wh=(96, 128), margin=1.25,
        variants=1, shard_mb=64.0, mask={"p": 1.0, "min_count": 1, "max_count": 3, "min_size": 10.0, "max_size": 30.0},
        paste={"p": 0.0, "min_scale": 0.7, "max_scale": 1.3, "max_rotation": 45.0, "max_covered": 0.8},
        seed=1, workers=Workers(1),
    )  # fmt: skip
    return data_set


@pytest.fixture
def toy_persons():
    """Ten persons, one more without keypoints, and a crowd region."""
    persons = people(COCO17, 12)
    persons[10] = replace(persons[10], visibility=np.zeros(17, dtype=np.int8))
    persons[11] = replace(persons[11], is_crowd=True)
    return persons


@pytest.fixture
def toy_predictions(toy_persons):
    heatmap = predict(evaluated_persons(toy_persons), 0.1)
    graph = predict(evaluated_persons(toy_persons), 0.03, seed=1)
    return heatmap + [replace(prediction, output="graph") for prediction in graph]
