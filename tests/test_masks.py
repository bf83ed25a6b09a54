"""Masks and boxes on the photograph's pixels."""

from dataclasses import replace

import numpy as np

from dag.data.masks import decode_mask, in_box, union_of_masks
from tests.standing import HEIGHT, WIDTH, outline, standing


def test_masks_decode_to_the_photographs_pixels():
    people = [standing(1, 20), standing(2, 60), standing(3, 130, masked=False)]
    assert (decode_mask(people[0]) == outline(20, 25)).all()
    assert decode_mask(people[2]) is None
    assert (union_of_masks(people, HEIGHT, WIDTH) == outline(20, 25) | outline(60, 25)).all()
    assert not union_of_masks([], HEIGHT, WIDTH).any()


def test_box_holds_every_pixel_that_it_touches():
    person = replace(standing(1, 20), bbox_xywh=np.array([10.2, 20.0, 5.0, 3.0]))
    rows, columns = np.nonzero(in_box(person, (0, 0), (HEIGHT, WIDTH)))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 16, 20, 23)
    window = in_box(person, (8, 19), (6, 9))
    assert (window == in_box(person, (0, 0), (HEIGHT, WIDTH))[19:25, 8:17]).all()
