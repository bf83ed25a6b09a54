"""Outfits: the heights at which garments end, their ease, and the materials of each surface piece."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from dag.body.mesh import Triple
from dag.body.template import HEM, PIECE, PIECES, SHIRTS, SLEEVES, TROUSERS
from dag.body.textures import Material, cloth, plain, skin_colour, two_colours

# Height of the hair line over z, canonical units. It is higher at the front than at the back.
_HAIRLINE = np.array([[-0.06, 0.890], [-0.02, 0.893], [0.002, 0.930], [0.03, 0.957], [0.05, 0.972], [0.06, 0.976]])


@dataclass(eq=False)
class Outfit:
    """Clothes, hair and skin of one person. Heights and sizes in canonical units.

    Attributes:
        sleeve, shirt_hem, trouser_hem: heights where they end; 1.0 for no sleeves or no trousers.
        shirt_ease, sleeve_ease, trouser_ease: distance between skin and cloth.
        flare: widening of the trousers below the knee, per unit of height.
        skirt_hem: height where the skirt ends, None without a skirt.
        skirt_flare: widening of the skirt.
        hairline: height of the hair line above the average; 1 for bald.
        hair_thickness: distance between scalp and hair surface.
        hair_length: height where long hair ends, None for short hair.
        bun, brim: centre and half sizes of a bun or ponytail, and of a hat's brim.
        materials: materials of the person's surface.
        layers: per piece, (heights, materials) from below: material k lies below height k, the last above all heights.
        face: features painted on the head, name to value.
        front: details painted on the torso, name to value.
    """

    sleeve: float = 1.0
    shirt_hem: float = SHIRTS[0]
    trouser_hem: float = 1.0
    shirt_ease: float = 0.005
    sleeve_ease: float = 0.004
    trouser_ease: float = 0.004
    flare: float = 0.0
    skirt_hem: float | None = None
    skirt_flare: float = 0.0
    hairline: float = 0.0
    hair_thickness: float = 0.006
    hair_length: float | None = None
    bun: tuple[Triple, Triple] | None = None
    brim: tuple[Triple, Triple] | None = None
    materials: list[Material] = field(default_factory=list)
    layers: dict[int, tuple[list[float], list[int]]] = field(default_factory=dict)
    face: dict[str, float] = field(default_factory=dict)
    front: dict[str, float] = field(default_factory=dict)

    def hair_height(self, rest_xyz: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, " V"]:
        """Height above the hair line in canonical units; positive where hair covers the head."""
        line = np.interp(rest_xyz[:, 2], _HAIRLINE[:, 0], _HAIRLINE[:, 1])
        raised = self.hairline * np.clip((rest_xyz[:, 2] + 0.02) / 0.05, 0, 1)
        ragged = 0.003 * np.sin(230 * rest_xyz[:, 0] + 1.3) + 0.0018 * np.sin(640 * rest_xyz[:, 0])
        return rest_xyz[:, 1] - line - raised - ragged

    def add(self, material: Material) -> int:
        """Append a material and return its index."""
        self.materials.append(material)
        return len(self.materials) - 1


# Indices in `materials`, in the order in which `random_outfit` adds them; dag.body.paint relies on them.
SKIN, HAIR, SHIRT, BOTTOM, SHOE, SOCK, ACCENT, INNER, HAT = range(9)


def random_outfit(rng: np.random.Generator, bust: float, child: bool) -> Outfit:
    """A random outfit; the probabilities of skirts, long hair and beards depend on the build."""
    outfit = Outfit()
    season = rng.random()  # 0 summer, 1 winter
    skirted = bust > 0.15 and rng.random() < 0.4
    shirt, bottom = cloth(rng, "shirt"), cloth(rng, "trousers")
    if skirted and rng.random() < 0.5:
        bottom = shirt
    skin, hair = skin_colour(rng), _hair_colour(rng)
    for material in (
        plain(rng, skin, fold=0.03), two_colours(rng, "upright", hair, hair * 0.72, 0.03, 0.35), shirt, bottom,
        cloth(rng, "shoe"), cloth(rng, "sock"), cloth(rng, "accent"), cloth(rng, "plain_shirt"), cloth(rng, "accent"),
    ):  # fmt: skip
        outfit.add(material)
    _wear(rng, outfit, season, skirted)
    _style_hair(rng, outfit, bust, child)
    _layer(rng, outfit, season)
    _decorate(rng, outfit, skin, hair, bust, child)
    return outfit


def _hair_colour(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    tones = np.array([[0.06, 0.05, 0.05], [0.13, 0.09, 0.06], [0.26, 0.16, 0.09], [0.45, 0.27, 0.14],
                      [0.72, 0.56, 0.32], [0.55, 0.54, 0.52], [0.80, 0.79, 0.76], [0.42, 0.14, 0.07]])  # fmt: skip
    tone = tones[rng.choice(len(tones), p=[0.27, 0.2, 0.17, 0.1, 0.1, 0.06, 0.05, 0.05])]
    return np.clip(tone * rng.uniform(0.8, 1.2), 0, 1)


def _wear(rng: np.random.Generator, outfit: Outfit, season: float, skirted: bool) -> None:
    warmth = np.clip(season + rng.normal(0, 0.25), 0, 1)
    sleeves = [1.0, SLEEVES[3], SLEEVES[2], SLEEVES[1], SLEEVES[0]]
    outfit.sleeve = sleeves[int(np.clip(warmth * 3.2 + 0.5 + rng.normal(0, 0.6), 0, 4))]
    if outfit.sleeve < SLEEVES[2] and rng.random() < 0.6:
        outfit.sleeve = SLEEVES[0]
    loose = rng.choice([0.0, 0.5, 1.0], p=[0.3, 0.45, 0.25])
    outfit.shirt_ease = 0.003 + 0.008 * loose + 0.006 * (season > 0.75)
    outfit.sleeve_ease = 0.002 + 0.006 * loose + 0.004 * (season > 0.75)
    outfit.shirt_hem = SHIRTS[rng.choice(3, p=[0.45, 0.3, 0.25])]
    if skirted:
        outfit.skirt_hem = float(
            rng.choice([rng.uniform(0.36, 0.44), rng.uniform(0.27, 0.36), rng.uniform(0.10, 0.27)])
        )
        outfit.skirt_flare = float(rng.uniform(0.02, 0.16))
        outfit.shirt_hem = SHIRTS[2]
    else:
        long = rng.random() < 0.35 + 0.6 * warmth
        outfit.trouser_hem = TROUSERS[0] if long else TROUSERS[rng.choice([1, 2, 3, 4], p=[0.12, 0.2, 0.43, 0.25])]
        outfit.trouser_ease = float(rng.choice([0.001, 0.005, 0.011], p=[0.3, 0.45, 0.25]))
        outfit.flare = float(rng.choice([0.0, rng.uniform(0.0, 0.05)]))


def _style_hair(rng: np.random.Generator, outfit: Outfit, bust: float, child: bool) -> None:
    outfit.hair_thickness = float(rng.uniform(0.003, 0.012))
    outfit.hairline = float(rng.uniform(-0.008, 0.008))
    style = rng.random()
    if style < 0.12 + 0.72 * bust:
        outfit.hair_length = float(rng.uniform(0.80, 0.885))
        if rng.random() < 0.3:
            outfit.hair_length = None
            tail = rng.random() < 0.6
            outfit.bun = (
                ((0, 0.905, -0.072), (0.017, 0.05, 0.017)) if tail else ((0, 0.985, -0.04), (0.024, 0.022, 0.022))
            )
    elif bust == 0 and not child and style > 0.85:
        outfit.hairline = 1.0 if style > 0.93 else 0.022
    elif style > 0.75:
        outfit.hair_thickness = float(rng.uniform(0.014, 0.026))
    hat = rng.random()
    if hat < 0.16:
        outfit.hairline, outfit.hair_thickness, outfit.bun = float(rng.uniform(-0.008, 0.004)), 0.007, None
        outfit.face["hat"] = rng.uniform(0.944, 0.958)
        if hat < 0.08:
            outfit.brim = ((0, outfit.face["hat"] + 0.004, 0.068), (0.036, 0.003, 0.034))
        elif hat < 0.11:
            size = rng.uniform(0.075, 0.1)
            outfit.brim = ((0, outfit.face["hat"] + 0.004, 0), (size, 0.005, size))


def _layer(rng: np.random.Generator, outfit: Outfit, season: float) -> None:
    layers = {PIECE[name]: ([0.0], [HAIR, HAIR]) for name in ("head", "hair")}
    layers |= {PIECE[name]: ([0.0], [SKIN, SKIN]) for name in ("head", "nose", "left_ear", "right_ear")}
    layers[PIECE["brim"]] = ([0.0], [HAT, HAT])
    layers[PIECE["skirt"]] = ([0.0], [BOTTOM, BOTTOM])
    layers[PIECE["torso"]] = ([outfit.shirt_hem, 0.842], [BOTTOM, SHIRT, SKIN])
    sock = rng.uniform(0.045, 0.20) if outfit.trouser_hem > 0.1 else 0.055
    barefoot = season < 0.2 and outfit.trouser_hem > 0.1 and rng.random() < 0.25
    glove = season > 0.85 and rng.random() < 0.4
    boot = rng.random() < 0.12 and outfit.trouser_hem > 0.1
    for name in PIECES:
        number = PIECE[name]
        if name.endswith("_arm"):
            layers[number] = ([outfit.sleeve], [SKIN, SHIRT])
        elif name.endswith("hand"):
            layers[number] = ([0.0], [SKIN, ACCENT if glove else SKIN])
        elif name.endswith("_leg"):
            low = SKIN if barefoot else SHOE if boot else SOCK
            above = BOTTOM if outfit.trouser_hem < 0.9 else SKIN
            layers[number] = ([sock, outfit.trouser_hem], [low, SKIN, above])
        elif name.endswith("foot"):
            heights, worn = [0.007, 0.046], [INNER, SHOE, SOCK]
            layers[number] = (heights, [SKIN] * 3 if barefoot else [SHOE] * 3 if boot else worn)
    outfit.layers = layers


def _decorate(
    rng: np.random.Generator, outfit: Outfit, skin: Float[np.ndarray, "3"], hair: Float[np.ndarray, "3"], bust: float,
    child: bool,
) -> None:  # fmt: skip
    face = outfit.face
    face["dark"] = float(rng.uniform(0.05, 0.35))
    face["smile"] = float(rng.uniform(-0.3, 1.0))
    face["glasses"] = float(rng.random() < 0.14)
    face["beard"] = float(rng.choice([0.0, 0.006, 0.02], p=[0.65, 0.1, 0.25])) if bust == 0 and not child else 0.0
    front = outfit.front
    front["neck"] = float(rng.uniform(0.0, 0.05))
    kind = rng.random()
    if kind < 0.2 and outfit.sleeve < SLEEVES[1] + HEM:
        front["open"] = float(rng.uniform(0.012, 0.04))
        front["tie"] = float(rng.random() < 0.3)
    elif kind < 0.42:
        front["print"] = float(rng.uniform(0.02, 0.05))
    elif kind < 0.65:
        front["buttons"] = 1.0
    elif kind < 0.72:
        front["back_number"] = 1.0
    front["belt"] = float(outfit.shirt_hem > 0.6 and rng.random() < 0.6)
    front["pockets"] = float(rng.random() < 0.6)
