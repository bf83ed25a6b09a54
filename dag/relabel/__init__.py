"""Relabelling of occluded joints (COCO-RE): candidates, their evidence and calibration, and reviewed decisions."""

from dag.relabel.candidates import Candidate, write_candidates
from dag.relabel.reviews import Decision, read_decisions, write_decisions

__all__ = ["Candidate", "Decision", "read_decisions", "write_candidates", "write_decisions"]
