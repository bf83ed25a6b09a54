"""Details painted on head and torso (eyes, beard, glasses, collar, buttons), in canonical units of the rest pose."""

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from dag.body.outfit import ACCENT, HAIR, HAT, INNER, SKIN, Outfit


def paint_face(
    outfit: Outfit,
    rest_xyz: Float32[np.ndarray, "N 3"],
    material: Int[np.ndarray, " M"],
    tint: Float32[np.ndarray, "M 3"],
    where: Int[np.ndarray, " N"],
    first: int,
) -> UInt8[np.ndarray, " N"]:
    """Paint the head's pixels `where` of `material` and `tint` in place; returns 1 for hair and hat, else 0.

    Args:
        rest_xyz: positions of the head's pixels on the body in its rest pose.
        material: material index per pixel.
        tint: RGB per pixel that replaces the material's colour.
        where: indices of the head's pixels.
        first: index of the outfit's first material.
    """
    x, y, z = rest_xyz.T
    face = outfit.face
    covered = outfit.hair_height(rest_xyz) > 0
    material[where[covered]] = first + HAIR
    if "hat" in face:
        hat = y > face["hat"] + 0.25 * np.minimum(z, 0)
        material[where[hat]] = first + HAT
        covered = covered | hat
    bare = ~covered & (z > 0.012)
    side = np.abs(x)
    if face["beard"]:
        jaw = bare & (y < 0.872 + face["beard"] + 0.22 * np.maximum(side - 0.012, 0) + 0.008) & (z < 0.075)
        jaw |= bare & (np.abs(y - 0.905) < 0.003) & (side < 0.016)
        material[where[jaw]] = first + HAIR
    for mask, colour in _features(face, x, y):
        tint[where[bare & mask]] = colour
    brow = bare & (np.abs(y - 0.9495 + 0.12 * np.maximum(side - 0.018, 0)) < 0.0026) & (np.abs(side - 0.018) < 0.011)
    material[where[brow]] = first + HAIR
    return covered.astype(np.uint8)


def _features(
    face: dict[str, float], x: Float32[np.ndarray, " N"], y: Float32[np.ndarray, " N"]
) -> list[tuple[Bool[np.ndarray, " N"], tuple[float, float, float]]]:
    """Masks and RGB colours of eyes, mouth, nostrils and glasses."""
    side = np.abs(x)
    eye = ((side - 0.018) / 0.0095) ** 2 + ((y - 0.936) / 0.0062) ** 2
    iris = ((side - 0.018) / 0.0045) ** 2 + ((y - 0.936) / 0.0058) ** 2
    curve = 0.8928 + face["smile"] * 12 * (x**2 - 0.00008)
    features = [
        (eye < 1, (0.95, 0.94, 0.92)),
        (iris < 1, (face["dark"] * 0.6, face["dark"] * 0.45, face["dark"] * 0.4)),
        ((np.abs(y - curve) < 0.0032) & (side < 0.0155), (0.55, 0.22, 0.2)),
        ((np.abs(y - 0.9045) < 0.0022) & (np.abs(side - 0.005) < 0.003), (0.3, 0.17, 0.13)),
    ]
    if face["glasses"]:
        features.append(
            (((eye > 1.2) & (eye < 2.6)) | ((np.abs(y - 0.938) < 0.0015) & (side < 0.009)), (0.05, 0.05, 0.06))
        )
    return features


def paint_front(
    outfit: Outfit,
    rest_xyz: Float32[np.ndarray, "N 3"],
    material: Int[np.ndarray, " M"],
    brightness: Float32[np.ndarray, " M"],
    where: Int[np.ndarray, " N"],
    first: int,
) -> None:
    """Paint the torso's pixels `where` of `material` and darken seams in `brightness`, in place.

    Arguments as in `paint_face`; `brightness` is a factor per pixel.
    """
    x, y, z = rest_xyz.T
    side, front, details = np.abs(x), z > 0.005, outfit.front
    shirt = y > outfit.shirt_hem
    if "open" in details:
        inner = front & shirt & (side < details["open"] * (0.4 + (y - 0.5) * 2.2))
        material[where[inner]] = first + INNER
        if details["tie"]:
            material[where[inner & (side < 0.007 + 0.03 * (0.82 - y)) & (y < 0.825) & (y > 0.62)]] = first + ACCENT
        brightness[where[front & shirt & (np.abs(side - details["open"] * (0.4 + (y - 0.5) * 2.2)) < 0.003)]] = 0.6
    if "print" in details:
        printed = front & ((x / details["print"]) ** 2 + ((y - 0.74) / (details["print"] * 0.7)) ** 2 < 1)
        material[where[printed]] = first + ACCENT
    if "back_number" in details:
        number = (z < 0) & (np.abs(side - 0.018) < 0.007) & (np.abs(y - 0.74) < 0.035)
        material[where[number]] = first + ACCENT
    if "buttons" in details:
        brightness[where[front & shirt & (side < 0.0018)]] = 0.65
        material[where[front & shirt & (side < 0.0045) & (np.abs((y * 28) % 1 - 0.5) < 0.13)]] = first + INNER
    neck = (y > 0.843 - details["neck"] * np.clip(1 - (side / 0.035) ** 2, 0, 1)) & front
    if "open" not in details:
        material[where[neck]] = first + SKIN
    brightness[where[(np.abs(y - 0.842) < 0.004) & ~neck]] = 0.72
    if details["belt"]:
        material[where[np.abs(y - outfit.shirt_hem + 0.008) < 0.007]] = first + ACCENT
    if details["pockets"] and outfit.skirt_hem is None:
        pocket = (z < -0.02) & (np.abs(side - 0.042) < 0.022) & (np.abs(y - 0.545) < 0.022)
        edge = pocket & ((np.abs(side - 0.042) > 0.018) | (np.abs(y - 0.545) > 0.018))
        brightness[where[edge & (y < outfit.shirt_hem)]] = 0.6
        brightness[where[front & (side < 0.0025) & (y < outfit.shirt_hem) & (y > 0.5)]] = 0.65
