"""From which face is seen at each pixel to a picture: materials, painted details, folds and light."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, UInt8

from dag.body.anthropometry import HIP_X, SHOULDER_X
from dag.body.paint import paint_face, paint_front
from dag.body.template import PIECE, PIECES
from dag.body.textures import SIDE, noise_field
from dag.synthetic.things import Thing

DEEPEST = 4  # the most materials that a piece has from below to above


@dataclass(frozen=True, eq=False)
class Light:
    """Sun or lamp and the light from all round.

    Attributes:
        towards: unit vector to the light.
        sun, sky, ground: colours of the direct light, and of what comes from above and below.
    """

    towards: Float[np.ndarray, "3"]
    sun: Float[np.ndarray, "3"]
    sky: Float[np.ndarray, "3"]
    ground: Float[np.ndarray, "3"]


@dataclass(frozen=True, eq=False)
class Drawable:
    """All things' corners and faces in one list, ready to be looked up by face number."""

    screen_xy: Float32[np.ndarray, "V 2"]
    nearness: Float32[np.ndarray, " V"]
    looks: Float32[np.ndarray, "V 6"]  # paint_xyz and normal
    faces: Int[np.ndarray, "F 3"]
    thing: Int[np.ndarray, " F"]
    piece: Int[np.ndarray, " F"]


def shade(
    things: list[Thing],
    drawable: Drawable,
    face: Int32[np.ndarray, " N"],
    x: Int[np.ndarray, " N"],
    y: Int[np.ndarray, " N"],
    light: Light,
    ahead: Float[np.ndarray, "3"],
) -> tuple[Float32[np.ndarray, "N 3"], UInt8[np.ndarray, " N"]]:
    """Colours (RGB, about 0 to 1) of pixels, and 1 where a head's pixel is hair or hat.

    Args:
        face: number of the face that is seen at each pixel.
        x, y: the pixels.
        ahead: where the camera looks.
    """
    looks = _interpolate(drawable, face, x, y)
    paint, normal = looks[:, :3], looks[:, 3:]
    normal /= np.sqrt(np.maximum(np.einsum("nk,nk->n", normal, normal), 1e-12))[:, None]
    thing, piece = drawable.thing[face], drawable.piece[face]
    material, tiles, numbers = _materials(things, thing, piece, paint[:, 1])
    shine, hair = np.ones(len(face), np.float32), np.zeros(len(face), np.uint8)
    tint = np.full((len(face), 3), -1, np.float32)
    for number, item in enumerate(things):
        if item.outfit is not None:
            first = numbers[number]
            where = np.flatnonzero((thing == number) & (piece == PIECE["head"]))
            hair[where] = paint_face(item.outfit, paint[where], material, tint, where, first)
            where = np.flatnonzero((thing == number) & (piece == PIECE["torso"]))
            paint_front(item.outfit, paint[where], material, shine, where, first)
    colour = _colour(tiles, material, _round_the_body(things, thing, piece, paint))
    painted = tint[:, 0] >= 0
    colour[painted] = tint[painted]
    return colour * (_lit(tiles, material, paint, normal, light, ahead) * shine[:, None]), hair


def _interpolate(
    drawable: Drawable, face: Int32[np.ndarray, " N"], x: Int[np.ndarray, " N"], y: Int[np.ndarray, " N"]
) -> Float32[np.ndarray, "N 6"]:
    """Perspective-correct `looks` at pixels."""
    corners = drawable.screen_xy[drawable.faces]
    a, one, two = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    table = np.column_stack([a, np.stack([two[:, 1], -two[:, 0], -one[:, 1], one[:, 0]], 1) / area[:, None]])
    row = table.astype(np.float32)[face]
    dx, dy = x.astype(np.float32) - row[:, 0], y.astype(np.float32) - row[:, 1]
    second, third = row[:, 2] * dx + row[:, 3] * dy, row[:, 4] * dx + row[:, 5] * dy
    vertices = drawable.faces[face]
    shares = [share * drawable.nearness[vertices[:, k]] for k, share in enumerate((1 - second - third, second, third))]
    total = shares[0] + shares[1] + shares[2]
    looks = drawable.looks[vertices[:, 0]] * (shares[0] / total)[:, None]
    looks += drawable.looks[vertices[:, 1]] * (shares[1] / total)[:, None]
    looks += drawable.looks[vertices[:, 2]] * (shares[2] / total)[:, None]
    return looks


def _materials(
    things: list[Thing], thing: Int[np.ndarray, " N"], piece: Int[np.ndarray, " N"], height: Float32[np.ndarray, " N"]
) -> tuple[Int[np.ndarray, " N"], list, list[int]]:
    """Material number of each pixel, all materials, and the first material number of each thing."""
    most = max(max(item.layers) for item in things) + 1
    heights = np.full((len(things), most, DEEPEST - 1), np.inf, np.float32)
    layer = np.zeros((len(things), most, DEEPEST), int)
    tiles, firsts = [], []
    for number, item in enumerate(things):
        firsts.append(len(tiles))
        for part, (edges, kinds) in item.layers.items():
            heights[number, part, : len(edges)] = edges
            layer[number, part, : len(kinds)] = np.array(kinds) + len(tiles)
        tiles += item.materials
    place = thing * most + piece
    above = np.zeros(len(place), int)
    for edge in heights.reshape(-1, DEEPEST - 1).T:
        above += height > edge[place]
    return layer.reshape(-1, DEEPEST)[place, above], tiles, firsts


# Middle line (x of the left one) and radius of a body's round pieces, about which patterns are wound.
_LIMBS = {"arm": (SHOULDER_X, 0.028), "hand": (SHOULDER_X, 0.020), "leg": (HIP_X, 0.044), "foot": (HIP_X, 0.030)}


def _round(piece: str) -> tuple[float, float]:
    middle, radius = _LIMBS.get(piece.rpartition("_")[2], (0.0, 0.085))
    return -middle if piece.startswith("right") else middle, radius


_ROUND = np.array([_round(piece) for piece in PIECES], np.float32)


def _round_the_body(
    things: list[Thing], thing: Int[np.ndarray, " N"], piece: Int[np.ndarray, " N"], paint: Float32[np.ndarray, "N 3"]
) -> Float32[np.ndarray, "N 2"]:
    """Coordinates along which patterns run: round limbs and backbones, straight on objects."""
    person = np.array([item.outfit is not None for item in things])[thing]
    plane = np.stack([paint[:, 0] + 0.7 * paint[:, 2], paint[:, 1] + 0.6 * paint[:, 2]], 1)
    middle, radius = _ROUND[piece[person]].T
    plane[person, 0] = np.arctan2(paint[person, 0] - middle, paint[person, 2]) * radius
    plane[person, 1] = paint[person, 1]
    return plane


def _colour(
    tiles: list, material: Int[np.ndarray, " N"], plane: Float32[np.ndarray, "N 2"]
) -> Float32[np.ndarray, "N 3"]:
    stack = np.stack([tile.tile for tile in tiles]).reshape(-1, 3)
    pace = np.array([SIDE / tile.repeat for tile in tiles], np.float32)[material]
    cell = np.floor(plane * pace[:, None]).astype(np.int32) % SIDE
    return stack[(material * SIDE + cell[:, 1]) * SIDE + cell[:, 0]]


def _lit(
    tiles: list,
    material: Int[np.ndarray, " N"],
    paint: Float32[np.ndarray, "N 3"],
    normal: Float32[np.ndarray, "N 3"],
    light: Light,
    ahead: Float[np.ndarray, "3"],
) -> Float32[np.ndarray, "N 3"]:
    """Light that reaches each pixel: direct, from the sky and the ground, folds, and a highlight."""
    towards, sun, sky, ground, ahead = (
        array.astype(np.float32) for array in (light.towards, light.sun, light.sky, light.ground, ahead)
    )
    normal = normal * np.where(normal @ ahead > 0.15, np.float32(-1), np.float32(1))[:, None]
    fold, gloss = np.array([(tile.fold, tile.gloss) for tile in tiles], np.float32).T[:, material]
    dents, side = noise_field(1.9, 5), 256
    u = (paint[:, 0] * 700 + paint[:, 2] * 500).astype(np.int32) % side
    v = (paint[:, 1] * 420 + paint[:, 2] * 160).astype(np.int32) % side
    bump = dents[v, u] * fold
    direct = np.maximum(normal @ towards + np.float32(0.35) * bump, 0)
    up = np.float32(0.5) + np.float32(0.5) * normal[:, 1]
    lit = direct[:, None] * sun + up[:, None] * (sky - ground) + ground
    half = (towards - ahead) / np.linalg.norm(towards - ahead)
    lit *= (1 + np.float32(0.25) * bump)[:, None]
    lit += (gloss * np.maximum(normal @ half, 0) ** 20)[:, None]
    return lit
