"""The ground truth agrees with the rendered pixels; the rasteriser agrees with exact geometry."""

import cv2
import numpy as np
import pytest

from dag.annotation import Occluder
from dag.sheets.synthetic import COLOURS, draw_sheet
from dag.skeleton import COCO17
from dag.synthetic.ground_truth import PARTS
from dag.synthetic.raster import rasterize
from dag.synthetic.render import MIN_AREA, SyntheticImage, render_image

SETTINGS = {"width": 320, "height": 240, "max_persons": 4}
JOINT = {name: number for number, name in enumerate(COCO17.joints)}


@pytest.fixture(scope="module")
def images() -> list[SyntheticImage]:
    return [render_image(5, "train", index, **SETTINGS, occlusion=0.5) for index in range(40)]


def test_left_and_right_agree_with_the_viewing_direction(images: list[SyntheticImage]) -> None:
    counted = 0
    for person in (person for rendered in images for person in rendered.persons):
        xy = person.joints_xy
        left, right = (xy[JOINT[f"{side}_shoulder"]] for side in ("left", "right"))
        upright = (left + right)[1] / 2 < (xy[JOINT["left_hip"]] + xy[JOINT["right_hip"]])[1] / 2
        if upright and abs(person.faces_camera) > 0.6:
            counted += 1
            assert np.sign(left[0] - right[0]) == np.sign(person.faces_camera)
    assert counted > 30


def test_faces_seen_from_behind_are_self_occluded(images: list[SyntheticImage]) -> None:
    persons = [person for rendered in images for person in rendered.persons]
    face = [JOINT["nose"], JOINT["left_eye"], JOINT["right_eye"]]
    visible = {
        name: np.mean([person.occluder[face] == Occluder.UNKNOWN for person in persons if chosen(person.faces_camera)])
        for name, chosen in (("behind", lambda facing: facing < -0.85), ("front", lambda facing: facing > 0.85))
    }
    assert visible["behind"] < 0.1
    assert visible["front"] > 0.6
    for person in persons:
        if person.faces_camera < -0.85:
            assert (person.occluder[face] == Occluder.SELF).any() or (person.occluder[face] != Occluder.SELF).all()


def test_visible_joints_lie_on_the_mask(images: list[SyntheticImage]) -> None:
    on, visible = 0, 0
    for rendered in images:
        for person in rendered.persons:
            near = cv2.dilate(person.mask.astype(np.uint8), np.ones((3, 3), np.uint8))
            for x, y in np.round(person.joints_xy[person.occluder == Occluder.UNKNOWN]).astype(int):
                visible += 1
                on += int(near[np.clip(y, 0, 239), np.clip(x, 0, 319)])
    assert visible > 500
    assert on / visible > 0.98


def test_occluded_joints_lie_on_their_occluder(images: list[SyntheticImage]) -> None:
    counts = {Occluder.OBJECT: 0, Occluder.PERSON: 0, Occluder.SELF: 0, Occluder.FRAME: 0}
    for rendered in images:
        persons_mask = np.any([person.mask for person in rendered.persons], 0)
        for person in rendered.persons:
            for (x, y), kind in zip(person.joints_xy, person.occluder):
                column, row = round(x), round(y)
                inside = 0 <= column < 320 and 0 <= row < 240
                assert inside == (kind != Occluder.FRAME)
                counts[kind] = counts.get(kind, 0) + 1
                if kind == Occluder.OBJECT:
                    assert not persons_mask[row, column]
                elif kind == Occluder.PERSON:
                    assert persons_mask[row, column]
                    assert not person.mask[row, column]
                elif kind == Occluder.SELF:
                    assert person.mask[row, column]
    assert min(counts.values()) > 20, counts


def test_masks_are_disjoint_and_contain_the_parts(images: list[SyntheticImage]) -> None:
    for rendered in images:
        total = np.sum([person.mask for person in rendered.persons], 0)
        assert total.max() <= 1
        np.testing.assert_array_equal(rendered.parts > 0, total > 0)
        assert rendered.parts.max() < len(PARTS)
        assert min(person.mask.sum() for person in rendered.persons) >= MIN_AREA
        assert all(0 <= person.occlusion_ratio <= 0.9 for person in rendered.persons)


@pytest.mark.parametrize(
    ("joint", "parts"),
    [
        ("left_wrist", ("left_lower_arm", "left_hand")),
        ("right_knee", ("right_upper_leg", "right_lower_leg", "left_upper_leg")),  # the last: a skirt
        ("right_elbow", ("right_upper_arm", "right_lower_arm")),
        ("nose", ("face",)),
    ],
)
def test_part_map_under_visible_joints(images: list[SyntheticImage], joint: str, parts: tuple[str, ...]) -> None:
    numbers, correct, visible = [PARTS.index(part) for part in parts], 0, 0
    for rendered in images:
        for person in rendered.persons:
            x, y = np.round(person.joints_xy[JOINT[joint]]).astype(int)
            if person.occluder[JOINT[joint]] == Occluder.UNKNOWN and person.mask[y, x]:
                visible += 1
                correct += rendered.parts[y, x] in numbers
    assert visible > 20
    assert correct == visible


def test_occluded_joints_increase_with_the_occlusion_parameter() -> None:
    occluded = []
    for occlusion in (0.0, 0.5, 1.0):
        shown = [render_image(2, "val", index, **SETTINGS, occlusion=occlusion) for index in range(16)]
        kinds = np.concatenate([person.occluder for rendered in shown for person in rendered.persons])
        occluded.append(np.isin(kinds, (Occluder.OBJECT, Occluder.PERSON)).mean())
    assert occluded[0] < 0.03
    assert occluded[0] + 0.05 < occluded[1]
    assert occluded[1] + 0.05 < occluded[2]
    assert occluded[2] < 0.6


def test_images_differ_and_are_well_exposed(images: list[SyntheticImage]) -> None:
    assert len({rendered.image.tobytes() for rendered in images}) == len(images)
    for rendered in images:
        assert rendered.image.shape == (240, 320, 3)
        assert rendered.image.std() > 8
        assert 15 < rendered.image.mean() < 245
    heights = [np.ptp(np.nonzero(person.mask.any(1))[0]) + 1 for rendered in images for person in rendered.persons]
    assert np.median(heights) > 70


def test_other_image_size_and_single_person() -> None:
    rendered = render_image(1, "val", 0, width=200, height=150, max_persons=1, occlusion=0.0)
    assert rendered.image.shape == (150, 200, 3)
    assert len(rendered.persons) == 1


def test_rasteriser_against_half_planes() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :50]
    for _ in range(50):
        corners, inverse_depth = rng.uniform(-10, 60, (3, 2)), rng.uniform(0.1, 1, 3)
        layer = rasterize(corners, inverse_depth, np.array([[0, 1, 2]]), (50, 40), np.ones(1, bool))
        drawn = np.zeros((40, 50), dtype=bool)
        drawn[layer.window] = layer.face >= 0
        sides = []
        for a, b in ((0, 1), (1, 2), (2, 0)):
            along = corners[b] - corners[a]
            sides.append((x - corners[a, 0]) * along[1] - (y - corners[a, 1]) * along[0])
        expected = (np.array(sides) > 0).all(0) | (np.array(sides) < 0).all(0)
        assert (drawn != expected).sum() <= 2, "only pixels on an edge may differ"
        solved = np.linalg.solve(np.column_stack([corners, np.ones(3)]), inverse_depth)
        plane = solved[0] * x + solved[1] * y + solved[2]
        np.testing.assert_allclose(
            layer.inverse_depth[layer.face >= 0], plane[layer.window][layer.face >= 0], rtol=1e-3
        )


def test_rasteriser_keeps_the_nearest_face_and_culls_back_faces() -> None:
    xy = np.array([[0, 0], [9, 0], [0, 9], [0, 0], [9, 0], [0, 9]], float)
    inverse_depth = np.array([0.2, 0.2, 0.2, 0.5, 0.5, 0.5])
    two = np.array([[0, 1, 2], [3, 4, 5]])
    assert set(np.unique(rasterize(xy, inverse_depth, two, (10, 10), np.ones(2, bool)).face)) == {-1, 1}
    assert (rasterize(xy, inverse_depth, two, (10, 10), np.zeros(2, bool)).face == -1).all()
    assert (rasterize(xy, inverse_depth, two[:, ::-1], (10, 10), np.zeros(2, bool)).face >= 0).any()


def test_sheet_draws_joints_in_the_colour_of_their_occluder(images: list[SyntheticImage]) -> None:
    plain, marked = draw_sheet(images[:3], 2, scale=2), draw_sheet(images[:3], 2, scale=2, gt=True)
    assert plain.shape == marked.shape == (960, 1280, 3)
    assert (plain[480:, 640:] == 128).all()
    person = images[0].persons[-1]
    drawn = 0
    for (x, y), kind in zip(person.joints_xy, person.occluder):
        if kind != Occluder.FRAME:
            column, row = (int(np.clip(round((value + 0.5) * 2 - 0.5), 0, 478)) for value in (x, y))
            drawn += (marked[row, column] == COLOURS[Occluder(kind)]).all()
    assert drawn >= 8
