"""Explanations account for every number: what counted adds up to what was measured, and what came near says why it is out."""

from __future__ import annotations

import importlib.util
import json
import stat
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.measures import computation, explain, registry

PERIOD = computation.window("2026-08")


@pytest.fixture(scope="module")
def out(run: Callable[..., Any], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden cases of MHS116 as one world, measured with its evidence."""
    spec = importlib.util.spec_from_file_location("mhs116_cases", Path(__file__).with_name("test_mhs116_golden.py"))
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    world = new_world()
    for case in cases.CASES:
        for row in case.get("rows", [{}]):
            cases.add_row(world, case["case"], row)
    root: Path = tmp_path_factory.mktemp("explained")
    run(world, root)
    return root / "out"


def test_what_counted_adds_up_to_every_measure(out: Path) -> None:
    """Of every measure that is not a median, in the reporting period, for England; several measures have several periods that end then."""
    counted: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in explain.explain_all(out / "evidence", PERIOD, registry.load().measures).to_pylist():
        counted[row["measure_id"], row["period_start"]] += row["numerator"]
    compared = set()
    for row in pq.read_table(out / "measures.parquet").to_pylist():
        whole = row["breakdown"] in ("All", "England") and row["variant"] == "unsuppressed" and row["period_end"] == PERIOD[1]
        if whole and row["disclosure"] != "not evaluated" and row["kind"] != "median":
            assert counted[row["measure_id"], row["period_start"]] == (row["numerator"] or 0), row["measure_id"]
            compared.add(row["measure_id"])
    assert {"MHS116", "ACC02", "Caseload", "OpenReferrals", "EMP01"} <= compared


def test_what_came_near_says_why(out: Path) -> None:
    found = explain.explain_measure(out / "evidence", PERIOD, "MHS116", provider="RAA")
    units = {(line["verdict"], line["reason"]): line["units"] for line in found.summary}
    assert units["not counted", "resident outside England"] == 5
    assert units["not counted", "received before the measure begins, or without a date"] == 2
    assert units["not counted", "IPS procedure refused"] == 7
    rows = {row["unit"]: row for row in found.rows.to_pylist()}
    assert rows["referral RAAR5a"]["reason"] == "resident outside England"
    assert rows["referral RAAR01"]["verdict"] == "counted"
    assert "first_contact CR01" in rows["referral RAAR01"]["facts"]
    assert "Age Band 30 to 34" in rows["referral RAAR01"]["levels"]


def test_a_level_of_a_breakdown(out: Path) -> None:
    by_age = explain.explain_measure(out / "evidence", PERIOD, "MHS116", breakdown="Age Band", level="19")
    assert by_age.rows["unit"].to_pylist() == ["referral RAARb5", "referral RAARb9"]
    with pytest.raises(UsageError, match="is not divided by 'Team'; use one of"):
        explain.explain_measure(out / "evidence", PERIOD, "MHS116", breakdown="Team")


def test_only_what_counted_or_only_what_came_near(out: Path) -> None:
    found = explain.explain_measure(out / "evidence", PERIOD, "Caseload")
    parts = [explain.only(found, which).rows.num_rows for which in ("counted", "near")]
    assert min(parts) > 0
    assert sum(parts) == found.rows.num_rows
    assert explain.only(found, None) is found


def test_a_referral_through_all_measures(out: Path) -> None:
    found = explain.explain_referral(out / "evidence", PERIOD, "RAA", "R5a").rows.to_pylist()
    said = {(row["measure_id"], row["verdict"], row["reason"]) for row in found}
    assert ("MHS116", "not counted", "resident outside England") in said
    seen = explain.explain_referral(out / "evidence", PERIOD, "RAA", "R01").rows.to_pylist()
    assert {"MHS116", "ACC01", "Caseload"} <= {row["measure_id"] for row in seen if row["verdict"] == "counted"}
    assert {row["unit"].split(",")[0].split()[-1] for row in found} == {"RAAR5a"}


def test_what_cannot_be_explained_is_one_line(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean MHS116"):
        explain.explain_measure(out / "evidence", PERIOD, "MHS11")
    with pytest.raises(UsageError, match="names no provider 'RAX'; it names RAA"):
        explain.explain_measure(out / "evidence", PERIOD, "MHS116", provider="RAX")
    with pytest.raises(UsageError, match="No evidence of this release names that referral"):
        explain.explain_referral(out / "evidence", PERIOD, "RAA", "nobody")
    with pytest.raises(InputError, match="There is no evidence"):
        explain.explain_measure(tmp_path / "none", PERIOD, "MHS116")
    with pytest.raises(InputError, match="cannot be explained"):
        explain.explain_measure(tmp_path, PERIOD, "MHS116")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_files_are_for_their_owner_only(out: Path, tmp_path: Path, suffix: str) -> None:
    found = explain.explain_measure(out / "evidence", PERIOD, "MHS116")
    target = tmp_path / f"rows{suffix}"
    explain.write(found, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    if suffix == ".json":
        assert len(json.loads(target.read_text())["rows"]) == found.rows.num_rows
    elif suffix == ".csv":
        assert target.read_text().count("referral RAAR01") > 0
    else:
        assert pq.read_table(target).num_rows == found.rows.num_rows


def test_another_suffix_is_wrong_usage(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="suffix"):
        explain.write(explain.explain_measure(out / "evidence", PERIOD, "MHS116"), tmp_path / "rows.txt")


def test_lines_for_a_terminal(out: Path) -> None:
    found = explain.explain_measure(out / "evidence", PERIOD, "Caseload", provider="RAA")
    lines = list(explain.lines(found, 2))
    assert lines[0].endswith(f"counted, amounting to {found.summary[0]['numerator']:,} of {found.summary[0]['denominator']:,}")
    assert lines[-1] == f"{found.rows.num_rows - 2:,} more rows; see all with --out FILE.csv, or raise --limit"
    months = list(explain.lines(explain.explain_referral(out / "evidence", PERIOD, "RAA", "Rb5"), 0, by_measure=True))
    assert any(line.startswith("Caseload") and "counted (2026-07 to 2026-08, 2 months; referral RAARb5)" in line for line in months)
