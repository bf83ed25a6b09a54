"""Photographs rendered from 3-D articulated people, with exact truth: joints, occluders, masks, parts.

From below up: `anthropometry` (builds), `pose` and `poses`, `mesh` and `template` (the unmoved body), `textures` and
`outfit`, `body` (a dressed and posed person), `things` (objects), `camera`, `raster` and `layers` (what is seen where),
`shade` and `paint` (what it looks like), `backdrop`, `scene` (who stands where), `truth`, `photo`, and `coco` (files).
"""
