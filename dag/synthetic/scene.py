"""Random scenes: camera, persons, and the objects around and in front of them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from dag.body.anthropometry import Build, random_build
from dag.body.body import Body, absent_tubes, pose_body
from dag.body.outfit import Outfit, random_outfit
from dag.body.poses import random_pose
from dag.body.template import PIECE, template
from dag.synthetic.camera import Camera
from dag.synthetic.objects import STANDING, SceneObject, bar, blob, column, put, seat

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Actor:
    """A person of the scene.

    Attributes:
        build, outfit, body: the person; the body is in world coordinates.
        box: left, top, right, bottom in pixels, not clipped to the image.
        depth: minimum and maximum distance from the camera plane in metres.
    """

    build: Build
    outfit: Outfit
    body: Body
    box: Float[np.ndarray, "4"]
    depth: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything in the image but the background.

    Attributes:
        camera: the camera.
        actors: the persons.
        objects: the objects, each with the index of the actor that it belongs to or occludes (-1 for neither).
    """

    camera: Camera
    actors: list[Actor]
    objects: list[tuple[SceneObject, int]]


def random_scene(rng: Rng, width: int, height: int, max_persons: int, occlusion: float) -> Scene:
    """A random scene; in front of each person, with probability `occlusion`, an object or another person is placed."""
    camera, first = _first_actor(rng, width, height)
    actors, occluded = _place_actors(rng, camera, first, int(rng.integers(1, max_persons + 1)), occlusion)
    objects = [(item, number) for number, actor in enumerate(actors) for item in _seats(rng, actor)]
    for number in occluded:
        objects += [(item, number) for item in _occluding_objects(rng, camera, actors, number)]
    objects += [(item, -1) for item in _background_objects(rng, camera, actors)]
    return Scene(camera, actors, objects)


def _place_actors(
    rng: Rng, camera: Camera, first: Actor, count: int, occlusion: float
) -> tuple[list[Actor], list[int]]:
    """Up to `count` persons, some in front of others, and the indices of those to be occluded by an object."""
    actors, occluded, number = [first], [], 0
    while number < len(actors):
        if rng.random() < occlusion:
            by_person = len(actors) < count and rng.random() < 0.6
            new_actor = _actor_in_front(rng, camera, actors, number) if by_person else None
            if new_actor is None:
                occluded.append(number)
            else:
                actors.append(new_actor)
        number += 1
        if number == len(actors) < count:
            new_actor = _actor_beside(rng, camera, actors)
            actors += [] if new_actor is None else [new_actor]
    return actors, occluded


def person_object(actor: Actor) -> SceneObject:
    """The actor as a scene object."""
    shown = [hulls for name, hulls in template().hulls.items() if name not in absent_tubes(actor.outfit)]
    return SceneObject(
        actor.body.mesh,
        actor.outfit.materials,
        actor.outfit.layers,
        outfit=actor.outfit,
        open_pieces=(PIECE["skirt"],),
        hulls=tuple(hull for hulls in shown for hull in hulls),
    )


def _new_body(rng: Rng) -> tuple[Build, Outfit, Body]:
    build = random_build(rng)
    outfit = random_outfit(rng, build.bust, build.stature < 1.45)
    yaw = rng.uniform(-180, 180) if rng.random() < 0.55 else rng.normal(0, 45)
    return build, outfit, pose_body(build, outfit, random_pose(rng, build), np.zeros(3), float(yaw))


def _first_actor(rng: Rng, width: int, height: int) -> tuple[Camera, Actor]:
    """The main person, and a camera that has the person in view, completely or, at close range, in part."""
    build, outfit, body = _new_body(rng)
    tall = float(np.ptp(body.mesh.vertices[:, 1]))
    close = rng.random() < 0.14
    size = rng.uniform(1.05, 1.9) if close else rng.uniform(0.38, 0.9)
    focal = width * rng.uniform(0.85, 1.5)
    distance = focal * build.stature / (size * height)
    if close:
        row = (rng.uniform(0.04, 0.3) - 0.5) * height + size * height * tall / build.stature / 2
    else:
        row = rng.uniform(-0.4, 0.45) * (1 - size) * height
    elevation = float(np.clip(rng.normal(1.35, 0.35), 0.5, 2.6))
    pitch = np.arctan((elevation - tall / 2) / distance) - np.arctan(row / focal)
    camera = Camera(width, height, float(focal), elevation, float(pitch), float(np.deg2rad(rng.normal(0, 1.5))))
    column_x = rng.uniform(0.02, 0.98) if rng.random() < 0.15 else rng.uniform(0.2, 0.8)
    return camera, _place_actor(camera, (build, outfit, body), distance, column_x * width)


def _place_actor(camera: Camera, new_body: tuple[Build, Outfit, Body], distance: float, x: float) -> Actor:
    build, outfit, body = new_body
    move = np.array([(x - camera.width / 2) / camera.focal * distance, 0, -distance])
    mesh = replace(body.mesh, vertices=body.mesh.vertices + move)
    seat_position = None if body.seat_position is None else body.seat_position + move
    body = Body(mesh, body.joints + move, seat_position)
    some = mesh.vertices[::2]
    screen, _ = camera.project(some)
    box = np.concatenate([screen.min(0), screen.max(0)])
    depth = (some - [0, camera.elevation, 0]) @ camera.axes()[2]
    return Actor(build, outfit, body, box, (float(depth.min()), float(depth.max())))


def _overlap(one: Float[np.ndarray, "4"], two: Float[np.ndarray, "4"]) -> float:
    """Area of the intersection of two boxes over the area of the smaller box."""
    intersection = np.clip(np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2]), 0, None).prod()
    return float(intersection / min((one[2:] - one[:2]).prod(), (two[2:] - two[:2]).prod()))


def _disjoint(vertices: Float[np.ndarray, "V 3"], actors: list[Actor], gap: float = 0.0) -> bool:
    """Whether the axis-aligned bounding box of `vertices` is `gap` metres or more from those of all actors."""
    low, high = vertices.min(0) - gap, vertices.max(0) + gap
    boxes = [(body.min(0), body.max(0)) for body in (actor.body.mesh.vertices[::2] for actor in actors)]
    return all((low > far).any() or (high < near).any() for near, far in boxes)


def _in_view(camera: Camera, actor: Actor, min_ratio: float) -> bool:
    frame = np.array([0, 0, camera.width, camera.height], float)
    inside = np.clip(np.minimum(actor.box[2:], frame[2:]) - np.maximum(actor.box[:2], 0), 0, None).prod()
    return bool(inside / (actor.box[2:] - actor.box[:2]).prod() > min_ratio and actor.depth[0] > 0.5)


def _actor_beside(rng: Rng, camera: Camera, actors: list[Actor]) -> Actor | None:
    """A person whose box hardly overlaps those of the others, None if no free position is found."""
    new_body = _new_body(rng)
    for _ in range(14):
        distance = camera.focal * new_body[0].stature / (rng.uniform(0.32, 0.85) * camera.height)
        actor = _place_actor(camera, new_body, distance, rng.uniform(0.03, 0.97) * camera.width)
        clear = all(_overlap(actor.box, other.box) < 0.06 for other in actors)
        if clear and _disjoint(actor.body.mesh.vertices[::2], actors, 0.05) and _in_view(camera, actor, 0.7):
            return actor
    return None


def _actor_in_front(rng: Rng, camera: Camera, actors: list[Actor], target: int) -> Actor | None:
    """A person closer to the camera who occludes a part of actor `target`, None if no free position is found."""
    new_body = _new_body(rng)
    behind = actors[target]
    wide, middle = behind.box[2] - behind.box[0], (behind.box[2] + behind.box[0]) / 2
    for _ in range(14):
        back = float(new_body[2].mesh.vertices[:, 2].min())  # extent behind the new person's centre
        distance = behind.depth[0] + back - rng.uniform(0.02, 0.5)
        if distance < 1.0:
            return None
        shift = rng.choice([-1, 1]) * rng.uniform(0.1, 0.65) * max(wide, 0.3 * (behind.box[3] - behind.box[1]))
        actor = _place_actor(camera, new_body, distance, middle + shift)
        others = [other for number, other in enumerate(actors) if number != target]
        clear_of_others = all(_overlap(actor.box, other.box) < 0.5 for other in others)
        overlaps = 0.1 < _overlap(actor.box, behind.box) < 0.85
        if (
            clear_of_others
            and overlaps
            and _disjoint(actor.body.mesh.vertices[::2], actors)
            and _in_view(camera, actor, 0.5)
        ):
            return actor
    return None


def _seats(rng: Rng, actor: Actor) -> list[SceneObject]:
    """The seat of a seated person, facing in the direction of the thighs; empty for a person who is not seated."""
    position = actor.body.seat_position
    if position is None or position[1] < 0.1:
        return []
    knees, hips = actor.body.joints[13:15].mean(0), actor.body.joints[11:13].mean(0)
    yaw = np.rad2deg(np.arctan2(knees[0] - hips[0], knees[2] - hips[2]))
    ahead = np.array([np.sin(np.deg2rad(yaw)), 0, np.cos(np.deg2rad(yaw))])
    item = seat(rng, float(position[1] + 0.01), float(rng.uniform(0.4, 0.6)))
    return [put(item, np.array([position[0], 0, position[2]]) + 0.04 * ahead, float(yaw))]


def _occluding_objects(rng: Rng, camera: Camera, actors: list[Actor], target: int) -> list[SceneObject]:
    """An object in front of a part of actor `target` that intersects no other actor; empty if there is no room."""
    others = [actor for number, actor in enumerate(actors) if number != target]
    for _ in range(6):
        item = _occluding_object(rng, camera, actors[target])
        if _disjoint(item.mesh.vertices, others):
            return [item]
    return []


def _occluding_object(rng: Rng, camera: Camera, actor: Actor) -> SceneObject:
    kind, tall = rng.random(), actor.box[3] - actor.box[1]
    distance = actor.depth[0] * rng.uniform(0.72, 0.93) - 0.15
    if kind < 0.1:
        return _held_object(rng, actor)
    if distance < 0.8:
        return _floating_object(rng, camera, actor, actor.depth[0] * 0.85)
    metre = camera.focal / distance
    x = actor.box[0] + rng.uniform(0.1, 0.9) * (actor.box[2] - actor.box[0])
    if kind < 0.28:
        width = float(np.clip(rng.uniform(0.15, 0.7) * (actor.box[2] - actor.box[0]) / metre, 0.05, 0.6))
        return put(column(rng, width, 2.6), _ground_position(camera, x, distance), float(rng.uniform(0, 360)))
    row = actor.box[3] - rng.uniform(0.25, 0.72) * tall
    ray = np.array([x - (camera.width - 1) / 2, row - (camera.height - 1) / 2, camera.focal]) @ camera.axes()
    height = camera.elevation + ray[1] * distance / -ray[2]
    if kind < 0.45 or not 0.2 < height < 2.4:
        return _floating_object(rng, camera, actor, distance)
    width = float(np.clip(rng.uniform(0.7, 1.9) * (actor.box[2] - actor.box[0]) / metre, 0.3, 3.0))
    item = STANDING[list(STANDING)[rng.integers(len(STANDING))]](rng, width, float(height))
    ahead = float(np.clip(item.mesh.vertices[:, 2].max(), 0, 0.6))
    yaw = float(rng.normal(0, 14)) if distance - ahead > 0.6 else 0.0
    return put(item, _ground_position(camera, x, max(distance - ahead, 0.7)), yaw)


def _ground_position(camera: Camera, x: float, distance: float) -> Float[np.ndarray, "3"]:
    return np.array([(x - camera.width / 2) / camera.focal * distance, 0.0, -distance])


def _floating_object(rng: Rng, camera: Camera, actor: Actor, distance: float) -> SceneObject:
    """A balloon, beam or banner in front of a random joint inside the image."""
    screen, _ = camera.project(actor.body.joints)
    inside = [xy for xy in screen if 0 <= xy[0] < camera.width and 0 <= xy[1] < camera.height]
    x, y = inside[rng.integers(len(inside))] if inside else ((actor.box[0] + actor.box[2]) / 2, camera.height / 2)
    ray = np.array([x - (camera.width - 1) / 2, y - (camera.height - 1) / 2, camera.focal]) @ camera.axes()
    position = np.array([0, camera.elevation, 0]) + ray * distance / -ray[2]
    size = (actor.box[3] - actor.box[1]) * distance / camera.focal
    if rng.random() < 0.5:
        width = size * rng.uniform(0.12, 0.4)
        return put(blob(rng, width, width * rng.uniform(0.7, 1.4)), position)
    item = bar(rng, size * rng.uniform(0.4, 2.5), size * rng.uniform(0.04, 0.2))
    return put(item, position, float(rng.normal(0, 15)), float(rng.choice([0, 90, rng.uniform(-60, 60)])))


def _held_object(rng: Rng, actor: Actor) -> SceneObject:
    """A bag, ball, book or box held in a hand."""
    side = int(rng.integers(2))
    wrist, elbow = actor.body.joints[9 + side], actor.body.joints[7 + side]
    ahead = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    size = rng.uniform(0.12, 0.42)
    item = blob(rng, size, size) if rng.random() < 0.5 else bar(rng, size, size * 0.75)
    return put(item, wrist + ahead * (0.08 + size * 0.3), float(rng.uniform(-40, 40)))


def _background_objects(rng: Rng, camera: Camera, actors: list[Actor]) -> list[SceneObject]:
    """Up to three objects behind all persons."""
    farthest = max(actor.depth[1] for actor in actors)
    objects = []
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.3, 0.3, 0.25, 0.15]))):
        distance = farthest + rng.uniform(0.9, 4)
        position = _ground_position(camera, rng.uniform(-0.05, 1.05) * camera.width, distance)
        if rng.random() < 0.25:
            item = column(rng, rng.uniform(0.1, 0.6), 2.8)
        else:
            make = STANDING[list(STANDING)[rng.integers(len(STANDING))]]
            item = make(rng, rng.uniform(0.4, 2.0), rng.uniform(0.4, 1.6))
        objects.append(put(item, position, float(rng.uniform(-40, 40))))
    return objects
