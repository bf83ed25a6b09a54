"""Where a run keeps what it needs to go on after it was killed."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any


def state_folder(root: str | Path, shaped_by: Any) -> Path:
    """The folder of the run that `shaped_by` describes; folders of other runs are removed.

    Args:
        root: an ignored folder that holds nothing else.
        shaped_by: everything that shapes the result (parameters, hashes of inputs), as json values. A changed value
            is another run, which starts anew.
    """
    key = hashlib.sha256(json.dumps(shaped_by, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(root) / key
    for other in Path(root).glob("*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)  # another process of this run may be at it too
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remove_state(folder: Path) -> None:
    """Remove a run's folder; killed meanwhile, it is not taken for a run that goes on."""
    done = folder.with_suffix(".done")
    os.replace(folder, done)
    shutil.rmtree(done)


def file_hash(path: str | Path) -> str:
    """sha256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
