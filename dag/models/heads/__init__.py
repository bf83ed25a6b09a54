"""Heads: layers from features to keypoints, with their training targets, losses and decoders."""
