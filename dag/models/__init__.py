"""Pose models: backbones, heads, and their assembly with attention and graph."""
