"""Folders for the resume state of runs: one per configuration, locked while a run is alive."""

import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any


def state_folder(root: str | Path, shaped_by: Any) -> Path:
    """The folder of the run that `shaped_by` describes, locked until this process ends.

    Folders of other runs are removed unless a process holds their lock.

    Args:
        root: a folder, ignored by git, that holds nothing else.
        shaped_by: everything that shapes the result (parameters, hashes of inputs), as json values. Any change makes it
            another run, which starts from scratch.
    """
    key = hashlib.sha256(json.dumps(shaped_by, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(root) / key
    folder.mkdir(parents=True, exist_ok=True)
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH)  # shared by all processes of the run; held until they end
    for other in Path(root).glob("*"):
        if other != folder and not _is_locked(other):
            shutil.rmtree(other, ignore_errors=True)  # another process of this run may remove it at the same time
    return folder


def _is_locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock; True on file systems without locks."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove_state(folder: Path) -> None:
    """Remove the folder of a completed run.

    It is renamed first: if the process is killed meanwhile, the rest is not mistaken for a run to resume.
    """
    done = folder.with_suffix(".done")
    os.replace(folder, done)
    shutil.rmtree(done)
