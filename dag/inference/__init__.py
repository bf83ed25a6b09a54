"""From images and bounding boxes to keypoints: crop, network, flip test, decoding, NMS."""
