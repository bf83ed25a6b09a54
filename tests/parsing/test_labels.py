"""Label sets: what becomes of a label in another set and in a mirror."""

import numpy as np
import pytest

from dag.errors import UserError
from dag.parsing.labels import ATR, LIP, PASCAL, SYNTHETIC, CLOTHING, common_labels, mirrored, translation
from dag.synthetic.ground_truth import PARTS

CCP = ("background", "bag", "jeans", "skin", "hair", "boots", "blazer", "romper", "hat")


def test_figures_labels_are_the_renderers() -> None:
    assert SYNTHETIC == PARTS


@pytest.mark.parametrize(("labels", "count"), [(LIP, 20), (ATR, 18), (PASCAL, 7), (SYNTHETIC, 16)])
def test_sets_have_their_sizes_and_no_name_twice(labels: tuple[str, ...], count: int) -> None:
    assert len(set(labels)) == len(labels) == count
    assert labels[0] == "background"


def test_clothes_become_kinds_of_clothes() -> None:
    table = translation(CCP, CLOTHING)
    found = [CLOTHING[number] for number in table[: len(CCP)]]
    assert found == [
        "background", "background", "lower_clothes", "skin", "hair", "footwear", "upper_clothes", "dress", "other",
    ]  # fmt: skip
    assert {CLOTHING[number] for number in translation(LIP, CLOTHING)[:20]} == set(CLOTHING)


def test_a_set_becomes_itself() -> None:
    assert translation(SYNTHETIC, SYNTHETIC)[:16].tolist() == list(range(16))


def test_left_and_right_change_places_in_a_mirror() -> None:
    table = mirrored(LIP)
    assert LIP[table[LIP.index("left_arm")]] == "right_arm"
    assert LIP[table[LIP.index("dress")]] == "dress"
    assert np.array_equal(table[table], np.arange(256))


def test_sets_in_common() -> None:
    assert common_labels([LIP, LIP]) == LIP
    assert common_labels([LIP, CCP]) == CLOTHING
    with pytest.raises(UserError, match=r"label sets have nothing in common: .*left_foot"):
        common_labels([LIP, SYNTHETIC])
    with pytest.raises(UserError, match=r"labels without a place: .*got \['torso'"):
        translation(("background", "torso"), CLOTHING)
