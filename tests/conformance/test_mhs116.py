"""MHS116 and MHS116a equal what NHS England's published code gives for the same submissions, row for row."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from ips_pipeline.measures import compute, registry
from ips_pipeline.store import folders

CASE = Path(__file__).parent / "case-small"
LEVEL = (
    *("REPORTING_PERIOD_START", "REPORTING_PERIOD_END", "STATUS", "BREAKDOWN", "PRIMARY_LEVEL", "PRIMARY_LEVEL_DESCRIPTION"),
    *("SECONDARY_LEVEL", "SECONDARY_LEVEL_DESCRIPTION", "MEASURE_ID", "MEASURE_NAME"),
)
PERIODS = {"2026-08": "2026-08-31", "2026-09": "2026-09-30"}
STEM = {"2026-08": "MHSDS Data_AugPerf_2026", "2026-09": "MHSDS Data_SepPerf_2026"}

Key = tuple[str, ...]


def read(path: Path, end: str | None = None) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return [row for row in csv.DictReader(handle) if end is None or row["REPORTING_PERIOD_END"] == end]


def by_level(rows: list[dict[str, str]]) -> dict[Key, str]:
    table = {tuple(row[name] for name in LEVEL): row["MEASURE_VALUE"] for row in rows}
    assert len(table) == len(rows), "a level is there twice"
    return table


@pytest.fixture(scope="module", params=sorted(PERIODS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    period = request.param
    out = tmp_path_factory.mktemp(f"measures-{period}")
    result = compute(folders.discover(CASE / "submissions"), CASE / "reference", period, "Performance", out, evidence=out / "evidence")
    published = {measure.id for measure in registry.load().measures if measure.family in ("mhs116", "dashboard")}
    assert not [item for item in result["not_evaluated"] if item["measure"] in published]
    yield period, out


def test_raw_file(run: tuple[str, Path]) -> None:
    period, out = run
    found = by_level(read(out / "publication" / f"{STEM[period]}_RAW_bbrb.csv"))
    expected = by_level(read(CASE / "expected_mhs116_raw.csv", PERIODS[period]))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if key[-2] == "MHS116":
            assert found[key] == value, key
        else:
            assert float(found[key]) == pytest.approx(float(value), rel=1e-9), key


def test_final_file(run: tuple[str, Path]) -> None:
    period, out = run
    rows = read(out / "publication" / f"{STEM[period]}_bbrb.csv")
    expected = by_level(read(CASE / "expected_mhs116_final.csv", PERIODS[period]))
    found = by_level(rows)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if key[-2] == "MHS116" or value == "*":
            assert found[key] == value, key
        else:
            assert float(found[key]) == float(value), key
    assert list(found) == sorted(found, key=lambda key: (key[3], key[4], key[8])), "not in the published order"


def test_population(run: tuple[str, Path]) -> None:
    """The denominators behind the rates: the value and the numerator give back the expected population."""
    period, out = run
    population = {
        (row["BREAKDOWN"], row["PRIMARY_LEVEL"]): float(row["MEASURE_VALUE"]) for row in read(CASE / "expected_population.csv", PERIODS[period])
    }
    values = {
        (row["BREAKDOWN"], row["PRIMARY_LEVEL"], row["MEASURE_ID"]): float(row["MEASURE_VALUE"])
        for row in read(next((out / "publication").glob("*RAW*")))
    }
    checked = 0
    for (breakdown, level, measure), value in values.items():
        if measure == "MHS116a" and value:
            assert values[breakdown, level, "MHS116"] / value * 100_000 == pytest.approx(population[breakdown, level], rel=1e-6)
            checked += 1
        elif measure == "MHS116a":
            assert (breakdown, level) not in population
    assert checked > 40


def test_evidence(run: tuple[str, Path]) -> None:
    """The same referrals, described from the same record."""
    period, out = run
    rows = pq.read_table(out / "evidence" / "mhs116.parquet").to_pylist()
    found = {
        (
            row["UniqServReqID"],
            row["Person_ID"],
            str(row["UniqMonthID"]),
            str(row["RecordNumber"]),
            row["age_band"] or "UNKNOWN",
            row["gender"] or "UNKNOWN",
            row["upper_ethnicity"] or "UNKNOWN",
            row["imd_decile"] or "UNKNOWN",
            row["OrgIDProv"],
            str(row["AccessDate"]),
        )
        for row in rows
        if row["counted"]
    }
    expected = {
        (
            row["UniqServReqID"],
            row["Person_ID"],
            row["UniqMonthID"],
            row["RecordNumber"],
            row["Age_Band"],
            row["Der_Gender"],
            row["UpperEthnicity"],
            row["IMD_Decile"],
            row["OrgIDProv"],
            row["AccessDate"],
        )
        for row in read(CASE / "expected_mhs116_referrals.csv", PERIODS[period])
    }
    assert found == expected
    assert all((row["reason"] is None) == row["counted"] for row in rows)
    assert Counter(row["counted"] for row in rows)[False] > 0
