"""Synthetic images of people with exact ground truth: joints, occluders, instance masks and part maps."""

from dag.synthetic.coco import write_synthetic
from dag.synthetic.render import SyntheticImage, render_image

__all__ = ["SyntheticImage", "render_image", "write_synthetic"]
