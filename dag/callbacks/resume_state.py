"""Where a run keeps what it needs to go on after it was killed."""

import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any


def state_folder(root: str | Path, shaped_by: Any) -> Path:
    """The folder of the run that `shaped_by` describes, this process's until it ends; those of ended runs are removed.

    Args:
        root: an ignored folder that holds nothing else.
        shaped_by: everything that shapes the result (parameters, hashes of inputs), as json values. A changed value
            is another run, which starts anew.
    """
    key = hashlib.sha256(json.dumps(shaped_by, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(root) / key
    folder.mkdir(parents=True, exist_ok=True)
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH)  # all processes of a run hold it, to their ends
    for other in Path(root).glob("*"):
        if other != folder and not _held(other):
            shutil.rmtree(other, ignore_errors=True)  # another process of this run may be at it too
    return folder


def _held(folder: Path) -> bool:
    """Whether a run that goes on beside this one has the folder; where a file system cannot tell, it may."""
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
    """Remove a run's folder; killed meanwhile, it is not taken for a run that goes on."""
    done = folder.with_suffix(".done")
    os.replace(folder, done)
    shutil.rmtree(done)
