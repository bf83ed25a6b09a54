"""DAG (Data, Attention, Graph): occluded human pose estimation as a reproducible pipeline."""

__version__ = "0.1.0"
