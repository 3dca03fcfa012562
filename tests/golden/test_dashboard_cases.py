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


#: Cases of open referrals that had no direct contact since 1 April: what the corrected dashboard calls not yet accessed.
NOT_SEEN = """
    01 02 03 04 05 06 10 29 33 50 51 52 53 54 55 70 71 72 73 74 85 90 91 92 93 94 95 96 97 98 99 A0 A1 A2 A3 A4 A5 A6 A7 A8 A9
    B0 B1 B2 B8 B9 C3 C6 C7 C8 D4 D5 D6 D7 E1 E3 E4 E5 E6 E9 F0 F6 F8 F9
"""
#: How many referrals there are in the cases in which the published dashboard adds up a row per team, practice, name or person.
REFERRALS = {"B0": 1, "B1": 1, "B2": 1, "C7": 1, "E2": 1, "E5": 2, "E6": 2, "E7": 1, "E8": 1, "G6": 2, "G7": 2}
#: What else the corrected dashboard makes otherwise of a case: nothing of a discharge outside the month, and the negative times apart.
CORRECTED = {
    "09": {"LengthOfReferral0To90": 0, "UnknownEmployedAtDischarge": 0},
    "10": {"LengthOfReferral0To90": 0, "UnknownEmployedAtDischarge": 0},
    "12": {"LengthOfReferralNegative": 1},
    "24": {"SeenIn7": 0, "SeenBeforeReceipt": 1},
    "45": {"TimeInCaseloadNegative": 1},
    # Undated contacts are contacts, so the referral is on the caseload.
    "D9": {"Caseload": 1},
    # What is no code is neither unknown nor held.
    "5A": {
        **dict.fromkeys(("UnknownEmployedAtReferral", "UnknownEmployedAtDischarge", "EmployStatusNotMissing"), 0),
        **dict.fromkeys(("InvalidEmployedAtReferral", "InvalidEmployedAtDischarge", "EmployStatusInvalid"), 1),
    },
    "F7": {"TimeInCaseloadNegative": 1, "EmployedAtDischargeSeenForNegative": 1},
    # Three contacts are three, wherever the person belongs.
    "G6": {"EmployedAtDischargeSeen6To10Times": 0},
    "G7": {"EmployedAtDischargeSeen6To10Times": 0},
}


def corrected(case: Mapping[str, Any]) -> dict[str, int]:
    """Every quantity of the corrected dashboard that is not nothing, by the name of the published one or, where there is none, of its measure."""
    told = expected(case)
    if case["case"] in REFERRALS:
        told = dict.fromkeys(told, REFERRALS[case["case"]])
    not_seen = REFERRALS.get(case["case"], 1) if case["case"] in NOT_SEEN.split() else 0
    told |= {"NotYetAccessedInFinancialYear": not_seen, **CORRECTED.get(case["case"], {})}
    return {name: amount for name, amount in told.items() if amount}


#: Provider and patient -> the months of a referral, and the IPS teams and the sub-ICB of its last month in the corrected dashboard.
TEAMS: dict[tuple[str, str], tuple[list[dict[str, Any]], set[str], str]] = {
    ("T01", "P1"): ([{"other_teams": ["CMHT", "IPS2", "IPS"]}], {"IPS", "IPS2"}, "BBB"),
    ("T01", "P2"): ([{"month": "2026-07", "team": "IPS"}, {"team": "IPS2", "gp": ["C00001"]}], {"IPS2"}, "CCC"),
    ("T01", "P3"): ([{"team": "OWN", "other_teams": ["OWN2"], "contacts": [(10, "01", "772822000")]}], {"no IPS team"}, "BBB"),
    ("T02", "P2"): ([{"team": "OWN", "other_teams": ["OWN2"]}], {"OWN", "OWN2"}, "BBB"),
}


@pytest.fixture(scope="module")
def evidence(access_evidence: Callable[..., Any], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    world = new_world()
    for case in CASES:
        add_case(world, case)
    for (where, patient), (months, _, _) in TEAMS.items():
        story = stories().Story(world, where, patient)
        for month in months:
            story.month(**{"month": MONTH, **month})
    for team in ("OWN", "OWN2"):
        world.add("T02", MONTH, "MHS902ServiceTeamDetails", {"CareProfTeamLocalID": team, "ServTeamTypeMH": "D05"})
    return access_evidence(world, tmp_path_factory.mktemp("corrected"), "dashboard_corrected")["dashboard_corrected"]


@pytest.mark.parametrize("case", [case for case in CASES if case.get("at", MONTH) >= "2025-09"], ids=lambda case: f"{case['case']} {case['says']}")
def test_corrected_case(case: dict[str, Any], evidence: Any) -> None:
    """Every quantity of the corrected dashboard for the same case, each referral once."""
    measures = {measure.id: measure for measure in registry.load().measures}
    names: dict[str, str] = {}
    for name, measure in measures.items():
        if name.startswith("DASH_"):
            published = measures.get(measure.corrects or "")
            names.setdefault(str(measure.numerator), published.numerator if published else name.removeprefix("DASH_"))
            names.setdefault(str(measure.denominator), str(published.denominator if published else measure.denominator))
    referrals: dict[str, Counter[str]] = {}
    for row in evidence:
        if (row["by_provider"], str(row["period_end"])[:7]) == (provider(case), case.get("at", MONTH)):
            referrals[row["unit"]] = Counter({column: row[column] for column in row if column.startswith("n_")})
    found = sum(referrals.values(), Counter())
    assert {names[column]: amount for column, amount in found.items() if amount} == (corrected(case) if case["expect"] is not False else {})


@pytest.mark.parametrize(("where", "patient"), TEAMS)
def test_corrected_teams(evidence: Any, where: str, patient: str) -> None:
    _, teams, place = TEAMS[where, patient]
    rows = [row for row in evidence if row["unit"] == f"referral {where}R{patient}" and str(row["period_end"])[:7] == MONTH]
    assert sorted((row["by_team"], row["by_sub_icb"]) for row in rows) == sorted((f"{where}; {team}", place) for team in teams)


def test_the_corrected_dashboard_is_of_the_twelve_months(evidence: Any) -> None:
    assert {str(row["period_start"])[:7] for row in evidence} == {"2026-03", "2026-04", "2026-06", "2026-07", "2026-08"}
