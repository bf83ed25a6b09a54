"""Scene objects: meshes with materials, and makers of the furniture, plants and other objects that occlude persons."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from dag.body.mesh import Mesh, ball, box, join, loft, tube
from dag.body.outfit import Outfit
from dag.body.pose import rotate
from dag.body.textures import Material, plain, random_colour, two_colours

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class SceneObject:
    """A person or an object of the scene, ready to render.

    Attributes:
        mesh: in world coordinates; before `put`, relative to the object's position on the ground.
        materials: its materials.
        layers: per piece, heights in the rest pose and the materials between them (see `Outfit.layers`).
        outfit: outfit of a person, None for an object.
        open_pieces: pieces that are rendered from both sides.
        hulls: vertex ranges whose convex hulls cast its shadow.
    """

    mesh: Mesh
    materials: list[Material]
    layers: dict[int, tuple[list[float], list[int]]]
    outfit: Outfit | None = None
    open_pieces: tuple[int, ...] = ()
    hulls: tuple[slice, ...] = ()


def make(meshes: list[Mesh], materials: list[Material], open_pieces: tuple[int, ...] = ()) -> SceneObject:
    """An object whose piece numbers are material indices."""
    ends = np.cumsum([len(mesh.vertices) for mesh in meshes])
    hulls = tuple(slice(int(end) - len(mesh.vertices), int(end)) for end, mesh in zip(ends, meshes))
    layers = {number: ([0.0], [number, number]) for number in range(len(materials))}
    return SceneObject(join(meshes), materials, layers, open_pieces=open_pieces, hulls=hulls)


def put(item: SceneObject, position: Float[np.ndarray, "3"], yaw: float = 0.0, tilt: float = 0.0) -> SceneObject:
    """The object rotated by `yaw` about the vertical axis and by `tilt` sideways (degrees), and moved to `position`."""
    rotation = rotate("z", tilt) @ rotate("y", yaw)
    mesh = replace(
        item.mesh, vertices=item.mesh.vertices @ rotation.T + position, normals=item.mesh.normals @ rotation.T
    )
    return replace(item, mesh=mesh)


def _wood(rng: Rng) -> Material:
    dark = np.array([0.42, 0.28, 0.18]) * rng.uniform(0.8, 1.8)
    return two_colours(rng, "planks", np.clip(dark * 1.25, 0, 1), dark * 0.6, 0.5, 0.06, 0.1)


def surface(rng: Rng) -> Material:
    """A random material of wood, paint, metal, brick, cardboard, or with a printed pattern."""
    kind = rng.random()
    if kind < 0.25:
        return _wood(rng)
    if kind < 0.45:
        return plain(rng, random_colour(rng, 0.5), fold=0.05, repeat=0.5, gloss=0.15)
    if kind < 0.6:
        card = np.array([0.68, 0.52, 0.35]) * rng.uniform(0.8, 1.15)
        return two_colours(rng, "letters", card, card * 0.55, rng.uniform(0.3, 0.7), 0.04)
    if kind < 0.7:
        return two_colours(rng, "bricks", random_colour(rng, 0.3) * 0.7, np.full(3, 0.75), 0.5, 0.08)
    pattern = ("stripes", "checks", "upright", "dots", "patches", "letters")[rng.integers(6)]
    return two_colours(rng, pattern, random_colour(rng), random_colour(rng), rng.uniform(0.15, 0.8), 0.08)


def crate(rng: Rng, width: float, height: float) -> SceneObject:
    """A box, cupboard or low wall."""
    depth = min(width, rng.uniform(0.2, 0.6))
    body = box((width / 2, height / 2, depth / 2), (0, height / 2, 0))
    if rng.random() < 0.4:
        lid = box((width / 2 + 0.02, 0.02, depth / 2 + 0.02), (0, height + 0.02, 0), 1)
        return make([body, lid], [surface(rng), surface(rng)])
    return make([body], [surface(rng)])


def table(rng: Rng, width: float, height: float) -> SceneObject:
    """A table or desk with top and legs, sometimes a front panel and small objects on it."""
    depth, leg = rng.uniform(0.4, 0.8), rng.uniform(0.02, 0.04)
    parts = [box((width / 2, 0.02, depth / 2), (0, height - 0.02, 0))]
    for x in (-1, 1):
        for z in (-1, 1):
            middle = (x * (width / 2 - leg), height / 2 - 0.02, z * (depth / 2 - leg))
            parts.append(box((leg, height / 2 - 0.02, leg), middle, 1))
    if rng.random() < 0.4:
        parts.append(box((width / 2 - 0.03, height * 0.35, 0.01), (0, height * 0.6, depth / 2 - 0.05), 1))
    for _ in range(rng.integers(0, 4)):
        w, h = rng.uniform(0.04, 0.16), rng.uniform(0.03, 0.16)
        middle = (rng.uniform(-0.8, 0.8) * width / 2, height + h, rng.uniform(-0.5, 0.5) * depth / 2)
        parts.append(box((w, h, w * 0.6), middle, 2))
    return make(parts, [_wood(rng), surface(rng), surface(rng)])


def column(rng: Rng, width: float, height: float) -> SceneObject:
    """A pole, tree stem or pillar, taller than a person."""
    height = max(height, rng.uniform(2.6, 4.0))
    rows = np.array([(y, width / 2, width / 2, 0, 0) for y in np.linspace(0, height, 5)])
    sides = 4 if rng.random() < 0.25 else 14
    kind = rng.random()
    if kind < 0.3:
        bark = np.array([0.33, 0.26, 0.2]) * rng.uniform(0.7, 1.3)
        rows[:, 1:3] *= np.linspace(1.15, 0.85, 5)[:, None]
        material = two_colours(rng, "patches", bark, bark * 0.6, 0.3, 0.3)
    elif kind < 0.6:
        material = plain(rng, random_colour(rng, 0.7), fold=0.03, repeat=0.5, gloss=0.3)
    else:
        material = surface(rng)
    return make([tube(loft(rows, sides))], [material])


def railing(rng: Rng, width: float, height: float) -> SceneObject:
    """A fence or railing of posts and rails, or of close pickets."""
    bar, across = rng.uniform(0.012, 0.035), rng.integers(2, 5)
    width = max(width, 1.2)
    parts = [
        box((width / 2, bar, bar), (0, y, 0)) for y in np.linspace(height * rng.uniform(0.15, 0.5), height, across)
    ]
    posts = int(np.clip(width / rng.choice([0.12, 0.3, 0.9]), 2, 24))
    parts += [
        box((bar, height / 2, bar * 0.7), (x, height / 2, -bar), 1) for x in np.linspace(-width / 2, width / 2, posts)
    ]
    return make(parts, [surface(rng), surface(rng)])


def _lumps(rng: Rng, count: int, spread: tuple[float, float, float], size: float) -> list[Mesh]:
    lumps = []
    for _ in range(count):
        points = ball(8, 10)
        points *= 1 + rng.normal(0, 0.1, (*points.shape[:2], 1))
        middle = rng.uniform(-1, 1, 3) * spread
        lumps.append(tube(points * size * rng.uniform(0.7, 1.2, 3) + middle))
    return lumps


def bush(rng: Rng, width: float, height: float) -> SceneObject:
    """A round shrub or hedge."""
    size = min(width, height) / 3.4
    green = np.array([0.3, 0.46, 0.2]) * rng.uniform(0.7, 1.3) + rng.normal(0, 0.04, 3)
    leaves = two_colours(rng, "patches", np.clip(green, 0, 1), np.clip(green * 0.55, 0, 1), 0.25, 0.5)
    spread = (max(width / 2 - size, 0.01), max(height / 2 - size, 0.01), size * 0.9)
    lumps = _lumps(rng, int(rng.integers(12, 22)), spread, size)
    item = make(lumps, [leaves])
    return put(item, np.array([0, height / 2, 0]))


def plant(rng: Rng, width: float, height: float) -> SceneObject:
    """A potted plant with broad or narrow leaves."""
    pot_height, pot = height * rng.uniform(0.18, 0.35), min(width, height) * rng.uniform(0.14, 0.24)
    rows = np.array([(0, pot * 0.7, pot * 0.7, 0, 0), (pot_height, pot, pot, 0, 0)])
    green = np.array([0.22, 0.42, 0.16]) * rng.uniform(0.6, 1.5)
    materials = [surface(rng)] + [
        plain(rng, np.clip(green * s, 0, 1), fold=0.2, grain=0.1, gloss=0.1) for s in (1, 0.7, 1.3)
    ]
    parts = [tube(loft(rows, 12))]
    broad = rng.uniform(0.06, 0.22)
    for number in range(int(rng.integers(14, 34))):
        length = height * rng.uniform(0.35, 0.85)
        leaf = _leaf(length, length * broad, rng.uniform(0.2, 0.9), 1 + number % 3)
        turned = put(make([leaf], materials), np.array([0, pot_height * 0.8, 0]), yaw=rng.uniform(0, 360))
        parts.append(turned.mesh)
    return make(parts, materials, open_pieces=(1, 2, 3))


def _leaf(length: float, breadth: float, droop: float, piece: int) -> Mesh:
    t = np.linspace(0, 1, 6)
    bend = droop * 1.8 * t
    out, up = np.cumsum(np.sin(bend)) / 6 * length, np.cumsum(np.cos(bend)) / 6 * length
    half = breadth / 2 * np.sin(np.pi * np.clip(t * 0.92 + 0.06, 0, 1))
    rows = [np.stack([np.full(6, 0.0) + sign * half, up, out], 1) for sign in (-1, 1)]
    points = np.stack(rows, 1).reshape(-1, 3)
    faces = np.array([[2 * k + a, 2 * k + b, 2 * k + c] for k in range(5) for a, b, c in ((0, 1, 3), (0, 3, 2))])
    normal = np.stack([np.zeros(6), -np.sin(bend - 1.2), np.cos(bend - 1.2)], 1)
    return Mesh(points, np.repeat(normal, 2, 0), points, faces, np.full(len(faces), piece))


def board(rng: Rng, width: float, height: float) -> SceneObject:
    """A sign, poster or screen on feet."""
    low = rng.uniform(0, 0.35) * height
    panel = box((width / 2, (height - low) / 2, 0.015), (0, (height + low) / 2, 0))
    feet = [box((0.02, height / 2, 0.02), (x * width * 0.4, height / 2, -0.04), 1) for x in (-1, 1)]
    pattern = ("letters", "stripes", "checks", "patches", "dots")[rng.integers(5)]
    sign = two_colours(rng, pattern, random_colour(rng), random_colour(rng), rng.uniform(0.4, 1.2), 0.02)
    return make([panel, *feet], [sign, surface(rng)])


def blob(rng: Rng, width: float, height: float) -> SceneObject:
    """A ball, balloon or sack, centred on the origin."""
    points = ball(13, 16) * [width / 2, height / 2, min(width, height) / 2]
    if rng.random() < 0.4:
        points = points * (1 + rng.normal(0, 0.05, (13, 16, 1)))
    colour = random_colour(rng, 0.2)
    material = plain(rng, colour, fold=0.08, gloss=0.4) if rng.random() < 0.5 else surface(rng)
    return make([tube(points)], [replace(material, gloss=0.3)])


def bar(rng: Rng, width: float, height: float) -> SceneObject:
    """A beam, banner or plank, centred on the origin."""
    return make([box((width / 2, height / 2, 0.03), (0, 0, 0))], [surface(rng)])


def seat(rng: Rng, height: float, width: float = 0.5) -> SceneObject:
    """A stool, a block, or a chair with its back at -z; the seat is at `height`."""
    kind = rng.random()
    half, material, other = width / 2, surface(rng), surface(rng)
    if kind < 0.3:
        return make([box((half, height / 2, half * 0.9), (0, height / 2, 0))], [material])
    parts = [box((half, 0.02, half * 0.9), (0, height - 0.02, 0))]
    if kind < 0.5:
        rows = np.array([(y, 0.05, 0.05, 0, 0) for y in (0, height - 0.03)])
        return make([*parts, tube(loft(rows, 10), 1)], [material, other])
    for x in (-1, 1):
        for z in (-1, 1):
            parts.append(box((0.02, height / 2, 0.02), (x * half * 0.85, height / 2 - 0.02, z * half * 0.8), 1))
    if kind < 0.85:
        parts.append(box((half, 0.2, 0.02), (0, height + 0.3, -half * 0.95)))
        parts += [box((0.015, 0.25, 0.015), (x * half * 0.9, height + 0.22, -half * 0.95), 1) for x in (-1, 1)]
    return make(parts, [material, other])


# Objects that stand on the ground and can occlude a person from below. Arguments: width and height in metres.
STANDING: dict[str, Callable[[Rng, float, float], SceneObject]] = {
    "crate": crate, "table": table, "bush": bush, "plant": plant, "railing": railing, "board": board,
}  # fmt: skip
