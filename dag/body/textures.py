"""Materials: small colour textures that repeat over a surface."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, Float32

SIDE = 64
Colour = Float[np.ndarray, "3"]


@dataclass(frozen=True, eq=False)
class Material:
    """Appearance of a surface.

    Attributes:
        tile: RGB texture, 0 to 1; it repeats.
        repeat: side of a tile on the surface: metres on objects, canonical units on persons.
        fold: strength of dents and folds in the shading.
        gloss: strength of the specular highlight.
    """

    tile: Float32[np.ndarray, "64 64 3"]
    repeat: float
    fold: float
    gloss: float


@cache
def noise_field(roughness: float = 1.6, seed: int = 0, side: int = 256) -> Float32[np.ndarray, "N N"]:
    """Periodic noise with mean 0 and standard deviation 1; its spectrum falls as frequency ** -`roughness`."""
    rng = np.random.default_rng([7, seed])
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.normal(size=(side, side))) / frequency**roughness
    field = np.fft.ifft2(spectrum).real
    return ((field - field.mean()) / field.std()).astype(np.float32)


def skin_colour(rng: np.random.Generator) -> Colour:
    """A random skin tone, RGB, from very dark to very light."""
    tones = np.array([[0.29, 0.18, 0.13], [0.45, 0.29, 0.20], [0.62, 0.43, 0.31], [0.78, 0.58, 0.45],
                      [0.88, 0.70, 0.58], [0.94, 0.79, 0.69]])  # fmt: skip
    at = rng.uniform(0, len(tones) - 1)
    tone = tones[int(at)] * (1 - at % 1) + tones[int(at) + 1] * (at % 1)
    return np.clip(tone + rng.normal(0, 0.015, 3), 0, 1)


def random_colour(rng: np.random.Generator, dull: float = 0.35) -> Colour:
    """A random RGB colour; with probability `dull` grey, white, black, blue or an earth tone."""
    if rng.random() < dull:
        plain_ones = np.array([[0.08, 0.08, 0.09], [0.92, 0.92, 0.91], [0.5, 0.5, 0.52], [0.13, 0.17, 0.3],
                               [0.22, 0.3, 0.45], [0.48, 0.4, 0.3], [0.3, 0.33, 0.25], [0.75, 0.7, 0.6]])  # fmt: skip
        return np.clip(plain_ones[rng.integers(len(plain_ones))] + rng.normal(0, 0.03, 3), 0, 1)
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(0.25, 0.95), rng.uniform(0.25, 0.95)]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(float)


def plain(
    rng: np.random.Generator, colour: Colour, fold: float = 0.1, repeat: float = 0.3, grain: float = 0.03,
    gloss: float = 0.0,
) -> Material:  # fmt: skip
    """A material of one colour with fine noise of strength `grain`."""
    y, x = rng.integers(0, 192, 2)
    tile = colour * (1 + grain * noise_field(0.8, 1)[y : y + SIDE, x : x + SIDE, None])
    return Material(np.clip(tile, 0, 1).astype(np.float32), repeat, fold, gloss)


def two_colours(
    rng: np.random.Generator, pattern: str, one: Colour, two: Colour, repeat: float, fold: float, gloss: float = 0.0
) -> Material:
    """A material with a pattern of two colours.

    Patterns: stripes, upright, slanted, checks, plaid, dots, patches, tiles, bricks, planks, letters.
    """
    mix = cv2.GaussianBlur(_pattern(rng, pattern), (3, 3), 0)[..., None]
    tile = one * (1 - mix) + two * mix
    tile *= 1 + 0.03 * noise_field(0.8, 1)[:SIDE, :SIDE, None]
    return Material(np.clip(tile, 0, 1).astype(np.float32), repeat, fold, gloss)


def _pattern(rng: np.random.Generator, name: str) -> Float32[np.ndarray, "64 64"]:
    y, x = np.mgrid[:SIDE, :SIDE]
    width = rng.integers(6, 28)
    if name == "stripes":
        value = y % 32 < width
    elif name == "upright":
        value = x % 32 < width
    elif name == "slanted":
        value = (x + y) % 32 < width
    elif name == "checks":
        value = (x // 16 + y // 16) % 2
    elif name == "plaid":
        value = 0.5 * (y % 32 < width) + 0.5 * (x % 32 < width)
    elif name == "dots":
        value = (x % 32 - 16) ** 2 + (y % 32 - 16) ** 2 < rng.integers(30, 90)
    elif name == "patches":
        value = noise_field(1.8, 2)[::4, ::4] > 0.2
    elif name == "tiles":
        value = (x % 32 < 2) | (y % 32 < 2)
    elif name == "bricks":
        value = (y % 16 < 2) | ((x + 16 * (y // 16 % 2)) % 32 < 2)
    elif name == "planks":
        grain = noise_field(1.2, 3)[::4, :SIDE] * 0.12 + 0.3
        value = np.where(y % 21 < 1, 1.0, grain)
    else:  # letters: rows of marks as on a printed box or sign
        value = (y % 16 < 9) & (noise_field(0.3, 4)[y // 16 * 3, x // 3] > -0.2) & (x % 3 < 2) & (x > 6)
    return np.asarray(value, np.float32)


def cloth(rng: np.random.Generator, use: str) -> Material:
    """A random material for a garment: shirt, plain_shirt, trousers, shoe, sock or accent."""
    if use == "shirt" and rng.random() < 0.42:
        kinds = ("stripes", "upright", "checks", "plaid", "dots", "patches", "slanted")
        kind = kinds[rng.choice(len(kinds), p=[0.35, 0.12, 0.1, 0.18, 0.1, 0.1, 0.05])]
        repeat = rng.uniform(0.04, 0.13) * (2 if kind == "patches" else 1)
        return two_colours(rng, kind, random_colour(rng), random_colour(rng, 0.6), repeat, 0.16)
    if use == "trousers":
        if rng.random() < 0.14:
            kind = ("upright", "plaid", "patches", "dots")[rng.integers(4)]
            return two_colours(
                rng, kind, random_colour(rng, 0.8), random_colour(rng, 0.8), rng.uniform(0.05, 0.15), 0.2
            )
        return plain(rng, random_colour(rng, 0.75), fold=0.22, repeat=0.1, grain=rng.uniform(0.01, 0.1))
    if use == "shoe":
        return plain(rng, random_colour(rng, 0.7), fold=0.05, gloss=0.25)
    if use == "sock":
        return plain(rng, random_colour(rng, 0.8), fold=0.05)
    if use == "plain_shirt":
        return plain(rng, np.clip(rng.uniform(0.75, 1.0) + rng.normal(0, 0.03, 3), 0, 1), fold=0.1)
    return plain(rng, random_colour(rng, 0.35), fold=0.16, repeat=0.2, grain=0.03)
