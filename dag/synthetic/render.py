"""A rendered image with its exact ground truth."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8

from dag.synthetic.backdrop import Backdrop, random_backdrop
from dag.synthetic.camera import Camera
from dag.synthetic.ground_truth import PART_OF_PIECE, PARTS, GroundTruth, person_ground_truth
from dag.synthetic.layers import Composite, compose
from dag.synthetic.scene import Scene, person_thing, random_scene
from dag.synthetic.shade import shade
from dag.synthetic.things import Thing

SPLITS = ("train", "val")
FINER = 2  # sub-pixels on a side
MIN_AREA = 250  # visible pixels of an annotated person at 320 x 240
MIN_FRACTION = 0.1  # visible share of an annotated person


@dataclass(frozen=True, eq=False)
class SyntheticImage:
    """An image and what is true of it.

    Attributes:
        image: RGB.
        parts: numbers in `PARTS` of what is seen of everybody.
        persons: everybody in it, nobody left out.
    """

    image: UInt8[np.ndarray, "H W 3"]
    parts: UInt8[np.ndarray, "H W"]
    persons: list[GroundTruth]


def render_image(
    seed: int, split: str, index: int, *, width: int, height: int, max_persons: int, occlusion: float
) -> SyntheticImage:
    """ImageRecord number `index` of a split. The same arguments give the same bytes, in any order and process.

    Args:
        max_persons: the most people in it.
        occlusion: probability that somebody or something is put in front of a person.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    least = MIN_AREA * width * height / (320 * 240)
    while True:
        scene = random_scene(rng, width, height, max_persons, occlusion)
        composite, scene = _everybody_seen(scene, least)
        if scene.actors:
            return _develop(rng, scene, composite)


def _everybody_seen(scene: Scene, least: float) -> tuple[Composite, Scene]:
    """Take things, then people, away until everybody left can be seen."""
    camera = scene.camera.scaled(FINER)
    while True:
        things = [person_thing(actor) for actor in scene.actors] + [thing for thing, _ in scene.objects]
        composite = compose(camera, things, len(scene.actors), FINER)
        lost = [
            number for number in range(len(scene.actors))
            if composite.area(number) < least or composite.occlusion_ratio(number) > 1 - MIN_FRACTION
        ]  # fmt: skip
        if not lost:
            return composite, scene
        scene = _without(scene, lost[0])
        if not scene.actors:
            return composite, scene


def _without(scene: Scene, actor: int) -> Scene:
    """The scene without an actor and what belongs to it; others keep theirs."""
    objects = [(thing, owner - (owner > actor)) for thing, owner in scene.objects if owner != actor]
    return Scene(scene.camera, scene.actors[:actor] + scene.actors[actor + 1 :], objects)


def _develop(rng: np.random.Generator, scene: Scene, composite: Composite) -> SyntheticImage:
    camera, fine = scene.camera, scene.camera.scaled(FINER)
    things = composite.things
    farthest = max(actor.depth[1] for actor in scene.actors)
    backdrop = random_backdrop(rng, camera, max(farthest, _farthest(camera, things)))
    y, x = np.nonzero(composite.shaded())
    face = composite.fine_face[y, x]
    colour, hair = shade(things, composite.drawable, face, x, y, backdrop.light, camera.axes()[2])
    colour *= _crevices(composite, y, x)[:, None]

    front = np.zeros((fine.height, fine.width, 4), np.float32)
    front[y, x, :3], front[y, x, 3] = colour, 1
    front = cv2.resize(front, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    filled = cv2.resize((composite.fine_face >= 0).astype(np.float32), front.shape[1::-1], interpolation=cv2.INTER_AREA)
    behind = backdrop.picture * _shadow(camera, things, backdrop)[..., None]
    front = front[..., :3] * (filled / np.maximum(front[..., 3], 1e-6))[..., None]
    image = _expose(rng, front + (1 - filled)[..., None] * behind)

    fine_hair = np.zeros(composite.fine_face.shape, np.uint8)
    fine_hair[y, x] = hair
    parts = composite.part_map(PART_OF_PIECE, fine_hair, PARTS.index("hair"))
    truths = [person_ground_truth(camera, actor, composite, number) for number, actor in enumerate(scene.actors)]
    return SyntheticImage(image, parts, truths)


def _farthest(camera: Camera, things: list[Thing]) -> float:
    return max(float(-thing.mesh.vertices[:, 2].min()) for thing in things)


def _crevices(composite: Composite, y: Int[np.ndarray, " N"], x: Int[np.ndarray, " N"]) -> Float32[np.ndarray, " N"]:
    """Darker where something close by stands out in front.

    Luft, Colditz & Deussen, Image Enhancement by Unsharp Masking the Depth Buffer, SIGGRAPH 2006.
    """
    known = (composite.fine_face >= 0).astype(np.float32)
    depth = known / np.maximum(composite.fine_nearness, 1e-6)
    around = cv2.blur(depth, (13, 13)) / np.maximum(cv2.blur(known, (13, 13)), 1e-6)
    gap = (depth - around)[y, x]
    return 1 - np.clip(gap / 0.35, 0, 0.32)


def _shadow(camera: Camera, things: list[Thing], backdrop: Backdrop) -> Float32[np.ndarray, "H W"]:
    """How much light is left on the ground: cast shadows, and a soft dark spot under everything."""
    left = np.ones((camera.height, camera.width), np.float32)
    light = backdrop.light
    sun = float(light.sun.mean() * light.towards[1])
    cast = sun / (sun + float(light.sky.mean())) * (0.35 + 0.65 * backdrop.hard)
    slant = light.towards / light.towards[1]
    for direction, strength, blur in ((slant, cast, 0.8 + 4 * (1 - backdrop.hard)), (np.array([0, 1.0, 0]), 0.28, 4.0)):
        mask = np.zeros(left.shape, np.uint8)
        for thing in things:
            flat = thing.mesh.vertices - thing.mesh.vertices[:, 1:2] * direction
            screen, nearness = camera.project(flat)
            for hull in thing.hulls:
                if (nearness[hull] > 0.02).all():
                    outline = cv2.convexHull(np.clip(screen[hull], -2000, 4000).astype(np.float32))
                    cv2.fillConvexPoly(mask, np.round(outline).astype(np.int32), 255)
        left *= 1 - strength / 255 * cv2.GaussianBlur(mask, (0, 0), blur).astype(np.float32)
    return np.where(backdrop.ground, left, 1).astype(np.float32)


def _expose(rng: np.random.Generator, picture: Float32[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Exposure, white balance, haze, vignette, blur and sensor noise."""
    height, width = picture.shape[:2]
    gain = rng.uniform(0.9, 1.35) * (1 + rng.normal(0, 0.03, 3))
    picture = np.clip(picture * gain.astype(np.float32), 0, 1.25)
    picture = picture / (1 + 0.12 * np.maximum(picture - 0.6, 0) / 0.6)
    if rng.random() < 0.3:
        grey = rng.uniform(0.0, 0.2)
        picture = picture * (1 - grey) + grey * rng.uniform(0.3, 0.8)
    if rng.random() < 0.5:
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        picture = picture * (1 - rng.uniform(0.05, 0.3) * (x * x + y * y) / 2).astype(np.float32)[..., None]
    blur = rng.random()
    if blur < 0.35:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.9))
    elif blur < 0.42:  # the camera moved
        length, angle = rng.integers(2, 5), rng.uniform(0, np.pi)
        kernel = np.zeros((9, 9), np.float32)
        reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        start, end = ((np.round(4 + sign * reach)).astype(int).tolist() for sign in (-1, 1))
        cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA)
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum())
    noise, start = _sensor_noise(picture.size), int(rng.integers(picture.size))
    grain = noise[start : start + picture.size].reshape(picture.shape) * np.float32(rng.uniform(0.002, 0.03))
    return (np.clip(picture + grain, 0, 1) * 255 + 0.5).astype(np.uint8)


@cache
def _sensor_noise(size: int) -> Float32[np.ndarray, " N"]:
    """Twice as many normal numbers as an image has values; each image takes a run of them."""
    return np.random.default_rng(8).standard_normal(2 * size, dtype=np.float32)
