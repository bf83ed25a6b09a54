"""Error diagnosis on planted errors of known kinds, and against a plain loop over joints."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from dag.annotation import Occluder
from dag.evaluation.coco.arrays import GroundTruth, Results, ground_truth_of
from dag.evaluation.coco.files import read_ground_truth, read_results
from dag.evaluation.coco.matching import assigned_persons
from dag.evaluation.diagnosis import CLOSE, GOOD, Diagnosis, ErrorKind, corrected, diagnose, diagnosis_metrics
from dag.evaluation.strata import joint_masks
from dag.skeleton import COCO17, CROWDPOSE14, Skeleton

LONE = Skeleton("lone", ("tail", "left_fin", "right_fin"), (("left_fin", "right_fin"),), (), (0.05, 0.1, 0.06))
AREA = 1e4


def crowd(skeleton: Skeleton, count: int, per_image: int = 2, seed: int = 0) -> GroundTruth:
    """Persons in random order, all joints labelled, at least 60 px apart and 700 px from other persons' joints."""
    rng = np.random.default_rng(seed)
    joint = np.arange(len(skeleton))
    cell_xy = np.stack([joint % 5, joint // 5], -1) * 60.0
    number = rng.permutation(count)
    visibility = rng.integers(1, 4, (count, len(skeleton))).astype(np.int8)
    return GroundTruth(
        image_ids=np.arange(1 + count // per_image),
        image_id=number // per_image,
        person_id=1000 + number,
        keypoints_xy=cell_xy + np.stack([number % per_image * 1000.0, 0.0 * number], -1)[:, None],
        visibility=visibility,
        area=np.full(count, AREA),
        bbox_xywh=np.tile([0.0, 0.0, 240.0, 240.0], (count, 1)),
        is_crowd=np.zeros(count, dtype=bool),
        num_keypoints=np.full(count, len(skeleton)),
        source=np.ones_like(visibility),
        occluder=(rng.integers(0, 5, visibility.shape) * (visibility != 2)).astype(np.int8),
        crowd_index=rng.random(count // per_image + 1)[number // per_image],
        max_iou=np.full(count, np.nan),
    )


def results_at(gt: GroundTruth, keypoints_xy: np.ndarray) -> Results:
    """One result per person, in the same order."""
    no_person = np.full(len(gt), -1)
    return Results(gt.image_id, no_person, keypoints_xy, np.ones(keypoints_xy.shape[:2]), np.ones(len(gt)))


def metrics_of(gt: GroundTruth, diagnosis: Diagnosis, skeleton: Skeleton) -> dict[str, Any]:
    return diagnosis_metrics(gt, diagnosis, joint_masks(gt, skeleton))


def distance(similarity, sigmas: np.ndarray):
    """Pixels at which a joint has this similarity to the ground truth."""
    return 2 * sigmas * np.sqrt(-2 * np.log(similarity) * AREA)


def plant(gt: GroundTruth, kind: np.ndarray, skeleton: Skeleton, seed: int = 0) -> tuple[Results, np.ndarray]:
    """Results with these errors, persons being in pairs, and the person that each swapped joint belongs to."""
    rng = np.random.default_rng(seed)
    mirror, sigmas = skeleton.flip_index, skeleton.sigma_array
    number = gt.person_id - 1000
    index = np.empty(len(gt), dtype=int)
    index[number] = np.arange(len(gt))
    partner = index[number ^ 1]
    others = gt.keypoints_xy[partner]
    others = np.where(rng.random(kind.shape)[..., None] < 0.5, others, others[:, mirror])
    target = np.select(
        [(kind == ErrorKind.INVERSION)[..., None], (kind == ErrorKind.SWAP)[..., None]],
        [gt.keypoints_xy[:, mirror], others],
        gt.keypoints_xy,
    )
    similarity = rng.uniform(np.where(kind == ErrorKind.GOOD, 0.851, 0.51), np.where(kind == ErrorKind.JITTER, 0.84, 1))
    angle = rng.uniform(0, 2 * np.pi, kind.shape)
    off = distance(similarity, sigmas)[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    away = np.where(kind == ErrorKind.MISS, 400.0, 0.0)[..., None] * [0, 1]
    owner = np.where(kind == ErrorKind.SWAP, partner[:, None], -1)
    return results_at(gt, target + off + away), owner


def drawn(skeleton: Skeleton, count: int, rates: dict[ErrorKind, float], seed: int = 0) -> np.ndarray:
    """Random kinds at these rates; joints without another side are good instead of inverted."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(list(rates), (count, len(skeleton)), p=list(rates.values()))
    lone = skeleton.flip_index == np.arange(len(skeleton))
    return np.where((kind == ErrorKind.INVERSION) & lone, ErrorKind.GOOD, kind)


MIXES = [
    dict(zip(ErrorKind, (0.5, 0.2, 0.1, 0.15, 0.05))),
    dict(zip(ErrorKind, (0.9, 0.04, 0.03, 0.02, 0.01))),
    dict(zip(ErrorKind, (0.0, 0.0, 0.3, 0.5, 0.2))),
]


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14, LONE], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("rates", [*MIXES, *({kind: 1.0} for kind in ErrorKind)])
def test_planted_kinds_are_diagnosed_at_their_rate(skeleton, rates):
    gt = crowd(skeleton, 6000)
    kind = drawn(skeleton, 6000, rates)
    results, owner = plant(gt, kind, skeleton)
    diagnosis = diagnose(gt, results, np.arange(6000), skeleton)
    np.testing.assert_array_equal(diagnosis.kind, kind)
    np.testing.assert_array_equal(diagnosis.swapped_with, owner)
    metrics = metrics_of(gt, diagnosis, skeleton)
    assert metrics["all"]["joints"] == kind.size
    for name, j in ((name, skeleton.joints.index(name)) for pair in skeleton.pairs for name in pair):
        for code in ErrorKind:
            assert metrics[f"joint_{name}"][code.name.lower()] == pytest.approx((kind[:, j] == code).mean())
    sided = np.flatnonzero(skeleton.flip_index != np.arange(len(skeleton)))
    for code in ErrorKind:
        ratio = np.mean([metrics[f"joint_{skeleton.joints[j]}"][code.name.lower()] for j in sided])
        assert ratio == pytest.approx(rates.get(code, 0.0), abs=0.01)


def one(gt: GroundTruth, person: int, joint: int, xy) -> tuple[ErrorKind, int]:
    """Kind of a joint predicted at `xy`, all others being exact, and the person it was swapped with."""
    keypoints_xy = gt.keypoints_xy.copy()
    keypoints_xy[person, joint] = xy
    diagnosis = diagnose(gt, results_at(gt, keypoints_xy), np.arange(len(gt)), COCO17)
    others = np.ones(diagnosis.kind.shape, dtype=bool)
    others[person, joint] = False
    assert set(diagnosis.kind[others]) <= {-1, ErrorKind.GOOD}
    return ErrorKind(diagnosis.kind[person, joint]), int(diagnosis.swapped_with[person, joint])


def changed(gt: GroundTruth, name: str, index, value) -> GroundTruth:
    array = getattr(gt, name).copy()
    array[index] = value
    return replace(gt, **{name: array})


NOSE, LEFT_HIP, RIGHT_HIP = (COCO17.joints.index(name) for name in ("nose", "left_hip", "right_hip"))


@pytest.mark.parametrize(
    ("similarity", "kind"),
    [
        (GOOD + 1e-9, ErrorKind.GOOD),
        (GOOD - 1e-9, ErrorKind.JITTER),
        (CLOSE + 1e-9, ErrorKind.JITTER),
        (CLOSE - 1e-9, ErrorKind.MISS),
    ],
)
def test_thresholds_of_good_and_jitter(similarity, kind):
    gt = crowd(COCO17, 2)
    off = distance(similarity, COCO17.sigma_array)[NOSE]
    assert one(gt, 0, NOSE, gt.keypoints_xy[0, NOSE] - [off, 0]) == (kind, -1)


@pytest.mark.parametrize(("similarity", "kinds"), [(CLOSE + 1e-9, (2, 3)), (CLOSE - 1e-9, (4, 4))])
def test_thresholds_of_inversion_and_swap(similarity, kinds):
    gt = crowd(COCO17, 2)
    off = [0, distance(similarity, COCO17.sigma_array)[LEFT_HIP]]
    assert one(gt, 0, LEFT_HIP, gt.keypoints_xy[0, RIGHT_HIP] + off)[0] == kinds[0]
    assert one(gt, 0, LEFT_HIP, gt.keypoints_xy[1, RIGHT_HIP] + off)[0] == kinds[1]
    assert one(gt, 0, LEFT_HIP, gt.keypoints_xy[1, LEFT_HIP] + off)[0] == kinds[1]


def test_joints_of_another_name_are_misses():
    gt = crowd(COCO17, 2)
    assert one(gt, 0, LEFT_HIP, gt.keypoints_xy[0, NOSE])[0] == ErrorKind.MISS
    assert one(gt, 0, LEFT_HIP, gt.keypoints_xy[1, NOSE])[0] == ErrorKind.MISS


def test_the_more_similar_of_inversion_and_swap():
    gt = crowd(COCO17, 2)
    mirrored = gt.keypoints_xy[0, RIGHT_HIP]
    tied = changed(gt, "keypoints_xy", (1, LEFT_HIP), mirrored)
    assert one(tied, 0, LEFT_HIP, mirrored + [4, 0]) == (ErrorKind.INVERSION, -1)
    beside = changed(gt, "keypoints_xy", (1, LEFT_HIP), mirrored + [0, 9])
    assert one(beside, 0, LEFT_HIP, mirrored + [0, 5]) == (ErrorKind.SWAP, 1)
    assert one(beside, 0, LEFT_HIP, mirrored + [0, 4]) == (ErrorKind.INVERSION, -1)
    unlabelled = changed(tied, "visibility", (0, RIGHT_HIP), 0)
    assert one(unlabelled, 0, LEFT_HIP, mirrored) == (ErrorKind.SWAP, 1)


def test_the_own_joint_takes_precedence():
    gt = crowd(COCO17, 2)
    own = gt.keypoints_xy[0, LEFT_HIP]
    near = own + [0, distance(0.6, COCO17.sigma_array)[LEFT_HIP]]
    gt = changed(gt, "keypoints_xy", (1, LEFT_HIP), near)
    assert one(gt, 0, LEFT_HIP, near) == (ErrorKind.JITTER, -1)


def test_ties_of_swaps_are_resolved_by_the_first_person():
    gt = crowd(COCO17, 6, per_image=6)
    xy = np.array([3000.0, 0.0])
    for person in (5, 2, 4):
        gt = changed(gt, "keypoints_xy", (person, LEFT_HIP), xy)
    assert one(gt, 1, LEFT_HIP, xy) == (ErrorKind.SWAP, 2)
    assert one(gt, 1, RIGHT_HIP, xy) == (ErrorKind.SWAP, 2)


@pytest.mark.parametrize(
    ("name", "index", "value"),
    [("visibility", (1, NOSE), 0), ("is_crowd", 1, True), ("image_id", 1, 77)],
    ids=["unlabelled", "crowd region", "another image"],
)
def test_no_swaps_with_unlabelled_joints_crowd_regions_and_other_images(name, index, value):
    gt = crowd(COCO17, 2)
    xy = gt.keypoints_xy[1, NOSE]
    assert one(changed(gt, "visibility", (1, NOSE), 1), 0, NOSE, xy) == (ErrorKind.SWAP, 1)
    assert one(changed(gt, name, index, value), 0, NOSE, xy) == (ErrorKind.MISS, -1)


def test_swaps_are_measured_at_the_other_persons_scale():
    gt = crowd(COCO17, 2)
    off = gt.keypoints_xy[1, NOSE] + [distance(0.4, COCO17.sigma_array)[NOSE], 0]
    assert one(gt, 0, NOSE, off)[0] == ErrorKind.MISS
    assert one(changed(gt, "area", 1, 4 * AREA), 0, NOSE, off) == (ErrorKind.SWAP, 1)


def mess(seed: int) -> tuple[GroundTruth, Results, np.ndarray]:
    """Dense groups of small and large persons with errors of all kinds, unlabelled joints, crowd regions, no result."""
    rng = np.random.default_rng(seed)
    P, J = 160, len(COCO17)
    visibility = (rng.integers(0, 4, (P, J)) * (rng.random((P, 1)) < 0.9)).astype(np.int8)
    gt = replace(
        crowd(COCO17, P, seed=seed),
        image_id=rng.integers(0, 40, P),
        keypoints_xy=rng.uniform(0, 120, (P, J, 2)) * (visibility > 0)[..., None],
        visibility=visibility,
        area=rng.uniform(300, 9000, P),
        is_crowd=rng.random(P) < 0.1,
        num_keypoints=(visibility > 0).sum(1),
    )
    person_of = np.concatenate([rng.permutation(P)[: P - 20], np.full(50, -1)])
    rng.shuffle(person_of)
    keypoints_xy = rng.uniform(0, 120, (len(person_of), J, 2))
    near = (rng.random(keypoints_xy.shape[:2]) < 0.4) & (person_of >= 0)[:, None]
    keypoints_xy[near] = gt.keypoints_xy[person_of][near] + rng.normal(0, 3, (near.sum(), 2))
    no_person = np.full(len(person_of), -1)
    image_id = np.where(person_of >= 0, gt.image_id[person_of], 0)
    return gt, Results(image_id, no_person, keypoints_xy, np.ones(near.shape), np.ones(len(no_person))), person_of


def by_loops(gt: GroundTruth, results: Results, person_of: np.ndarray, skeleton: Skeleton) -> Diagnosis:
    """As `diagnose`, joint by joint."""
    shape = (len(results), len(skeleton))
    diagnosis = Diagnosis(person_of.copy(), np.full(shape, -1, np.int8), np.full(shape, np.nan), np.full(shape, -1))
    for d, p in enumerate(person_of):
        if p < 0 or gt.is_crowd[p] or gt.num_keypoints[p] == 0:
            diagnosis.person[d] = -1
            continue
        others = [q for q in np.flatnonzero(gt.image_id == gt.image_id[p]) if q != p and not gt.is_crowd[q]]
        for j in range(len(skeleton)):

            def toward(q, k, xy=results.keypoints_xy[d, j], sigma=skeleton.sigmas[j]):
                if gt.visibility[q, k] == 0:
                    return -1.0
                square = math.dist(xy, gt.keypoints_xy[q, k]) ** 2
                return math.exp(-square / (2 * gt.area[q] * (2 * sigma) ** 2))

            own, m = toward(p, j), int(skeleton.flip_index[j])
            if own < 0:
                continue
            diagnosis.similarity[d, j] = own
            theirs = max(((max(toward(q, j), toward(q, m)), -q) for q in others), default=(-1.0, 0))
            if own >= 0.5:
                kind = ErrorKind.GOOD if own >= 0.85 else ErrorKind.JITTER
            elif max(toward(p, m), theirs[0]) < 0.5:
                kind = ErrorKind.MISS
            else:
                kind = ErrorKind.INVERSION if toward(p, m) >= theirs[0] else ErrorKind.SWAP
            diagnosis.kind[d, j] = kind
            diagnosis.swapped_with[d, j] = -theirs[1] if kind == ErrorKind.SWAP else -1
    return diagnosis


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_a_plain_loop(seed):
    gt, results, person_of = mess(seed)
    before = person_of.copy()
    diagnosis, expected = diagnose(gt, results, person_of, COCO17), by_loops(gt, results, person_of, COCO17)
    for field in ("person", "kind", "swapped_with"):
        np.testing.assert_array_equal(getattr(diagnosis, field), getattr(expected, field))
    np.testing.assert_allclose(diagnosis.similarity, expected.similarity, rtol=1e-12)
    assert set(np.unique(diagnosis.kind)) == {-1, *ErrorKind}
    np.testing.assert_array_equal(person_of, before)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_correction_removes_exactly_that_kind(kind):
    gt, results, person_of = mess(1)
    before = results.keypoints_xy.copy()
    diagnosis = diagnose(gt, results, person_of, COCO17)
    repaired = corrected(gt, results, diagnosis, kind)
    np.testing.assert_array_equal(results.keypoints_xy, before)
    of_kind = diagnosis.kind == kind
    np.testing.assert_array_equal(repaired.keypoints_xy[~of_kind], before[~of_kind])
    after = diagnose(gt, repaired, person_of, COCO17)
    np.testing.assert_array_equal(after.kind, np.where(of_kind, ErrorKind.GOOD, diagnosis.kind))
    assert (after.similarity[of_kind] == 1).all()
    np.testing.assert_array_equal(after.swapped_with, np.where(of_kind, -1, diagnosis.swapped_with))


def test_every_joint_counts_once():
    gt, results, person_of = mess(2)
    diagnosis = diagnose(gt, results, person_of, COCO17)
    metrics = metrics_of(gt, diagnosis, COCO17)
    labelled = (gt.visibility > 0) & ~gt.is_crowd[:, None]
    whole = metrics["all"]
    assert whole["joints"] + whole["not_predicted"] == labelled.sum()
    assert whole["not_predicted"] == labelled[~np.isin(np.arange(len(gt)), diagnosis.person)].sum() > 0
    by_joint, bands = [f"joint_{name}" for name in COCO17.joints], ("crowd_easy", "crowd_medium", "crowd_hard")
    for group in (("visible", "occluded"), by_joint, bands):
        for name in ("joints", "not_predicted", *(f"{code.name.lower()}_joints" for code in ErrorKind)):
            assert sum(metrics[stratum][name] for stratum in group) == whole[name]
    for stratum in metrics.values():
        assert sum(stratum[code.name.lower()] for code in ErrorKind) == pytest.approx(1)
        for code in ErrorKind:
            assert stratum[code.name.lower()] == stratum[f"{code.name.lower()}_joints"] / stratum["joints"]


def test_errors_by_occluder():
    gt = crowd(COCO17, 400)
    by_person = (gt.visibility != 2) & (gt.occluder == Occluder.PERSON)
    by_object = (gt.visibility != 2) & (gt.occluder == Occluder.OBJECT)
    hard = np.broadcast_to(gt.crowd_index[:, None] >= 0.8, by_person.shape) & (gt.visibility == 2)
    kind = np.select([by_person, by_object, hard], [ErrorKind.SWAP, ErrorKind.MISS, ErrorKind.JITTER], ErrorKind.GOOD)
    results, _ = plant(gt, kind, COCO17)
    metrics = metrics_of(gt, diagnose(gt, results, np.arange(400), COCO17), COCO17)
    assert (metrics["occluded_by_person"]["swap"], metrics["occluded_by_person"]["joints"]) == (1.0, by_person.sum())
    assert (metrics["occluded_by_object"]["miss"], metrics["occluded_by_object"]["joints"]) == (1.0, by_object.sum())
    assert metrics["occluded_by_self"]["good"] == metrics["occluded_by_frame"]["good"] == 1.0
    assert metrics["visible"]["jitter_joints"] == metrics["crowd_hard"]["jitter_joints"] == hard.sum() > 0
    assert metrics["crowd_easy"]["jitter"] == metrics["crowd_medium"]["jitter"] == 0.0


def test_persons_without_result_and_results_without_person():
    gt = crowd(COCO17, 4)
    results = results_at(gt, gt.keypoints_xy)
    diagnosis = diagnose(gt, results, np.array([-1, 3, -1, -1]), COCO17)
    assert diagnosis.person.tolist() == [-1, 3, -1, -1]
    assert (diagnosis.kind[[0, 2, 3]] == -1).all()
    assert np.isnan(diagnosis.similarity[[0, 2, 3]]).all()
    metrics = metrics_of(gt, diagnosis, COCO17)
    assert (metrics["all"]["joints"], metrics["all"]["not_predicted"]) == (17, 51)


def test_results_of_persons_that_are_not_evaluated():
    gt = replace(changed(crowd(COCO17, 2), "is_crowd", 0, True), num_keypoints=np.array([17, 0]))
    diagnosis = diagnose(gt, results_at(gt, gt.keypoints_xy), np.arange(2), COCO17)
    assert diagnosis.person.tolist() == [-1, -1]
    ratios = dict.fromkeys((code.name.lower() for code in ErrorKind), None)
    counts = dict.fromkeys((f"{code.name.lower()}_joints" for code in ErrorKind), 0)
    expected = {"all": {"joints": 0, "not_predicted": 0, **ratios, **counts}}
    assert metrics_of(gt, diagnosis, COCO17) == expected


@pytest.mark.parametrize("count", [0, 4])
@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14, LONE], ids=lambda skeleton: skeleton.name)
def test_no_results(skeleton, count):
    gt = crowd(skeleton, count) if count else ground_truth_of([], skeleton)
    empty = np.zeros((0, len(skeleton), 2))
    results = Results(np.zeros(0, int), np.zeros(0, int), empty, empty[..., 0], np.zeros(0))
    diagnosis = diagnose(gt, results, np.zeros(0, int), skeleton)
    assert all(len(getattr(diagnosis, field.name)) == 0 for field in fields(diagnosis))
    assert len(corrected(gt, results, diagnosis, ErrorKind.SWAP)) == 0
    metrics = metrics_of(gt, diagnosis, skeleton)["all"]
    assert (metrics["joints"], metrics["not_predicted"], metrics["miss"]) == (0, count * len(skeleton), None)


def test_no_ground_truth_persons():
    gt = ground_truth_of([], COCO17)
    results = results_at(crowd(COCO17, 3), np.zeros((3, 17, 2)))
    diagnosis = diagnose(gt, results, np.full(3, -1), COCO17)
    assert (diagnosis.kind == -1).all()


def test_real_results(real_data):
    gt, skeleton = read_ground_truth(real_data / "data/coco/annotations/person_keypoints_val2017.json")
    results_file = real_data / "data/coco/results/movenet_thunder_val2017_gt_boxes.json"
    results = read_results(results_file, gt, skeleton)
    person_of = assigned_persons(gt, results, skeleton.sigma_array)
    diagnosis, expected = diagnose(gt, results, person_of, skeleton), by_loops(gt, results, person_of, skeleton)
    np.testing.assert_array_equal(diagnosis.kind, expected.kind)
    np.testing.assert_array_equal(diagnosis.swapped_with, expected.swapped_with)
    metrics = metrics_of(gt, diagnosis, skeleton)
    assert metrics["visible"]["good"] > metrics["occluded"]["good"] > 0.2
