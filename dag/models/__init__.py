"""Pose models: `build_model` assembles backbone, attention, graph and head; weights are loaded and saved by name."""

from dag.models.pose import build_model
from dag.models.weights import load_model, load_weights, save_model

__all__ = ["build_model", "load_model", "load_weights", "save_model"]
