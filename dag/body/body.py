"""Posed and clothed body: the template mesh scaled to a build, clothed, and deformed by linear blend skinning."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from dag.body.anthropometry import BONE, CANONICAL, EYE_HEIGHT, Build
from dag.body.mesh import Mesh
from dag.body.outfit import Outfit
from dag.body.pose import Pose, bone_frames, rotate
from dag.body.template import HEAD_CENTER, Template, head_surface, template
from dag.skeleton import COCO17


@dataclass(frozen=True, eq=False)
class Body:
    """A person in world coordinates (x right, y up, z towards the camera; metres; the ground is y = 0).

    Attributes:
        mesh: the surface; `rest_xyz` is the vertex position on the canonical body in its rest pose.
        joints: COCO-17 joints. Those of the face lie on the surface, the others inside the body.
        seat_position: lowest point under the hips of a seated person, else None.
    """

    mesh: Mesh
    joints: Float[np.ndarray, "17 3"]
    seat_position: Float[np.ndarray, "3"] | None


def pose_body(build: Build, outfit: Outfit, pose: Pose, position: Float[np.ndarray, "3"], yaw: float) -> Body:
    """Clothe and pose a body and put it at `position`, `pose.lift` above the ground, rotated by `yaw` degrees.

    At yaw 0 the person faces the camera, at 90 the right of the image.
    """
    body = template()
    points = _clothed_points(body, build, outfit)
    joints, joint_bones = _coco_joints()
    rotations, positions = bone_frames(build, pose)
    rotations, positions = rotate("y", yaw) @ rotations, positions @ rotate("y", yaw).T
    transforms = np.concatenate(
        [rotations, (positions - np.einsum("bij,bj->bi", rotations, build.joints))[..., None]], -1
    )

    rest = build.joints[body.main_bone] + (points - CANONICAL[body.main_bone]) * build.scale[body.main_bone]
    blend = np.einsum("vk,vkm->vm", body.weights, transforms.reshape(-1, 12)[body.bones]).reshape(-1, 3, 4)
    vertices = np.einsum("vij,vj->vi", blend[..., :3], rest) + blend[..., 3]
    normals = np.einsum("vij,vj->vi", blend[..., :3], body.normals)
    rest_joints = build.joints[joint_bones] + (joints - CANONICAL[joint_bones]) * build.scale[joint_bones]
    joints = (
        np.einsum("jik,jk->ji", rotations[joint_bones], rest_joints - build.joints[joint_bones])
        + positions[joint_bones]
    )

    faces = outfit_faces(body, outfit)
    offset = position + [0, pose.lift - vertices[:, 1].min(), 0]
    mesh = Mesh(vertices + offset, normals, points, body.faces[faces], body.pieces[faces])
    seat = None
    if pose.seated:
        low = vertices[body.tubes["torso"]][:, 1].min()
        seat = offset + [*_middle(joints, "hip")[:1], low, *_middle(joints, "hip")[2:]]
    return Body(mesh, joints + offset, seat)


def absent_tubes(outfit: Outfit) -> list[str]:
    """Names of the template's tubes that this outfit and hair style lack."""
    optional = {"skirt": outfit.skirt_hem, "curtain": outfit.hair_length, "bun": outfit.bun, "brim": outfit.brim}
    return [name for name, shape in optional.items() if shape is None]


def outfit_faces(body: Template, outfit: Outfit) -> Bool[np.ndarray, " F"]:
    """Mask of the template's faces that this outfit and hair style have."""
    shown, first = np.ones(len(body.faces), dtype=bool), body.faces[:, 0]
    for name in absent_tubes(outfit):
        span = body.tubes[name]
        shown &= (first < span.start) | (first >= span.stop)
    return shown


def _middle(joints: Float[np.ndarray, "17 3"], name: str) -> Float[np.ndarray, "3"]:
    return joints[[COCO17.joints.index(f"left_{name}"), COCO17.joints.index(f"right_{name}")]].mean(0)


def _coco_joints() -> tuple[Float[np.ndarray, "17 3"], Int[np.ndarray, "17"]]:
    """Canonical positions of the COCO joints, and the bone that moves each."""
    eye_y = EYE_HEIGHT - HEAD_CENTER[1]
    eye = np.array([0.018 / 0.0445, eye_y / 0.065, 0])
    eye[2] = np.sqrt(1 - eye @ eye)
    positions = {"nose": np.array([0, 0.916, 0.065])}
    bones = {"nose": BONE["head"]}
    names = {"shoulder": "upper_arm", "elbow": "lower_arm", "wrist": "hand", "hip": "upper_leg", "knee": "lower_leg"}
    for joint in COCO17.joints[1:]:
        side, _, part = joint.partition("_")
        mirror = np.array([1 if side == "left" else -1, 1, 1])
        if part in ("eye", "ear"):
            bones[joint] = BONE["head"]
            positions[joint] = mirror * (head_surface(eye) if part == "eye" else np.array([0.0465, 0.927, 0.0]))
        else:
            bones[joint] = BONE[f"{side}_{names.get(part, 'foot')}"]
            positions[joint] = CANONICAL[bones[joint]]
    return np.array([positions[joint] for joint in COCO17.joints]), np.array([bones[joint] for joint in COCO17.joints])


def _clothed_points(body: Template, build: Build, outfit: Outfit) -> Float[np.ndarray, "V 3"]:
    """Template points with the torso of this build and the volume of this outfit, in canonical units."""
    points = body.points.copy()
    ease = np.zeros(len(points))
    torso = body.tubes["torso"]
    points[torso] = _torso(points[torso], build)
    y = points[torso, 1]
    shirt = outfit.shirt_ease + 0.010 * np.clip((0.590 - y) / 0.03, 0, 1)  # the shirt falls over hips and trousers
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
    for name in absent_tubes(outfit):  # at the bone, so that they do not extend the body's bounding box
        points[body.tubes[name]] = CANONICAL[body.main_bone[body.tubes[name]]]
