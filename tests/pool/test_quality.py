"""Quality of cut-outs of constructed persons, whose quality is known."""

from dataclasses import fields, replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from dag.masks import PartMap, decode_mask
from dag.parsing.mask_parser import MaskParser
from dag.pool.quality import Quality, Rejection, measured_quality, quality_bound, rejection, soft_alpha, write_quality
from dag.skeleton import COCO17, Skeleton
from tests.standing import HEIGHT, JOINTS, WIDTH, outline, standing

LIMITS = {
    "min_height": 60.0, "min_joints": 8, "min_joints_inside": 0.9,
    "max_fragment_ratio": 0.05, "min_mask_iou": 0.6, "max_occlusion_ratio": 0.1,
    "max_ambiguous": 0.1, "max_border": 0.02,
}  # fmt: skip
GOOD = Quality(1, "a.png", height=100.0, visible_joints=12, occlusion_ratio=0.0)


def by_masks(person, *others):
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    [parsed] = MaskParser().parse(image, [person, *others], [0])
    return measured_quality(person, parsed, COCO17)


def test_a_whole_person_has_the_best_quality():
    quality = by_masks(standing(1, 60))
    rows = np.flatnonzero(outline(60, 25).any(axis=1))
    height = float(np.ptp(rows) - 1)
    assert quality == Quality(1, "a.png", height, 17, 0.0, mask_iou=1.0)
    assert rejection(quality, **LIMITS) is None


def test_occluded_joints_count_except_self_occluded_ones():
    self_occluded = standing(1, 60, visibility={9: 1, 13: 1})
    assert quality_bound(self_occluded, COCO17).occlusion_ratio == 0
    assert by_masks(self_occluded).occlusion_ratio == 0
    without_legs = outline(60, 25)
    without_legs[25 + 100 :] = False
    occluded = standing(1, 60, mask=without_legs, visibility={13: 1, 14: 1, 15: 0, 16: 0})
    assert quality_bound(occluded, COCO17).occlusion_ratio == 2 / 17
    assert by_masks(occluded).occlusion_ratio == 4 / 17


def test_unlabelled_limb_joints_count_as_occluded_but_face_joints_do_not():
    assert quality_bound(standing(1, 60, visibility=dict.fromkeys(range(5), 0)), COCO17).occlusion_ratio == 0
    assert quality_bound(standing(1, 60, visibility={15: 0, 16: 0}), COCO17).occlusion_ratio == 2 / 17


def test_joints_without_limb_names_are_no_limbs():
    names = tuple(f"point {number}" for number in range(17))
    points = Skeleton(name="points", joints=names, pairs=(), bones=(), sigmas=(0.1,) * 17)
    faceless = standing(1, 60, visibility=dict.fromkeys(range(8), 0) | {15: 1})
    assert quality_bound(faceless, points).occlusion_ratio == 0
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    quality = measured_quality(faceless, MaskParser().parse(image, [faceless], [0])[0], points)
    assert (quality.occlusion_ratio, quality.joints_inside, quality.visible_joints) == (0, 1, 8)


def test_every_quality_of_every_person_is_written(tmp_path):
    qualities = [
        by_masks(standing(1, 60)),
        replace(GOOD, person_id=2, rejection=Rejection.TRUNCATED, border_ratio=0.5),
        replace(quality_bound(standing(3, 60), COCO17), rejection=Rejection.CROWD),
    ]
    write_quality(tmp_path / "quality.parquet", qualities)
    table = pq.read_table(tmp_path / "quality.parquet")
    assert table.column_names == [field.name for field in fields(Quality)]
    assert table.to_pylist() == [vars(quality) for quality in qualities]
    assert table["rejection"].to_pylist() == [None, "truncated at the image border", "crowd"]
    assert table["mask_iou"].to_pylist() == [1.0, None, None]
    write_quality(tmp_path / "empty.parquet", [])
    assert pq.read_table(tmp_path / "empty.parquet").schema == table.schema


def test_joints_a_few_pixels_outside_the_mask_count_as_inside():
    mask = outline(60, 25)
    assert by_masks(standing(1, 60, mask=mask)).joints_inside == 1
    person = standing(1, 60, mask=mask)
    for distance, inside in ((6, 1.0), (7, 1.0), (8, 16 / 17)):
        xy = person.keypoints_xy.copy()
        xy[15, 1] = JOINTS[15, 1] + 25 + distance
        assert by_masks(replace(person, keypoints_xy=xy)).joints_inside == pytest.approx(inside), distance


def test_border_ratio_is_the_fraction_of_the_outline_on_the_border():
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[HEIGHT - 100 :, 50:90] = True
    assert by_masks(standing(1, 40, 40, mask=mask)).border_ratio == 40 / 280
    mask[HEIGHT - 2 :] = False
    assert by_masks(standing(1, 40, 40, mask=mask)).border_ratio == 0


def test_fragment_ratio_is_the_fraction_outside_the_largest_component():
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[30:130, 50:90] = mask[150:160, 50:90] = True
    assert by_masks(standing(1, 40, mask=mask)).fragment_ratio == pytest.approx(8 / 106)


def test_mask_iou_counts_annotated_pixels_outside_the_window():
    person = standing(1, 60)
    annotated = decode_mask(person)
    half = annotated[:, :90]
    parsed = PartMap(0, 0, half.astype(np.uint8), 0.0)
    assert measured_quality(person, parsed, COCO17).mask_iou == half.sum() / annotated.sum()
    unmasked = replace(person, segmentation=None)
    assert measured_quality(unmasked, parsed, COCO17).mask_iou is None


def test_an_empty_part_map_has_a_quality():
    quality = measured_quality(standing(1, 60), PartMap(0, 0, np.zeros((1, 1), dtype=np.uint8), 0.0), COCO17)
    assert (quality.height, quality.joints_inside, quality.mask_iou) == (0, 0, 0)
    assert rejection(quality, **LIMITS) is Rejection.TOO_SMALL


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"height": 59.9}, Rejection.TOO_SMALL),
        ({"visible_joints": 7}, Rejection.FEW_VISIBLE),
        ({"occlusion_ratio": 0.11}, Rejection.OCCLUDED),
        ({"ambiguous": 0.11}, Rejection.NOT_SEPARABLE),
        ({"joints_inside": 0.89}, Rejection.JOINTS_OUTSIDE),
        ({"border_ratio": 0.03}, Rejection.TRUNCATED),
        ({"fragment_ratio": 0.06}, Rejection.FRAGMENTARY),
        ({"mask_iou": 0.59}, Rejection.MASK_DISAGREES),
        ({"mask_iou": 0.6, "height": 60.0, "visible_joints": 8, "joints_inside": 0.9}, None),
    ],
)
def test_each_limit_has_its_reason(metrics, reason):
    assert rejection(replace(GOOD, **metrics), **LIMITS) is reason


def test_alpha_fades_inwards():
    parts = np.zeros((9, 9), dtype=np.uint8)
    parts[1:8, 1:8] = 3
    alpha = soft_alpha(parts)
    assert alpha[4].tolist() == [0, 64, 191, 255, 255, 255, 191, 64, 0]
    assert not alpha[parts == 0].any()
    assert soft_alpha(np.ones((5, 5), dtype=np.uint8))[0].max() == 64
