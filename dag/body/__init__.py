"""Articulated 3-D human body: proportions, joint limits, random poses, clothing, and the posed and clothed mesh."""

from dag.body.anthropometry import Build, random_build
from dag.body.body import Body, pose_body
from dag.body.outfit import Outfit, random_outfit
from dag.body.pose import Pose
from dag.body.poses import random_pose

__all__ = ["Body", "Build", "Outfit", "Pose", "pose_body", "random_build", "random_outfit", "random_pose"]
