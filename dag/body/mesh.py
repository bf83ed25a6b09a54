"""Triangle meshes: tubes, boxes, balls, leaves. Faces are wound so that their normal points outwards."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Triple = tuple[float | int, float | int, float | int]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface in space.

    Attributes:
        vertices: metres, in whatever frame the maker names.
        normals: of length one, a vertex.
        paint_xyz: where each vertex lies on the unmoved thing; patterns are laid out in it.
        faces: vertex numbers.
        pieces: a number a face: which piece of the thing it is.
    """

    vertices: Float[np.ndarray, "V 3"]
    normals: Float[np.ndarray, "V 3"]
    paint_xyz: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    pieces: Int[np.ndarray, " F"]


def join(meshes: list[Mesh]) -> Mesh:
    """One mesh of several; pieces keep their numbers."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    return Mesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        normals=np.concatenate([mesh.normals for mesh in meshes]),
        paint_xyz=np.concatenate([mesh.paint_xyz for mesh in meshes]),
        faces=np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)]),
        pieces=np.concatenate([mesh.pieces for mesh in meshes]),
    )


def grid_faces(rings: int, sides: int) -> Int[np.ndarray, "F 3"]:
    """Faces of a tube whose vertices are `[rings, sides]`: rings go up, sides anticlockwise seen from above."""
    ring, side = np.meshgrid(np.arange(rings - 1), np.arange(sides), indexing="ij")
    a = (ring * sides + side).ravel()
    b = (ring * sides + (side + 1) % sides).ravel()
    return np.concatenate([np.stack([a, b, b + sides], 1), np.stack([a, b + sides, a + sides], 1)])


def grid_normals(points: Float[np.ndarray, "R S 3"]) -> Float[np.ndarray, "R S 3"]:
    """Normals of a closed tube, by central differences; on the first and last ring they point along the tube."""
    around = np.roll(points, -1, 1) - np.roll(points, 1, 1)
    along = np.gradient(points, axis=0)
    normals = np.cross(around, along)
    middles = points.mean(1)
    normals[0], normals[-1] = middles[0] - middles[1], middles[-1] - middles[-2]
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)


def tube(points: Float[np.ndarray, "R S 3"], piece: int = 0) -> Mesh:
    """A tube through rings of points."""
    vertices = points.reshape(-1, 3)
    faces = grid_faces(*points.shape[:2])
    return Mesh(vertices, grid_normals(points).reshape(-1, 3), vertices, faces, np.full(len(faces), piece))


def ring(
    sides: int, half_x: float, half_z: float, power: float = 2.0
) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]:
    """x and z of a (super)ellipse, anticlockwise seen from above (y towards the eye), from the left side on."""
    angle = -2 * np.pi * np.arange(sides) / sides
    c, s = np.cos(angle), np.sin(angle)
    bulge = (np.abs(c) ** power + np.abs(s) ** power) ** (-1 / power)
    return half_x * c * bulge, half_z * s * bulge


def loft(profile: Float[np.ndarray, "R 5"], sides: int, power: float = 2.0) -> Float[np.ndarray, "R2 S 3"]:
    """Rings up a vertical axis, closed at both ends by a low dome.

    Args:
        profile: a row a ring, from below: height, half width, half depth, x and z of the middle.
    """
    rows = np.concatenate([profile[:1], profile, profile[-1:]])
    rows[[0, -1], 0] += 0.3 * rows[[0, -1], 1:3].min(1) * (-1, 1)
    rows[[0, -1], 1:3] = 1e-5
    points = np.empty((len(rows), sides, 3))
    for number, (y, half_x, half_z, x, z) in enumerate(rows):
        ring_x, ring_z = ring(sides, half_x, half_z, power)
        points[number] = np.stack([x + ring_x, np.full(sides, y), z + ring_z], 1)
    return points


def ball(rings: int, sides: int) -> Float[np.ndarray, "R S 3"]:
    """Points of the unit ball, from the lowest up."""
    latitude = np.linspace(-np.pi / 2 + 1e-4, np.pi / 2 - 1e-4, rings)
    x, z = ring(sides, 1.0, 1.0)
    return np.stack(
        [np.outer(np.cos(latitude), x), np.outer(np.sin(latitude), np.ones(sides)), np.outer(np.cos(latitude), z)], -1
    )


def box(half: Triple, center: Triple, piece: int = 0) -> Mesh:
    """A box with flat sides; `paint_xyz` is metres from its middle."""
    corners, normals, faces = [], [], []
    for axis in range(3):
        for sign in (-1, 1):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            quad = np.zeros((4, 3))
            quad[:, axis] = sign
            quad[:, u], quad[:, v] = [-1, 1, 1, -1], [-1, -1, 1, 1]
            start = 4 * len(corners)
            order = [(0, 1, 2), (0, 2, 3)] if sign > 0 else [(0, 2, 1), (0, 3, 2)]
            faces += [[start + i for i in face] for face in order]
            corners.append(quad * half)
            normals.append(np.tile(sign * np.eye(3)[axis], (4, 1)))
    paint = np.concatenate(corners)
    return Mesh(paint + center, np.concatenate(normals), paint, np.array(faces), np.full(12, piece))
