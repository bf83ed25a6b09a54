"""COCO-RE: joints that nobody labelled get a place, hidden joints an occluder, and people have the last word."""
