"""Pose models: backbones, heads, their assembly with attention and graph, and files of weights."""

from dag.models.pose import build_model
from dag.models.weights import load_model, load_weights, save_model

__all__ = ["build_model", "load_model", "load_weights", "save_model"]
