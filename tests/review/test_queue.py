"""What the App gets of the queue, and what becomes of a change, without a browser."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dag.annotation import PersonAnnotation, Source, write_annotations
from dag.errors import UserError
from dag.relabel.reviews import Decision, read_lines
from dag.review.queue import read_queue
from dag.skeleton import COCO17
from tests.review_queue import JOINTS, a_row, write_queue, write_review_scene
from tests.review_scene import HEIGHT, WIDTH, import_fiftyone

# Importing and connecting, FiftyOne and its libraries warn of their own future.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
WRIST = Decision(10, "left_wrist", "move", 118.0, 130.0, 3, "self", "bob", "2026-01-01T00:00:00Z")
ELBOW = Decision(40, "left_elbow", "flag", 110.0, 88.8, 1, "person", "bob", "2026-01-02T00:00:00Z")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PersonAnnotation]]:
    folder = tmp_path_factory.mktemp("queue")
    return folder, write_review_scene(folder)


def read(folder: Path, *decisions: Decision, **changes: Any) -> tuple:
    options = {"split": None, "people": 2000} | changes
    return read_queue(folder / "queue.parquet", folder / "annotations.parquet", decisions, **options)


def images(images: list) -> list[int]:
    return [each.people[0].image_id for each in images]


def test_only_photographs_with_proposals_or_decisions_are_loaded(people: tuple[Path, list[PersonAnnotation]]) -> None:
    folder, _ = people
    images, skeleton, waiting = read(folder)
    assert (images(images), skeleton, waiting) == ([1, 2, 3], COCO17, 6)
    assert [len(each.people) for each in images] == [2, 2, 2]
    assert [len(each.rows) for each in images] == [6, 6, 6]
    images, _, waiting = read(folder, people=2)
    assert (images(images), waiting) == ([3], 6), "the least certain first"
    assert images(read(folder, ELBOW, people=2)[0]) == [3, 4], "and where somebody decided"


def test_decided_joints_do_not_wait(people: tuple[Path, list[PersonAnnotation]]) -> None:
    folder, _ = people
    whole = [Decision(10, joint, "accept", 9.0, 9.0, 3, "object", "bob", WRIST.time) for joint in JOINTS]
    assert read(folder, *whole)[2] == 5


def test_bad_tables_are_one_line(people: tuple[Path, list[PersonAnnotation]], tmp_path: Path) -> None:
    folder, persons = people
    with pytest.raises(UserError, match=r"queue\.parquet: not a queue of proposals: got .*; run `dvc repro relabel`$"):
        read(tmp_path)
    (tmp_path / "queue.parquet").write_text("no table")
    with pytest.raises(UserError, match="not a queue of proposals"):
        read(tmp_path)
    with pytest.raises(UserError, match=r"not a queue of proposals: expected its columns, got no joint, "):
        read_queue(folder / "annotations.parquet", folder / "annotations.parquet", [], split=None, people=9)
    with pytest.raises(UserError, match=r"no annotations of this split: expected one of \['val'\], got 'train'"):
        read(folder, split="train")
    write_annotations(tmp_path / "annotations.parquet", persons[:2], COCO17)
    write_queue(tmp_path / "queue.parquet", [])
    with pytest.raises(UserError, match=r"queue\.parquet: nothing to review; run `dvc repro relabel`, or choose"):
        read(tmp_path)
    write_queue(tmp_path / "queue.parquet", [a_row(persons[0], "left_wrist"), a_row(persons[4], "left_wrist")])
    with pytest.raises(UserError, match=r"people of the queue are not in the rows: got \[30\]; run `dvc"):
        read(tmp_path)


@pytest.fixture(scope="module")
def build(
    people: tuple[Path, list[PersonAnnotation]], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[..., Any]:
    """`build_review`; FiftyOne is imported only now."""
    state = tmp_path_factory.mktemp("state")
    import_fiftyone(pytestconfig, state)
    from dag.review.queue_dataset import build_review

    def built(*decisions: Decision, name: str = "queue", folder: Path = people[0]) -> Any:
        images, skeleton, _ = read(folder, *decisions)
        journal = state / f"{name}.jsonl"
        return build_review(name, images, skeleton, people[0] / "photos", reviewer="ann", journal=journal)

    return built


def handle_of(sample: Any, person: int, joint: str) -> Any:
    found = [*sample.proposed.detections, *sample.annotated.detections]
    return next(each for each in found if (each.person_id, each.label) == (person, joint))


def place(handle: Any) -> list[float]:
    left, top, width, height = handle.bounding_box
    return [(left + width / 2) * WIDTH - 0.5, (top + height / 2) * HEIGHT - 0.5]


def move(handle: Any, x: float, y: float) -> None:
    left, top, width, height = handle.bounding_box
    handle.bounding_box = [left + x / WIDTH, top + y / HEIGHT, width, height]


def test_proposals_are_handles_apart_from_the_annotation(
    people: tuple[Path, list[PersonAnnotation]], build: Callable[..., Any]
) -> None:
    sample = build(WRIST).first()
    assert [len(sample[field].detections) for field in ("proposed", "annotated")] == [6, 28]
    assert (sample.queued, sample.decided, sample.uncertainty) == (5, 1, pytest.approx(0.1))
    waiting, moved = handle_of(sample, 11, "left_wrist"), handle_of(sample, 10, "left_wrist")
    assert (waiting.decision, waiting.visibility, waiting.occluder) == ("queued", "relabelled", "object")
    assert place(waiting) == pytest.approx([265.0, 121.6])
    assert (moved.decision, moved.occluder, moved.reviewer, moved.time) == ("move", "self", "bob", WRIST.time)
    assert place(moved) == pytest.approx([118.0, 130.0])
    before, after = (np.array(sample[field].keypoints[0].points) for field in ("before", "after"))
    assert np.isnan(before[9]).all()
    np.testing.assert_allclose(after[9] * [WIDTH, HEIGHT] - 0.5, [118.0, 130.0])
    assert sample.after.keypoints[0].visibility[9] == "relabelled"
    elbow = handle_of(sample, 10, "left_elbow")
    assert (elbow.decision, elbow.visibility) == ("annotated", "visible")
    assert place(elbow) == pytest.approx(people[1][0].keypoints_xy[7].tolist())


def test_decision_about_a_joint_without_a_proposal_is_shown(build: Callable[..., Any]) -> None:
    sample = build(ELBOW).last()
    elbow = handle_of(sample, 40, "left_elbow")
    assert (sample.image_id, elbow.decision, elbow.visibility, elbow.occluder) == (4, "flag", "occluded", "person")


def test_saved_changes_are_decisions_in_the_journal(build: Callable[..., Any], tmp_path: Path) -> None:
    from dag.review.handles import save

    dataset = build(name="saved")
    journal = Path(dataset.info["journal"])
    sample = dataset.first()
    handle_of(sample, 10, "left_wrist").decision = "accept"
    move(handle_of(sample, 10, "right_wrist"), 3.0, -4.0)
    handle_of(sample, 10, "left_ankle").decision = "reject"
    handle_of(sample, 11, "left_elbow").visibility = "occluded"
    save(sample, sample.save)
    found = {(each.person_id, each.joint): each for each in read_lines(journal)}
    told = {key: (each.action, *each.label, each.reviewer) for key, each in found.items()}
    x, y = place(handle_of(dataset.first(), 10, "right_wrist"))
    assert told == {
        (10, "left_wrist"): ("accept", 115.0, 121.6, 3, "object", "ann"),
        (10, "right_wrist"): ("move", pytest.approx(x, abs=0.01), pytest.approx(y, abs=0.01), 3, "object", "ann"),
        (10, "left_ankle"): ("reject", 0.0, 0.0, 0, "unknown", "ann"),
        (11, "left_elbow"): ("flag", 260.0, 88.8, 1, "unknown", "ann"),
    }
    assert (dataset.first().queued, dataset.first().decided) == (3, 4)
    save(sample, sample.save)
    assert len(read_lines(journal)) == 4, "nothing new"
    sample = dataset.first()
    wrist = handle_of(sample, 10, "right_wrist")
    move(wrist, -3.0, 4.0)
    save(sample, sample.save)
    assert read_lines(journal)[-1].action == "withdraw"
    assert (wrist.decision, wrist.reviewer) == ("queued", None)


def test_undo_sends_an_older_handle_and_takes_back(build: Callable[..., Any]) -> None:
    from dag.review.handles import save

    dataset = build(name="undone")
    sample = dataset.first()
    wrist = handle_of(sample, 10, "left_wrist")
    older = {name: wrist[name] for name in ("bounding_box", "visibility", "decision", "reviewer", "time", "kept")}
    move(wrist, 3.0, 0.0)
    wrist.visibility = "visible"
    save(sample, sample.save)
    for name, value in older.items():
        wrist[name] = value
    save(sample, sample.save)
    assert [each.action for each in read_lines(dataset.info["journal"])] == ["flag", "withdraw"]
    stored = handle_of(dataset.first(), 10, "left_wrist")
    assert (stored.decision, stored.reviewer, stored.visibility) == ("queued", None, "relabelled")
    stored.reviewer, stored.decision = "somebody", "move"
    save(sample, sample.save)
    assert (stored.reviewer, stored.decision) == (None, "queued"), "neither is for browsers to say"
    assert len(read_lines(dataset.info["journal"])) == 2


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("deleted", "neither added nor deleted"),
        ("added", "neither added nor deleted"),
        ("renamed", "cannot be changed"),
        ("outside", "inside the image"),
    ],
)
def test_changes_that_no_label_can_have_are_refused(build: Callable[..., Any], what: str, text: str) -> None:
    import fiftyone as fo

    from dag.review.handles import save

    dataset = build(name="refused")
    sample = dataset.first()
    handle = sample.proposed.detections[0]
    if what == "deleted":
        sample.proposed.detections.pop()
    elif what == "added":
        sample.proposed.detections.append(fo.Detection(label="nose", bounding_box=[0.1, 0.1, 0.1, 0.1]))
    elif what == "renamed":
        handle.label = "nose"
    else:
        move(handle, -200.0, 0.0)
    with pytest.raises(ValueError, match=text):
        save(sample, sample.save)
    assert not Path(dataset.info["journal"]).exists()


def test_views_follow_what_was_decided(people: tuple[Path, list[PersonAnnotation]], build: Callable[..., Any]) -> None:
    dataset = build(WRIST, ELBOW)
    found = {name: dataset.load_saved_view(name).values("image_id") for name in dataset.list_saved_views()}
    assert found["queue"] == [3, 2, 1]
    assert found["moved or flagged"] == [1, 4]
    assert found["rejected"] == found["accepted"] == found["disagreements"] == []
    assert found["left wrist"] == [3, 2, 1]
    assert found["nose"] == []
    assert found["behind object"] == [3, 2, 1]
    assert found["behind person"] == []


def test_decisions_that_the_stage_took_are_no_proposals(
    people: tuple[Path, list[PersonAnnotation]], build: Callable[..., Any], tmp_path: Path
) -> None:
    _, persons = people
    write_annotations(tmp_path / "annotations.parquet", persons, COCO17)
    flag = {"decision": "flag", "visibility": 1, "visibility_before": 2, "x": ELBOW.x, "y": ELBOW.y}
    rejected = a_row(persons[6], "left_wrist", decision="reject", visibility=0, x=0.0, y=0.0)
    rows = [{**a_row(persons[6], "left_wrist"), "joint": "left_elbow", **flag}, rejected]
    write_queue(tmp_path / "queue.parquet", rows)
    reject = replace(ELBOW, joint="left_wrist", action="reject", x=0.0, y=0.0, visibility=0, occluder="unknown")
    images, skeleton, waiting = read(tmp_path, ELBOW, reject)
    assert ([len(each.rows) for each in images], skeleton, waiting) == ([0], COCO17, 0)


def test_people_of_two_splits_with_one_id_are_an_error(
    people: tuple[Path, list[PersonAnnotation]], tmp_path: Path
) -> None:
    _, persons = people
    write_annotations(
        tmp_path / "annotations.parquet", [*persons, *(replace(each, split="train") for each in persons)], COCO17
    )
    write_queue(tmp_path / "queue.parquet", [a_row(persons[0], "left_wrist")])
    with pytest.raises(UserError, match="person ids are not unique; choose one split with --split"):
        read(tmp_path)
    assert images(read(tmp_path, split="val")[0]) == [1]


def test_what_the_stage_took_by_itself_is_told_apart(
    people: tuple[Path, list[PersonAnnotation]], build: Callable[..., Any], tmp_path: Path
) -> None:
    _, persons = people
    write_annotations(tmp_path / "annotations.parquet", persons, COCO17)
    rows = [a_row(persons[0], "left_wrist", decision="accepted"), a_row(persons[0], "right_wrist", disagreement=2.5)]
    write_queue(tmp_path / "queue.parquet", [*rows, a_row(persons[2], "left_wrist")])
    dataset = build(name="stage", folder=tmp_path)
    assert dataset.first().queued == 1
    assert handle_of(dataset.first(), 10, "left_wrist").decision == "automatic"
    assert np.isfinite(dataset.first().after.keypoints[0].points[9]).all()
    assert np.isnan(dataset.first().after.keypoints[0].points[10]).all()
    assert dataset.load_saved_view("automatic").values("image_id") == [1]
    assert dataset.load_saved_view("disagreements").values("image_id") == [1]


def test_app_shows_changed_poses_as_they_were_annotated(
    people: tuple[Path, list[PersonAnnotation]], build: Callable[..., Any]
) -> None:
    from dag.review.dataset import build_dataset

    _, before = people
    visibility = np.array(before[0].visibility)
    visibility[9], source = 3, np.array(before[0].visibility_source)
    source[9] = Source.REVIEWED
    after = [replace(before[0], visibility=visibility, visibility_source=source), *before[1:]]
    dataset = build_dataset("changed", after, {}, COCO17, people[0] / "photos", annotated=before)
    first = dataset.first()
    assert [pose.person_id for pose in first.as_annotated.keypoints] == [10]
    assert first.as_annotated.keypoints[0].visibility[9] == "unlabelled"
    assert first.ground_truth.keypoints[0].visibility[9] == "relabelled"
    assert [len(sample.as_annotated.keypoints) for sample in dataset] == [1, 0, 0, 0]
