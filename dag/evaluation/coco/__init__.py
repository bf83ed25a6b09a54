"""COCO's keypoint metric, equal to pycocotools: OKS, matching, average precision."""
