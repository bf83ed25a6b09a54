"""Tables of label maps: what is written is read, and other files are refused."""

from pathlib import Path

import numpy as np
import pytest

from dag.errors import UserError
from dag.parsing.label_maps import LabelMap, LabelMaps, encode_labels, write_label_maps

LABELS = ("background", "person")


def test_round_trip(tmp_path: Path) -> None:
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    rows = [LabelMap(split, f"{split}.jpg", "0" * 64, encode_labels(labels)) for split in ("train", "val")]
    write_label_maps(tmp_path / "toy.arrow", iter(rows), dataset="toy", labels=LABELS)
    table = LabelMaps(tmp_path / "toy.arrow")
    assert (table.dataset, table.labels) == ("toy", LABELS)
    assert list(table) == rows
    assert np.array_equal(table[1].decode(), labels)
    with pytest.raises(IndexError):
        table[2]


def test_file_that_is_not_a_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a table of label maps: got .*; run `dvc repro parts`"):
        LabelMaps(tmp_path / "none.arrow")
