"""Procedural backgrounds (ground, sky, walls, skyline) seen through a camera, and their lighting."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from dag.body.textures import SIDE, noise_field, random_colour, two_colours
from dag.synthetic.camera import Camera
from dag.synthetic.objects import surface
from dag.synthetic.shade import Light

Rng = np.random.Generator
Image = Float32[np.ndarray, "H W 3"]


@dataclass(frozen=True, eq=False)
class Background:
    """Background of an image.

    Attributes:
        image: RGB, nominally 0 to 1.
        ground: mask of the ground.
        light: lighting of persons and objects.
        shadow_sharpness: 0 (diffuse light) to 1 (direct sunlight).
    """

    image: Image
    ground: Bool[np.ndarray, "H W"]
    light: Light
    shadow_sharpness: float


def _tone(rng: Rng, dull: float) -> Float32[np.ndarray, "3"]:
    return random_colour(rng, dull).astype(np.float32)


def _rgb(red: float, green: float, blue: float) -> Float32[np.ndarray, "3"]:
    return np.array([red, green, blue], np.float32)


def random_background(rng: Rng, camera: Camera, farthest: float) -> Background:
    """A random outdoor, indoor or studio background without walls or buildings within `farthest` metres."""
    kind = rng.choice(["outdoor", "indoor", "studio"], p=[0.52, 0.36, 0.12])
    light = _light(rng, outdoor=kind == "outdoor")
    rays = camera.rays().astype(np.float32)
    if kind == "outdoor":
        image, ground = _outdoor(rng, camera, rays, farthest)
    elif kind == "indoor":
        image, ground = _indoor(rng, camera, rays, farthest)
    else:
        image, ground = _studio(rng, camera, rays)
    lit = light.sun * max(light.direction[1], 0) + light.sky
    if kind != "studio":  # a studio's backdrop has no edge at the ground
        image = np.where(ground[..., None], image * lit.astype(np.float32), image)
    blur = rng.choice([0.0, rng.uniform(0.3, 1.2), rng.uniform(1.2, 3.0)])
    if blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    sharpness = rng.uniform(0.5, 1.0) if kind == "outdoor" and rng.random() < 0.7 else rng.uniform(0.0, 0.5)
    return Background(image.astype(np.float32), ground, light, float(sharpness))


def _light(rng: Rng, outdoor: bool) -> Light:
    azimuth, height = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(25, 75))
    if np.sin(azimuth) < -0.2 and rng.random() < 0.7:  # the light is mostly on the camera's side
        azimuth = -azimuth
    direction = np.array([np.cos(azimuth) * np.cos(height), np.sin(height), np.sin(azimuth) * np.cos(height)])
    sun = rng.uniform(0.35, 0.85) if outdoor else rng.uniform(0.2, 0.6)
    warm = np.array([1 + rng.uniform(-0.03, 0.12), 1.0, 1 - rng.uniform(-0.05, 0.15)])
    sky = np.array([1 - rng.uniform(0, 0.08), 1.0, 1 + rng.uniform(0, 0.1)]) * (1.12 - 0.55 * sun)
    return Light(direction=direction, sun=sun * warm, sky=sky, ground=sky * rng.uniform(0.45, 0.7))


def _on_plane(camera: Camera, rays: Image) -> tuple[Bool[np.ndarray, "H W"], Float32[np.ndarray, "H W 2"]]:
    """Mask of the pixels whose ray meets the ground, and x and z of the intersection."""
    ground = rays[..., 1] < -1e-4
    reach = np.where(ground, camera.elevation / np.maximum(-rays[..., 1], 1e-4), 1e4)
    return ground, rays[..., ::2] * reach[..., None].astype(np.float32)


def _wave(along: Float32[np.ndarray, "H W"], seed: int) -> Float32[np.ndarray, "H W"]:
    """Smooth 1-D noise with mean 0 and standard deviation 1; one random value per unit, interpolated between."""
    row, cell = noise_field(0.9, seed)[3], np.floor(along)
    part, cell = (along - cell).astype(np.float32), cell.astype(np.int32) % 256
    part = part * part * (3 - 2 * part)
    return row[cell] * (1 - part) + row[(cell + 1) % 256] * part


def _cloud(xy: Float32[np.ndarray, "H W 2"], scale: float, rough: float, seed: int) -> Float32[np.ndarray, "H W"]:
    """Noise over a plane; a cell of the noise field is `scale` metres."""
    cell = (np.clip(xy, -3e3, 3e3) / scale).astype(np.int32) % 256
    return noise_field(rough, seed)[cell[..., 1], cell[..., 0]]


def _floor(rng: Rng, xz: Float32[np.ndarray, "H W 2"], outdoor: bool) -> Image:
    """Colours of a floor, or of grass, sand, asphalt or paving; detail fades with distance."""
    near = np.clip(6 / np.maximum(-xz[..., 1], 1), 0, 1)[..., None]
    rotation = rng.uniform(-0.6, 0.6)
    xz = xz @ np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]], np.float32)
    kind = rng.random()
    if outdoor and kind < 0.6:
        tones = np.array(
            [[0.33, 0.43, 0.2], [0.42, 0.40, 0.38], [0.76, 0.68, 0.52], [0.5, 0.42, 0.32], [0.85, 0.87, 0.9]],
            np.float32,
        )
        base = tones[rng.choice(5, p=[0.4, 0.28, 0.14, 0.13, 0.05])] * rng.uniform(0.75, 1.2)
        fine, coarse = _cloud(xz, 0.015, 0.7, 11), _cloud(xz, 0.08, 1.6, 12)
        colour = base * (1 + (0.16 * fine * near[..., 0] + 0.10 * coarse)[..., None])
        if rng.random() < 0.35:  # a path, a road marking or a line of a pitch
            line = np.abs(xz[..., 0] - rng.uniform(-2, 2)) < rng.uniform(0.04, 0.8)
            colour = np.where(line[..., None], _tone(rng, 0.9) * (1 + 0.04 * fine[..., None]), colour)
        return colour
    material = surface(rng) if rng.random() < 0.4 else two_colours(
        rng, ("tiles", "planks", "checks", "bricks")[rng.integers(4)], _tone(rng, 0.7) * 0.6 + 0.3,
        _tone(rng, 0.8) * 0.5 + 0.25, rng.uniform(0.5, 1.6), 0.1)  # fmt: skip
    cell = (np.clip(xz, -3e3, 3e3) * np.float32(SIDE / max(material.repeat, 0.4))).astype(np.int32) % SIDE
    tile = 0.5 * material.tile + 0.5 * material.tile.mean(2, keepdims=True)  # floors are less saturated than objects
    colour, mean = tile[cell[..., 1], cell[..., 0]], tile.mean((0, 1))
    return mean + (colour - mean) * near * rng.uniform(0.4, 1.0) + 0.03 * _cloud(xz, 0.03, 1.5, 13)[..., None]


def _rows_below(ground: Bool[np.ndarray, "H W"]) -> slice:
    """The image rows that contain ground."""
    return slice(len(ground) - int(ground.any(1).sum()), len(ground))


def _outdoor(rng: Rng, camera: Camera, rays: Image, farthest: float) -> tuple[Image, Bool[np.ndarray, "H W"]]:
    ground, xz = _on_plane(camera, rays)
    rise = rays[..., 1] / np.sqrt(np.einsum("hwk,hwk->hw", rays, rays))
    zenith, horizon = _rgb(0.32, 0.5, 0.82), _rgb(0.78, 0.86, 0.95)
    if rng.random() < 0.4:  # overcast or evening
        zenith, horizon = rng.uniform(0.55, 0.8) * _rgb(1.0, 1.0, 1.0), _rgb(0.9, 0.87, 0.82) * rng.uniform(0.85, 1.1)
    mix = np.clip(rise / 0.5, 0, 1)[..., None] ** 0.7
    image = horizon + (zenith - horizon) * mix
    sky = slice(0, int((~ground).any(1).sum()))
    sky_xz = rays[sky, :, ::2] / np.maximum(np.abs(rays[sky, :, 1:2]), 0.02 * camera.focal)
    clouds = np.clip(_cloud(sky_xz, 0.03, 1.9, 14), -0.3, 2) * 0.09
    image[sky] += np.where(rise[sky] > 0, clouds, 0)[..., None]
    below = _rows_below(ground)
    haze = np.clip(-xz[below, :, 1] / 120, 0, 0.8)[..., None]
    floor = _floor(rng, xz[below], outdoor=True) * (1 - haze) + horizon * haze
    image[below] = np.where(ground[below, :, None], floor, image[below])
    distance = farthest + rng.uniform(6, 30)
    for depth in (distance * 2.2, distance):
        if rng.random() < 0.75:
            _skyline(rng, camera, rays, image, ground, depth, horizon)
    return image, ground


def _wall(camera: Camera, rays: Image, depth: float) -> Float32[np.ndarray, "H W 2"]:
    """x and y of the intersection with the plane z = -depth; far below the ground where there is none."""
    reach = depth / np.maximum(-rays[..., 2], 1e-3)
    y = np.where(rays[..., 2] < -1e-3, camera.elevation + rays[..., 1] * reach, -1e3)
    return np.stack([rays[..., 0] * reach, y], -1).astype(np.float32)


def _skyline(
    rng: Rng, camera: Camera, rays: Image, image: Image, ground: Bool[np.ndarray, "H W"], depth: float,
    horizon: Float32[np.ndarray, "3"],
) -> None:  # fmt: skip
    """Buildings, trees or hills in one plane, painted in place."""
    upright = _wall(camera, rays, depth)[..., 1]
    rows = np.flatnonzero((upright > 0).any(1) & (upright < 15).any(1))
    kind = rng.choice(["buildings", "trees", "hills"])
    if not len(rows):
        return
    band = slice(rows[0], rows[-1] + 1)
    xy, image, ground = _wall(camera, rays[band], depth), image[band], ground[band]
    shift = rng.uniform(0, 500)
    if kind == "buildings":
        block = np.floor((xy[..., 0] + shift) / rng.uniform(6, 14)).astype(int)
        top = 3 + 7 * (noise_field(0.2, 15)[0, block % 256] + 1.2) * rng.uniform(0.4, 1)
        tone = 0.5 + 0.16 * noise_field(0.2, 16)[1, block % 256]
        colour = tone[..., None] * (0.5 + 0.7 * _tone(rng, 0.6))
        floor, bay = rng.uniform(2.6, 3.4), rng.uniform(1.6, 3.5)
        window = ((xy[..., 1] % floor) > floor * 0.4) & ((xy[..., 0] + shift) % bay > bay * 0.45)
        colour = np.where(window[..., None], colour * 0.45 + 0.08, colour)
    else:
        along = xy[..., 0] + shift
        rough = (
            0.22 * _wave(along * 0.45, 17) + 0.10 * _wave(along * 2.2, 18)
            if kind == "trees"
            else 0.2 * _wave(along / 9, 17)
        )
        top = rng.uniform(3, 8) * (1 + rough + (0.04 * _wave(along * 9, 19) if kind == "trees" else 0))
        green = _rgb(0.3, 0.41, 0.22) * rng.uniform(0.6, 1.3)
        colour = green * (1 + 0.3 * _cloud(xy + np.float32(shift), 0.12, 1.3, 18)[..., None])
        if kind == "trees":
            stems = (xy[..., 1] < 1.8) & (((xy[..., 0] + shift) % 3.1) > 0.35)
            colour = np.where(stems[..., None], colour * 0.6, colour)
    mask = (xy[..., 1] < top) & (xy[..., 1] >= 0)
    haze = min(depth / 140, 0.6)
    image[mask] = (colour * (1 - haze) + horizon * haze)[mask]
    ground &= ~mask


def _indoor(rng: Rng, camera: Camera, rays: Image, farthest: float) -> tuple[Image, Bool[np.ndarray, "H W"]]:
    ground, xz = _on_plane(camera, rays)
    depth, height = farthest + rng.uniform(0.6, 4), rng.uniform(2.4, 4.5)
    xy = _wall(camera, rays, depth)
    tone = _tone(rng, 0.45)
    tone = (0.65 * tone + 0.35 * tone.mean()) * 0.55 + 0.38
    fall = 1 - rng.uniform(0, 0.3) * np.abs(xy[..., 0] - rng.uniform(-3, 3))[..., None] / (np.abs(xy[..., 0:1]) + 3)
    wall = (tone * fall).astype(np.float32)
    if rng.random() < 0.4:
        material = two_colours(rng, ("stripes", "upright", "bricks", "tiles", "dots", "patches")[rng.integers(6)],
                               tone, tone * rng.uniform(0.7, 1.15), rng.uniform(0.4, 1.4), 0.0)  # fmt: skip
        cell = (np.clip(xy, -1e3, 1e3) * np.float32(SIDE / material.repeat)).astype(np.int32) % SIDE
        wall = (material.tile[cell[..., 1], cell[..., 0]] * fall).astype(np.float32)
    _furnish(rng, xy, wall, height)
    skirting = (xy[..., 1] < 0.12)[..., None]
    wall = np.where(skirting, tone * 0.7, wall)
    wall = np.where((xy[..., 1] > height)[..., None], _rgb(0.88, 0.88, 0.86), wall)
    corner = rng.uniform(-2.5, 2.5) * depth * 0.4
    if abs(corner) > 0.8:  # a side wall meets the back wall
        beyond = (xy[..., 0] > corner) if corner > 0 else (xy[..., 0] < corner)
        wall = np.where(beyond[..., None], wall.mean((0, 1)) * rng.uniform(0.7, 0.95), wall)
    ground &= xy[..., 1] < 0
    below = _rows_below(ground)
    wall[below] = np.where(ground[below, :, None], _floor(rng, xz[below], outdoor=False), wall[below])
    return wall, ground


def _furnish(rng: Rng, xy: Float32[np.ndarray, "H W 2"], wall: Image, height: float) -> None:
    """Windows, posters, doors and shelves, painted on the wall in place."""
    for _ in range(rng.integers(0, 7)):
        kind, x = rng.choice(["window", "poster", "door", "shelf"]), rng.uniform(-4, 4)
        half_w, half_h, y = rng.uniform(0.25, 0.8), rng.uniform(0.2, 0.6), rng.uniform(1.2, height - 0.6)
        if kind == "door":
            half_w, half_h, y = 0.45, 1.02, 1.02
        if kind == "shelf":
            half_w, half_h, y = rng.uniform(0.4, 1.0), rng.uniform(0.5, 1.0), rng.uniform(0.6, 1.2)
        dx, dy = np.abs(xy[..., 0] - x), np.abs(xy[..., 1] - y)
        inside, frame = (dx < half_w) & (dy < half_h), (dx < half_w + 0.05) & (dy < half_h + 0.05)
        wall[frame] = _tone(rng, 0.8) * 0.8
        if kind == "window":
            wall[inside] = _rgb(0.8, 0.9, 1.0) * rng.uniform(0.6, 1.1)
            wall[inside & ((dx < 0.025) | (dy < 0.025))] = 0.85
        elif kind == "shelf":
            cell = ((xy[..., 0] * 14).astype(int) * 31 + (xy[..., 1] * 3).astype(int) * 17) % 256
            books = 0.5 + 0.25 * np.stack([noise_field(0.1, s)[2, cell] for s in (21, 22, 23)], -1)
            wall[inside] = np.clip(books, 0.05, 1)[inside]
            wall[inside & (xy[..., 1] * 3 % 1 < 0.15)] = 0.3
        else:
            wall[inside] = _tone(rng, 0.4)
            if kind == "poster":
                wall[inside & (_cloud(xy, 0.02, 1.8, 24) > 0.3)] = _tone(rng, 0.2)


def _studio(rng: Rng, camera: Camera, rays: Image) -> tuple[Image, Bool[np.ndarray, "H W"]]:
    """A studio backdrop with a colour gradient, sometimes with soft blotches of colour."""
    ground, _ = _on_plane(camera, rays)
    rows = np.linspace(0, 1, camera.height)[:, None, None]
    one, two = (_tone(rng, 0.5) * 0.7 + 0.15 for _ in range(2))
    image = np.broadcast_to(one * (1 - rows) + two * rows, rays.shape).copy()
    if rng.random() < 0.6:
        small = rng.uniform(0, 1, (rng.integers(3, 12), rng.integers(3, 14), 3))
        blots = cv2.resize(small, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)
        image += (blots - 0.5) * rng.uniform(0.1, 0.55)
    return image.astype(np.float32), ground
