"""Data of plots against worked answers, and the charts that DVC draws from them."""

import json
from pathlib import Path

import numpy as np
import pytest

from dag.evaluation import Evaluation
from dag.evaluation.coco.arrays import GroundTruth, Results, ground_truth_of, results_of
from dag.evaluation.coco.average_precision import average_precision
from dag.evaluation.metrics import all_metrics
from dag.evaluation.plots import (
    errors,
    joints,
    occlusion,
    oks_histogram,
    plot_tables,
    precision_recall,
    write_plots,
)
from dag.report.charts import draw
from dag.skeleton import COCO17, CROWDPOSE14
from tests.imports import ROOT
from tests.toy import people, predict

CHARTS = ROOT / ".dvc/plots"
EVALUATION = ["precision_recall", "occlusion", "errors", "joints", "oks"]


def toy(count: int = 40, error: float = 0.1, skeleton=COCO17) -> tuple[GroundTruth, Results]:
    persons = people(skeleton, count)
    return ground_truth_of(persons, skeleton), results_of(predict(persons, error), skeleton)


def test_precision_recall_averages_to_ap():
    gt, results = toy()
    records = precision_recall(Evaluation(gt, results, COCO17))
    metrics = average_precision(gt, results, COCO17)
    for level, name in ((".50", "AP50"), (".75", "AP75"), ("mean", "AP")):
        curve = [record["precision"] for record in records if record["OKS"] == level]
        assert len(curve) == 101
        assert np.mean(curve) == pytest.approx(metrics[name], abs=1e-5)
    assert [record["recall"] for record in records[:101]] == [round(step / 100, 2) for step in range(101)]


def test_occlusion_is_the_ap_of_the_strata():
    gt, results = toy()
    strata = all_metrics(Evaluation(gt, results, COCO17))["persons"]
    records = {record["occluded"]: record for record in occlusion(Evaluation(gt, results, COCO17))}
    assert sum(record["instances"] for record in records.values()) == gt.evaluated.sum()
    assert records["up to 1/3"]["AP"] == pytest.approx(strata["occluded_third"]["AP"], abs=1e-5)
    assert records["up to 2/3"]["instances"] == strata["occluded_two_thirds"]["instances"]


def test_errors_stack_to_one():
    gt, results = toy()
    records = errors(Evaluation(gt, results, COCO17))
    assert {record["stratum"] for record in records} == {"visible", "occluded"}
    for stratum in ("visible", "occluded"):
        kinds = [record for record in records if record["stratum"] == stratum]
        assert [kind["kind"] for kind in kinds] == ["good", "jitter", "inversion", "swap", "miss"]
        assert sum(kind["ratio"] for kind in kinds) == pytest.approx(1, abs=1e-4)
        assert sum(kind["count"] for kind in kinds) == kinds[0]["joints"] > 100


def test_one_joint_off_by_a_tenth_of_the_scale():
    gt, results = toy(error=0.0)
    results.keypoints_xy[:, 3, 0] += 0.1 * np.sqrt(gt.area)
    records = joints(Evaluation(gt, results, COCO17))
    assert [record["joint"] for record in records] == [name.replace("_", " ") for name in COCO17.joints]
    assert [record["error"] for record in records] == [0, 0, 0, 0.1] + [0] * 13


def test_persons_without_prediction_have_oks_0():
    gt, results = toy(error=0.0)
    results = results.take(np.arange(10))
    similarity = Evaluation(gt, results, COCO17).person_oks
    assert similarity.tolist() == [1.0] * 10 + [0.0] * 30
    records = oks_histogram(np.append(similarity, np.nan))
    assert [record["instances"] for record in records] == [30] + [0] * 18 + [10]
    assert records[-1] == {"low": 0.95, "high": 1.0, "instances": 10}


def test_no_predictions_and_no_evaluated_persons():
    gt, results = toy()
    tables = plot_tables(Evaluation(gt, results.take(np.arange(0)), COCO17))
    assert {record["precision"] for record in tables["precision_recall"]} == {0}
    assert (tables["errors"], tables["joints"], tables["oks"][0]["instances"]) == ([], [], 40)
    no_persons, _ = toy(0)
    tables = plot_tables(Evaluation(no_persons, results.take(np.arange(0)), COCO17))
    assert tables.pop("oks")[0] == {"low": 0.0, "high": 0.05, "instances": 0}
    assert tables == {"precision_recall": [], "occlusion": [], "errors": [], "joints": []}


def test_files_have_all_outputs_and_flat_records_of_one_kind(tmp_path):
    gt, results = toy(skeleton=CROWDPOSE14)
    evaluation = Evaluation(gt, results, CROWDPOSE14)
    write_plots(tmp_path / "plots", {"heatmap": evaluation, "graph": evaluation})
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == set(EVALUATION)
    for path in (tmp_path / "plots").iterdir():
        records = json.loads(path.read_text())
        assert list(dict.fromkeys(record["output"] for record in records)) == ["heatmap", "graph"]
        assert {tuple(record) for record in records} == {tuple(records[0])}
    before = (tmp_path / "plots/joints.json").read_bytes()
    results.keypoints_xy[:] = np.nan
    with pytest.raises(ValueError, match=r"JSON compliant|NaN"):
        write_plots(tmp_path / "plots", {"graph": Evaluation(gt, results, CROWDPOSE14)})
    assert (tmp_path / "plots/joints.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["plots"]


@pytest.mark.parametrize("name", EVALUATION)
def test_charts_distinguish_experiments_and_outputs(name):
    gt, results = toy()
    other = predict(people(COCO17, 40), 0.3)
    both = {"first": results, "second": results_of(other, COCO17)}
    records = [
        {"rev": rev, "output": output, **record}
        for rev, predicted in both.items()
        for output in ("heatmap", "graph")
        for record in plot_tables(Evaluation(gt, predicted, COCO17))[name]
    ]
    svg = draw(CHARTS / f"{name}.json", records, list(both))
    assert all(f">{word}<" in svg for word in ("first", "second", "heatmap", "graph"))
    assert svg != draw(CHARTS / f"{name}.json", records[: len(records) // 2], list(both))


RELABELLING = {
    "reliability": [{"stated": 0.2, "observed": 0.25, "joints": 9}, {"stated": 0.8, "observed": 0.7, "joints": 9}],
    "recovery": [{"joint": "nose", "by": by, "OKS50": 0.6, "joints": 9} for by in ("ours", "mean_pose")],
}


@pytest.mark.parametrize("name", RELABELLING)
def test_charts_of_relabelling_distinguish_experiments(name):
    names = ["first", "second"]
    records = [{"rev": rev, **row} for rev in names for row in RELABELLING[name]]
    svg = draw(CHARTS / f"{name}.json", records, names)
    assert all(f">{word}<" in svg for word in names)
    assert svg != draw(CHARTS / f"{name}.json", records[:2], names)


def test_charts_come_in_the_order_of_experiments(tmp_path: Path):
    gt, results = toy()
    records = [{"output": "graph", **record} for record in plot_tables(Evaluation(gt, results, COCO17))["errors"]]
    svg = draw(CHARTS / "errors.json", [{"rev": rev, **record} for rev in "ba" for record in records], ["b", "a"])
    assert svg.index(">b<") < svg.index(">a<")
