"""The table of candidates."""

from pathlib import Path

import pyarrow.parquet as pq

from dag.relabel.candidates import SCHEMA, write_candidates


def test_empty_table_has_its_columns(tmp_path: Path) -> None:
    write_candidates(tmp_path / "none.parquet", [])
    assert pq.read_table(tmp_path / "none.parquet").schema.equals(SCHEMA)
