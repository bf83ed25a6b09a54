"""Rendered people: the body obeys anthropometry, the ground truth fits the picture, the files are COCO's and reproducible."""

import itertools

import cv2
import numpy as np
import pytest

from dag.annotation import Occluder
from dag.body.anthropometry import BONE, CANONICAL, LIMITS, random_build
from dag.body.body import Body, pose_body
from dag.body.mesh import ball, box, tube
from dag.body.outfit import Outfit, random_outfit
from dag.body.pose import Pose, bone_frames
from dag.body.poses import random_pose
from dag.sheets.synthetic import COLOURS, draw_sheet
from dag.skeleton import COCO17
from dag.synthetic.ground_truth import PARTS
from dag.synthetic.raster import rasterize
from dag.synthetic.render import MIN_AREA, SyntheticImage, render_image

SETTING = {"width": 320, "height": 240, "max_persons": 4}
JOINT = {name: number for number, name in enumerate(COCO17.joints)}
LEFT, RIGHT = (np.array([JOINT[pair[side]] for pair in COCO17.pairs]) for side in (0, 1))


@pytest.fixture(scope="module")
def photos() -> list[SyntheticImage]:
    return [render_image(5, "train", index, **SETTING, occlusion=0.5) for index in range(40)]


def _body(seed: int) -> Body:
    rng = np.random.default_rng(seed)
    build = random_build(rng)
    return pose_body(build, random_outfit(rng, build.bust, False), random_pose(rng, build), np.zeros(3), 0.0)


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Degrees by which the chain a-b-c departs from straight."""
    one, two = b - a, c - b
    return float(np.rad2deg(np.arccos(np.clip(one @ two / np.linalg.norm(one) / np.linalg.norm(two), -1, 1))))


# Drillis & Contini: shares of stature between the joints.
@pytest.mark.parametrize(
    ("upper", "lower", "share"),
    [
        ("left_upper_arm", "left_lower_arm", 0.186),
        ("right_lower_arm", "right_hand", 0.146),
        ("left_upper_leg", "left_lower_leg", 0.245),
        ("right_lower_leg", "right_foot", 0.246),
    ],
)
def test_segments_have_their_share_of_stature(upper: str, lower: str, share: float) -> None:
    assert np.linalg.norm(CANONICAL[BONE[lower]] - CANONICAL[BONE[upper]]) == pytest.approx(share, abs=1e-9)
    for seed in range(20):
        build = random_build(np.random.default_rng(seed))
        length = np.linalg.norm(build.joints[BONE[lower]] - build.joints[BONE[upper]]) / build.stature
        assert 0.85 * share < length < 1.1 * share


def test_poses_keep_lengths_and_joint_limits() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        build = random_build(rng)
        pose = random_pose(rng, build)
        turns, places = bone_frames(build, pose)
        np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (len(turns), 1, 1)), atol=1e-9)
        for side in ("left", "right"):
            arm = [BONE[f"{side}_{part}"] for part in ("upper_arm", "lower_arm", "hand")]
            leg = [BONE[f"{side}_{part}"] for part in ("upper_leg", "lower_leg", "foot")]
            for chain, name in ((arm, "elbow"), (leg, "knee")):
                assert -1e-6 <= _angle(*places[chain]) <= LIMITS[name][1] + 1e-6
                for one, two in itertools.pairwise(chain):
                    rest = np.linalg.norm(build.joints[two] - build.joints[one])
                    assert np.linalg.norm(places[two] - places[one]) == pytest.approx(rest)
            ankle_in_thigh = turns[leg[0]].T @ (places[leg[2]] - places[leg[1]])
            assert ankle_in_thigh[2] < 1e-6, "knees bend backwards only"


def test_lowest_point_is_on_the_ground_or_lifted() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        build = random_build(rng)
        pose = random_pose(rng, build)
        body = pose_body(build, random_outfit(rng, build.bust, False), pose, np.array([1.0, 0, -3]), 77.0)
        used = np.unique(body.mesh.faces)
        assert body.mesh.vertices[used, 1].min() == pytest.approx(pose.lift, abs=0.02)


def test_left_is_the_persons_own_left() -> None:
    build = random_build(np.random.default_rng(0))
    outfit = random_outfit(np.random.default_rng(0), 0.0, False)
    for yaw, sign in ((0.0, 1), (180.0, -1)):
        joints = pose_body(build, outfit, Pose(), np.zeros(3), yaw).joints
        assert (sign * (joints[LEFT, 0] - joints[RIGHT, 0]) > 0).all()
        assert sign * (joints[JOINT["nose"], 2] - joints[LEFT[1:2], 2]) > 0


def test_left_and_right_follow_the_view(photos: list[SyntheticImage]) -> None:
    counted = 0
    for person in (person for photo in photos for person in photo.persons):
        xy = person.joints_xy
        left, right = (xy[JOINT[f"{side}_shoulder"]] for side in ("left", "right"))
        upright = (left + right)[1] / 2 < (xy[JOINT["left_hip"]] + xy[JOINT["right_hip"]])[1] / 2
        if upright and abs(person.faces_camera) > 0.6:
            counted += 1
            assert np.sign(left[0] - right[0]) == np.sign(person.faces_camera)
    assert counted > 30


def test_faces_of_people_seen_from_behind_are_hidden_by_themselves(photos: list[SyntheticImage]) -> None:
    people = [person for photo in photos for person in photo.persons]
    face = [JOINT["nose"], JOINT["left_eye"], JOINT["right_eye"]]
    seen = {
        name: np.mean([person.occluder[face] == Occluder.UNKNOWN for person in people if chosen(person.faces_camera)])
        for name, chosen in (("behind", lambda facing: facing < -0.85), ("front", lambda facing: facing > 0.85))
    }
    assert seen["behind"] < 0.1
    assert seen["front"] > 0.6
    for person in people:
        if person.faces_camera < -0.85:
            assert (person.occluder[face] == Occluder.SELF).any() or (person.occluder[face] != Occluder.SELF).all()


def test_visible_joints_lie_on_their_person(photos: list[SyntheticImage]) -> None:
    on, visible = 0, 0
    for photo in photos:
        for person in photo.persons:
            near = cv2.dilate(person.mask.astype(np.uint8), np.ones((3, 3), np.uint8))
            for x, y in np.round(person.joints_xy[person.occluder == Occluder.UNKNOWN]).astype(int):
                visible += 1
                on += int(near[np.clip(y, 0, 239), np.clip(x, 0, 319)])
    assert visible > 500
    assert on / visible > 0.98


def test_covered_joints_lie_on_what_covers_them(photos: list[SyntheticImage]) -> None:
    found = {Occluder.OBJECT: 0, Occluder.PERSON: 0, Occluder.SELF: 0, Occluder.FRAME: 0}
    for photo in photos:
        everybody = np.any([person.mask for person in photo.persons], 0)
        for person in photo.persons:
            for (x, y), kind in zip(person.joints_xy, person.occluder):
                column, row = round(x), round(y)
                inside = 0 <= column < 320 and 0 <= row < 240
                assert inside == (kind != Occluder.FRAME)
                found[kind] = found.get(kind, 0) + 1
                if kind == Occluder.OBJECT:
                    assert not everybody[row, column]
                elif kind == Occluder.PERSON:
                    assert everybody[row, column]
                    assert not person.mask[row, column]
                elif kind == Occluder.SELF:
                    assert person.mask[row, column]
    assert min(found.values()) > 20, found


def test_masks_are_disjoint_and_parts_lie_in_them(photos: list[SyntheticImage]) -> None:
    for photo in photos:
        total = np.sum([person.mask for person in photo.persons], 0)
        assert total.max() <= 1
        np.testing.assert_array_equal(photo.parts > 0, total > 0)
        assert photo.parts.max() < len(PARTS)
        assert min(person.mask.sum() for person in photo.persons) >= MIN_AREA
        assert all(0 <= person.occlusion_ratio <= 0.9 for person in photo.persons)


@pytest.mark.parametrize(
    ("joint", "parts"),
    [
        ("left_wrist", ("left_lower_arm", "left_hand")),
        ("right_knee", ("right_upper_leg", "right_lower_leg", "left_upper_leg")),  # the last: a skirt
        ("right_elbow", ("right_upper_arm", "right_lower_arm")),
        ("nose", ("face",)),
    ],
)
def test_part_map_under_visible_joints(photos: list[SyntheticImage], joint: str, parts: tuple[str, ...]) -> None:
    numbers, right, seen = [PARTS.index(part) for part in parts], 0, 0
    for photo in photos:
        for person in photo.persons:
            x, y = np.round(person.joints_xy[JOINT[joint]]).astype(int)
            if person.occluder[JOINT[joint]] == Occluder.UNKNOWN and person.mask[y, x]:
                seen += 1
                right += photo.parts[y, x] in numbers
    assert seen > 20
    assert right == seen


def test_more_occlusion_hides_more_joints() -> None:
    occluded = []
    for occlusion in (0.0, 0.5, 1.0):
        shown = [render_image(2, "val", index, **SETTING, occlusion=occlusion) for index in range(16)]
        kinds = np.concatenate([person.occluder for photo in shown for person in photo.persons])
        occluded.append(np.isin(kinds, (Occluder.OBJECT, Occluder.PERSON)).mean())
    assert occluded[0] < 0.03
    assert occluded[0] + 0.05 < occluded[1]
    assert occluded[1] + 0.05 < occluded[2]
    assert occluded[2] < 0.6


def test_photographs_differ_and_are_well_exposed(photos: list[SyntheticImage]) -> None:
    assert len({photo.image.tobytes() for photo in photos}) == len(photos)
    for photo in photos:
        assert photo.image.shape == (240, 320, 3)
        assert photo.image.std() > 8
        assert 15 < photo.image.mean() < 245
    heights = [np.ptp(np.nonzero(person.mask.any(1))[0]) + 1 for photo in photos for person in photo.persons]
    assert np.median(heights) > 70


def test_other_sizes_and_one_person() -> None:
    photo = render_image(1, "val", 0, width=200, height=150, max_persons=1, occlusion=0.0)
    assert photo.image.shape == (150, 200, 3)
    assert len(photo.persons) == 1


def test_rasteriser_against_half_planes() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :50]
    for _ in range(50):
        corners, nearness = rng.uniform(-10, 60, (3, 2)), rng.uniform(0.1, 1, 3)
        layer = rasterize(corners, nearness, np.array([[0, 1, 2]]), (50, 40), np.ones(1, bool))
        drawn = np.zeros((40, 50), dtype=bool)
        drawn[layer.window] = layer.face >= 0
        sides = []
        for a, b in ((0, 1), (1, 2), (2, 0)):
            along = corners[b] - corners[a]
            sides.append((x - corners[a, 0]) * along[1] - (y - corners[a, 1]) * along[0])
        expected = (np.array(sides) > 0).all(0) | (np.array(sides) < 0).all(0)
        assert (drawn != expected).sum() <= 2, "only pixels on the very edge may differ"
        solved = np.linalg.solve(np.column_stack([corners, np.ones(3)]), nearness)
        plane = solved[0] * x + solved[1] * y + solved[2]
        np.testing.assert_allclose(layer.nearness[layer.face >= 0], plane[layer.window][layer.face >= 0], rtol=1e-3)


def test_rasteriser_shows_the_nearest_face_and_only_fronts() -> None:
    xy = np.array([[0, 0], [9, 0], [0, 9], [0, 0], [9, 0], [0, 9]], float)
    nearness = np.array([0.2, 0.2, 0.2, 0.5, 0.5, 0.5])
    two = np.array([[0, 1, 2], [3, 4, 5]])
    assert set(np.unique(rasterize(xy, nearness, two, (10, 10), np.ones(2, bool)).face)) == {-1, 1}
    assert (rasterize(xy, nearness, two, (10, 10), np.zeros(2, bool)).face == -1).all()
    assert (rasterize(xy, nearness, two[:, ::-1], (10, 10), np.zeros(2, bool)).face >= 0).any()


def test_meshes_are_wound_outwards() -> None:
    body = _body(1)
    for mesh in (tube(ball(9, 12)), box((1, 2, 3), (0, 0, 0))):
        corners = mesh.vertices[mesh.faces]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        large = np.linalg.norm(normal, axis=1) > 1e-6
        assert ((normal * corners.mean(1)).sum(1)[large] > 0).all()
        assert ((mesh.normals * mesh.vertices).sum(1) > 0).all()
    assert np.isfinite(body.mesh.vertices).all()


def test_hair_line_leaves_the_face_free() -> None:
    places = np.array([[0.0, 0.93, 0.06], [0.0, 0.99, 0.0], [0.0, 0.93, -0.05]])
    assert (Outfit().hair_height(places) > 0).tolist() == [False, True, True]


def test_sheet_draws_joints_in_the_colour_of_their_occluder(photos: list[SyntheticImage]) -> None:
    plain, marked = draw_sheet(photos[:3], 2, scale=2), draw_sheet(photos[:3], 2, scale=2, gt=True)
    assert plain.shape == marked.shape == (960, 1280, 3)
    assert (plain[480:, 640:] == 128).all()
    person = photos[0].people[-1]
    drawn = 0
    for (x, y), kind in zip(person.joints_xy, person.occluder):
        if kind != Occluder.FRAME:
            column, row = (int(np.clip(round((value + 0.5) * 2 - 0.5), 0, 478)) for value in (x, y))
            drawn += (marked[row, column] == COLOURS[Occluder(kind)]).all()
    assert drawn >= 8
