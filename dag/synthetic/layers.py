"""All things of a scene in one depth buffer, and the same at the image's own size."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, UInt8

from dag.synthetic.camera import Camera
from dag.synthetic.raster import Layer, rasterize
from dag.synthetic.shade import Drawable
from dag.synthetic.things import Thing


@dataclass(frozen=True, eq=False)
class Composite:
    """What is seen where.

    Attributes:
        things: people first.
        layers: each thing alone, at sub-pixels.
        drawable: corners and faces of all things.
        fine_face, fine_nearness: nearest face (-1 for none) and one over its depth, at sub-pixels.
        owner: thing number a pixel, -1 for the backdrop: what fills most of it.
        sub: the sub-pixel (row, column) that stands for each pixel.
    """

    things: list[Thing]
    layers: list[Layer]
    drawable: Drawable
    fine_face: Int32[np.ndarray, "FH FW"]
    fine_nearness: Float32[np.ndarray, "FH FW"]
    owner: Int[np.ndarray, "H W"]
    sub: tuple[Int[np.ndarray, "H W"], Int[np.ndarray, "H W"]]
    finer: int

    def mask(self, number: int) -> Bool[np.ndarray, "H W"]:
        """Where thing `number` is seen."""
        return self.owner == number

    def area(self, number: int) -> int:
        """Pixels in which thing `number` is seen."""
        return int(self.mask(number).sum())

    def occlusion_ratio(self, number: int) -> float:
        """Fraction of a thing's silhouette inside the image that other things hide."""
        layer = self.layers[number]
        alone = layer.face >= 0
        seen = self.fine_face[layer.window]
        mine = (seen >= 0) & (self.drawable.thing[seen] == number)
        return float(1 - (mine & alone).sum() / max(alone.sum(), 1))

    def shaded(self) -> Bool[np.ndarray, "FH FW"]:
        """Sub-pixels whose colour is worked out: all at the borders of things, one diagonal inside them."""
        thing = np.where(self.fine_face >= 0, self.drawable.thing[self.fine_face], -1)
        inside = np.ones(self.owner.shape, dtype=bool)
        for down in range(self.finer):
            for right in range(self.finer):
                inside &= thing[down :: self.finer, right :: self.finer] == self.owner
        shaded = self.fine_face >= 0
        for down in range(self.finer):
            for right in range(self.finer):
                if down != right:
                    shaded[down :: self.finer, right :: self.finer] &= ~inside
        return shaded

    def part_map(
        self, part_of_piece: UInt8[np.ndarray, " P"], fine_hair: UInt8[np.ndarray, "FH FW"], hair: int
    ) -> UInt8[np.ndarray, "H W"]:
        """Part numbers of what is seen of people; `fine_hair` marks the hair that is painted on heads."""
        face = self.fine_face[self.sub]
        part = part_of_piece[self.drawable.piece[face]]
        part = np.where(fine_hair[self.sub] > 0, np.uint8(hair), part)
        person = np.array([thing.outfit is not None for thing in self.things] + [False])[self.owner]
        return np.where(person, part, 0).astype(np.uint8)


def drawable(camera: Camera, things: list[Thing]) -> tuple[Drawable, list[tuple[slice, slice]]]:
    """One list of all corners and faces; and the vertex and face ranges of each thing."""
    vertices = np.concatenate([thing.mesh.vertices for thing in things])
    screen_xy, nearness = camera.project(vertices)
    looks = [np.column_stack([thing.mesh.paint_xyz, thing.mesh.normals]) for thing in things]
    corner = np.cumsum([0] + [len(thing.mesh.vertices) for thing in things])
    face = np.cumsum([0] + [len(thing.mesh.faces) for thing in things])
    ranges = [
        (slice(int(corner[n]), int(corner[n + 1])), slice(int(face[n]), int(face[n + 1]))) for n in range(len(things))
    ]
    return Drawable(
        screen_xy=screen_xy.astype(np.float32),
        nearness=nearness.astype(np.float32),
        looks=np.concatenate(looks).astype(np.float32),
        faces=np.concatenate([thing.mesh.faces + start for thing, start in zip(things, corner)]),
        thing=np.repeat(np.arange(len(things)), [len(thing.mesh.faces) for thing in things]),
        piece=np.concatenate([thing.mesh.pieces for thing in things]),
    ), ranges


def compose(camera: Camera, things: list[Thing], people: int, finer: int) -> Composite:
    """Draw all things through `camera`, which has `finer` times the image's pixels on a side."""
    drawn, ranges = drawable(camera, things)
    wh = (camera.width, camera.height)
    face = np.full((camera.height, camera.width), -1, np.int32)
    nearness = np.zeros(face.shape, np.float32)
    layers = []
    for thing, (corners, faces) in zip(things, ranges):
        two_sided = np.isin(thing.mesh.pieces, thing.open_pieces)
        layer = rasterize(drawn.screen_xy[corners], drawn.nearness[corners], thing.mesh.faces, wh, two_sided)
        layers.append(layer)
        closer = layer.nearness > nearness[layer.window]
        nearness[layer.window][closer] = layer.nearness[closer]
        face[layer.window][closer] = layer.face[closer] + faces.start
    owner, sub = _majority(np.where(face >= 0, drawn.thing[face], -1), finer)
    return Composite(things, layers, drawn, face, nearness, owner, sub, finer)


def _majority(
    fine: Int[np.ndarray, "FH FW"], finer: int
) -> tuple[Int[np.ndarray, "H W"], tuple[Int[np.ndarray, "H W"], Int[np.ndarray, "H W"]]]:
    """The commonest value of each block of sub-pixels (the first of equals), and a sub-pixel that has it."""
    height, width = fine.shape[0] // finer, fine.shape[1] // finer
    blocks = [fine[down::finer, right::finer] for down in range(finer) for right in range(finer)]
    chosen, most = np.zeros((height, width), int), np.zeros((height, width), np.int8)
    for number, block in enumerate(blocks):
        votes = np.zeros((height, width), np.int8)
        for other in blocks:
            votes += block == other
        better = votes > most
        chosen[better], most[better] = number, votes[better]
    row, column = np.mgrid[:height, :width]
    sub = (row * finer + chosen // finer, column * finer + chosen % finer)
    return fine[sub], sub
