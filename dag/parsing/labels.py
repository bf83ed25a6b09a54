"""Label sets of human parsing, and lookup tables between them.

A label set is a tuple of names; a label is an index into it, and the first is the background. `left_` and `right_` are
the person's own sides; such labels are swapped in a horizontally flipped image.

To add a label set: write it here as a tuple, and its names in `_TO_CLOTHING` if it is to be trained together with
others.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from dag.errors import UserError

BACKGROUND = "background"

# Labels of dag/synthetic: body parts. Skirts count as upper leg, hats as hair and the neck as torso.
SYNTHETIC = (
    BACKGROUND, "hair", "face", "torso",
    *(f"{side}_{part}" for part in ("upper_arm", "lower_arm", "hand", "upper_leg", "lower_leg", "foot")
      for side in ("left", "right")),
)  # fmt: skip

# Look into Person (Gong et al., CVPR 2017) and CIHP (Gong et al., ECCV 2018).
LIP = (
    BACKGROUND, "hat", "hair", "glove", "sunglasses", "upper_clothes", "dress", "coat", "socks", "pants", "jumpsuits",
    "scarf", "skirt", "face", "left_arm", "right_arm", "left_leg", "right_leg", "left_shoe", "right_shoe",
)  # fmt: skip

# ATR (Liang et al., TPAMI 2015), in the order of SCHP's checkpoint.
ATR = (
    BACKGROUND, "hat", "hair", "sunglasses", "upper_clothes", "skirt", "pants", "dress", "belt", "left_shoe",
    "right_shoe", "face", "left_leg", "right_leg", "left_arm", "right_arm", "bag", "scarf",
)  # fmt: skip

# Pascal-Person-Part (Chen et al., CVPR 2014).
PASCAL = (BACKGROUND, "head", "torso", "upper_arms", "lower_arms", "upper_legs", "lower_legs")

CLOTHING = (BACKGROUND, "hair", "skin", "upper_clothes", "lower_clothes", "dress", "footwear", "other")
"""Classes that all label sets of clothing can be mapped to. Bags are background, as in LIP."""

_TO_CLOTHING = {
    BACKGROUND: (BACKGROUND, "null", "bag", "purse", "wallet"),
    "hair": ("hair",),
    "skin": ("skin", "face", "left_arm", "right_arm", "left_leg", "right_leg"),
    "upper_clothes": (
        "upper_clothes", "coat", "blazer", "blouse", "bodysuit", "bra", "cape", "cardigan", "hoodie", "jacket",
        "jumper", "shirt", "suit", "sweater", "sweatshirt", "swimwear", "t-shirt", "top", "vest",
    ),
    "lower_clothes": (
        "pants", "skirt", "jeans", "leggings", "panties", "shorts", "tights", "stockings", "intimate",
    ),
    "dress": ("dress", "jumpsuits", "romper"),
    "footwear": (
        "socks", "left_shoe", "right_shoe", "boots", "clogs", "flats", "heels", "loafers", "pumps", "sandals", "shoes",
        "sneakers", "wedges",
    ),
    "other": (
        "hat", "glove", "sunglasses", "scarf", "accessories", "belt", "bracelet", "earrings", "glasses", "gloves",
        "necklace", "ring", "tie", "watch",
    ),
}  # fmt: skip

COMMON: dict[tuple[str, ...], Mapping[str, str]] = {
    CLOTHING: {name: common for common, names in _TO_CLOTHING.items() for name in names},
}
"""For each label set that others can be mapped to: the other sets' names to its own."""


def common_labels(sets: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The label set if all are equal, else a label set that all can be mapped to.

    Raises:
        UserError: there is none; labels that cannot be mapped are named.
    """
    if len(set(sets)) == 1:
        return sets[0]
    unknown: list[str] = []
    for target, names in COMMON.items():
        unknown = sorted({name for labels in sets for name in labels if name not in names})
        if not unknown:
            return target
    raise UserError("no common label set", expected="equal label sets, or sets of clothing", got=unknown[:8])


def translation(labels: tuple[str, ...], target: tuple[str, ...]) -> UInt8[np.ndarray, "256"]:
    """Lookup table between label sets: `translation(a, b)[label map of set a]` is the label map of set b.

    Raises:
        UserError: a label cannot be mapped to `target`.
    """
    names = {name: name for name in target} | dict(COMMON.get(target, {}))
    unknown = [name for name in labels if name not in names]
    if unknown:
        raise UserError("labels without counterpart", expected=f"names of {', '.join(target)}", got=unknown)
    table = np.zeros(256, dtype=np.uint8)
    table[: len(labels)] = [target.index(names[name]) for name in labels]
    return table


def left_right_swap(labels: tuple[str, ...]) -> UInt8[np.ndarray, "256"]:
    """Lookup table for flipped images: `left_right_swap(labels)[label map]` has left and right labels swapped."""
    sides = {"left_": "right_", "right_": "left_"}
    table = np.arange(256, dtype=np.uint8)
    for number, name in enumerate(labels):
        for side, other in sides.items():
            if name.startswith(side):
                table[number] = labels.index(other + name.removeprefix(side))
    return table
