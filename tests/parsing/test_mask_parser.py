"""Annotated masks as a parser."""

import numpy as np

from dag.parsing.mask_parser import MaskParser
from tests.parsing.part_maps import in_image
from tests.standing import HEIGHT, WIDTH, outline, standing


def test_a_person_is_its_mask_without_other_masks():
    people = [standing(1, 20), standing(2, 60), standing(3, 130, masked=False)]
    masks = [outline(20, 25), outline(60, 25)]
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    first, second, third = MaskParser().parse(image, people, [0, 1, 2])
    assert (in_image(first) == (masks[0] & ~masks[1])).all()
    assert (in_image(second) == (masks[1] & ~masks[0])).all()
    assert first.ambiguous == (masks[0] & masks[1]).sum() / masks[0].sum() > 0
    assert not third.parts.any()
