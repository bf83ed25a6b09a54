"""Review in a browser: decisions survive kills of the browser, the server and the database."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from dag.annotation import PersonAnnotation, Source
from dag.errors import UserError
from dag.relabel.apply import apply_candidates, apply_decisions
from dag.relabel.reviews import Decision, read_decisions, read_lines
from dag.review.app import serve_review
from dag.review.database import running_database
from dag.review.process import free_port, stop
from dag.skeleton import COCO17
from tests.review.test_app import Served, all_ended, browser
from tests.review_queue import write_review_scene
from tests.review_scene import HEIGHT, WIDTH

SERVE = """
import sys
from pathlib import Path
from dag.review.app import serve_review
from dag.review.journal import describe
folder, port = Path(sys.argv[1]), int(sys.argv[2])
reviews = folder / "reviews/tiny.jsonl"
options = dict(dataset="tiny", reviewer="ann", port=port, state_dir=folder / "state")
paths = [folder / name for name in ("queue.parquet", "annotations.parquet", "photos")]
collected = serve_review(*paths, reviews, **options)
print(*describe(collected, "tiny"), sep="\\n", flush=True)
"""


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    port = free_port("127.0.0.1")
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(folder), str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines[1] == f"The App is at http://127.0.0.1:{port}/datasets/review?view=queue (Ctrl-C stops it)\n", (
            lines
        )
        yield Served(process, lines[1].split()[4], folder / "state")
    finally:
        stop(psutil.Process(process.pid), seconds=20.0) if process.poll() is None else None
        process.wait()
        process.stdout.close()


class Reviewer:
    """A reviewer's actions by mouse and keyboard."""

    def __init__(self, page: Any, url: str):
        self.page = page
        page.goto(url)
        page.get_by_text("Dismiss", exact=True).click(timeout=30_000)
        page.locator('[data-cy="looker"]').first.click()
        page.locator('[data-cy="modal-looker-container"] canvas').wait_for()
        page.wait_for_timeout(1000)
        self.canvas = page.locator('[data-cy="modal-looker-container"] canvas').last.bounding_box()

    def screen_xy(self, x: float, y: float) -> tuple[float, float]:
        """Location of an image pixel on the screen, in both tabs."""
        canvas = self.canvas
        scale = min(canvas["width"] / WIDTH, canvas["height"] / HEIGHT)
        left = canvas["x"] + (canvas["width"] - scale * WIDTH) / 2
        return left + (x + 0.5) * scale, canvas["y"] + (canvas["height"] - scale * HEIGHT) / 2 + (y + 0.5) * scale

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.screen_xy(x, y))
        self.page.wait_for_timeout(700)

    def drag(self, x: float, y: float, dx: float, dy: float) -> None:
        for step in range(11):
            self.page.mouse.move(*self.screen_xy(x + dx * step / 10, y + dy * step / 10))
            self.page.mouse.down() if step == 0 else self.page.wait_for_timeout(30)
        self.page.mouse.up()

    def choose(self, x: float, y: float, value: str) -> None:
        """Choose a value in the form of the joint box at an image pixel."""
        self.click(x, y)  # closes the form of another joint box
        self.click(x, y)
        with self.saves():
            self.page.get_by_text(value, exact=True).first.click()

    def fill_form(self, joint: int, choice: int) -> None:
        """Choose for the `joint`-th joint, from 1, in the form of a person's joints, by keyboard only."""
        self.page.keyboard.press("e")
        self.page.get_by_text("Joints of person 30").wait_for()
        for key in ["Tab"] * (joint + 1) + ["ArrowRight"] * choice:
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(700 if key == "ArrowRight" else 50)
        self.page.keyboard.press("Control+Enter")
        self.page.get_by_text("left ankle: reject (2 decided, 16 queued)").wait_for()

    @contextmanager
    def saves(self) -> Iterator[None]:
        """Wait until the server has answered that an edit is saved."""
        with self.page.expect_response(lambda response: response.request.method == "PATCH") as saved:
            yield
        assert saved.value.ok
        self.saved = saved.value


def saved_actions(journal: Path) -> list[tuple[int, str, str]]:
    return [(each.person_id, each.joint, each.action) for each in read_lines(journal)]


def test_four_decisions_in_a_browser_survive_every_kill(tmp_path: Path) -> None:
    persons = {person.person_id: person for person in write_review_scene(tmp_path)}
    journal, reviews = tmp_path / "state/review/tiny.jsonl", tmp_path / "reviews/tiny.jsonl"
    with served(tmp_path) as app, browser(tmp_path / "first") as page:
        reviewer = Reviewer(page, app.url)
        reviewer.click(115.0, 121.6)
        page.keyboard.press("a")
        page.get_by_text("left wrist: accept (1 decided, 17 queued)").wait_for()
        assert saved_actions(journal) == [(30, "left_wrist", "accept")], "on disk before the App reports it"
        started = app.started
        app.process.send_signal(signal.SIGKILL)
        assert all_ended(started)
    assert not reviews.exists()
    with served(tmp_path) as app, browser(tmp_path / "second") as page:
        assert saved_actions(reviews) == [(30, "left_wrist", "accept")], "collected at the start"
        reviewer = Reviewer(page, app.url)
        reviewer.fill_form(joint=3, choice=2)
        assert saved_actions(journal) == [(30, "left_ankle", "reject")]
        page.locator('[data-cy="modal"] [data-cy="checkbox-annotated_joints"]').click()
        page.get_by_text("Annotate", exact=True).first.click()
        page.get_by_text("Edit", exact=True).wait_for()
        page.wait_for_timeout(1500)
        reviewer.click(25.0, 121.6)
        with reviewer.saves():
            reviewer.drag(25.0, 121.6, 10.0, 20.0)
        assert saved_actions(journal)[-1] == (30, "right_wrist", "move"), "on disk before the browser is answered"
        reviewer.choose(*persons[31].keypoints_xy[7].tolist(), "occluded")
        assert saved_actions(journal)[-1] == (31, "left_elbow", "flag")
        page.screenshot(path=tmp_path / "decided.png")
        assert outdated(reviewer.saved) == 409
        page.context.close()
        mongod = next(each for each in app.started if each.name() == "mongod")
        mongod.kill()
        app.process.send_signal(signal.SIGTERM)
        assert app.process.wait(timeout=20) == 0
        assert app.process.stdout
        assert app.process.stdout.read() == "stopped\ntiny: 4 decisions, 3 of them new\n"
    check_decisions(read_decisions(reviews), persons)
    check_annotations(read_decisions(reviews), persons)
    assert not journal.exists()


def outdated(saved: Any) -> int:
    """Status of the answer to an edit that is based on an outdated sample."""
    headers = {"Content-Type": "application/json-patch+json", "If-Match": '"2026-01-01T00:00:00"'}
    patch = b'[{"op": "replace", "path": "/proposed_joints/detections/0/decision", "value": "queued"}]'
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(saved.url, patch, headers, method="PATCH"))
    with refused.value as answer:
        return answer.code


def check_decisions(decisions: list[Decision], persons: dict[int, PersonAnnotation]) -> None:
    assert {each.key: (each.action, *each.label, each.reviewer) for each in decisions} == {
        (30, "left_wrist"): ("accept", 115.0, 121.6, 3, "object", "ann"),
        (30, "right_wrist"): ("move", pytest.approx(35.0, abs=0.7), pytest.approx(141.6, abs=0.7), 3, "object", "ann"),
        (31, "left_elbow"): ("flag", *persons[31].keypoints_xy[7].round(2), 1, "unknown", "ann"),
        (30, "left_ankle"): ("reject", 0.0, 0.0, 0, "unknown", "ann"),
    }


def check_annotations(decisions: list[Decision], persons: dict[int, PersonAnnotation]) -> None:
    """The relabel stage applies every decision."""
    candidates, unused = apply_decisions([], list(persons.values()), decisions, COCO17)
    after = {person.person_id: person for person in apply_candidates(list(persons.values()), candidates, COCO17)}
    assert unused == []
    changed = {
        (number, COCO17.joints[joint]): (int(person.visibility[joint]), int(person.visibility_source[joint]))
        for number, person in after.items()
        for joint in np.flatnonzero(person.visibility_source != persons[number].visibility_source)
    }
    reviewed = int(Source.REVIEWED)
    assert changed == {
        (30, "left_wrist"): (3, reviewed),
        (30, "right_wrist"): (3, reviewed),
        (31, "left_elbow"): (1, reviewed),
    }
    assert after[30].keypoints_xy[9].tolist() == [115.0, 121.6]


def start(folder: Path, **changes: Any) -> None:
    options: dict[str, Any] = {"dataset": "tiny", "reviewer": "ann", "state_dir": folder / "state"}
    options |= {"port": free_port("127.0.0.1")} | changes
    paths = [folder / name for name in ("queue.parquet", "annotations.parquet", "photos", "reviews/tiny.jsonl")]
    serve_review(*paths, **options)


def test_malformed_review_stops_before_anything_starts(tmp_path: Path) -> None:
    write_review_scene(tmp_path)
    (tmp_path / "reviews").mkdir()
    (tmp_path / "reviews/tiny.jsonl").write_text(">>>>>>> theirs\n")
    with pytest.raises(UserError, match=r"reviews/tiny\.jsonl, line 1: merge conflict marker"):
        start(tmp_path)
    assert not (tmp_path / "state/mongod").exists()


def test_taken_port_and_running_database_are_errors(tmp_path: Path) -> None:
    write_review_scene(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf":{port}: port is taken: got process {os.getpid()} .*with --port$"):
            start(tmp_path, port=port)
    with (
        running_database(tmp_path / "state"),
        pytest.raises(UserError, match="the database is already running"),
    ):
        start(tmp_path)


def test_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    write_review_scene(tmp_path)
    (tmp_path / "state").touch()
    with pytest.raises(UserError, match=r"state/review/tiny\.jsonl: cannot be written: got Not a directory"):
        start(tmp_path)


def test_empty_queue_leaves_nothing_running(tmp_path: Path) -> None:
    write_review_scene(tmp_path)
    with pytest.raises(UserError, match=r"no annotations of this split: expected one of \['val'\], got 'test'$"):
        start(tmp_path, split="test")
    assert not (tmp_path / "state/mongod/mongod.pid").exists()
