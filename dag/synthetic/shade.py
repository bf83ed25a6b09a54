"""Shading: from the visible face of each sample to its colour, by materials, painted details and lighting."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, UInt8

from dag.body.anthropometry import HIP_X, SHOULDER_X
from dag.body.paint import paint_face, paint_front
from dag.body.template import PIECE, PIECES
from dag.body.textures import SIDE, noise_field
from dag.synthetic.objects import SceneObject

MAX_LAYERS = 4  # maximum number of materials of a piece, from below


@dataclass(frozen=True, eq=False)
class Light:
    """A directional light with ambient light.

    Attributes:
        direction: unit vector towards the light.
        sun, sky, ground: RGB of the directional light, and of the ambient light from above and below.
    """

    direction: Float[np.ndarray, "3"]
    sun: Float[np.ndarray, "3"]
    sky: Float[np.ndarray, "3"]
    ground: Float[np.ndarray, "3"]


@dataclass(frozen=True, eq=False)
class SceneGeometry:
    """Vertices and faces of all objects in single arrays.

    Attributes:
        screen_xy, inverse_depth: projected vertices.
        attributes: `rest_xyz` and normal of each vertex, interpolated over faces.
        faces: vertex indices.
        object_index, piece: object and piece of each face.
    """

    screen_xy: Float32[np.ndarray, "V 2"]
    inverse_depth: Float32[np.ndarray, " V"]
    attributes: Float32[np.ndarray, "V 6"]
    faces: Int[np.ndarray, "F 3"]
    object_index: Int[np.ndarray, " F"]
    piece: Int[np.ndarray, " F"]


def shade(
    objects: list[SceneObject],
    geometry: SceneGeometry,
    face: Int32[np.ndarray, " N"],
    x: Int[np.ndarray, " N"],
    y: Int[np.ndarray, " N"],
    light: Light,
    view_direction: Float[np.ndarray, "3"],
) -> tuple[Float32[np.ndarray, "N 3"], UInt8[np.ndarray, " N"]]:
    """RGB colours (nominally 0 to 1) of samples, and 1 where a sample of a head is hair or hat.

    Args:
        face: index of the visible face of each sample.
        x, y: columns and rows of the samples.
        view_direction: viewing direction of the camera.
    """
    attributes = _interpolate(geometry, face, x, y)
    rest_xyz, normal = attributes[:, :3], attributes[:, 3:]
    normal /= np.sqrt(np.maximum(np.einsum("nk,nk->n", normal, normal), 1e-12))[:, None]
    object_index, piece = geometry.object_index[face], geometry.piece[face]
    material, tiles, numbers = _materials(objects, object_index, piece, rest_xyz[:, 1])
    brightness, hair = np.ones(len(face), np.float32), np.zeros(len(face), np.uint8)
    tint = np.full((len(face), 3), -1, np.float32)
    for number, item in enumerate(objects):
        if item.outfit is not None:
            first = numbers[number]
            where = np.flatnonzero((object_index == number) & (piece == PIECE["head"]))
            hair[where] = paint_face(item.outfit, rest_xyz[where], material, tint, where, first)
            where = np.flatnonzero((object_index == number) & (piece == PIECE["torso"]))
            paint_front(item.outfit, rest_xyz[where], material, brightness, where, first)
    colour = _colour(tiles, material, _texture_xy(objects, object_index, piece, rest_xyz))
    painted = tint[:, 0] >= 0
    colour[painted] = tint[painted]
    return colour * (_lit(tiles, material, rest_xyz, normal, light, view_direction) * brightness[:, None]), hair


def _interpolate(
    geometry: SceneGeometry, face: Int32[np.ndarray, " N"], x: Int[np.ndarray, " N"], y: Int[np.ndarray, " N"]
) -> Float32[np.ndarray, "N 6"]:
    """Perspective-correct `attributes` of samples."""
    corners = geometry.screen_xy[geometry.faces]
    a, one, two = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    table = np.column_stack([a, np.stack([two[:, 1], -two[:, 0], -one[:, 1], one[:, 0]], 1) / area[:, None]])
    row = table.astype(np.float32)[face]
    dx, dy = x.astype(np.float32) - row[:, 0], y.astype(np.float32) - row[:, 1]
    second, third = row[:, 2] * dx + row[:, 3] * dy, row[:, 4] * dx + row[:, 5] * dy
    vertices = geometry.faces[face]
    barycentric = 1 - second - third, second, third
    weights = [weight * geometry.inverse_depth[vertices[:, k]] for k, weight in enumerate(barycentric)]
    total = weights[0] + weights[1] + weights[2]
    attributes = geometry.attributes[vertices[:, 0]] * (weights[0] / total)[:, None]
    attributes += geometry.attributes[vertices[:, 1]] * (weights[1] / total)[:, None]
    attributes += geometry.attributes[vertices[:, 2]] * (weights[2] / total)[:, None]
    return attributes


def _materials(
    objects: list[SceneObject],
    object_index: Int[np.ndarray, " N"],
    piece: Int[np.ndarray, " N"],
    height: Float32[np.ndarray, " N"],
) -> tuple[Int[np.ndarray, " N"], list, list[int]]:
    """Material index of each sample, all materials, and the index of each object's first material."""
    most = max(max(item.layers) for item in objects) + 1
    heights = np.full((len(objects), most, MAX_LAYERS - 1), np.inf, np.float32)
    layer = np.zeros((len(objects), most, MAX_LAYERS), int)
    tiles, firsts = [], []
    for number, item in enumerate(objects):
        firsts.append(len(tiles))
        for part, (edges, kinds) in item.layers.items():
            heights[number, part, : len(edges)] = edges
            layer[number, part, : len(kinds)] = np.array(kinds) + len(tiles)
        tiles += item.materials
    layer_index = object_index * most + piece
    above = np.zeros(len(layer_index), int)
    for edge in heights.reshape(-1, MAX_LAYERS - 1).T:
        above += height > edge[layer_index]
    return layer.reshape(-1, MAX_LAYERS)[layer_index, above], tiles, firsts


# x of the axis (of the left limb) and radius of the body's round pieces; patterns run around the axis.
_LIMBS = {"arm": (SHOULDER_X, 0.028), "hand": (SHOULDER_X, 0.020), "leg": (HIP_X, 0.044), "foot": (HIP_X, 0.030)}


def _round(piece: str) -> tuple[float, float]:
    middle, radius = _LIMBS.get(piece.rpartition("_")[2], (0.0, 0.085))
    return -middle if piece.startswith("right") else middle, radius


_ROUND = np.array([_round(piece) for piece in PIECES], np.float32)


def _texture_xy(
    objects: list[SceneObject],
    object_index: Int[np.ndarray, " N"],
    piece: Int[np.ndarray, " N"],
    rest_xyz: Float32[np.ndarray, "N 3"],
) -> Float32[np.ndarray, "N 2"]:
    """Texture coordinates: around the axis of limbs and torsos, along straight planes on objects."""
    person = np.array([item.outfit is not None for item in objects])[object_index]
    plane = np.stack([rest_xyz[:, 0] + 0.7 * rest_xyz[:, 2], rest_xyz[:, 1] + 0.6 * rest_xyz[:, 2]], 1)
    middle, radius = _ROUND[piece[person]].T
    plane[person, 0] = np.arctan2(rest_xyz[person, 0] - middle, rest_xyz[person, 2]) * radius
    plane[person, 1] = rest_xyz[person, 1]
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
    rest_xyz: Float32[np.ndarray, "N 3"],
    normal: Float32[np.ndarray, "N 3"],
    light: Light,
    view_direction: Float[np.ndarray, "3"],
) -> Float32[np.ndarray, "N 3"]:
    """RGB light of each sample: directional, ambient from sky and ground, folds, and a specular highlight."""
    direction, sun, sky, ground, view_direction = (
        array.astype(np.float32) for array in (light.direction, light.sun, light.sky, light.ground, view_direction)
    )
    normal = normal * np.where(normal @ view_direction > 0.15, np.float32(-1), np.float32(1))[:, None]
    fold, gloss = np.array([(tile.fold, tile.gloss) for tile in tiles], np.float32).T[:, material]
    dents, side = noise_field(1.9, 5), 256
    u = (rest_xyz[:, 0] * 700 + rest_xyz[:, 2] * 500).astype(np.int32) % side
    v = (rest_xyz[:, 1] * 420 + rest_xyz[:, 2] * 160).astype(np.int32) % side
    bump = dents[v, u] * fold
    direct = np.maximum(normal @ direction + np.float32(0.35) * bump, 0)
    up = np.float32(0.5) + np.float32(0.5) * normal[:, 1]
    lit = direct[:, None] * sun + up[:, None] * (sky - ground) + ground
    half = (direction - view_direction) / np.linalg.norm(direction - view_direction)
    lit *= (1 + np.float32(0.25) * bump)[:, None]
    lit += (gloss * np.maximum(normal @ half, 0) ** 20)[:, None]
    return lit
