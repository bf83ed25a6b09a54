"""Separation of one person from a semantic mask."""

from dag.parsing.network_parser import NetworkParser
from dag.parsing.separation import separate_person, with_joints
from dag.skeleton import COCO17
from tests.parsing.part_maps import in_image, iou
from tests.standing import image, outline, standing


def test_mask_of_a_neighbour_is_removed(parser: NetworkParser) -> None:
    own, other = outline(50, 25), outline(98, 30)
    people = [standing(1, 50), standing(2, 98, 30)]
    [part_map] = parser.parse(image(own, other), people, [0])
    predicted = in_image(part_map) > 0
    assert not (predicted & other & ~own).any()
    assert iou(predicted, own) > 0.9
    assert part_map.ambiguous < 0.1


def test_neighbour_without_a_mask_is_separated_by_its_limbs() -> None:
    own, other = outline(40, 25), outline(90, 25)
    people = [standing(1, 40), standing(2, 90, masked=False)]
    mask, ambiguous = separate_person(own | other, (0, 0), people[0], people[1:], COCO17)
    assert iou(mask, own) > 0.9
    assert 0 < ambiguous < 0.2
    persons = outline(20, 25) | outline(120, 25)
    distant_mask, distant_ambiguous = separate_person(persons, (0, 0), standing(1, 20), [standing(2, 120)], COCO17)
    assert (distant_mask == outline(20, 25)).all()
    assert distant_ambiguous == 0


def test_pixels_that_cannot_be_attributed_are_ambiguous() -> None:
    own, other = outline(50, 25), outline(62, 28)
    neighbour = standing(2, 62, 28, masked=False)
    _, by_limbs = separate_person(own | other, (0, 0), standing(1, 50), [neighbour], COCO17)
    unlabelled = standing(2, 62, 28, masked=False, visibility=dict.fromkeys(range(17), 0))
    _, by_box = separate_person(own | other, (0, 0), standing(1, 50), [unlabelled], COCO17)
    _, without_annotation = separate_person(own | outline(85, 25), (0, 0), standing(1, 50), [], COCO17)
    assert min(by_limbs, by_box, without_annotation) > 0.1


def test_only_components_with_joints_of_the_person_are_kept() -> None:
    mask = outline(20, 25) | outline(130, 25)
    assert (with_joints(mask, standing(1, 20), (0, 0)) == outline(20, 25)).all()
    window = mask[10:200, 5:190]
    assert (with_joints(window, standing(1, 20), (5, 10)) == outline(20, 25)[10:200, 5:190]).all()
