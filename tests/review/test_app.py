"""`serve`: the processes it starts and stops, and the poses that a browser shows."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from dag.errors import UserError
from dag.prediction import write_predictions
from dag.review.app import serve
from dag.review.fields import COLORS
from dag.review.process import free_port, is_running, stop
from dag.skeleton import COCO17, CROWDPOSE14
from tests.review_scene import HEIGHT, WIDTH, Scene, write_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_scene(tmp_path_factory.mktemp("tiny"))


def test_taken_port_is_an_error_before_anything_starts(scene: Scene, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            UserError, match=rf":{port}: port is taken: got process {os.getpid()} .*another with --port$"
        ):
            serve(scene.persons_path, scene.folder, None, port=port, state_dir=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_bad_input_is_one_line_and_leaves_nothing_running(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(predictions: Path, split: str) -> None:
        port = free_port("127.0.0.1")
        serve(scene.persons_path, scene.folder, predictions, split=split, port=port, state_dir=tmp_path / "state")

    text = r"^\S+annotations\.parquet: no annotations of this split: expected one of \['val'\], got 'test'$"
    with pytest.raises(UserError, match=text):
        start(tmp_path / "none.parquet", "test")
    text = f"no predictions ({tmp_path}/none.parquet): only annotations are shown; run `dvc repro predict`\n"
    assert capsys.readouterr().out == text
    write_predictions(tmp_path / "other.parquet", [], CROWDPOSE14)
    text = r"^\S+other\.parquet: different skeleton: expected coco17, got crowdpose14$"
    with pytest.raises(UserError, match=text):
        start(tmp_path / "other.parquet", "val")
    assert sorted(path.name for path in (tmp_path / "state/mongod").iterdir()) == ["lock", "mongod.log"]


@dataclass
class Served:
    process: subprocess.Popen
    url: str
    state: Path

    @property
    def started(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


SERVE = """
import sys
from dag.prediction import write_predictions
from dag.review.app import serve
persons, root, predictions, state, port = sys.argv[1:]
serve(persons, root, predictions, split="val", port=int(port), state_dir=state)
"""


@contextmanager
def served(scene: Scene, state: Path) -> Iterator[Served]:
    port = free_port("127.0.0.1")
    arguments = [scene.persons_path, scene.folder / "photos", scene.predictions_path, state, port]
    command = [sys.executable, "-c", SERVE, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line == f"The App is at http://127.0.0.1:{port}/datasets/instances (Ctrl-C stops it)\n"
        yield Served(process, line.split()[4], state)
    finally:
        stop(psutil.Process(process.pid), seconds=20.0) if process.poll() is None else None
        process.wait()
        process.stdout.close()


def all_ended(processes: list[psutil.Process], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while any(map(is_running, processes)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(is_running, processes))


def test_app_starts_after_a_kill_and_stops_on_sigint(scene: Scene, tmp_path: Path) -> None:
    with served(scene, tmp_path) as first:
        started = first.started
        assert len(started) == 2
        first.process.send_signal(signal.SIGKILL)
        assert all_ended(started)
    with served(scene, tmp_path) as second:
        started = second.started
        with urllib.request.urlopen(second.url) as answer:
            assert answer.status == 200
        second.process.send_signal(signal.SIGINT)
        assert second.process.wait(timeout=20) == 0
        assert all_ended(started, 0.1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fiftyone", "mongod"]
    assert not (tmp_path / "mongod/mongod.pid").exists()


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"


@contextmanager
def browser(profile: Path) -> Iterator[Any]:
    """A page of a headless Chromium with an empty profile and no access to the network."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=FLAGS.split(), viewport={"width": 1500, "height": 900}
        )
        try:
            page = context.new_page()
            page.route(lambda url: not url.startswith("http://127.0.0.1:"), lambda route: route.abort())
            yield page
        finally:
            context.close()


def drawn_fraction(page: Any, poses: list[np.ndarray], color: str) -> float:
    """Fraction of the bones' length that is drawn in `color` on the open image."""
    canvas = page.locator('[data-cy="modal-looker-container"] canvas').last.bounding_box()
    screenshot: Any = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR_RGB)
    scale = min(canvas["width"] / WIDTH, canvas["height"] / HEIGHT)
    corner = (
        np.array([canvas["x"], canvas["y"]])
        + (np.array([canvas["width"], canvas["height"]]) - scale * np.array([WIDTH, HEIGHT])) / 2
    )
    rgb = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)])
    near = (np.abs(screenshot.astype(int) - rgb).sum(axis=2) < 60).astype(np.uint8)
    near = cv2.dilate(near, np.ones((3, 3), np.uint8))
    steps = np.linspace(0.1, 0.9, 30)[:, None]
    drawn = []
    for pose in poses:
        for a, b in pose[COCO17.bone_index]:
            x, y = np.round(corner + ((1 - steps) * a + steps * b + 0.5) * scale).astype(int).T
            drawn.append(near[y, x])
    return float(np.mean(drawn))


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.25)
    return met


def open_sample(page: Any, url: str) -> None:
    """Open the third image, after dismissing the pop-over that advertises another product."""
    page.goto(url)
    page.get_by_text("Dismiss", exact=True).click(timeout=30_000)
    page.locator('[data-cy="looker"]').nth(2).click()
    page.locator('[data-cy="modal-looker-container"] canvas').wait_for()


def test_both_skeletons_are_drawn_on_the_image(scene: Scene, tmp_path: Path) -> None:
    gt = [person.keypoints_xy for person in scene.persons if person.image_id == 3 and not person.is_crowd]
    graph = [p.keypoints_xy for p in scene.predictions if p.image_id == 3 and p.output == "graph"]
    with served(scene, tmp_path / "state") as app, browser(tmp_path / "profile") as page:

        def drawn() -> list[bool | None]:
            """Whether the poses of the ground truth and of graph are drawn; None while they are drawn in part."""
            pairs = ((gt, COLORS["ground_truth"]), (graph, COLORS["graph"]))
            fractions = [drawn_fraction(page, poses, color) for poses, color in pairs]
            return [True if each > 0.85 else False if each < 0.15 else None for each in fractions]

        def toggle(field: str) -> None:
            page.locator(f'[data-cy="modal"] [data-cy="checkbox-{field}"]').click()

        open_sample(page, app.url)
        assert wait_for(lambda: drawn() == [True, True])
        page.screenshot(path=tmp_path / "both.png")
        toggle("graph")
        assert wait_for(lambda: drawn() == [True, False])
        toggle("ground_truth")
        assert wait_for(lambda: drawn() == [False, False])
        toggle("graph")
        assert wait_for(lambda: drawn() == [False, True])
        started = app.started
        app.process.send_signal(signal.SIGTERM)
        assert app.process.wait(timeout=20) == 0, "stops while a browser is connected"
        assert all_ended(started, 0.1)
