"""The report: its numbers, its page in a browser without a network, and its errors."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dag.annotation import write_annotations
from dag.errors import UserError
from dag.evaluation.coco.arrays import ground_truth_of
from dag.evaluation.metrics import all_metrics, headline
from dag.prediction import write_predictions
from dag.report import write_report
from dag.report.cards import extremes
from dag.report.experiments import different_annotations, read_experiments
from dag.report.plots_page import write_plots_page
from dag.skeleton import COCO17, CROWDPOSE14
from tests.imports import ROOT
from tests.review.test_app import CHROMIUM
from tests.toy import people

COUNT = 60
CHARTS = ROOT / ".dvc/plots"
PARAMS = """
error: 0.2
datasets: {toy: {root: images}}
evaluate:
  output: graph
  protocols:
    toy_val: {dataset: toy, split: val, annotations: data/toy.parquet, boxes: data/toy.parquet}
    toy_test: {dataset: toy, split: test, annotations: data/toy.parquet, boxes: data/toy.parquet}
"""
STAGES = """
stages:
  predict:
    foreach: ${evaluate.protocols}
    do:
      cmd: >-
        python predict.py --protocol ${key} --annotations ${item.annotations}
        --images data/images/${item.dataset}.parquet --boxes ${item.boxes} --out predictions/${key}
      params: [error]
      deps: [predict.py]
      outs: ["predictions/${key}"]
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, predictions/toy_val]
    plots:
"""
PREDICT = """
import sys
from dataclasses import replace
from pathlib import Path
from ruamel.yaml import YAML
from dag.prediction import write_predictions
from dag.skeleton import COCO17
from tests.toy import people, predict

persons = people(COCO17, 60)
error = YAML().load(Path("params.yaml"))["error"]
good = predict(persons, error, seed=round(10 * error))
predictions = good + [replace(one, output="mean_pose") for one in predict(persons, 1.0)]
write_predictions(f"{sys.argv[-1]}/predictions.parquet", predictions, COCO17)
"""
EVALUATE = """
from dag.evaluation import Evaluation
from dag.evaluation.coco.arrays import ground_truth_of, results_by_output
from dag.evaluation.plots import write_plots
from dag.prediction import read_predictions
from dag.skeleton import COCO17
from tests.toy import people

gt = ground_truth_of(people(COCO17, 60), COCO17)
outputs = results_by_output(read_predictions("predictions/toy_val/predictions.parquet")[0], COCO17)
write_plots("plots", {name: Evaluation(gt, results, COCO17) for name, results in outputs.items()})
"""
PROPERTIES = {
    "precision_recall": ("recall", "precision"),
    "occlusion": ("occluded", "AP"),
    "errors": ("ratio", "stratum"),
    "joints": ("error", "joint"),
    "oks": ("low", "instances"),
}


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC project: branch main with an error of .2, experiment `better` with .1, tag `other-annotations`."""
    folder = tmp_path_factory.mktemp("report") / "project"
    (folder / "data").mkdir(parents=True)
    shutil.copytree(CHARTS, folder / ".dvc/plots")
    write_annotations(folder / "data/toy.parquet", people(COCO17, COUNT), COCO17)
    plots = [
        f"      - plots/{name}.json: {{cache: false, template: {name}, x: {x}, y: {y}}}\n"
        for name, (x, y) in PROPERTIES.items()
    ]
    (folder / "params.yaml").write_text(PARAMS)
    (folder / "dvc.yaml").write_text(STAGES + "".join(plots))
    (folder / "predict.py").write_text(PREDICT)
    (folder / "evaluate.py").write_text(EVALUATE)
    (folder / ".gitignore").write_text("/images/\n/predictions/\n/dvc_plots/\n")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(COUNT // 2):
        cv2.imwrite(str(folder / f"images/{number}.jpg"), rng.integers(0, 256, (400, 400, 3), dtype=np.uint8))
    git = ("git", "-c", "user.name=toy", "-c", "user.email=toy@localhost", "-c", "commit.gpgsign=false")
    run(folder, "git", "init", "--quiet", "--initial-branch=main")
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n/plots.html\n")
    run(folder, "dvc", "repro", "--quiet")
    run(folder, "git", "add", ".")
    run(folder, *git, "commit", "--quiet", "--message", "main")
    write_annotations(folder / "data/toy.parquet", moved(3), COCO17)
    run(folder, *git, "commit", "--quiet", "--all", "--message", "other annotations")
    run(folder, "git", "tag", "other-annotations")
    run(folder, "git", "reset", "--quiet", "--hard", "HEAD~1")
    (folder / "params.yaml").write_text(PARAMS.replace("error: 0.2", "error: 0.1"))
    run(folder, "dvc", "repro", "--quiet")
    run(folder, "dvc", "exp", "save", "--quiet", "--name", "better")
    return folder


def moved(count: int) -> list:
    """Annotations of the project, `count` of them moved by a pixel."""
    persons = people(COCO17, COUNT)
    return [replace(one, keypoints_xy=one.keypoints_xy + (number < count)) for number, one in enumerate(persons)]


@contextmanager
def browser() -> Iterator[tuple[Any, list[str]]]:
    """A page of a headless Chromium that loads only files, and its error messages."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    messages: list[str] = []
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = chromium.new_page(viewport={"width": 1400, "height": 900})
            page.on("console", lambda message: messages.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: messages.append(str(error)))
            page.on("requestfailed", lambda request: messages.append(request.url))
            page.route(lambda url: not url.startswith(("file:", "data:")), lambda route: route.abort())
            yield page, messages
        finally:
            chromium.close()


def test_persons_whose_oks_changed_most():
    before, after = np.array([0.5, 0.5, np.nan, 0.1, 0.9]), np.array([0.6, 0.5, np.nan, 0.9, 0.2])
    assert extremes([before, after], 12) == ([3, 0], [4])
    assert extremes([before, after], 1) == ([3], [4])
    assert extremes([before], 2) == ([4, 0], [3, 1])


def test_number_of_different_annotations():
    first = ground_truth_of(people(COCO17, COUNT), COCO17)
    assert different_annotations(first, first) == 0
    assert different_annotations(first, ground_truth_of(moved(3), COCO17)) == 3
    assert different_annotations(first, ground_truth_of(people(COCO17, COUNT - 2)[::-1], COCO17)) == 2
    assert different_annotations(first, ground_truth_of(people(COCO17, COUNT, first_id=3), COCO17)) > COUNT - 3


def test_page_compares_experiments_without_a_network(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    path = write_report(["main", "better"], out=tmp_path / "report.html", people=3, resamples=40)
    read = read_experiments(["main", "better"], None, None)
    expected: list[Any] = [headline(all_metrics(one.evaluation)) for one in read]
    with browser() as (page, messages):
        page.goto(path.as_uri())
        rows = {
            row.get_attribute("data-metric"): [" ".join(cell.split()) for cell in row.locator("td").all_inner_texts()]
            for row in page.locator("#metrics tr[data-metric]").all()
        }
        sizes = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        overlong = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert page.locator("svg").count() == 5
    assert not messages
    assert not overlong
    assert len(sizes) == 6
    assert min(sizes) > 600
    assert rows["AP"][1] == str(COUNT)
    for name in ("AP", "AR", "PCK_occluded", "miss"):
        first, second = expected[0][name], expected[1][name]
        assert [cell.split()[0] for cell in rows[name][2:]] == [
            f"{first:.3f}", f"{second:.3f}", f"{second - first:+.3f}".replace("-", "\u2212"),
        ]  # fmt: skip
    low, high = re.findall(r"[+\u2212]\d\.\d{3}", rows["AP"][4])[1:]
    assert low < rows["AP"][4].split()[0] < high


def test_page_of_the_workspace_has_its_best_and_worst(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    text = write_report(out=tmp_path / "report.html", people=2, resamples=5).read_text()
    assert "Best: 2 persons" in text
    assert "Worst: 2 persons" in text
    assert "minus" not in text.split("<tbody>")[2]
    assert write_report(out=tmp_path / "again.html", people=2, resamples=5).read_text() == text
    assert write_report(out=tmp_path / "other.html", people=0, resamples=5, seed=2).read_text() != text


def test_missing_images_leave_out_the_cards_only(project, tmp_path, monkeypatch):
    shutil.copytree(project, tmp_path / "copy", ignore=shutil.ignore_patterns("images", "cache"))
    monkeypatch.chdir(tmp_path / "copy")
    text = write_report(out="report.html", people=2, resamples=5).read_text()
    assert re.search(r"No persons are drawn: an image is missing: images/\d+.jpg: missing or unreadable", text)
    assert text.count("<svg") == 5
    assert "<img" not in text


def test_dvc_draws_its_plots_without_a_network(project):
    assert write_plots_page(project / ".dvc") == project / ".dvc/plots.html"
    run(project, "dvc", "plots", "diff", "main", "better")
    with browser() as (page, messages):
        page.goto((project / "dvc_plots/index.html").as_uri())
        page.locator(".vega-embed svg.marks, .vega-embed canvas").nth(4).wait_for()
        assert page.locator(".vega-embed svg.marks, .vega-embed canvas").count() == 5
    assert not messages
    specs = re.findall(r"var spec = (.*);", (project / "dvc_plots/index.html").read_text())
    assert [{record["rev"] for record in json.loads(spec)["data"]["values"]} for spec in specs] == [
        {"main", "better"}
    ] * 5


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"experiments": ["unknown"]},
            r"^unknown experiment: expected a commit, a folder with predictions.parquet, or one of workspace, better, "
            r"main, other-annotations, got 'unknown'$",
        ),
        ({"experiments": ["better", "better"]}, "^duplicate experiment: expected different experiments, got better$"),
        ({"experiments": ["main", "HEAD"]}, r"^duplicate experiment: .* got main and HEAD, both [0-9a-f]{7}$"),
        ({"experiments": ["images"]}, "^images: no predictions in this folder: expected predictions.parquet$"),
        (
            {"experiments": ["main"], "protocol": "coco_val"},
            "^main: unknown protocol: expected one of toy_val, toy_test, got 'coco_val'$",
        ),
        ({"experiments": ["main"], "protocol": "toy_test"}, "^main, toy_test: no evaluated persons"),
        (
            {"experiments": ["main"], "output": "graph"},
            "^main: unknown output: expected one of heatmap, mean_pose, got 'graph'$",
        ),
        (
            {"experiments": ["main", "other-annotations"]},
            "^other-annotations, toy_val: evaluated on different annotations than main: expected the same persons, "
            "got 3 of 60 and 60 that differ; evaluate both on the same annotations$",
        ),
        ({"experiments": list("abcdefgh")}, "^too many experiments: expected at most 7, got 8$"),
        ({"charts": "nowhere"}, "^nowhere/precision_recall.json: no such chart; run dag-pose in the project's root$"),
    ],
)
def test_errors_are_one_line_and_write_nothing(project, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match=text):
        write_report(**{"out": tmp_path / "report.html", "resamples": 2, "people": 1, **arguments})
    assert not list(tmp_path.iterdir())


def test_missing_predictions(project, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    shutil.rmtree(copy / ".dvc/cache")
    shutil.rmtree(copy / "predictions")
    monkeypatch.chdir(copy)
    with pytest.raises(UserError, match=r"^workspace: no predictions of toy_val; run `dvc repro predict`$"):
        write_report(out="report.html")
    text = r"^predictions/toy_val/predictions.parquet of better: not in DVC's cache; `dvc fetch` it, or `dvc exp apply"
    with pytest.raises(UserError, match=text):
        write_report(["better"], out="report.html")
    (copy / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(UserError, match=r"^workspace: params.yaml without protocols: got KeyError\('evaluate'\)$"):
        write_report(out="report.html")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^{tmp_path}: not a DVC project; run dag-pose in the project's root$"):
        write_report(["main"])


def test_plots_page_needs_a_project(tmp_path):
    with pytest.raises(UserError, match=r"\.dvc: no such folder; run dag-pose in the project's root$"):
        write_plots_page(tmp_path / ".dvc")


def test_folders_of_predictions(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    write_predictions(tmp_path / "predictions.parquet", [], CROWDPOSE14)
    with pytest.raises(UserError, match=r"different skeleton: expected coco17, got crowdpose14$"):
        write_report([str(tmp_path)])
    write_predictions(tmp_path / "predictions.parquet", [], COCO17)
    with pytest.raises(UserError, match=r", toy_val: no predictions$"):
        write_report([str(tmp_path)])
