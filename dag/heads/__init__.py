"""Layers that turn features into joints, with their targets and decodings."""
