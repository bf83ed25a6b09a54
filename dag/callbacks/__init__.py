"""Lightning callbacks of every training loop: curves, progress, resume state, end on signals."""

from dag.callbacks.curves import Curves
from dag.callbacks.progress import progress_callbacks
from dag.callbacks.resume_state import remove_state, state_folder
from dag.callbacks.save_state import SaveState
from dag.callbacks.stopping import StopOnSignal, lost_process

__all__ = [
    "Curves",
    "SaveState",
    "StopOnSignal",
    "lost_process",
    "progress_callbacks",
    "remove_state",
    "state_folder",
]
