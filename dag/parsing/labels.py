"""Label sets of human parsing, and how one set's labels become another's.

A label set is a tuple of names; a label is its place there; the first is the background. `left_` and `right_` are the
person's own sides, and such labels change places in a mirrored image.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from dag.errors import UserError

BACKGROUND = "background"

# Labels of datasets/synthetic/render.py: parts of the body. A skirt is upper leg, a hat is hair, the neck is torso.
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

WORN = (BACKGROUND, "hair", "skin", "upper_clothes", "lower_clothes", "dress", "footwear", "other")
"""What sets of clothes have in common. Bags are not the person: LIP calls them background, and so does this."""

_TO_WORN = {
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
    WORN: {name: worn for worn, names in _TO_WORN.items() for name in names},
}
"""Sets that others can be brought to: the names of others to theirs."""


def common_labels(sets: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The set itself where all are one; else a set that all of them can be brought to.

    Raises:
        UserError: there is none; the labels that stand in the way are named.
    """
    if len(set(sets)) == 1:
        return sets[0]
    unknown: list[str] = []
    for target, names in COMMON.items():
        unknown = sorted({name for labels in sets for name in labels if name not in names})
        if not unknown:
            return target
    raise UserError("label sets have nothing in common", expected="sets of clothes, or one set", got=unknown[:8])


def translation(labels: tuple[str, ...], target: tuple[str, ...]) -> UInt8[np.ndarray, "256"]:
    """`translation(a, b)[label map of set a]` is the label map of set b.

    Raises:
        UserError: a label has no place in `target`.
    """
    names = {name: name for name in target} | dict(COMMON.get(target, {}))
    unknown = [name for name in labels if name not in names]
    if unknown:
        raise UserError("labels without a place", expected=f"names of {', '.join(target)}", got=unknown)
    table = np.zeros(256, dtype=np.uint8)
    table[: len(labels)] = [target.index(names[name]) for name in labels]
    return table


def mirrored(labels: tuple[str, ...]) -> UInt8[np.ndarray, "256"]:
    """`mirrored(labels)[label map]` has left and right changed, for a mirrored image."""
    swap = {"left_": "right_", "right_": "left_"}
    table = np.arange(256, dtype=np.uint8)
    for number, name in enumerate(labels):
        for side, other in swap.items():
            if name.startswith(side):
                table[number] = labels.index(other + name.removeprefix(side))
    return table
