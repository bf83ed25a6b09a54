"""Layers that turn features into joints, with their training targets and decoders."""
