"""Synthetic images of people with exact ground truth: joints, occluders, instance masks and part maps."""
