"""Who and what stands where: camera, people, and what is put in front of them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from dag.body.anthropometry import Build, random_build
from dag.body.body import Body, absent_tubes, pose_body
from dag.body.outfit import Outfit, random_outfit
from dag.body.poses import random_pose
from dag.body.template import PIECE, template
from dag.synthetic.camera import Camera
from dag.synthetic.things import STANDING, Thing, bar, blob, column, put, seat

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Actor:
    """A person of the scene.

    Attributes:
        build, outfit, body: who it is; the body is in the world.
        box: left, top, right, bottom on the image, also beyond its border.
        depth: metres from the camera plane, least and most.
    """

    build: Build
    outfit: Outfit
    body: Body
    box: Float[np.ndarray, "4"]
    depth: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything in the image but the backdrop.

    Attributes:
        camera: sees it.
        actors: the people.
        objects: things, each with the number of the actor that it belongs to or hides (-1 for neither).
    """

    camera: Camera
    actors: list[Actor]
    objects: list[tuple[Thing, int]]


def random_scene(rng: Rng, width: int, height: int, max_persons: int, occlusion: float) -> Scene:
    """Instances, and with probability `occlusion` for each of them something or somebody in front."""
    camera, first = _first(rng, width, height)
    actors, occluded = _gather(rng, camera, first, int(rng.integers(1, max_persons + 1)), occlusion)
    objects = [(thing, number) for number, actor in enumerate(actors) for thing in _support(rng, actor)]
    for number in occluded:
        objects += [(thing, number) for thing in _in_the_way(rng, camera, actors, number)]
    objects += [(thing, -1) for thing in _clutter(rng, camera, actors)]
    return Scene(camera, actors, objects)


def _gather(rng: Rng, camera: Camera, first: Actor, count: int, occlusion: float) -> tuple[list[Actor], list[int]]:
    """Up to `count` people, some of them in front of others; and the numbers of those that an object is to hide."""
    actors, occluded, number = [first], [], 0
    while number < len(actors):
        if rng.random() < occlusion:
            by_person = len(actors) < count and rng.random() < 0.6
            newcomer = _in_front(rng, camera, actors, number) if by_person else None
            if newcomer is None:
                occluded.append(number)
            else:
                actors.append(newcomer)
        number += 1
        if number == len(actors) < count:
            newcomer = _beside(rng, camera, actors)
            actors += [] if newcomer is None else [newcomer]
    return actors, occluded


def person_thing(actor: Actor) -> Thing:
    """The actor as something to draw."""
    shown = [hulls for name, hulls in template().hulls.items() if name not in absent_tubes(actor.outfit)]
    return Thing(
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


def _first(rng: Rng, width: int, height: int) -> tuple[Camera, Actor]:
    """The main person, and a camera that has that person in view: whole, or only in part when close."""
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
    return camera, _placed(camera, (build, outfit, body), distance, column_x * width)


def _placed(camera: Camera, who: tuple[Build, Outfit, Body], distance: float, x: float) -> Actor:
    build, outfit, body = who
    move = np.array([(x - camera.width / 2) / camera.focal * distance, 0, -distance])
    mesh = replace(body.mesh, vertices=body.mesh.vertices + move)
    seated = None if body.seat is None else body.seat + move
    body = Body(mesh, body.joints + move, seated)
    some = mesh.vertices[::2]
    screen, _ = camera.project(some)
    box = np.concatenate([screen.min(0), screen.max(0)])
    depth = (some - [0, camera.elevation, 0]) @ camera.axes()[2]
    return Actor(build, outfit, body, box, (float(depth.min()), float(depth.max())))


def _overlap(one: Float[np.ndarray, "4"], two: Float[np.ndarray, "4"]) -> float:
    """Shared area over the smaller box."""
    shared = np.clip(np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2]), 0, None).prod()
    return float(shared / min((one[2:] - one[:2]).prod(), (two[2:] - two[:2]).prod()))


def _apart(vertices: Float[np.ndarray, "V 3"], actors: list[Actor], gap: float = 0.0) -> bool:
    """Something's upright box stays `gap` metres out of everybody's upright box."""
    low, high = vertices.min(0) - gap, vertices.max(0) + gap
    boxes = [(body.min(0), body.max(0)) for body in (actor.body.mesh.vertices[::2] for actor in actors)]
    return all((low > far).any() or (high < near).any() for near, far in boxes)


def _in_view(camera: Camera, actor: Actor, least: float) -> bool:
    frame = np.array([0, 0, camera.width, camera.height], float)
    inside = np.clip(np.minimum(actor.box[2:], frame[2:]) - np.maximum(actor.box[:2], 0), 0, None).prod()
    return bool(inside / (actor.box[2:] - actor.box[:2]).prod() > least and actor.depth[0] > 0.5)


def _beside(rng: Rng, camera: Camera, actors: list[Actor]) -> Actor | None:
    """Somebody who stands clear of the others on the image."""
    who = _new_body(rng)
    for _ in range(14):
        distance = camera.focal * who[0].stature / (rng.uniform(0.32, 0.85) * camera.height)
        actor = _placed(camera, who, distance, rng.uniform(0.03, 0.97) * camera.width)
        clear = all(_overlap(actor.box, other.box) < 0.06 for other in actors)
        if clear and _apart(actor.body.mesh.vertices[::2], actors, 0.05) and _in_view(camera, actor, 0.7):
            return actor
    return None


def _in_front(rng: Rng, camera: Camera, actors: list[Actor], target: int) -> Actor | None:
    """Somebody nearer than actor `target`, who hides a part of that person."""
    who = _new_body(rng)
    behind = actors[target]
    wide, middle = behind.box[2] - behind.box[0], (behind.box[2] + behind.box[0]) / 2
    for _ in range(14):
        back = float(who[2].mesh.vertices[:, 2].min())  # behind the newcomer's own middle
        distance = behind.depth[0] + back - rng.uniform(0.02, 0.5)
        if distance < 1.0:
            return None
        shift = rng.choice([-1, 1]) * rng.uniform(0.1, 0.65) * max(wide, 0.3 * (behind.box[3] - behind.box[1]))
        actor = _placed(camera, who, distance, middle + shift)
        others = [other for number, other in enumerate(actors) if number != target]
        mild = all(_overlap(actor.box, other.box) < 0.5 for other in others)
        touches = 0.1 < _overlap(actor.box, behind.box) < 0.85
        if mild and touches and _apart(actor.body.mesh.vertices[::2], actors) and _in_view(camera, actor, 0.5):
            return actor
    return None


def _support(rng: Rng, actor: Actor) -> list[Thing]:
    """A seat under somebody seated; its front looks where the person's thighs do."""
    place = actor.body.seat
    if place is None or place[1] < 0.1:
        return []
    knees, hips = actor.body.joints[13:15].mean(0), actor.body.joints[11:13].mean(0)
    yaw = np.rad2deg(np.arctan2(knees[0] - hips[0], knees[2] - hips[2]))
    ahead = np.array([np.sin(np.deg2rad(yaw)), 0, np.cos(np.deg2rad(yaw))])
    thing = seat(rng, float(place[1] + 0.01), float(rng.uniform(0.4, 0.6)))
    return [put(thing, np.array([place[0], 0, place[2]]) + 0.04 * ahead, float(yaw))]


def _in_the_way(rng: Rng, camera: Camera, actors: list[Actor], target: int) -> list[Thing]:
    """An object in front of a part of actor `target` that runs into nobody; none where there is no room."""
    others = [actor for number, actor in enumerate(actors) if number != target]
    for _ in range(6):
        thing = _hide(rng, camera, actors[target])
        if _apart(thing.mesh.vertices, others):
            return [thing]
    return []


def _hide(rng: Rng, camera: Camera, actor: Actor) -> Thing:
    kind, tall = rng.random(), actor.box[3] - actor.box[1]
    distance = actor.depth[0] * rng.uniform(0.72, 0.93) - 0.15
    if kind < 0.1:
        return _held(rng, actor)
    if distance < 0.8:
        return _floating(rng, camera, actor, actor.depth[0] * 0.85)
    metre = camera.focal / distance
    x = actor.box[0] + rng.uniform(0.1, 0.9) * (actor.box[2] - actor.box[0])
    if kind < 0.28:
        width = float(np.clip(rng.uniform(0.15, 0.7) * (actor.box[2] - actor.box[0]) / metre, 0.05, 0.6))
        return put(column(rng, width, 2.6), _spot(camera, x, distance), float(rng.uniform(0, 360)))
    row = actor.box[3] - rng.uniform(0.25, 0.72) * tall
    ray = np.array([x - (camera.width - 1) / 2, row - (camera.height - 1) / 2, camera.focal]) @ camera.axes()
    height = camera.elevation + ray[1] * distance / -ray[2]
    if kind < 0.45 or not 0.2 < height < 2.4:
        return _floating(rng, camera, actor, distance)
    width = float(np.clip(rng.uniform(0.7, 1.9) * (actor.box[2] - actor.box[0]) / metre, 0.3, 3.0))
    thing = STANDING[list(STANDING)[rng.integers(len(STANDING))]](rng, width, float(height))
    ahead = float(np.clip(thing.mesh.vertices[:, 2].max(), 0, 0.6))
    yaw = float(rng.normal(0, 14)) if distance - ahead > 0.6 else 0.0
    return put(thing, _spot(camera, x, max(distance - ahead, 0.7)), yaw)


def _spot(camera: Camera, x: float, distance: float) -> Float[np.ndarray, "3"]:
    return np.array([(x - camera.width / 2) / camera.focal * distance, 0.0, -distance])


def _floating(rng: Rng, camera: Camera, actor: Actor, distance: float) -> Thing:
    """A balloon, beam or banner in front of a joint in view."""
    screen, _ = camera.project(actor.body.joints)
    seen = [xy for xy in screen if 0 <= xy[0] < camera.width and 0 <= xy[1] < camera.height]
    x, y = seen[rng.integers(len(seen))] if seen else ((actor.box[0] + actor.box[2]) / 2, camera.height / 2)
    ray = np.array([x - (camera.width - 1) / 2, y - (camera.height - 1) / 2, camera.focal]) @ camera.axes()
    place = np.array([0, camera.elevation, 0]) + ray * distance / -ray[2]
    size = (actor.box[3] - actor.box[1]) * distance / camera.focal
    if rng.random() < 0.5:
        width = size * rng.uniform(0.12, 0.4)
        return put(blob(rng, width, width * rng.uniform(0.7, 1.4)), place)
    thing = bar(rng, size * rng.uniform(0.4, 2.5), size * rng.uniform(0.04, 0.2))
    return put(thing, place, float(rng.normal(0, 15)), float(rng.choice([0, 90, rng.uniform(-60, 60)])))


def _held(rng: Rng, actor: Actor) -> Thing:
    """A bag, ball, book or box in a hand."""
    side = int(rng.integers(2))
    wrist, elbow = actor.body.joints[9 + side], actor.body.joints[7 + side]
    ahead = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    size = rng.uniform(0.12, 0.42)
    thing = blob(rng, size, size) if rng.random() < 0.5 else bar(rng, size, size * 0.75)
    return put(thing, wrist + ahead * (0.08 + size * 0.3), float(rng.uniform(-40, 40)))


def _clutter(rng: Rng, camera: Camera, actors: list[Actor]) -> list[Thing]:
    """Things behind everybody."""
    beyond = max(actor.depth[1] for actor in actors)
    things = []
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.3, 0.3, 0.25, 0.15]))):
        distance = beyond + rng.uniform(0.9, 4)
        place = _spot(camera, rng.uniform(-0.05, 1.05) * camera.width, distance)
        if rng.random() < 0.25:
            thing = column(rng, rng.uniform(0.1, 0.6), 2.8)
        else:
            make = STANDING[list(STANDING)[rng.integers(len(STANDING))]]
            thing = make(rng, rng.uniform(0.4, 2.0), rng.uniform(0.4, 1.6))
        things.append(put(thing, place, float(rng.uniform(-40, 40))))
    return things
