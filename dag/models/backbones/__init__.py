"""Backbones: networks from person crops to features of stride 4."""
