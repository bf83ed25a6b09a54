"""Shared fixtures: real data where there is some, small rendered people everywhere."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with `data/`, `models/` and `golden/` that DAG_REAL_DATA names; skips where it is unset."""
    folder = os.environ.get("DAG_REAL_DATA")
    if folder is None:
        reason = "DAG_REAL_DATA is unset: no real photographs, models or golden figures to test on"
        pytest.fail(reason) if os.environ.get("DAG_REQUIRE_REAL") == "1" else pytest.skip(reason)
    return Path(folder)
