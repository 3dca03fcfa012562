"""The IPS dashboard equals what NHS England's published code gives for the same submissions, row for row."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]

from ips_pipeline.measures import compute, registry
from ips_pipeline.store import folders

CASE = Path(__file__).parent / "case-small"


def test_dashboard(tmp_path: Path) -> None:
    compute(folders.discover(CASE / "submissions"), CASE / "reference", "2026-09", "Performance", tmp_path)
    found = (tmp_path / "dashboard.csv").read_text(encoding="utf-8").splitlines()
    expected = (CASE / "expected_dashboard.csv").read_text(encoding="utf-8").splitlines()
    assert len(expected) == 27_003
    assert found == expected


def test_long_table(tmp_path: Path) -> None:
    """Every registered measure is there, and a released value never stands beside a suppressed one."""
    compute(folders.discover(CASE / "submissions"), CASE / "reference", "2026-09", "Final", tmp_path)
    rows = pq.read_table(tmp_path / "measures.parquet").to_pylist()
    assert {row["measure_id"] for row in rows} == {measure.id for measure in registry.load().measures}
    published = [row for row in rows if row["variant"] == "published"]
    assert {row["disclosure"] for row in published} == {"exact", "rounded", "suppressed"}
    assert all(
        row["value"] is None and row["numerator"] is None and row["published"] == "*" for row in published if row["disclosure"] == "suppressed"
    )
    assert (tmp_path / "publication" / "MHSDS Data_SepFinal_2026_bbrb.csv").is_file()
