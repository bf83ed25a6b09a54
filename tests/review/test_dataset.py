"""`build_dataset`: fields, labels, views and colours, read back from FiftyOne."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest

from dag.annotation import PersonAnnotation
from dag.errors import UserError
from dag.evaluation.coco.arrays import ground_truth_of, results_by_output
from dag.evaluation.coco.oks import oks
from dag.prediction import Prediction
from dag.report.experiments import Experiment, ProtocolAnnotations
from dag.skeleton import COCO17
from tests.review_scene import HEIGHT, SHIFTS, WIDTH, Scene, import_fiftyone, write_scene

# FiftyOne and its libraries emit these warnings when they are imported and connect.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_scene(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def build(scene: Scene, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Callable[..., Any]:
    """`build_dataset`; FiftyOne is imported only now."""
    import_fiftyone(pytestconfig, tmp_path_factory.mktemp("state"))
    from dag.review.dataset import build_dataset

    def built(
        persons: list[PersonAnnotation], predictions: list[Prediction], root: Path | None = None, **options: Any
    ) -> Any:
        outputs, name = results_by_output(predictions, COCO17), options.pop("name", "tiny")
        return build_dataset(name, persons, outputs, COCO17, root or scene.folder / "photos", **options)

    return built


@pytest.fixture(scope="module")
def dataset(scene: Scene, build: Callable[..., Any]) -> Any:
    return build(scene.persons, scene.predictions)


def labels_of(dataset: Any, field: str) -> dict[int, Any]:
    """Labels of a field by person id."""
    labels = [label for sample in dataset for label in sample[field][sample[field]._LABEL_LIST_FIELD]]
    return {label.person_id: label for label in labels}


def test_every_image_is_a_sample_with_its_metrics(scene: Scene, dataset: Any) -> None:
    samples = list(dataset)
    assert [sample.filepath for sample in samples] == [str(scene.folder / f"photos/val/{n}.png") for n in (1, 2, 3)]
    assert [sample.tags for sample in samples] == [["val"]] * 3
    assert [(sample.metadata.width, sample.metadata.height) for sample in samples] == [(WIDTH, HEIGHT)] * 3
    assert [sample.num_persons for sample in samples] == [2, 2, 2]
    assert [sample.relabelled_joints for sample in samples] == [2, 4, 0]
    assert [sample.occlusion_ratio for sample in samples] == pytest.approx([5 / 32, 21 / 34, 0])


def test_ground_truth_has_nan_for_unlabelled_joints_and_names_visibility_and_occluder(
    scene: Scene, dataset: Any
) -> None:
    gt = labels_of(dataset, "ground_truth")
    assert set(gt) == {10, 11, 20, 21, 30, 31}
    points = np.array(gt[10].points)
    person = scene.persons[0]
    assert np.isnan(points[[3, 4]]).all()
    labelled = person.visibility > 0
    np.testing.assert_allclose(points[labelled] * [WIDTH, HEIGHT] - 0.5, person.keypoints_xy[labelled])
    assert gt[10].visibility[:6] == ["occluded"] * 3 + ["unlabelled"] * 2 + ["visible"]
    assert gt[10].occluder[:6] == ["person"] * 3 + ["none"] * 3
    assert gt[11].visibility[:3] == ["relabelled", "relabelled", "visible"]
    classes = [gt[number].label for number in sorted(gt)]
    assert classes == ["partly occluded"] * 2 + ["mostly occluded"] * 2 + ["visible"] * 2


@pytest.mark.parametrize("output", list(SHIFTS))
def test_predictions_have_oks_and_errors(scene: Scene, dataset: Any, output: str) -> None:
    labels = labels_of(dataset, output)
    chosen = [p for p in scene.predictions if p.output == output]
    assert set(labels) == {p.person_id for p in chosen}
    for person, prediction in zip(scene.persons, chosen):
        label = labels[person.person_id]
        area = np.array(person.area)
        expected = oks(prediction.keypoints_xy, person.keypoints_xy, person.visibility, area, COCO17.sigma_array).item()
        assert label.oks == pytest.approx(expected, abs=1e-12)
        distance = np.full(17, SHIFTS[output] + 2.0 * person.image_id)
        distance[person.visibility == 0] = np.nan
        np.testing.assert_allclose(label.error, distance / np.sqrt(person.area), atol=5e-5)
        np.testing.assert_allclose(label.confidence, prediction.joint_scores, atol=5e-5)
        assert np.isfinite(label.points).all()
        assert label.score == prediction.score


@pytest.fixture(scope="module")
def mistaken(scene: Scene, build: Callable[..., Any]) -> Any:
    """Outputs "before", exact, and "after", in which person 10 has one joint of each error kind."""
    before = [
        replace(p, output="before", keypoints_xy=q.keypoints_xy) for p, q in zip(scene.predictions, scene.persons)
    ]
    wrong = before[0].keypoints_xy.copy()
    wrong[9] = scene.persons[1].keypoints_xy[9]
    wrong[13] = scene.persons[0].keypoints_xy[14]
    wrong[0] = [300.0, 5.0]
    after = [replace(before[0], output="after", keypoints_xy=wrong), *(replace(p, output="after") for p in before[1:6])]
    lost = replace(after[5], person_id=-1, image_id=3, keypoints_xy=np.zeros((17, 2)))
    after = [replace(pose, person_id=-1) for pose in after]
    return build(scene.persons, [*before[:6], *after, lost], name="mistaken", compared=("before", "after"))


def test_poses_have_error_kinds(mistaken: Any) -> None:
    label = labels_of(mistaken, "after")[10]
    kinds = {COCO17.joints[joint]: kind for joint, kind in enumerate(label.error_kind) if kind not in ("good", "none")}
    assert kinds == {"left_wrist": "swap", "left_knee": "inversion", "nose": "miss"}
    assert [joint for joint, kind in enumerate(label.error_kind) if kind == "none"] == [3, 4]
    assert (label.swap_joints, label.inversion_joints, label.miss_joints, label.swapped_with) == (1, 1, 1, 11)
    assert label.strata == ["occluded_third"]
    assert labels_of(mistaken, "after")[11].swapped_with is None


def test_unmatched_pose_is_labelled_as_such(mistaken: Any) -> None:
    labels = [label for label in mistaken.match({"image_id": 3}).first().after.keypoints if label.person_id is None]
    assert [(label.label, label.oks, label.strata) for label in labels] == [("unmatched", None, [])]


def test_compared_poses_have_the_change_of_oks(mistaken: Any) -> None:
    label, before = labels_of(mistaken, "after")[10], labels_of(mistaken, "before")[10]
    assert label.oks_change == pytest.approx(label.oks - before.oks)
    assert label.oks_change < -0.1
    assert mistaken.values("oks_change") == pytest.approx([label.oks_change, 0, 0])
    assert mistaken.load_saved_view("OKS decreased").values("after.keypoints.person_id") == [[10]]
    assert mistaken.load_saved_view("OKS increased").values("image_id") == []
    assert mistaken.app_config.active_fields.paths == ["ground_truth", "before", "after", "oks_change"]


@pytest.mark.parametrize("name", ["swaps", "inversions", "misses"])
def test_views_contain_only_poses_with_the_error(mistaken: Any, name: str) -> None:
    assert mistaken.load_saved_view(name).values("after.keypoints.person_id") == [[10]]


def test_views_contain_only_poses_of_the_stratum(mistaken: Any) -> None:
    view = mistaken.load_saved_view("occluded most")
    assert view.values("after.keypoints.person_id") == [[20]]
    assert view.values("image_id") == [2]


@pytest.mark.parametrize(
    ("names", "fields"), [(("main", "runs/no-adam"), ("main", "no_adam")), (("a/x", "b/x"), ("first", "second"))]
)
def test_experiments_are_loaded_as_outputs(
    scene: Scene, build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, names: tuple, fields: tuple
) -> None:
    import fiftyone as fo

    from dag.review.server import DATASET, load_experiments

    gt = ground_truth_of(scene.persons, COCO17)
    root = str(scene.folder / "photos")
    annotations = ProtocolAnnotations("tiny_val", "tiny", "val", "annotated", root, scene.persons, gt, COCO17)
    results = results_by_output(scene.predictions, COCO17)
    experiments = [
        Experiment(name, None, output, annotations, results[output])
        for name, output in zip(names, ("heatmap", "graph"))
    ]
    monkeypatch.setattr("dag.report.experiments.read_experiments", lambda *_: experiments)
    load_experiments(list(names), None, None)
    dataset = fo.load_dataset(DATASET)
    assert dataset.app_config.active_fields.paths == ["ground_truth", *fields, "oks_change"]
    assert set(labels_of(dataset, fields[1])) == {10, 11, 20, 21, 30, 31}
    assert all(change > 0 for change in dataset.values("oks_change"))


def test_worst_oks_is_the_lowest_of_the_headline_output(dataset: Any) -> None:
    for sample in dataset:
        assert sample.worst_oks == min(label.oks for label in sample.graph.keypoints)


def test_boxes_and_masks_cover_the_persons(scene: Scene, dataset: Any) -> None:
    boxes = labels_of(dataset, "boxes")
    masks = labels_of(dataset, "segmentation")
    assert {number: box.label for number, box in boxes.items()} == {
        **dict.fromkeys((10, 11, 20, 21, 30, 31), "person"),
        99: "crowd",
    }
    assert set(masks) == set(boxes) - {99}
    size = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    for person in scene.persons[:6]:
        np.testing.assert_allclose(np.array(boxes[person.person_id].bounding_box) * size, person.bbox_xywh)
        mask = masks[person.person_id]
        left, top, width, height = np.round(np.array(mask.bounding_box) * size).astype(int)
        whole = np.zeros((HEIGHT, WIDTH), dtype=bool)
        whole[top : top + height, left : left + width] = mask.mask
        assert person.segmentation is not None
        rle: Any = {"size": [HEIGHT, WIDTH], "counts": person.segmentation.encode()}
        assert (whole == pycocotools.mask.decode(rle)).all()


def test_relabelled_joints_are_a_separate_field(dataset: Any) -> None:
    relabelled = labels_of(dataset, "relabelled")
    shown = {number: np.flatnonzero(~np.isnan(np.array(label.points)[:, 0])) for number, label in relabelled.items()}
    assert {number: list(joints) for number, joints in shown.items()} == {11: [0, 1], 21: [5, 6, 7, 8]}


def test_documents_equal_those_of_fiftyone(scene: Scene, dataset: Any) -> None:
    import fiftyone as fo

    from dag.review import labels

    person = scene.persons[0]
    box, mask = labels.box_label(person), labels.mask_label(person)
    assert mask is not None
    pose = labels.prediction_label(
        person, person.keypoints_xy, np.ones(17), score=0.5, person=person, oks=0.7, kinds=np.ones(17, dtype=np.int8),
        swapped_with=11, strata=["occluded_third"],
    )  # fmt: skip
    documents = [labels.ground_truth_label(person), pose, box]
    for ours in documents:
        assert ours is not None
        fields = {name: value for name, value in ours.items() if not name.startswith("_")}
        written = getattr(fo, ours["_cls"])(**fields).to_dict()
        theirs = {name: value for name, value in written.items() if value is not None}
        assert set(theirs) == set(ours)
        for name in set(theirs) - {"_id"}:
            assert repr(theirs[name]) == repr(ours[name]), name
    packed = fo.Detection(mask=labels_of(dataset, "segmentation")[10].mask).to_dict()
    assert packed["mask"] == mask["mask"]
    value = labels.label_list("Keypoints", [None, documents[0]])
    assert sorted(value) == sorted(fo.Keypoints(keypoints=[]).to_dict())


def test_saved_views_are_sorted_worst_first(dataset: Any) -> None:
    def images(name: str) -> list[int]:
        return dataset.load_saved_view(name).values("image_id")

    strata = ["occluded most", "occluded none", "occluded third", "occluded two thirds"]
    kinds = ["swaps", "inversions", "misses"]
    assert dataset.list_saved_views() == ["worst OKS", *kinds, *strata, "most occluded", "relabelled"]
    assert images("worst OKS") == [3, 2, 1]
    assert images("most occluded") == [2, 1]
    assert images("relabelled") == [2, 1]


def test_skeleton_and_colors_are_set(dataset: Any) -> None:
    assert dataset.skeletons["ground_truth"].labels == list(COCO17.joints)
    assert dataset.skeletons["graph"].edges == COCO17.bone_index.tolist()
    colors = {entry["path"]: entry["fieldColor"] for entry in dataset.app_config.color_scheme.fields}
    assert set(colors) == {"ground_truth", *SHIFTS, "relabelled", "original_annotations", "boxes", "segmentation"}
    assert len(set(colors.values())) == len(colors)
    assert dataset.app_config.active_fields.paths == ["ground_truth", "graph", "worst_oks"]


def test_without_predictions_only_annotations_are_shown(scene: Scene, build: Callable[..., Any]) -> None:
    other = build(scene.persons, [])
    assert not other.has_field("worst_oks")
    assert other.list_saved_views() == ["most occluded", "relabelled"]
    assert other.app_config.active_fields.paths == ["ground_truth"]
    assert len(labels_of(other, "ground_truth")) == 6
    build(scene.persons, scene.predictions)


def test_prediction_of_an_unknown_person_is_an_error(scene: Scene, build: Callable[..., Any]) -> None:
    unknown = replace(scene.predictions[0], person_id=777)
    text = "^prediction of output 'graph', image 1, person 777: unknown person: expected a person of the annotations; "
    with pytest.raises(UserError, match=text):
        build(scene.persons, [unknown])


def test_two_predictions_of_one_person_are_an_error(scene: Scene, build: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="person 10: duplicate prediction: expected one prediction per person"):
        build(scene.persons, [scene.predictions[0], scene.predictions[0]])


@pytest.mark.parametrize("name", ["ground_truth", "worst_oks", "my.model", ""])
def test_output_with_a_reserved_name_is_an_error(scene: Scene, build: Callable[..., Any], name: str) -> None:
    with pytest.raises(UserError, match="invalid name of an output: expected a word, none of ground_truth"):
        build(scene.persons, [replace(scene.predictions[0], output=name)])


def test_two_annotations_with_one_id_are_an_error(scene: Scene, build: Callable[..., Any]) -> None:
    with pytest.raises(
        UserError, match=r"person ids are not unique: .* got 8 annotations with 7 ids; choose one split"
    ):
        build([*scene.persons, scene.persons[0]], [])


def test_missing_image_is_an_error(scene: Scene, build: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"val/1\.png: missing image; check the data root"):
        build(scene.persons, [], tmp_path)
    with pytest.raises(UserError, match="file name leaves the data root"):
        build([replace(scene.persons[0], image_path="../../etc/passwd")], [])
