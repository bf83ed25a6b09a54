"""Template body: tubes in the rest pose, canonical units, with skinning weights of up to three bones per vertex."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from dag.body.anthropometry import BONE, CANONICAL, SHOULDER_X
from dag.body.mesh import ball, grid_faces, grid_normals, loft

SIDES = (("left", 1), ("right", -1))
# Pieces of a person's surface. A refinement of the labels of the part map.
PIECES = (
    "head", "hair", "brim", "nose", "left_ear", "right_ear", "torso", "skirt",
    *(f"{side}_{part}" for part in ("upper_arm", "lower_arm", "hand", "upper_leg", "lower_leg", "foot")
      for side in ("left", "right")),
)  # fmt: skip
PIECE = {name: number for number, name in enumerate(PIECES)}

# Heights (canonical) at which garments can end. Two rings of the tube lie close together there.
SLEEVES = (0.482, 0.550, 0.655, 0.705)
TROUSERS = (0.060, 0.160, 0.250, 0.335, 0.410)
SHIRTS = (0.517, 0.547, 0.607)
HEM = 0.002

# height, half width, half depth, x and z of the centre
_TORSO = [
    (0.470, 0.034, 0.036, 0, -0.008), (0.485, 0.062, 0.056, 0, -0.010), (0.505, 0.084, 0.067, 0, -0.012),
    (0.530, 0.094, 0.071, 0, -0.013), (0.560, 0.094, 0.068, 0, -0.010), (0.590, 0.086, 0.060, 0, -0.005),
    (0.620, 0.080, 0.055, 0, -0.002), (0.650, 0.081, 0.055, 0, 0.000), (0.690, 0.088, 0.060, 0, 0.000),
    (0.730, 0.096, 0.065, 0, 0.000), (0.765, 0.101, 0.065, 0, -0.002), (0.790, 0.104, 0.058, 0, -0.005),
    (0.804, 0.107, 0.050, 0, -0.008), (0.815, 0.104, 0.043, 0, -0.010), (0.824, 0.093, 0.037, 0, -0.010),
    (0.833, 0.074, 0.034, 0, -0.010), (0.842, 0.052, 0.033, 0, -0.009), (0.852, 0.036, 0.032, 0, -0.006),
    (0.866, 0.031, 0.031, 0, -0.003), (0.890, 0.031, 0.031, 0, 0.000),
]  # fmt: skip
_ARM = [
    (0.462, 0.013, 0.016), (0.474, 0.0135, 0.017), (0.500, 0.016, 0.019), (0.550, 0.022, 0.024),
    (0.590, 0.0245, 0.026), (0.620, 0.023, 0.025), (0.660, 0.024, 0.027), (0.720, 0.028, 0.031),
    (0.760, 0.030, 0.034), (0.788, 0.032, 0.037), (0.804, 0.030, 0.035), (0.816, 0.025, 0.029), (0.825, 0.014, 0.017),
]  # fmt: skip
_LEG = [
    (0.030, 0.019, 0.021, -0.006), (0.055, 0.020, 0.023, -0.006), (0.100, 0.026, 0.029, -0.008),
    (0.160, 0.034, 0.037, -0.013), (0.200, 0.036, 0.040, -0.014), (0.245, 0.033, 0.036, -0.006),
    (0.285, 0.033, 0.036, 0.001), (0.330, 0.038, 0.042, 0.003), (0.400, 0.045, 0.051, 0.003),
    (0.460, 0.050, 0.057, 0.000), (0.500, 0.051, 0.060, -0.004), (0.530, 0.049, 0.058, -0.006),
    (0.560, 0.034, 0.040, -0.006),
]  # fmt: skip
_HAND = [
    (0.370, 0.006, 0.009), (0.385, 0.009, 0.017), (0.410, 0.010, 0.020), (0.440, 0.012, 0.022),
    (0.462, 0.012, 0.020), (0.478, 0.013, 0.017),
]  # fmt: skip
_FOOT = [  # z, half width, minimum and maximum height
    (-0.038, 0.012, 0.006, 0.030), (-0.031, 0.019, 0.000, 0.046), (-0.012, 0.021, 0.000, 0.058),
    (0.015, 0.023, 0.000, 0.052), (0.045, 0.026, 0.000, 0.038), (0.078, 0.028, 0.000, 0.027),
    (0.098, 0.025, 0.000, 0.021), (0.112, 0.014, 0.003, 0.014),
]  # fmt: skip
_CURTAIN = [  # long hair: 0 at its lower end, 1 at the top
    (0.0, 0.036, 0.012, 0, -0.048), (0.25, 0.044, 0.020, 0, -0.042), (0.5, 0.050, 0.030, 0, -0.032),
    (0.75, 0.052, 0.040, 0, -0.022), (0.92, 0.040, 0.036, 0, -0.018), (1.0, 0.018, 0.018, 0, -0.012),
]  # fmt: skip
HEAD_CENTER = np.array([0.0, 0.935, 0.006])


@dataclass(frozen=True, eq=False)
class Template:
    """The unclothed body that all persons are made from, in the rest pose and canonical units.

    Attributes:
        points, normals: vertex positions and unit normals.
        outward: unit vector from the tube's axis to the vertex; garments are offset along it.
        faces, pieces: vertex indices and piece of each face, including optional pieces (skirt, hair, brim).
        bones, weights: the three bones of each vertex and their skinning weights.
        main_bone: the bone whose `Build.scale` applies to the vertex.
        tubes: vertex range of each tube.
        hulls: vertex ranges per tube whose convex hulls approximate the body; shadows are cast from them.
    """

    points: Float[np.ndarray, "V 3"]
    normals: Float[np.ndarray, "V 3"]
    outward: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    pieces: Int[np.ndarray, " F"]
    bones: Int[np.ndarray, "V 3"]
    weights: Float[np.ndarray, "V 3"]
    main_bone: Int[np.ndarray, " V"]
    tubes: dict[str, slice]
    hulls: dict[str, list[slice]]


def head_surface(direction: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape 3"]:
    """Point of the head's surface in a direction (unit vector) from its centre: narrow jaw, flat face, round back."""
    x, y, z = np.moveaxis(direction, -1, 0)
    low = np.maximum(-y, 0)
    wide = 0.0445 * (1 - 0.24 * low**1.5)
    deep = np.where(z > 0, 0.054 * (1 - 0.08 * low), 0.058 * (1 - 0.38 * low))
    return HEAD_CENTER + np.stack([wide * x, 0.065 * y, deep * z], -1)


@cache
def template() -> Template:
    """The template, built once per process."""
    tubes: dict[str, np.ndarray] = {}
    pieces: dict[str, np.ndarray] = {}
    _torso_and_head(tubes, pieces)
    for side, sign in SIDES:
        _limbs(tubes, pieces, side, sign)
    return _assemble(tubes, pieces)


def _rings(profile: list, heights: list[float], x: float = 0.0) -> Float[np.ndarray, "R 5"]:
    table = np.array(profile)
    if table.shape[1] == 3:
        table = np.column_stack([table, np.zeros((len(table), 2))])
    elif table.shape[1] == 4:
        table = np.column_stack([table[:, :3], np.zeros(len(table)), table[:, 3]])
    y = np.array(sorted(heights))
    rows = np.column_stack([y] + [np.interp(y, table[:, 0], table[:, n]) for n in range(1, 5)])
    rows[:, 3] += x
    return rows


def _with_hems(heights: list[float], hems: tuple[float, ...]) -> list[float]:
    apart = [y for y in heights if all(abs(y - hem) > 0.008 for hem in hems)]
    return apart + [hem + offset for hem in hems for offset in (-HEM, HEM)]


def _torso_and_head(tubes: dict, pieces: dict) -> None:
    heights = _with_hems([row[0] for row in _TORSO] + [0.71, 0.75, 0.67, 0.575, 0.545], SHIRTS)
    tubes["torso"] = loft(_rings(_TORSO, heights), 20, 2.3)
    tubes["head"] = head_surface(ball(17, 20))
    tubes["nose"] = ball(6, 6) * [0.0068, 0.012, 0.0105] + [0, 0.917, 0.0575]
    for side, sign in SIDES:
        tubes[f"{side}_ear"] = ball(6, 8) * [0.005, 0.014, 0.009] + [sign * 0.0455, 0.927, 0.000]
    tubes["curtain"] = loft(np.array(_CURTAIN), 14)
    tubes["bun"] = ball(7, 8)
    tubes["brim"] = ball(5, 16)
    skirt = [(y, 1.0, 1.0, 0, 0) for y in np.linspace(0, 1, 9)]
    tubes["skirt"] = loft(np.array(skirt), 22)[1:-1]
    for name, points in tubes.items():
        pieces[name] = np.full(len(points), PIECE["hair" if name in ("curtain", "bun") else name])


def _limbs(tubes: dict, pieces: dict, side: str, sign: int) -> None:
    shoulder, hip = sign * SHOULDER_X, CANONICAL[BONE[f"{side}_upper_leg"], 0]
    arm = _with_hems([row[0] for row in _ARM] + [0.53, 0.575, 0.605, 0.635, 0.68, 0.74, 0.775], SLEEVES)
    leg = _with_hems([row[0] for row in _LEG] + [0.13, 0.225, 0.265, 0.305, 0.365, 0.43, 0.545], TROUSERS)
    arm_rows = _rings(_ARM, arm, shoulder)
    arm_rows[:, 4] -= 0.004
    hand_rows = _rings(_HAND, [row[0] for row in _HAND] + [0.398, 0.425], shoulder)
    hand_rows[:, 3] -= sign * 0.14 * np.maximum(0.44 - hand_rows[:, 0], 0)  # fingers bend towards the palm
    thumb = np.array(
        [(0.404, 0.004, 0.005, -0.006, 0.023), (0.43, 0.006, 0.006, -0.004, 0.024), (0.456, 0.007, 0.008, 0, 0.015)]
    )
    thumb[:, 3] = shoulder + sign * thumb[:, 3]
    foot = np.array([(z, (top - low) / 2, half, (top + low) / 2, 0) for z, half, low, top in _FOOT])
    new = {
        "arm": loft(arm_rows, 10),
        "leg": loft(_rings(_LEG, leg, float(hip)), 12),
        "hand": loft(hand_rows, 8, 2.4),
        "thumb": loft(thumb, 6),
        "foot": loft(foot, 12, 2.6)[..., [2, 0, 1]] + [hip, 0, 0],
    }
    for name, points in new.items():
        tubes[f"{side}_{name}"] = points
        height = points[..., 1].mean(1)
        number = {"thumb": "hand", "arm": "upper_arm", "leg": "upper_leg"}.get(name, name)
        piece = np.full(len(points), PIECE[f"{side}_{number}"])
        if name in ("arm", "leg"):
            bend = CANONICAL[BONE[f"{side}_lower_{name}"], 1]
            piece[height < bend] = PIECE[f"{side}_lower_{name}"]
        pieces[f"{side}_{name}"] = piece


def _smooth(value: Float[np.ndarray, " V"]) -> Float[np.ndarray, " V"]:
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def _chain(
    y: Float[np.ndarray, " V"], bones: list[str], widths: list[float]
) -> tuple[Int[np.ndarray, "V 3"], Float[np.ndarray, "V 3"], Int[np.ndarray, " V"]]:
    """Bones, skinning weights and main bone of points along a vertical chain of bones, in either direction.

    At each joint the weights change smoothly over its width, in height.
    """
    numbers = [BONE[bone] for bone in bones]
    joints = CANONICAL[numbers, 1]
    up = 1 if joints[-1] > joints[0] else -1
    ids, weights = np.full((len(y), 3), numbers[0]), np.zeros((len(y), 3))
    weights[:, 0], main_bone = 1, np.full(len(y), numbers[0])
    for number, before, joint, width in zip(numbers[1:], numbers, joints[1:], widths):
        weight = _smooth(up * (y - joint) / width + 0.5)
        reached = weight > 0
        ids[reached, 0], ids[reached, 1] = before, number
        weights[reached, 0], weights[reached, 1] = 1 - weight[reached], weight[reached]
        main_bone[up * (y - joint) > 0] = number
    return ids, weights, main_bone


def _skin(name: str, points: Float[np.ndarray, "V 3"]) -> tuple:
    y = points[:, 1]
    side, _, part = name.partition("_")
    if part in ("arm", "leg"):
        chain = [f"{side}_upper_{part}", f"{side}_lower_{part}"] + ([f"{side}_hand"] if part == "arm" else [])
        return _chain(y, chain, [0.055, 0.02] if part == "arm" else [0.075])
    if name == "torso":
        bones, weights, main_bone = _chain(y, ["pelvis", "spine", "chest", "neck", "head"], [0.075, 0.075, 0.03, 0.03])
        lifted = 0.9 * _smooth((np.abs(points[:, 0]) - 0.03) / 0.07) * _smooth((y - 0.76) / 0.05)
        bones[:, 2] = np.where(points[:, 0] > 0, BONE["left_collar"], BONE["right_collar"])
        weights *= 1 - lifted[:, None]
        weights[:, 2] = lifted
        return bones, weights, main_bone
    if name == "skirt":
        drop = _smooth((1 - y) * 1.6)
        left = _smooth(points[:, 0] * 0.9 + 0.5)
        bones = np.tile([BONE["pelvis"], BONE["left_upper_leg"], BONE["right_upper_leg"]], (len(y), 1))
        return bones, np.stack([1 - drop, drop * left, drop * (1 - left)], 1), bones[:, 0]
    number = BONE[f"{side}_hand" if part == "thumb" else name] if part not in ("", "ear") else BONE["head"]
    bones, weights = np.full((len(y), 3), number), np.tile([1.0, 0, 0], (len(y), 1))
    if name == "curtain":
        bones[:, 1], weights[:, 1] = BONE["chest"], _smooth((0.6 - y) / 0.8)
        weights[:, 0] = 1 - weights[:, 1]
    return bones, weights, np.full(len(y), number)


def _assemble(tubes: dict[str, np.ndarray], pieces: dict[str, np.ndarray]) -> Template:
    columns: dict[str, list] = {key: [] for key in ("points", "normals", "outward", "faces", "pieces", "skin")}
    slices, hulls, start = {}, {}, 0
    for name, points in tubes.items():
        rings, sides = points.shape[:2]
        away = points - points.mean(1, keepdims=True)
        columns["outward"].append(away / np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-4))
        normals = grid_normals(points)
        if name == "skirt":  # open at both ends
            normals[[0, -1]] = normals[[1, -2]]
        columns["normals"].append(normals)
        columns["points"].append(points)
        columns["faces"].append(grid_faces(rings, sides) + start)
        columns["pieces"].append(np.tile(np.repeat(pieces[name][:-1], sides), 2))
        columns["skin"].append(_skin(name, points.reshape(-1, 3)))
        slices[name] = slice(start, start + rings * sides)
        if name not in ("nose", "left_ear", "right_ear", "left_thumb", "right_thumb"):
            step = 8 if name != "head" else rings
            ends = [(r, min(r + step + 1, rings)) for r in range(0, rings - 1, step)]
            hulls[name] = [slice(start + low * sides, start + high * sides) for low, high in ends]
        start += rings * sides
    flat = {
        key: np.concatenate([array.reshape(-1, 3) for array in columns[key]])
        for key in ("points", "normals", "outward")
    }
    bones, weights, main_bone = (np.concatenate([skin[n] for skin in columns["skin"]]) for n in range(3))
    return Template(
        **flat,
        faces=np.concatenate(columns["faces"]),
        pieces=np.concatenate(columns["pieces"]),
        bones=bones,
        weights=weights,
        main_bone=main_bone,
        tubes=slices,
        hulls=hulls,
    )
