"""Depth-buffered composition of a scene, at sample resolution (supersampled) and at image resolution."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, UInt8

from dag.synthetic.camera import Camera
from dag.synthetic.objects import SceneObject
from dag.synthetic.raster import Layer, rasterize
from dag.synthetic.shade import SceneGeometry


@dataclass(frozen=True, eq=False)
class Composite:
    """The visible surface of a scene.

    Attributes:
        objects: all objects; the persons come first.
        layers: each object rendered alone, at sample resolution.
        geometry: vertices and faces of all objects.
        sample_face: nearest face per sample, -1 for none.
        sample_inverse_depth: inverse depth of that face.
        pixel_object: index of the object that covers most samples of a pixel, -1 for the background.
        pixel_sample: row and column of a sample that represents the pixel.
        supersampling: samples per pixel along each axis.
    """

    objects: list[SceneObject]
    layers: list[Layer]
    geometry: SceneGeometry
    sample_face: Int32[np.ndarray, "FH FW"]
    sample_inverse_depth: Float32[np.ndarray, "FH FW"]
    pixel_object: Int[np.ndarray, "H W"]
    pixel_sample: tuple[Int[np.ndarray, "H W"], Int[np.ndarray, "H W"]]
    supersampling: int

    def mask(self, number: int) -> Bool[np.ndarray, "H W"]:
        """Mask of the pixels in which object `number` is visible."""
        return self.pixel_object == number

    def area(self, number: int) -> int:
        """Number of pixels in which object `number` is visible."""
        return int(self.mask(number).sum())

    def occlusion_ratio(self, number: int) -> float:
        """Fraction of an object's silhouette inside the image that other objects occlude."""
        layer = self.layers[number]
        alone = layer.face >= 0
        face = self.sample_face[layer.window]
        visible = (face >= 0) & (self.geometry.object_index[face] == number)
        return float(1 - (visible & alone).sum() / max(alone.sum(), 1))

    def shaded(self) -> Bool[np.ndarray, "FH FW"]:
        """Mask of the samples to shade: all at the borders of objects, only those on the diagonal elsewhere."""
        index = np.where(self.sample_face >= 0, self.geometry.object_index[self.sample_face], -1)
        inside = np.ones(self.pixel_object.shape, dtype=bool)
        for down in range(self.supersampling):
            for right in range(self.supersampling):
                inside &= index[down :: self.supersampling, right :: self.supersampling] == self.pixel_object
        shaded = self.sample_face >= 0
        for down in range(self.supersampling):
            for right in range(self.supersampling):
                if down != right:
                    shaded[down :: self.supersampling, right :: self.supersampling] &= ~inside
        return shaded

    def part_map(
        self, part_of_piece: UInt8[np.ndarray, " P"], sample_hair: UInt8[np.ndarray, "FH FW"], hair: int
    ) -> UInt8[np.ndarray, "H W"]:
        """Part label per pixel, 0 without a person; `sample_hair` marks the hair that is painted on heads."""
        face = self.sample_face[self.pixel_sample]
        part = part_of_piece[self.geometry.piece[face]]
        part = np.where(sample_hair[self.pixel_sample] > 0, np.uint8(hair), part)
        person = np.array([item.outfit is not None for item in self.objects] + [False])[self.pixel_object]
        return np.where(person, part, 0).astype(np.uint8)


def scene_geometry(camera: Camera, objects: list[SceneObject]) -> tuple[SceneGeometry, list[tuple[slice, slice]]]:
    """Vertices and faces of all objects in single arrays, and the vertex and face ranges of each object."""
    vertices = np.concatenate([item.mesh.vertices for item in objects])
    screen_xy, inverse_depth = camera.project(vertices)
    attributes = [np.column_stack([item.mesh.rest_xyz, item.mesh.normals]) for item in objects]
    vertex = np.cumsum([0] + [len(item.mesh.vertices) for item in objects])
    face = np.cumsum([0] + [len(item.mesh.faces) for item in objects])
    ranges = [
        (slice(int(vertex[n]), int(vertex[n + 1])), slice(int(face[n]), int(face[n + 1]))) for n in range(len(objects))
    ]
    return SceneGeometry(
        screen_xy=screen_xy.astype(np.float32),
        inverse_depth=inverse_depth.astype(np.float32),
        attributes=np.concatenate(attributes).astype(np.float32),
        faces=np.concatenate([item.mesh.faces + start for item, start in zip(objects, vertex)]),
        object_index=np.repeat(np.arange(len(objects)), [len(item.mesh.faces) for item in objects]),
        piece=np.concatenate([item.mesh.pieces for item in objects]),
    ), ranges


def compose(camera: Camera, objects: list[SceneObject], supersampling: int) -> Composite:
    """Render all objects through `camera`, which has `supersampling` times the image's resolution."""
    geometry, ranges = scene_geometry(camera, objects)
    wh = (camera.width, camera.height)
    face = np.full((camera.height, camera.width), -1, np.int32)
    inverse_depth = np.zeros(face.shape, np.float32)
    layers = []
    for item, (vertices, faces) in zip(objects, ranges):
        two_sided = np.isin(item.mesh.pieces, item.open_pieces)
        layer = rasterize(
            geometry.screen_xy[vertices], geometry.inverse_depth[vertices], item.mesh.faces, wh, two_sided
        )
        layers.append(layer)
        closer = layer.inverse_depth > inverse_depth[layer.window]
        inverse_depth[layer.window][closer] = layer.inverse_depth[closer]
        face[layer.window][closer] = layer.face[closer] + faces.start
    pixel_object, pixel_sample = _majority(np.where(face >= 0, geometry.object_index[face], -1), supersampling)
    return Composite(objects, layers, geometry, face, inverse_depth, pixel_object, pixel_sample, supersampling)


def _majority(
    samples: Int[np.ndarray, "FH FW"], supersampling: int
) -> tuple[Int[np.ndarray, "H W"], tuple[Int[np.ndarray, "H W"], Int[np.ndarray, "H W"]]]:
    """The most frequent value of each pixel's samples (the first of equals), and row and column of such a sample."""
    height, width = samples.shape[0] // supersampling, samples.shape[1] // supersampling
    blocks = [
        samples[down::supersampling, right::supersampling]
        for down in range(supersampling)
        for right in range(supersampling)
    ]
    chosen, most = np.zeros((height, width), int), np.zeros((height, width), np.int8)
    for number, block in enumerate(blocks):
        votes = np.zeros((height, width), np.int8)
        for other in blocks:
            votes += block == other
        better = votes > most
        chosen[better], most[better] = number, votes[better]
    row, column = np.mgrid[:height, :width]
    pixel_sample = (row * supersampling + chosen // supersampling, column * supersampling + chosen % supersampling)
    return samples[pixel_sample], pixel_sample
