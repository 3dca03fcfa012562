"""Two releases of random small worlds: what entered and what left make up the whole difference, and every change has its cause."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ips_pipeline.errors import InputError
from ips_pipeline.measures import computation, difference
from ips_pipeline.store import duck, folders

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def golden(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"for_difference_{name}", GOLDEN / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WORLDS, PLAIN = golden("conftest"), golden("test_mhs116_differential")


def release(months: list[dict[str, Any]], root: Path, period: str, inputs: dict[str, Any] | None = None) -> tuple[difference.Release, int]:
    """The MHS116 part of a release, as it is kept: its evidence, its values, its manifest. Gives it with the value for England."""
    world = WORLDS.World()
    PLAIN.build(world, months)
    world.submission("RAA", "2026-08")
    world.write(root)
    (root / "evidence").mkdir()
    declared = computation.variables(period, "Performance")
    submissions = folders.discover(root / "submissions", last=period)
    with computation.opened(submissions, root / "reference", declared, write=[root / "evidence"]) as made:
        connection = made.connection
        made.make(*computation.DERIVE, *computation.MHS116)
        where = duck.text_literal(str(root / "evidence" / "mhs116.parquet"))
        connection.execute(f"COPY mhs116_evidence TO {where} (FORMAT parquet)")
        values = duck.text_literal(str(root / "evidence" / "measures.parquet"))
        connection.execute(
            "COPY (SELECT 'mhs116' AS family, 'MHS116' AS measure_id, '1' AS definition_version, getvariable('period_start') AS period_start,"
            " getvariable('period_end') AS period_end, breakdown, level, CAST(NULL AS VARCHAR) AS level_name, 'unsuppressed' AS variant,"
            " referrals AS numerator, CAST(NULL AS BIGINT) AS denominator, CAST(referrals AS DOUBLE) AS value FROM"
            " (FROM mhs116_count UNION ALL SELECT 'england', 'none', 0))"
            f" TO {values} (FORMAT parquet)"
        )
        england = connection.execute("SELECT count(*) FROM mhs116 WHERE counted").fetchone()
    if inputs is not None:
        (root / "manifest.json").write_text(json.dumps({"identity": root.name, "facts": {"period": period}, "inputs": inputs}))
    assert england is not None
    return difference.open_release(root), england[0]


def changes(was: difference.Release, now: difference.Release, out: Path) -> list[dict[str, Any]]:
    difference.compare(was, now, out, measures=["MHS116"])
    with duck.session(read=[out]) as connection:
        return connection.sql(f"FROM read_parquet({duck.text_literal(str(out / 'unit_change.parquet'))})").to_arrow_table().to_pylist()


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    before=st.lists(PLAIN.person_month, min_size=3, max_size=15),
    after=st.lists(PLAIN.person_month, min_size=3, max_size=15),
    period=st.sampled_from(["2026-07", "2026-08"]),
)
def test_what_entered_and_left_is_the_whole_difference(before: list[dict[str, Any]], after: list[dict[str, Any]], period: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        was, first = release(before, Path(folder) / "was", period)
        now, second = release(before[:2] + after, Path(folder) / "now", "2026-08")
        found = changes(was, now, Path(folder) / "out")
    entered = sum(row["change"] == "entered" for row in found)
    left = sum(row["change"] == "left" for row in found)
    assert second == first + entered - left
    assert all(row["cause"] for row in found)


def person(number: int, month: str, contact: dict[str, Any] | None, **told: Any) -> dict[str, Any]:
    """One person's month with one referral to the IPS team, and a contact or none."""
    day = {"day": 10, "attend": "5", "mechanism": "01", "procedures": []}
    return {
        "provider": "RAA",
        "month": month,
        "person": number,
        "nhs_number": False,
        "born": "1994-05-05",
        "home": "AA1 1AA",
        "gender": "1",
        "identity": None,
        "ethnicity": "A",
        "gp": [],
        "referrals": [
            {"number": 0, "received": "2025-07-01", "team": "IPS", "other": None, "contacts": [] if contact is None else [{**day, **contact}]}
        ],
        **told,
    }


def test_each_change_has_its_cause(tmp_path: Path) -> None:
    before = [
        person(0, "2026-07", {}),
        person(1, "2026-07", {"attend": "3"}),
        person(2, "2026-07", {}, ethnicity="P"),
        person(3, "2025-08", {}),
    ]
    after = [
        person(0, "2026-07", {"attend": "3"}),
        person(1, "2026-07", {}),
        person(2, "2026-07", {}, ethnicity="L"),
        person(3, "2025-08", {}),
        person(4, "2026-08", {}),
    ]
    kept = {"reference": "same", "code": "same"}
    was, _ = release(before, tmp_path / "was", "2026-07", {**kept, "accepted": {"RAA/2026-07": "one", "RAA/2025-08": "x"}})
    now, _ = release(after, tmp_path / "now", "2026-08", {**kept, "accepted": {"RAA/2026-07": "two", "RAA/2025-08": "x", "RAA/2026-08": "new"}})
    found = {row["unit"]: (row["change"], row["cause"]) for row in changes(was, now, tmp_path / "out")}
    assert found == {
        "referral RAAP0R0": ("left", "the return of its month was accepted again, changed"),
        "referral RAAP1R0": ("entered", "the return of its month was accepted again, changed"),
        "referral RAAP2R0": ("changed", "the return of its month was accepted again, changed"),
        "referral RAAP3R0": ("left", "the period moved past its month"),
        "referral RAAP4R0": ("entered", "the period moved on to its month"),
    }
    said = difference.compare(was, now, measures=["MHS116"])["made_from"]
    assert said == ["The reporting month is 2026-07 and 2026-08", "1 provider-months newly accepted", "1 provider-months accepted again, changed"]


def test_without_new_returns_the_reference_or_the_evidence_explains(tmp_path: Path) -> None:
    same = {"accepted": {"RAA/2026-07": "one"}, "code": "same"}
    was, _ = release([person(0, "2026-07", {}), person(1, "2026-07", {})], tmp_path / "was", "2026-08", {**same, "reference": "a"})
    now, _ = release([person(0, "2026-07", {}, home="CF1 1AA"), person(2, "2026-07", {})], tmp_path / "now", "2026-08", {**same, "reference": "b"})
    found = {row["unit"]: (row["change"], row["cause"]) for row in changes(was, now, tmp_path / "out")}
    assert found == {
        "referral RAAP0R0": ("left", "now out: resident outside England"),
        "referral RAAP1R0": ("left", "the reference data changed"),
        "referral RAAP2R0": ("entered", "the reference data changed"),
    }


def test_the_summary_names_nobody_and_hides_small_counts(tmp_path: Path) -> None:
    was, _ = release([], tmp_path / "was", "2026-08")
    now, _ = release([person(0, "2026-08", {})], tmp_path / "now", "2026-08")
    difference.compare(was, now, tmp_path / "out", measures=["MHS116"])
    assert (tmp_path / "out" / "summary.csv").read_text() == ("measure_id,months,change,cause,units\nMHS116,12,entered,its records changed,*\n")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}


def test_a_folder_without_evidence_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no release with its evidence"):
        difference.open_release(tmp_path)
