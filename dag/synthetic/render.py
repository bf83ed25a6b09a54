"""Rendering of a random scene to an image with exact ground truth."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8

from dag.synthetic.background import Background, random_background
from dag.synthetic.camera import Camera
from dag.synthetic.ground_truth import PART_OF_PIECE, PARTS, GroundTruth, person_ground_truth
from dag.synthetic.layers import Composite, compose
from dag.synthetic.objects import SceneObject
from dag.synthetic.scene import Scene, person_object, random_scene
from dag.synthetic.shade import shade

SPLITS = ("train", "val")
SUPERSAMPLING = 2  # samples per pixel along each axis
MIN_AREA = 250  # minimum visible pixels of an annotated person, at 320 x 240
MIN_VISIBLE_RATIO = 0.1  # minimum visible fraction of an annotated person


@dataclass(frozen=True, eq=False)
class SyntheticImage:
    """A rendered image with its ground truth.

    Attributes:
        image: RGB.
        parts: part label per pixel, an index in `PARTS`.
        persons: ground truth of all persons in the image.
    """

    image: UInt8[np.ndarray, "H W 3"]
    parts: UInt8[np.ndarray, "H W"]
    persons: list[GroundTruth]


def render_image(
    seed: int, split: str, index: int, *, width: int, height: int, max_persons: int, occlusion: float
) -> SyntheticImage:
    """Image number `index` of a split. The same arguments give the same bytes, in any order and process.

    Args:
        max_persons: maximum number of persons in the image.
        occlusion: probability that an object or another person is placed in front of a person.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    min_area = MIN_AREA * width * height / (320 * 240)
    while True:
        scene = random_scene(rng, width, height, max_persons, occlusion)
        composite, scene = _without_invisible(scene, min_area)
        if scene.actors:
            return _render_scene(rng, scene, composite)


def _without_invisible(scene: Scene, min_area: float) -> tuple[Composite, Scene]:
    """Remove actors, with the objects that belong to them, until every remaining actor is sufficiently visible."""
    camera = scene.camera.scaled(SUPERSAMPLING)
    while True:
        objects = [person_object(actor) for actor in scene.actors] + [item for item, _ in scene.objects]
        composite = compose(camera, objects, SUPERSAMPLING)
        invisible = [
            number for number in range(len(scene.actors))
            if composite.area(number) < min_area or composite.occlusion_ratio(number) > 1 - MIN_VISIBLE_RATIO
        ]  # fmt: skip
        if not invisible:
            return composite, scene
        scene = _without(scene, invisible[0])
        if not scene.actors:
            return composite, scene


def _without(scene: Scene, actor: int) -> Scene:
    """The scene without an actor and the objects that belong to it."""
    objects = [(item, owner - (owner > actor)) for item, owner in scene.objects if owner != actor]
    return Scene(scene.camera, scene.actors[:actor] + scene.actors[actor + 1 :], objects)


def _render_scene(rng: np.random.Generator, scene: Scene, composite: Composite) -> SyntheticImage:
    camera, fine = scene.camera, scene.camera.scaled(SUPERSAMPLING)
    objects = composite.objects
    farthest = max(actor.depth[1] for actor in scene.actors)
    background = random_background(rng, camera, max(farthest, _farthest(camera, objects)))
    y, x = np.nonzero(composite.shaded())
    face = composite.sample_face[y, x]
    colour, hair = shade(objects, composite.geometry, face, x, y, background.light, camera.axes()[2])
    colour *= _ambient_occlusion(composite, y, x)[:, None]

    front = np.zeros((fine.height, fine.width, 4), np.float32)
    front[y, x, :3], front[y, x, 3] = colour, 1
    front = cv2.resize(front, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    filled = cv2.resize(
        (composite.sample_face >= 0).astype(np.float32), front.shape[1::-1], interpolation=cv2.INTER_AREA
    )
    behind = background.image * _shadows(camera, objects, background)[..., None]
    front = front[..., :3] * (filled / np.maximum(front[..., 3], 1e-6))[..., None]
    image = _camera_effects(rng, front + (1 - filled)[..., None] * behind)

    sample_hair = np.zeros(composite.sample_face.shape, np.uint8)
    sample_hair[y, x] = hair
    parts = composite.part_map(PART_OF_PIECE, sample_hair, PARTS.index("hair"))
    persons = [person_ground_truth(camera, actor, composite, number) for number, actor in enumerate(scene.actors)]
    return SyntheticImage(image, parts, persons)


def _farthest(camera: Camera, objects: list[SceneObject]) -> float:
    return max(float(-item.mesh.vertices[:, 2].min()) for item in objects)


def _ambient_occlusion(
    composite: Composite, y: Int[np.ndarray, " N"], x: Int[np.ndarray, " N"]
) -> Float32[np.ndarray, " N"]:
    """Brightness factor of screen-space ambient occlusion: darker where nearby surfaces lie in front.

    Luft, Colditz & Deussen, Image Enhancement by Unsharp Masking the Depth Buffer, SIGGRAPH 2006.
    """
    known = (composite.sample_face >= 0).astype(np.float32)
    depth = known / np.maximum(composite.sample_inverse_depth, 1e-6)
    around = cv2.blur(depth, (13, 13)) / np.maximum(cv2.blur(known, (13, 13)), 1e-6)
    gap = (depth - around)[y, x]
    return 1 - np.clip(gap / 0.35, 0, 0.32)


def _shadows(camera: Camera, objects: list[SceneObject], background: Background) -> Float32[np.ndarray, "H W"]:
    """Brightness factor of the ground: cast shadows, and a soft contact shadow under every object."""
    light_left = np.ones((camera.height, camera.width), np.float32)
    light = background.light
    sun = float(light.sun.mean() * light.direction[1])
    cast = sun / (sun + float(light.sky.mean())) * (0.35 + 0.65 * background.shadow_sharpness)
    slant = light.direction / light.direction[1]
    shadows = (slant, cast, 0.8 + 4 * (1 - background.shadow_sharpness)), (np.array([0, 1.0, 0]), 0.28, 4.0)
    for direction, strength, blur in shadows:
        mask = np.zeros(light_left.shape, np.uint8)
        for item in objects:
            flat = item.mesh.vertices - item.mesh.vertices[:, 1:2] * direction
            screen, inverse_depth = camera.project(flat)
            for hull in item.hulls:
                if (inverse_depth[hull] > 0.02).all():
                    outline = cv2.convexHull(np.clip(screen[hull], -2000, 4000).astype(np.float32))
                    cv2.fillConvexPoly(mask, np.round(outline).astype(np.int32), 255)
        light_left *= 1 - strength / 255 * cv2.GaussianBlur(mask, (0, 0), blur).astype(np.float32)
    return np.where(background.ground, light_left, 1).astype(np.float32)


def _camera_effects(rng: np.random.Generator, image: Float32[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Exposure, white balance, haze, vignette, blur and sensor noise."""
    height, width = image.shape[:2]
    gain = rng.uniform(0.9, 1.35) * (1 + rng.normal(0, 0.03, 3))
    image = np.clip(image * gain.astype(np.float32), 0, 1.25)
    image = image / (1 + 0.12 * np.maximum(image - 0.6, 0) / 0.6)
    if rng.random() < 0.3:
        grey = rng.uniform(0.0, 0.2)
        image = image * (1 - grey) + grey * rng.uniform(0.3, 0.8)
    if rng.random() < 0.5:
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        image = image * (1 - rng.uniform(0.05, 0.3) * (x * x + y * y) / 2).astype(np.float32)[..., None]
    blur = rng.random()
    if blur < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9))
    elif blur < 0.42:  # motion blur
        length, angle = rng.integers(2, 5), rng.uniform(0, np.pi)
        kernel = np.zeros((9, 9), np.float32)
        reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        start, end = ((np.round(4 + sign * reach)).astype(int).tolist() for sign in (-1, 1))
        cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    noise, start = _sensor_noise(image.size), int(rng.integers(image.size))
    grain = noise[start : start + image.size].reshape(image.shape) * np.float32(rng.uniform(0.002, 0.03))
    return (np.clip(image + grain, 0, 1) * 255 + 0.5).astype(np.uint8)


@cache
def _sensor_noise(size: int) -> Float32[np.ndarray, " N"]:
    """Standard normal noise, twice as long as an image; each image takes a slice from a random start."""
    return np.random.default_rng(8).standard_normal(2 * size, dtype=np.float32)
