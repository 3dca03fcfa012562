"""What several kinds of tests share."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

#: The columns of a release as computed: name, type.
_TEXT = ("family", "measure_id", "measure_name", "definition_version")
_RELEASED = pa.schema(
    [(name, pa.string()) for name in _TEXT]
    + [("period_start", pa.date32()), ("period_end", pa.date32())]
    + [(name, pa.string()) for name in ("status", "breakdown", "level", "level_name", "variant")]
    + [("numerator", pa.int64()), ("denominator", pa.int64()), ("value", pa.float64()), ("published", pa.string()), ("disclosure", pa.string())]
    + [(name, pa.float64()) for name in ("lower", "upper", "ratio", "ratio_lower", "ratio_upper")]
    + [(f"limit_{side}_{share}", pa.float64()) for share in ("95", "998") for side in ("lower", "upper")]
    + [(name, pa.string()) for name in ("reliability", "unit", "kind")]
)


def _row(measure: str, month: str, breakdown: str, level: str | None, numerator: int | None, **more: Any) -> dict[str, Any]:
    """A row of a release; a numerator of None is a hidden one."""
    shown = {"numerator": numerator, "value": float(numerator), "published": str(numerator), "disclosure": "rounded"} if numerator is not None else {}
    return {
        "family": "mhs116",
        "measure_id": measure,
        "measure_name": f"Name of {measure}",
        "definition_version": "2024-07",
        "period_start": date.fromisoformat(f"{month}-01"),
        "period_end": date.fromisoformat(f"{month}-28"),
        "status": "Performance",
        "breakdown": breakdown,
        "level": level,
        "variant": "local",
        "published": "*",
        "disclosure": "suppressed",
        "unit": "referrals",
        "kind": "count",
        **shown,
        **more,
    }


#: Two months; the whole, two providers, a team and a field of them, and a measure that was not evaluated.
ROWS: Sequence[Mapping[str, Any]] = (
    _row("MHS116", "2026-01", "England", "England", 125, level_name="England"),
    _row("MHS116", "2026-01", "Provider", "RXA", 70, level_name='THE "BUSY" TRUST, NORTH'),
    _row("MHS116", "2026-01", "Provider", "V9Z9Z", None, level_name="QUIET CHARITY"),
    _row("MHS116", "2026-02", "England", "England", 130, level_name="England"),
    _row("MHS116", "2026-02", "Provider", "RXA", 75),
    _row("MHS116", "2026-02", "Provider; Team", "RXA|T-1", 5),
    _row("MHS116", "2026-02", "Provider; Employment support team", "V9Z9Z Unknown", None),
    _row(
        "MHS116a",
        "2026-02",
        "England",
        "England",
        None,
        kind="rate",
        denominator=5_000_000,
        value=2.6,
        published="2.6",
        disclosure="rounded",
        lower=2.172,
    ),
    _row("MHS116a", "2026-02", "Sub-ICB", None, None, published=None, disclosure="not evaluated", variant="unsuppressed"),
)


@pytest.fixture
def released(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder with the measures of a small release, as they are when disclosure control is through with them."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([dict(row) for row in ROWS], schema=_RELEASED), folder / "measures.parquet")
        with (folder / "measures.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, _RELEASED.names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(ROWS)
        publication = folder / "publication"
        publication.mkdir()
        header = "REPORTING_PERIOD_START,REPORTING_PERIOD_END,STATUS,BREAKDOWN,PRIMARY_LEVEL,PRIMARY_LEVEL_DESCRIPTION"
        header += ",SECONDARY_LEVEL,SECONDARY_LEVEL_DESCRIPTION,MEASURE_ID,MEASURE_NAME,MEASURE_VALUE"
        line = "2025-03-01,2026-02-28,Performance,England,England,England,NONE,NONE,MHS116,Number of referrals,125"
        (publication / "MHSDS Data_FebPerf_2026_bbrb.csv").write_text(f"{header}\n{line}\n", encoding="utf-8")
        return folder

    return make
