"""The review queue as a FiftyOne dataset, and decisions from edits, without a browser."""

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
from tests.review_queue import JOINTS, a_proposal, write_queue, write_review_scene
from tests.review_scene import HEIGHT, WIDTH, import_fiftyone

# FiftyOne and its libraries emit these warnings when they are imported and connect.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
WRIST = Decision(10, "left_wrist", "move", 118.0, 130.0, 3, "self", "bob", "2026-01-01T00:00:00Z")
ELBOW = Decision(40, "left_elbow", "flag", 110.0, 88.8, 1, "person", "bob", "2026-01-02T00:00:00Z")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PersonAnnotation]]:
    folder = tmp_path_factory.mktemp("queue")
    return folder, write_review_scene(folder)


def read(folder: Path, *decisions: Decision, **changes: Any) -> tuple:
    options = {"split": None, "max_persons": 2000} | changes
    return read_queue(folder / "queue.parquet", folder / "annotations.parquet", decisions, **options)


def ids(images: list) -> list[int]:
    return [image.persons[0].image_id for image in images]


def test_only_images_with_proposals_or_decisions_are_loaded(scene: tuple[Path, list[PersonAnnotation]]) -> None:
    folder, _ = scene
    images, skeleton, queued = read(folder)
    assert (ids(images), skeleton, queued) == ([1, 2, 3], COCO17, 6)
    assert [len(image.persons) for image in images] == [2, 2, 2]
    assert [len(image.proposals) for image in images] == [6, 6, 6]
    images, _, queued = read(folder, max_persons=2)
    assert (ids(images), queued) == ([3], 6), "the least certain first"
    assert ids(read(folder, ELBOW, max_persons=2)[0]) == [3, 4], "and images with decisions"


def test_decided_joints_are_not_queued(scene: tuple[Path, list[PersonAnnotation]]) -> None:
    folder, _ = scene
    decisions = [Decision(10, joint, "accept", 9.0, 9.0, 3, "object", "bob", WRIST.time) for joint in JOINTS]
    assert read(folder, *decisions)[2] == 5


def test_malformed_tables_are_errors(scene: tuple[Path, list[PersonAnnotation]], tmp_path: Path) -> None:
    folder, persons = scene
    with pytest.raises(UserError, match=r"queue\.parquet: not a queue of proposals: got .*; run `dvc repro relabel`$"):
        read(tmp_path)
    (tmp_path / "queue.parquet").write_text("no table")
    with pytest.raises(UserError, match="not a queue of proposals"):
        read(tmp_path)
    with pytest.raises(UserError, match=r"not a queue of proposals: expected its columns, got no joint, "):
        read_queue(folder / "annotations.parquet", folder / "annotations.parquet", [], split=None, max_persons=9)
    with pytest.raises(UserError, match=r"no annotations of this split: expected one of \['val'\], got 'train'"):
        read(folder, split="train")
    write_annotations(tmp_path / "annotations.parquet", persons[:2], COCO17)
    write_queue(tmp_path / "queue.parquet", [])
    with pytest.raises(UserError, match=r"queue\.parquet: no joints to review; run `dvc repro relabel`, or choose"):
        read(tmp_path)
    write_queue(
        tmp_path / "queue.parquet", [a_proposal(persons[0], "left_wrist"), a_proposal(persons[4], "left_wrist")]
    )
    with pytest.raises(UserError, match=r"persons of the queue have no annotation: got \[30\]; run `dvc"):
        read(tmp_path)


@pytest.fixture(scope="module")
def build(
    scene: tuple[Path, list[PersonAnnotation]], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[..., Any]:
    """`build_queue_dataset`; FiftyOne is imported only now."""
    state = tmp_path_factory.mktemp("state")
    import_fiftyone(pytestconfig, state)
    from dag.review.queue_dataset import build_queue_dataset

    def built(*decisions: Decision, name: str = "queue", folder: Path = scene[0]) -> Any:
        images, skeleton, _ = read(folder, *decisions)
        journal = state / f"{name}.jsonl"
        return build_queue_dataset(name, images, skeleton, scene[0] / "photos", reviewer="ann", journal=journal)

    return built


def box_of(sample: Any, person_id: int, joint: str) -> Any:
    boxes = [*sample.proposed_joints.detections, *sample.annotated_joints.detections]
    return next(box for box in boxes if (box.person_id, box.label) == (person_id, joint))


def location(box: Any) -> list[float]:
    left, top, width, height = box.bounding_box
    return [(left + width / 2) * WIDTH - 0.5, (top + height / 2) * HEIGHT - 0.5]


def move(box: Any, x: float, y: float) -> None:
    left, top, width, height = box.bounding_box
    box.bounding_box = [left + x / WIDTH, top + y / HEIGHT, width, height]


def test_proposed_and_annotated_joints_are_separate_fields(
    scene: tuple[Path, list[PersonAnnotation]], build: Callable[..., Any]
) -> None:
    sample = build(WRIST).first()
    assert [len(sample[field].detections) for field in ("proposed_joints", "annotated_joints")] == [6, 28]
    assert (sample.queued_joints, sample.decided_joints, sample.uncertainty) == (5, 1, pytest.approx(0.1))
    queued, moved = box_of(sample, 11, "left_wrist"), box_of(sample, 10, "left_wrist")
    assert (queued.decision, queued.visibility, queued.occluder) == ("queued", "relabelled", "object")
    assert location(queued) == pytest.approx([265.0, 121.6])
    assert (moved.decision, moved.occluder, moved.reviewer, moved.time) == ("move", "self", "bob", WRIST.time)
    assert location(moved) == pytest.approx([118.0, 130.0])
    before, after = (np.array(sample[field].keypoints[0].points) for field in ("annotated_pose", "reviewed_pose"))
    assert np.isnan(before[9]).all()
    np.testing.assert_allclose(after[9] * [WIDTH, HEIGHT] - 0.5, [118.0, 130.0])
    assert sample.reviewed_pose.keypoints[0].visibility[9] == "relabelled"
    elbow = box_of(sample, 10, "left_elbow")
    assert (elbow.decision, elbow.visibility) == ("annotated", "visible")
    assert location(elbow) == pytest.approx(scene[1][0].keypoints_xy[7].tolist())


def test_decision_about_a_joint_without_a_proposal_is_shown(build: Callable[..., Any]) -> None:
    sample = build(ELBOW).last()
    elbow = box_of(sample, 40, "left_elbow")
    assert (sample.image_id, elbow.decision, elbow.visibility, elbow.occluder) == (4, "flag", "occluded", "person")


def test_saved_changes_are_decisions_in_the_journal(build: Callable[..., Any], tmp_path: Path) -> None:
    from dag.review.joint_boxes import save_with_decisions

    dataset = build(name="saved")
    journal = Path(dataset.info["journal"])
    sample = dataset.first()
    box_of(sample, 10, "left_wrist").decision = "accept"
    move(box_of(sample, 10, "right_wrist"), 3.0, -4.0)
    box_of(sample, 10, "left_ankle").decision = "reject"
    box_of(sample, 11, "left_elbow").visibility = "occluded"
    save_with_decisions(sample, sample.save)
    saved = {each.key: (each.action, *each.label, each.reviewer) for each in read_lines(journal)}
    x, y = location(box_of(dataset.first(), 10, "right_wrist"))
    assert saved == {
        (10, "left_wrist"): ("accept", 115.0, 121.6, 3, "object", "ann"),
        (10, "right_wrist"): ("move", pytest.approx(x, abs=0.01), pytest.approx(y, abs=0.01), 3, "object", "ann"),
        (10, "left_ankle"): ("reject", 0.0, 0.0, 0, "unknown", "ann"),
        (11, "left_elbow"): ("flag", 260.0, 88.8, 1, "unknown", "ann"),
    }
    assert (dataset.first().queued_joints, dataset.first().decided_joints) == (3, 4)
    save_with_decisions(sample, sample.save)
    assert len(read_lines(journal)) == 4, "no new decision"
    sample = dataset.first()
    wrist = box_of(sample, 10, "right_wrist")
    move(wrist, -3.0, 4.0)
    save_with_decisions(sample, sample.save)
    assert read_lines(journal)[-1].action == "withdraw"
    assert (wrist.decision, wrist.reviewer) == ("queued", None)


def test_undo_sends_an_older_box_and_withdraws_the_decision(build: Callable[..., Any]) -> None:
    from dag.review.joint_boxes import save_with_decisions

    dataset = build(name="undone")
    sample = dataset.first()
    wrist = box_of(sample, 10, "left_wrist")
    older = {name: wrist[name] for name in ("bounding_box", "visibility", "decision", "reviewer", "time", "last_saved")}
    move(wrist, 3.0, 0.0)
    wrist.visibility = "visible"
    save_with_decisions(sample, sample.save)
    for name, value in older.items():
        wrist[name] = value
    save_with_decisions(sample, sample.save)
    assert [each.action for each in read_lines(dataset.info["journal"])] == ["flag", "withdraw"]
    stored = box_of(dataset.first(), 10, "left_wrist")
    assert (stored.decision, stored.reviewer, stored.visibility) == ("queued", None, "relabelled")
    stored.reviewer, stored.decision = "other", "move"
    save_with_decisions(sample, sample.save)
    assert (stored.reviewer, stored.decision) == (None, "queued"), "read-only for browsers"
    assert len(read_lines(dataset.info["journal"])) == 2


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        ("deleted", "cannot be added or deleted"),
        ("added", "cannot be added or deleted"),
        ("renamed", "cannot be changed"),
        ("outside", "outside the image"),
    ],
)
def test_edits_that_are_not_allowed_are_refused(build: Callable[..., Any], edit: str, text: str) -> None:
    import fiftyone as fo

    from dag.review.joint_boxes import save_with_decisions

    dataset = build(name="refused")
    sample = dataset.first()
    box = sample.proposed_joints.detections[0]
    if edit == "deleted":
        sample.proposed_joints.detections.pop()
    elif edit == "added":
        sample.proposed_joints.detections.append(fo.Detection(label="nose", bounding_box=[0.1, 0.1, 0.1, 0.1]))
    elif edit == "renamed":
        box.label = "nose"
    else:
        move(box, -200.0, 0.0)
    with pytest.raises(ValueError, match=text):
        save_with_decisions(sample, sample.save)
    assert not Path(dataset.info["journal"]).exists()


def test_views_follow_the_decisions(scene: tuple[Path, list[PersonAnnotation]], build: Callable[..., Any]) -> None:
    dataset = build(WRIST, ELBOW)
    views = {name: dataset.load_saved_view(name).values("image_id") for name in dataset.list_saved_views()}
    assert views["queue"] == [3, 2, 1]
    assert views["moved or flagged"] == [1, 4]
    assert views["rejected"] == views["accepted"] == views["model disagreement"] == []
    assert views["left wrist"] == [3, 2, 1]
    assert views["nose"] == []
    assert views["occluded by object"] == [3, 2, 1]
    assert views["occluded by person"] == []


def test_decisions_in_the_queue_table_are_not_proposals(
    scene: tuple[Path, list[PersonAnnotation]], build: Callable[..., Any], tmp_path: Path
) -> None:
    _, persons = scene
    write_annotations(tmp_path / "annotations.parquet", persons, COCO17)
    flag = {"decision": "flag", "visibility": 1, "visibility_before": 2, "x": ELBOW.x, "y": ELBOW.y}
    rejected = a_proposal(persons[6], "left_wrist", decision="reject", visibility=0, x=0.0, y=0.0)
    proposals = [{**a_proposal(persons[6], "left_wrist"), "joint": "left_elbow", **flag}, rejected]
    write_queue(tmp_path / "queue.parquet", proposals)
    reject = replace(ELBOW, joint="left_wrist", action="reject", x=0.0, y=0.0, visibility=0, occluder="unknown")
    images, skeleton, queued = read(tmp_path, ELBOW, reject)
    assert ([len(image.proposals) for image in images], skeleton, queued) == ([0], COCO17, 0)


def test_persons_of_two_splits_with_one_id_are_an_error(
    scene: tuple[Path, list[PersonAnnotation]], tmp_path: Path
) -> None:
    _, persons = scene
    write_annotations(
        tmp_path / "annotations.parquet", [*persons, *(replace(each, split="train") for each in persons)], COCO17
    )
    write_queue(tmp_path / "queue.parquet", [a_proposal(persons[0], "left_wrist")])
    with pytest.raises(UserError, match="person ids are not unique; choose one split with --split"):
        read(tmp_path)
    assert ids(read(tmp_path, split="val")[0]) == [1]


def test_automatically_accepted_proposals_are_marked(
    scene: tuple[Path, list[PersonAnnotation]], build: Callable[..., Any], tmp_path: Path
) -> None:
    _, persons = scene
    write_annotations(tmp_path / "annotations.parquet", persons, COCO17)
    proposals = [
        a_proposal(persons[0], "left_wrist", decision="accepted"),
        a_proposal(persons[0], "right_wrist", disagreement=2.5),
    ]
    write_queue(tmp_path / "queue.parquet", [*proposals, a_proposal(persons[2], "left_wrist")])
    dataset = build(name="stage", folder=tmp_path)
    assert dataset.first().queued_joints == 1
    assert box_of(dataset.first(), 10, "left_wrist").decision == "automatic"
    assert np.isfinite(dataset.first().reviewed_pose.keypoints[0].points[9]).all()
    assert np.isnan(dataset.first().reviewed_pose.keypoints[0].points[10]).all()
    assert dataset.load_saved_view("accepted automatically").values("image_id") == [1]
    assert dataset.load_saved_view("model disagreement").values("image_id") == [1]


def test_dataset_has_the_original_annotations_of_relabelled_persons(
    scene: tuple[Path, list[PersonAnnotation]], build: Callable[..., Any]
) -> None:
    from dag.review.dataset import build_dataset

    _, before = scene
    visibility = np.array(before[0].visibility)
    visibility[9], source = 3, np.array(before[0].visibility_source)
    source[9] = Source.REVIEWED
    after = [replace(before[0], visibility=visibility, visibility_source=source), *before[1:]]
    dataset = build_dataset("changed", after, {}, COCO17, scene[0] / "photos", annotated=before)
    first = dataset.first()
    assert [pose.person_id for pose in first.original_annotations.keypoints] == [10]
    assert first.original_annotations.keypoints[0].visibility[9] == "unlabelled"
    assert first.ground_truth.keypoints[0].visibility[9] == "relabelled"
    assert [len(sample.original_annotations.keypoints) for sample in dataset] == [1, 0, 0, 0]
