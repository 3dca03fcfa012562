"""The cases of the dashboard, one line each in sql/measures/dashboard_cases.yaml, through the real SQL: every quantity of each, and no other."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ips_pipeline.measures import registry
from ips_pipeline.store import steps

CASES: list[dict[str, Any]] = yaml.safe_load((steps.root() / "measures" / "dashboard_cases.yaml").read_text(encoding="utf-8"))
MONTH = "2026-08"
ORDINARY = (
    "OpenReferrals",
    "AllReferrals",
    "EmployStatusMissing",
    *(f"{name}NotMissing" for name in ("SourceCat", "AgeCat", "EthnicityCat", "GenderCat", "DeprivationQuintile")),
)


def expected(case: Mapping[str, Any]) -> dict[str, int]:
    """Every quantity of the case that is not nothing."""
    if case["expect"] is False:
        return {}
    return {name: amount for name, amount in {**dict.fromkeys(ORDINARY, 1), **case["expect"]}.items() if amount}


LEVELS = {
    "provider_name": None,
    "sub_icb": "BBB",
    "sub_icb_name": "SUB ICB BBB",
    "icb": "Q1",
    "icb_name": "ICB",
    "region": "Y1",
    "region_name": "REGION",
    "source": "Primary Health Care",
    "age": "26to35",
    "ethnicity": "White British",
    "gender": "Male",
    "deprivation": "Quintile 1",
    "FinancialYear": "2026/27",
}


def levels(case: Mapping[str, Any]) -> dict[str, Any]:
    """The levels that a row of the case has; what a case says is missing by its expectation is missing here too."""
    missing = {
        column: "Missing/Invalid"
        for column, name in (
            ("source", "SourceCat"),
            ("age", "AgeCat"),
            ("ethnicity", "EthnicityCat"),
            ("gender", "GenderCat"),
            ("deprivation", "DeprivationQuintile"),
        )
        if case["expect"] and f"{name}Missing" in case["expect"]
    }
    return {**LEVELS, **missing, **case.get("levels", {})}


def provider(case: Mapping[str, Any]) -> str:
    return str(case.get("provider", f"K{case['case']}"))


@cache
def stories() -> Any:
    """The module that tells a referral month by month."""
    spec = importlib.util.spec_from_file_location("stories", Path(__file__).with_name("test_dashboard_golden.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def add_case(world: Any, case: Mapping[str, Any]) -> None:
    """Tell a case to the world, at a provider of its own."""
    story = stories().Story(world, provider(case), case.get("patient", f"P{case['case']}"))
    story.referral = case.get("referral", story.referral)
    for month in case.get("months", [{}]):
        story.month(**{"month": MONTH, **month})


@pytest.fixture(scope="module")
def result(publish: Callable[..., Any], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    world = new_world()
    for case in CASES:
        add_case(world, case)
    return publish(world, tmp_path_factory.mktemp("cases"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['case']} {case['says']}")
def test_case(case: dict[str, Any], result: Any) -> None:
    numerators = {measure.id: measure.numerator for measure in registry.load().measures if measure.family == "dashboard"}
    # A provider with two names has two rows at its level.
    found: Counter[str] = Counter()
    for row in result.dashboard:
        if (row["ReportingPeriodEnd"][:7], row["Breakdown"], row["Level"]) == (case.get("at", MONTH), "Provider", provider(case)):
            found[numerators[row["MeasureName"]]] += int(row["MeasureValue"])
    shown = set(numerators.values())
    assert {name: amount for name, amount in found.items() if amount} == {name: amount for name, amount in expected(case).items() if name in shown}


def test_levels(result: Any) -> None:
    """What places a row, of every case that is one row."""
    rows = [row for row in result.dashboard if row["MeasureName"] == "OpenReferrals"]
    seen = {(row["ReportingPeriodEnd"][:7], row["Breakdown"], row["Level"]) for row in rows}
    for case in CASES:
        if case["expect"] is not False:
            month = case.get("at", MONTH)
            for breakdown, column in (("SubICB", "sub_icb"), ("ICB", "icb"), ("Age", "age"), ("Gender", "gender"), ("Source", "source")):
                assert (month, breakdown, levels(case)[column]) in seen, case["case"]


def test_breakdowns_add_up(result: Any) -> None:
    """Every breakdown adds up to England in every month, because every row has a level of each."""
    added: dict[str, Counter[str]] = {}
    for row in result.dashboard:
        if row["MeasureName"] == "OpenReferrals":
            added.setdefault(row["Breakdown"], Counter())[row["ReportingPeriodEnd"]] += int(row["MeasureValue"])
    assert len(added) == 11
    assert all(months == added["England"] for months in added.values())
