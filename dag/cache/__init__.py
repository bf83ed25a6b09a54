"""Crop cache: padded person crops, clean and occluded, in Arrow shards, and the datasets that read them.

`dag.cache.build.write_cache` writes a cache, `dag.cache.batches.PersonCrops` reads it, and
`dag.cache.person_images.PersonImages` needs none.
"""

from dag.cache.shards import Crop, Shards

__all__ = ["Crop", "Shards"]
