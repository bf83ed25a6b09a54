"""Pinhole camera. World frame: x right in the image, y up, z towards the camera; metres; the ground is y = 0."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above the origin, looking along -z.

    Attributes:
        width, height: size of the image in pixels.
        focal: focal length in pixels.
        elevation: height above the ground in metres.
        pitch: radians, positive when the camera looks down.
        roll: radians.
    """

    width: int
    height: int
    focal: float
    elevation: float
    pitch: float
    roll: float

    def axes(self) -> Float[np.ndarray, "3 3"]:
        """The camera's right, down and viewing direction in world coordinates, one per row."""
        c, s = np.cos(self.pitch), np.sin(self.pitch)
        ahead, down = np.array([0, -s, -c]), np.array([0, -c, s])
        right = np.array([1.0, 0, 0])
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        return np.stack([cr * right + sr * down, cr * down - sr * right, ahead])

    def project(
        self, points: Float[np.ndarray, "*shape 3"]
    ) -> tuple[Float[np.ndarray, "*shape 2"], Float[np.ndarray, "*shape"]]:
        """Pixel coordinates (pixel-index frame) and inverse depth; it is 0 behind the camera or closer than 0.1 m."""
        local = (points - [0, self.elevation, 0]) @ self.axes().T
        depth = local[..., 2]
        inverse_depth = np.where(depth > 0.1, 1 / np.maximum(depth, 0.1), 0.0)
        center = np.array([self.width - 1, self.height - 1]) / 2
        return local[..., :2] * (self.focal * inverse_depth[..., None]) + center, inverse_depth

    def rays(self, step: int = 1) -> Float[np.ndarray, "H W 3"]:
        """World directions through every `step`-th pixel, not normalised."""
        y, x = np.mgrid[0 : self.height : step, 0 : self.width : step]
        across = np.stack([x - (self.width - 1) / 2, y - (self.height - 1) / 2, np.full(x.shape, self.focal)], -1)
        return across @ self.axes()

    def scaled(self, factor: int) -> "Camera":
        """The same view at `factor` times the resolution."""
        return Camera(
            self.width * factor, self.height * factor, self.focal * factor, self.elevation, self.pitch, self.roll
        )
