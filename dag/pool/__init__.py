"""Instance pool: persons cut out of the training images, with the quality of every candidate."""

from dag.pool.pool import Cutout, Pool

__all__ = ["Cutout", "Pool"]
