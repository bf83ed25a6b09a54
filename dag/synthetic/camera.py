"""The camera. World: x to the right of the image, y up, z towards the camera; metres; the ground is y = 0."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Camera:
    """A pinhole above the origin that looks towards -z.

    Attributes:
        width, height: of the image, in pixels.
        focal: in pixels.
        elevation: metres above the ground.
        pitch: radians, positive looks down.
        roll: radians.
    """

    width: int
    height: int
    focal: float
    elevation: float
    pitch: float
    roll: float

    def axes(self) -> Float[np.ndarray, "3 3"]:
        """Rows: right, down and ahead, in the world."""
        c, s = np.cos(self.pitch), np.sin(self.pitch)
        ahead, down = np.array([0, -s, -c]), np.array([0, -c, s])
        right = np.array([1.0, 0, 0])
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        return np.stack([cr * right + sr * down, cr * down - sr * right, ahead])

    def project(
        self, points: Float[np.ndarray, "*shape 3"]
    ) -> tuple[Float[np.ndarray, "*shape 2"], Float[np.ndarray, "*shape"]]:
        """Pixels (pixel-index frame) and one over depth; behind or closer than 0.1 m the latter is 0."""
        seen = (points - [0, self.elevation, 0]) @ self.axes().T
        depth = seen[..., 2]
        nearness = np.where(depth > 0.1, 1 / np.maximum(depth, 0.1), 0.0)
        middle = np.array([self.width - 1, self.height - 1]) / 2
        return seen[..., :2] * (self.focal * nearness[..., None]) + middle, nearness

    def rays(self, step: int = 1) -> Float[np.ndarray, "H W 3"]:
        """World direction through every `step`-th pixel, not of length one."""
        y, x = np.mgrid[0 : self.height : step, 0 : self.width : step]
        across = np.stack([x - (self.width - 1) / 2, y - (self.height - 1) / 2, np.full(x.shape, self.focal)], -1)
        return across @ self.axes()

    def scaled(self, factor: int) -> "Camera":
        """The same view with `factor` times the pixels on a side."""
        return Camera(
            self.width * factor, self.height * factor, self.focal * factor, self.elevation, self.pitch, self.roll
        )
