"""Triangle meshes of tubes, boxes and balls. Faces are wound so that their normals point outwards."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Triple = tuple[float | int, float | int, float | int]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: positions in metres; the function that makes the mesh documents the frame.
        normals: unit vertex normals.
        rest_xyz: vertex positions before posing and placement; texture patterns are laid out in them.
        faces: vertex indices.
        pieces: piece number of each face (`PIECES` of a person, material number of an object).
    """

    vertices: Float[np.ndarray, "V 3"]
    normals: Float[np.ndarray, "V 3"]
    rest_xyz: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    pieces: Int[np.ndarray, " F"]


def join(meshes: list[Mesh]) -> Mesh:
    """Concatenates meshes; pieces keep their numbers."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    return Mesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        normals=np.concatenate([mesh.normals for mesh in meshes]),
        rest_xyz=np.concatenate([mesh.rest_xyz for mesh in meshes]),
        faces=np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)]),
        pieces=np.concatenate([mesh.pieces for mesh in meshes]),
    )


def grid_faces(rings: int, sides: int) -> Int[np.ndarray, "F 3"]:
    """Faces of a tube with vertices `[rings, sides]`: rings from below, sides anticlockwise seen from above."""
    ring, side = np.meshgrid(np.arange(rings - 1), np.arange(sides), indexing="ij")
    a = (ring * sides + side).ravel()
    b = (ring * sides + (side + 1) % sides).ravel()
    return np.concatenate([np.stack([a, b, b + sides], 1), np.stack([a, b + sides, a + sides], 1)])


def grid_normals(points: Float[np.ndarray, "R S 3"]) -> Float[np.ndarray, "R S 3"]:
    """Normals of a closed tube by central differences; those of the first and last ring point along the tube."""
    around = np.roll(points, -1, 1) - np.roll(points, 1, 1)
    along = np.gradient(points, axis=0)
    normals = np.cross(around, along)
    middles = points.mean(1)
    normals[0], normals[-1] = middles[0] - middles[1], middles[-1] - middles[-2]
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)


def tube(points: Float[np.ndarray, "R S 3"], piece: int = 0) -> Mesh:
    """Mesh of a tube through rings of points."""
    vertices = points.reshape(-1, 3)
    faces = grid_faces(*points.shape[:2])
    return Mesh(vertices, grid_normals(points).reshape(-1, 3), vertices, faces, np.full(len(faces), piece))


def ring(
    sides: int, half_x: float, half_z: float, power: float = 2.0
) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]:
    """x and z of a superellipse, anticlockwise seen from above (y towards the viewer), starting at +x."""
    angle = -2 * np.pi * np.arange(sides) / sides
    c, s = np.cos(angle), np.sin(angle)
    bulge = (np.abs(c) ** power + np.abs(s) ** power) ** (-1 / power)
    return half_x * c * bulge, half_z * s * bulge


def loft(profile: Float[np.ndarray, "R 5"], sides: int, power: float = 2.0) -> Float[np.ndarray, "R2 S 3"]:
    """Points of rings along a vertical axis, closed at both ends by a low dome.

    Args:
        profile: one row per ring, from below: height, half width, half depth, x and z of the centre.
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
    """Points of the unit sphere, from the lowest ring up."""
    latitude = np.linspace(-np.pi / 2 + 1e-4, np.pi / 2 - 1e-4, rings)
    x, z = ring(sides, 1.0, 1.0)
    return np.stack(
        [np.outer(np.cos(latitude), x), np.outer(np.sin(latitude), np.ones(sides)), np.outer(np.cos(latitude), z)], -1
    )


def box(half: Triple, center: Triple, piece: int = 0) -> Mesh:
    """Mesh of a box with flat sides; `rest_xyz` is in metres from its centre."""
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
