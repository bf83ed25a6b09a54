"""COCO-RE: relabelling of occluded joints: proposals, evidence, calibration and reviewed decisions."""
