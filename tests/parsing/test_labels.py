"""Label sets: translation to another set, and labels of flipped images."""

import numpy as np
import pytest

from dag.errors import UserError
from dag.parsing.labels import ATR, CLOTHING, LIP, PASCAL, SYNTHETIC, common_labels, left_right_swap, translation
from dag.synthetic.ground_truth import PARTS

CCP = ("background", "bag", "jeans", "skin", "hair", "boots", "blazer", "romper", "hat")


def test_synthetic_labels_are_those_of_the_renderer() -> None:
    assert SYNTHETIC == PARTS


@pytest.mark.parametrize(("labels", "count"), [(LIP, 20), (ATR, 18), (PASCAL, 7), (SYNTHETIC, 16)])
def test_sizes_and_unique_names(labels: tuple[str, ...], count: int) -> None:
    assert len(set(labels)) == len(labels) == count
    assert labels[0] == "background"


def test_translation_to_clothing_classes() -> None:
    table = translation(CCP, CLOTHING)
    translated = [CLOTHING[number] for number in table[: len(CCP)]]
    assert translated == [
        "background", "background", "lower_clothes", "skin", "hair", "footwear", "upper_clothes", "dress", "other",
    ]  # fmt: skip
    assert {CLOTHING[number] for number in translation(LIP, CLOTHING)[:20]} == set(CLOTHING)


def test_translation_to_the_same_set_is_the_identity() -> None:
    assert translation(SYNTHETIC, SYNTHETIC)[:16].tolist() == list(range(16))


def test_left_and_right_are_swapped() -> None:
    table = left_right_swap(LIP)
    assert LIP[table[LIP.index("left_arm")]] == "right_arm"
    assert LIP[table[LIP.index("dress")]] == "dress"
    assert np.array_equal(table[table], np.arange(256))


def test_common_label_sets() -> None:
    assert common_labels([LIP, LIP]) == LIP
    assert common_labels([LIP, CCP]) == CLOTHING
    with pytest.raises(UserError, match=r"no common label set: .*left_foot"):
        common_labels([LIP, SYNTHETIC])
    with pytest.raises(UserError, match=r"labels without counterpart: .*got \['torso'"):
        translation(("background", "torso"), CLOTHING)
