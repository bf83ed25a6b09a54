"""A posed and clothed body: the template scaled to a build, dressed, and moved by a pose."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from dag.body.anthropometry import BONE, CANONICAL, EYE_HEIGHT, Build
from dag.body.mesh import Mesh
from dag.body.outfit import Outfit
from dag.body.pose import Pose, about, bone_frames
from dag.body.template import HEAD_MIDDLE, Template, head_surface, template
from dag.skeleton import COCO17


@dataclass(frozen=True, eq=False)
class Body:
    """A person in the world (x right, y up, z towards the eye; metres; the ground is y = 0).

    Attributes:
        mesh: the surface; `paint_xyz` is the vertex's place on the unmoved canonical body.
        joints: COCO-17 joints, inside the body but for those of the face.
        seat: world place of the lowest point under the hips of somebody seated, else None.
    """

    mesh: Mesh
    joints: Float[np.ndarray, "17 3"]
    seat: Float[np.ndarray, "3"] | None


def pose_body(build: Build, outfit: Outfit, pose: Pose, place: Float[np.ndarray, "3"], yaw: float) -> Body:
    """Dress and pose a body and put it on the ground (or its lift above it) at `place`, turned by `yaw` degrees.

    At yaw 0 the person faces the eye; at 90 the person faces the right of the image.
    """
    body = template()
    points = _dressed(body, build, outfit)
    joints, joint_bones = _coco_joints()
    turns, places = bone_frames(build, pose)
    turns, places = about("y", yaw) @ turns, places @ about("y", yaw).T
    moves = np.concatenate([turns, (places - np.einsum("bij,bj->bi", turns, build.joints))[..., None]], -1)

    rest = build.joints[body.home] + (points - CANONICAL[body.home]) * build.scale[body.home]
    blend = np.einsum("vk,vkm->vm", body.weights, moves.reshape(-1, 12)[body.bones]).reshape(-1, 3, 4)
    vertices = np.einsum("vij,vj->vi", blend[..., :3], rest) + blend[..., 3]
    normals = np.einsum("vij,vj->vi", blend[..., :3], body.normals)
    rest_joints = build.joints[joint_bones] + (joints - CANONICAL[joint_bones]) * build.scale[joint_bones]
    joints = np.einsum("jik,jk->ji", turns[joint_bones], rest_joints - build.joints[joint_bones]) + places[joint_bones]

    faces = outfit_faces(body, outfit)
    move = place + [0, pose.lift - vertices[:, 1].min(), 0]
    mesh = Mesh(vertices + move, normals, points, body.faces[faces], body.pieces[faces])
    seat = None
    if pose.seated:
        low = vertices[body.tubes["torso"]][:, 1].min()
        seat = move + [*_middle(joints, "hip")[:1], low, *_middle(joints, "hip")[2:]]
    return Body(mesh, joints + move, seat)


def absent_tubes(outfit: Outfit) -> list[str]:
    """Tubes of the template that this outfit and hair style do not have."""
    there = {"skirt": outfit.skirt_hem, "curtain": outfit.hair_length, "bun": outfit.bun, "brim": outfit.brim}
    return [name for name, shape in there.items() if shape is None]


def outfit_faces(body: Template, outfit: Outfit) -> Bool[np.ndarray, " F"]:
    """Which of the template's faces this outfit and hair style have."""
    shown, first = np.ones(len(body.faces), dtype=bool), body.faces[:, 0]
    for name in absent_tubes(outfit):
        span = body.tubes[name]
        shown &= (first < span.start) | (first >= span.stop)
    return shown


def _middle(joints: Float[np.ndarray, "17 3"], name: str) -> Float[np.ndarray, "3"]:
    return joints[[COCO17.joints.index(f"left_{name}"), COCO17.joints.index(f"right_{name}")]].mean(0)


def _coco_joints() -> tuple[Float[np.ndarray, "17 3"], Int[np.ndarray, "17"]]:
    """Canonical places of the COCO joints and the bone that carries each."""
    eye_y = EYE_HEIGHT - HEAD_MIDDLE[1]
    eye = np.array([0.018 / 0.0445, eye_y / 0.065, 0])
    eye[2] = np.sqrt(1 - eye @ eye)
    places = {"nose": np.array([0, 0.916, 0.065])}
    bones = {"nose": BONE["head"]}
    names = {"shoulder": "upper_arm", "elbow": "lower_arm", "wrist": "hand", "hip": "upper_leg", "knee": "lower_leg"}
    for joint in COCO17.joints[1:]:
        side, _, part = joint.partition("_")
        mirror = np.array([1 if side == "left" else -1, 1, 1])
        if part in ("eye", "ear"):
            bones[joint] = BONE["head"]
            places[joint] = mirror * (head_surface(eye) if part == "eye" else np.array([0.0465, 0.927, 0.0]))
        else:
            bones[joint] = BONE[f"{side}_{names.get(part, 'foot')}"]
            places[joint] = CANONICAL[bones[joint]]
    return np.array([places[joint] for joint in COCO17.joints]), np.array([bones[joint] for joint in COCO17.joints])


def _dressed(body: Template, build: Build, outfit: Outfit) -> Float[np.ndarray, "V 3"]:
    """Template points with this build's backbone and this outfit's bulk, in canonical units."""
    points = body.points.copy()
    ease = np.zeros(len(points))
    torso = body.tubes["torso"]
    points[torso] = _torso(points[torso], build)
    y = points[torso, 1]
    shirt = outfit.shirt_ease + 0.010 * np.clip((0.590 - y) / 0.03, 0, 1)  # it falls over hips and trousers
    ease[torso] = np.where(y > outfit.shirt_hem, shirt, 0.003) * np.clip((0.850 - y) / 0.05, 0, 1)
    for side in ("left", "right"):
        arm, leg, foot = (body.tubes[f"{side}_{part}"] for part in ("arm", "leg", "foot"))
        y = points[arm, 1]
        ease[arm] = np.where(y > outfit.sleeve, outfit.sleeve_ease, 0) * np.clip((0.83 - y) / 0.08, 0.1, 1)
        y = points[leg, 1]
        loose = outfit.trouser_ease + outfit.flare * np.clip(0.40 - y, 0, 1)
        ease[leg] = np.where(y > outfit.trouser_hem, loose, 0)
        ease[foot] = 0.003
    head = body.tubes["head"]
    ease[head] = outfit.hair_thickness * np.clip(outfit.hair_height(points[head]) / 0.012, 0, 1)
    points += ease[:, None] * body.outward
    points[head] = points[head] + (ease[head] * np.clip((points[head, 1] - 0.96) / 0.04, 0, 1))[:, None] * [0, 0.8, 0]
    _place_extras(points, body, build, outfit)
    return points


def _torso(points: Float[np.ndarray, "V 3"], build: Build) -> Float[np.ndarray, "V 3"]:
    x, y, z = points.T
    wide = np.interp(y, [0.47, 0.56, 0.62, 0.73, 0.81, 0.84], [build.hips, build.hips, 1, *[build.shoulders] * 2, 1])
    belly = 0.5 * build.belly * np.exp(-(((y - 0.62) / 0.06) ** 2))
    front = np.clip(z / 0.05, 0, 1)
    bust = 0.022 * build.bust * np.exp(-(((y - 0.735) / 0.028) ** 2) - ((np.abs(x) - 0.045) / 0.032) ** 2) * front
    return np.stack([x * wide * (1 + 0.6 * belly), y, z * (1 + np.where(z > 0, 1.2, 0.4) * belly) + bust], 1)


def _place_extras(points: Float[np.ndarray, "V 3"], body: Template, build: Build, outfit: Outfit) -> None:
    if outfit.skirt_hem is not None:
        span = body.tubes["skirt"]
        x, y, z = points[span].T
        top = 0.612
        height = outfit.skirt_hem + (top - outfit.skirt_hem) * y
        drop = (top - height) / 0.1
        wide = np.interp(height, [0.2, 0.53, 0.57, 0.62], [0.108, 0.108, 0.104, 0.087]) + 0.004
        wide = wide * build.hips * (1 + outfit.skirt_flare * drop)
        wave = 1 + 0.03 * outfit.skirt_flare * drop * np.sin(9 * np.arctan2(z, x))
        deep = wide * np.interp(height, [0.4, 0.56, 0.62], [0.84, 0.80, 0.70])
        points[span] = np.stack([x * wide * wave, height, z * deep * wave - 0.008], 1)
    if outfit.hair_length is not None:
        span = body.tubes["curtain"]
        top = 0.940 if "hat" in outfit.face else 0.992
        points[span, 1] = outfit.hair_length + (top - outfit.hair_length) * points[span, 1]
    for name, shape in (("bun", outfit.bun), ("brim", outfit.brim)):
        if shape is not None:
            span = body.tubes[name]
            points[span] = points[span] * shape[1] + shape[0]
    for name in absent_tubes(outfit):  # out of the way of whoever measures the body
        points[body.tubes[name]] = CANONICAL[body.home[body.tubes[name]]]
