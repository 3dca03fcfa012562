"""Employment, waits, hospital use, data quality and fairness in one small world: who is in it, and what every measure must say of them.

The twelve months are September 2025 to August 2026. All live in England; the months of RAA begin in December 2024.

P1  out of work, seen on day 10, starts work for 16 to 29 hours on 12 January 2026 and keeps it; in hospital across the first contact, and again
P2  out of work, seen on day 2, starts work for 1 to 4 hours in February, leaves it in April, is discharged in May
P3  referred in January, never seen, no employment status
P4  in work for years; the contact is dated a day before the referral; discharged in June, still in work
P5  out of work, seen on day 49; work is recorded in June, but no start date; in June no IPS team is on the referral
P6  came before the twelve months; work began in March 2025 and goes on; no contact in the twelve months
P8  a boy of 15 on the caseload of RBB, which submits October 2025 only and also knows P1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

MONTHS = [f"{year}-{month:02d}" for year in (2024, 2025, 2026) for month in range(1, 13) if "2024-12" <= f"{year}-{month:02d}" <= "2026-08"]

#: person -> received, discharged
REFERRALS: Mapping[str, tuple[str, str | None]] = {
    "P1": ("2025-10-06", None),
    "P2": ("2025-11-03", "2026-05-29"),
    "P3": ("2026-01-12", None),
    "P4": ("2026-02-02", "2026-06-30"),
    "P5": ("2026-03-02", None),
    "P6": ("2024-12-02", None),
}
#: person, day, attendance, team of the contact
CONTACTS = [
    ("P1", "2025-10-16", "5", "IPS"),
    ("P1", "2025-11-10", "5", "IPS"),
    ("P1", "2026-02-02", "6", "IPS"),
    ("P2", "2025-11-05", "5", "IPS"),
    ("P2", "2026-05-30", "3", "IPS"),
    ("P4", "2026-02-01", "5", "IPS"),
    ("P5", "2026-04-20", "5", "IPS"),
    ("P5", "2026-06-10", "5", "CMHT"),
    ("P6", "2025-01-10", "5", "IPS"),
]
#: Where the contacts were, by their number above; the others say nothing of it. A home, a workplace and a charity count as the community.
PLACES = {0: "A01", 1: "E01", 2: "A03", 5: "X01", 6: "N03", 7: "A01", 8: "A01"}
#: person, recorded, status, hours, started, ended
STATUSES = [
    ("P1", "2025-10-06", "04", None, None, None),
    ("P1", "2026-01-15", "01", "02", "2026-01-12", None),
    ("P2", "2025-11-03", "02", None, None, None),
    ("P2", "2026-02-20", "01", "04", "2026-02-16", "2026-04-30"),
    ("P2", "2026-05-20", "02", None, None, None),
    ("P4", "2026-02-03", "01", "01", "2020-01-06", None),
    ("P4", "2026-06-25", "01", "01", "2020-01-06", None),
    ("P5", "2026-03-10", "02", None, None, None),
    ("P5", "2026-06-01", "01", None, None, None),
    ("P6", "2024-12-02", "02", None, None, None),
    ("P6", "2025-03-03", "01", "02", "2025-03-01", None),
]
#: person, started, discharged, months that send it
SPELLS = [
    ("P1", "2025-10-10", "2025-10-20", ["2025-10"]),
    ("P1", "2026-08-28", None, ["2026-08"]),
    ("P2", "2025-09-01", "2025-09-03", ["2025-09"]),
]


def days(first: str, last: str) -> int:
    return (date.fromisoformat(last) - date.fromisoformat(first)).days


def describe(person: str, number: str, born: str = "1990-01-01") -> dict[str, str]:
    return {
        "LocalPatientID": person,
        "NHSNumber": number,
        "PersonBirthDate": born,
        "Postcode": "AA1 1AA",
        "Gender": "1",
        "GenderIDCode": "1",
        "EthnicCategory": "A",
    }


def fill(world: Any) -> None:
    for month in MONTHS:
        world.submission("RAA", month)
        for person, (received, discharged) in REFERRALS.items():
            ips = received[:7] <= month <= (discharged or "9999")[:7]
            if ips:
                referral = {"ServiceRequestID": f"R-{person}", "LocalPatientID": person, "ReferralRequestReceivedDate": received}
                team = "CMHT" if (person, month) == ("P5", "2026-06") else "IPS"
                closed = discharged if month == (discharged or "")[:7] else None
                world.add("RAA", month, "MHS101Referral", {**referral, "CareProfTeamLocalID": team, "ServDischDate": closed})
            if ips or (person, month) == ("P2", "2025-09"):
                world.add("RAA", month, "MHS001MPI", describe(person, f"999000000{person[1]}"))
                other = {"ServiceRequestID": f"H-{person}", "LocalPatientID": person, "ReferralRequestReceivedDate": "2024-12-01"}
                world.add("RAA", month, "MHS101Referral", {**other, "CareProfTeamLocalID": "CMHT", "ServDischDate": None})
    contacts = [(f"C{number}", f"R-{contact[0]}", *contact[1:]) for number, contact in enumerate(CONTACTS)]
    contacts += [("C-none", "R-none", "2026-08-03", "5", "IPS"), ("C-other", "H-P1", "2026-08-04", "5", "IPS")]
    for number, (contact, referral_id, day, attended, team) in enumerate(contacts):
        row = {"CareContactID": contact, "ServiceRequestID": referral_id, "CareContDate": day, "AttendStatus": attended}
        row["ActLocTypeCode"] = PLACES.get(number)
        world.add("RAA", day[:7], "MHS201CareContact", {**row, "ConsMechanismMH": "01", "OtherCareProfTeamLocalID": team})
    for person, recorded, status, hours, started, ended in STATUSES:
        row = {"LocalPatientID": person, "EmployStatus": status, "EmployStatusRecDate": recorded, "WeekHoursWorked": hours}
        world.add("RAA", recorded[:7], "MHS004EmpStatus", {**row, "EmployStatusStartDate": started, "EmployStatusEndDate": ended})
    for number, (person, started, discharged, months) in enumerate(SPELLS):
        for month in months:
            spell = {"HospProvSpellID": f"S{number}", "ServiceRequestID": f"H-{person}", "StartDateHospProvSpell": started}
            world.add("RAA", month, "MHS501HospProvSpell", {**spell, "DischDateHospProvSpell": discharged})
    world.add("RBB", "2025-10", "MHS001MPI", describe("X1", "9990000001"))
    world.add("RBB", "2025-10", "MHS001MPI", describe("X8", "9990000008", "2010-06-01"))
    for person in ("X1", "X8"):
        row = {"ServiceRequestID": f"H-{person}", "LocalPatientID": person, "ReferralRequestReceivedDate": "2025-10-01"}
        world.add("RBB", "2025-10", "MHS101Referral", {**row, "CareProfTeamLocalID": "CMHT"})


@pytest.fixture(scope="module")
def values(new_world: Callable[[], Any], run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Any]:
    """(measure, breakdown, level) -> numerator, denominator, value."""
    root = tmp_path_factory.mktemp("outcomes")
    world = new_world()
    fill(world)
    run(world, root)
    return read(root)


def read(root: Path) -> dict[tuple[str, str, str], Any]:
    rows = pq.read_table(root / "out" / "measures.parquet").to_pylist()
    return {
        (row["measure_id"], row["breakdown"], row["level"]): (row["numerator"], row["denominator"], row["value"])
        for row in rows
        if row["variant"] == "unsuppressed"
    }


#: measure -> numerator and denominator over everybody; None where there is no denominator, and no row at all for an empty tuple
EVERYBODY: Mapping[str, tuple[int | None, ...]] = {
    # Five referrals were received: P4 in work; P1, P2, P5 out of work; P3 unknown.
    "EMP01": (1, 5),
    "EMP02": (3, 5),
    "EMP03": (1, 5),
    # P2 and P4 were discharged: one out of work again, one in work for 30 hours or more.
    "EMP04": (1, 2),
    "EMP05": (1, 2),
    "EMP06": (0, 2),
    "EMP07": (0, 1),
    "EMP08": (0, 1),
    "EMP09": (0, 1),
    "EMP10": (1, 1),
    "EMP11": (0, 1),
    # P1, P2 and P5 moved into work; P5 without a start date.
    "EMP12": (3, None),
    "EMP13": (2, None),
    "EMP14": (3, 3),
    "EMP15": (1, 1),
    "EMP16": (2, 2),
    "EMP17": (3, 3),
    "EMP18": (1, 1),
    "EMP19": (1, 1),
    "EMP20": (2, None),
    "EMP21": (1, 2),
    "EMP22": (0, 2),
    "EMP23": (1, 2),
    "EMP24": (0, 2),
    "EMP25": (0, 2),
    # Thirteen and 26 weeks are over for P1 (kept) and P2 (left in April), 52 weeks for P6 only.
    "EMP26": (1, 2),
    "EMP27": (1, 2),
    "EMP28": (1, 1),
    "WAIT01": (5, None),
    "WAIT03": (1, 3),
    "WAIT04": (2, 3),
    "WAIT05": (3, 3),
    "WAIT06": (1, None),
    "WAIT07": (1, None),
    "WAIT08": (1, 1),
    "WAIT10": (4, None),
    "WAIT11": (3, None),
    "WAIT12": (6, 4),
    "WAIT14": (207 + 148, 2),
    "WAIT15": (1, 2),
    "WAIT16": (1, 2),
    # Of the five placed contacts of the twelve months three; one of P5 does not count, and that of P6 came before.
    "WAIT17": (3, 5),
    # P1, P2, P4, P5 and P6 had a first contact; P1 and P2 were in hospital.
    "HOSP01": (5, None),
    "HOSP02": (2, 319 + 339 + 365 + 365 + 40),
    "HOSP03": (1, 320 + 300 + 212 + 134 + 365),
    "HOSP04": (6 + 2, 319 + 339 + 365 + 365 + 40),
    "HOSP05": (4 + 3, 320 + 300 + 212 + 134 + 365),
    "HOSP06": (6 + 2, 319 + 300 + 212 + 134 + 40),
    "HOSP07": (4 + 3, 319 + 300 + 212 + 134 + 40),
    "HOSP08": (2, 319 + 300 + 212 + 134 + 40),
    "HOSP09": (1, 5),
    "HOSP10": (1, 5),
    "HOSP11": (1, 319 + 300 + 212 + 134 + 40),
    # RBB sent one month of the eight expected of it, and no IPS.
    "QUAL09": (13, 20),
    "QUAL10": (1, 2),
    "QUAL11": (1, 10),
    "QUAL12": (1, 9),
    "QUAL13": (1, 10),
    "QUAL14": (1, 10),
    "QUAL15": (1, 7),
    "QUAL16": (0, 6),
    "QUAL17": (0, 6),
    "QUAL18": (2, 4),
    # Seven people on the caseloads, one of them a boy; P1 is on two.
    "FAIR01": (4, 7),
    "FAIR02": (4, 6),
    "FAIR03": (3, 3),
    "FAIR04": (4, 8),
    "FAIR05": (3, 3),
    # Not so many months were sent: nobody over nobody, and no value.
    "FAIR11": (0, 0),
    "FAIR21": (0, 0),
}


@pytest.mark.parametrize("measure", EVERYBODY)
def test_everybody(values: Mapping[tuple[str, str, str], Any], measure: str) -> None:
    found = values.get((measure, "All", "All"))
    assert (found[:2] if found else ()) == EVERYBODY[measure]


LEVELS: Sequence[tuple[str, str, str, tuple[int | None, ...]]] = [
    ("EMP12", "Status at the start", "Out of work", (3, None)),
    ("EMP20", "Status at the start", "In work", (0, None)),
    ("EMP01", "Status at the start", "Unknown", (0, 1)),
    ("EMP02", "Provider", "RAA", (3, 5)),
    ("WAIT11", "Provider; Team", "RAA|IPS", (3, None)),
    ("FAIR04", "Provider", "RAA", (4, 6)),
    ("FAIR04", "Provider", "RBB", (0, 2)),
    ("FAIR01", "Ethnic group", "White or White British", (4, 7)),
    ("FAIR01", "Age group", "Under 16", (0, 1)),
    ("FAIR01", "Deprivation", "Quintile 1", (4, 7)),
    ("HOSP04", "Gender", "Male", (8, 1428)),
    ("QUAL09", "Provider", "RBB", (1, 8)),
    # Eight statuses were sent in months in which their person had an IPS referral; four of them of work.
    ("QUAL01", "Field", "MHS004EmpStatus.EmployStatusStartDate", (4, 8)),
    ("QUAL05", "Field", "MHS004EmpStatus.EmployStatusStartDate", (4, 8)),
    ("QUAL06", "Provider; Field", "RAA|MHS004EmpStatus.WeekHoursWorked", (4, 4)),
]


@pytest.mark.parametrize(("measure", "breakdown", "level", "expected"), LEVELS)
def test_levels(values: Mapping[tuple[str, str, str], Any], measure: str, breakdown: str, level: str, expected: tuple[int | None, ...]) -> None:
    assert values[measure, breakdown, level][:2] == expected


@pytest.mark.parametrize(
    ("measure", "happened", "watched", "median"),
    [
        # After 2, 10 and 49 days; P3 still waits, P4's wait is negative.
        ("WAIT02", 3, 4, 10),
        # After 98 and 105 days; P3 and P5 have none so far, P4 was in work.
        ("WAIT09", 2, 4, 105),
        ("WAIT13", 2, 2, 148),
    ],
)
def test_medians(values: Mapping[tuple[str, str, str], Any], measure: str, happened: int, watched: int, median: int) -> None:
    assert values[measure, "All", "All"] == (happened, watched, median)


def test_days_in_view_follow_from_the_months_sent() -> None:
    assert days("2024-12-01", "2025-10-16") == 319
    assert days("2025-10-16", "2026-09-01") == 320
    assert [days("2025-11-03", "2026-05-29"), days("2026-02-02", "2026-06-30")] == [207, 148]


def test_the_score_is_coverage_times_the_mean_of_the_fields(values: Mapping[tuple[str, str, str], Any]) -> None:
    for provider, coverage in (("RAA", 1), ("RBB", 1 / 8)):
        usable = [found[2] for key, found in values.items() if key[:2] == ("QUAL07", "Provider; Field") and key[2].startswith(provider)]
        assert values["QUAL08", "Provider", provider][2] == pytest.approx(100 * coverage * sum(usable) / len(usable), abs=0.02)


def test_hospital_use_is_not_evaluated_where_nobody_sends_stays(new_world: Callable[[], Any], run: Callable[..., Any], tmp_path: Path) -> None:
    world = new_world()
    fill(world)
    for tables in world.rows.values():
        tables.pop("MHS501HospProvSpell", None)
    returned = run(world, tmp_path).returned
    assert {"measure": "HOSP01", "breakdown": "All", "needs": ["hospital stays (MHS501) in the submissions"]} in returned["not_evaluated"]
    assert ("HOSP01", "All", "All") not in read(tmp_path)


def test_two_years_are_pooled_where_the_months_reach_back(new_world: Callable[[], Any], run: Callable[..., Any], tmp_path: Path) -> None:
    """One person was seen in October 2024 and is gone; another came in August 2026 and is not seen."""
    world = new_world()
    world.submission("RAA", "2024-09")
    for month, person in (("2024-10", "P1"), ("2026-08", "P2")):
        world.add("RAA", month, "MHS001MPI", describe(person, f"999000000{person[1]}"))
        row = {"ServiceRequestID": f"R-{person}", "LocalPatientID": person, "ReferralRequestReceivedDate": f"{month}-01"}
        world.add("RAA", month, "MHS101Referral", {**row, "CareProfTeamLocalID": "IPS"})
    contact = {"CareContactID": "C1", "ServiceRequestID": "R-P1", "CareContDate": "2024-10-09", "AttendStatus": "5", "ConsMechanismMH": "01"}
    world.add("RAA", "2024-10", "MHS201CareContact", contact)
    run(world, tmp_path)
    values = read(tmp_path)
    assert values["FAIR01", "All", "All"][:2] == (0, 1)
    assert values["FAIR11", "All", "All"][:2] == (1, 2)
    assert values["FAIR14", "Provider", "RAA"][:2] == (1, 2)
    assert values["FAIR21", "All", "All"][:2] == (0, 0)


def test_who_came_in_an_earlier_year_alone_cannot_be_told_from_two_periods(
    new_world: Callable[[], Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    """Five people in the year before the last and one before them: 5 and 6 would both be shown as 5, and leave the one among 0, 1 and 2."""
    world = new_world()
    world.submission("RAA", "2023-09")
    for number in range(6):
        month, person = ("2023-10" if number == 0 else "2024-10"), f"P{number}"
        world.add("RAA", month, "MHS001MPI", describe(person, f"999000000{number}"))
        row = {"ServiceRequestID": f"R-{person}", "LocalPatientID": person, "ReferralRequestReceivedDate": f"{month}-01"}
        world.add("RAA", month, "MHS101Referral", {**row, "CareProfTeamLocalID": "IPS"})
    run(world, tmp_path)
    rows = pq.read_table(tmp_path / "out" / "measures.parquet").to_pylist()
    people = {
        (row["measure_id"], row["variant"]): (row["denominator"], row["disclosure"])
        for row in rows
        if row["measure_id"] in ("FAIR11", "FAIR21") and row["breakdown"] == "All"
    }
    assert (people["FAIR11", "unsuppressed"][0], people["FAIR21", "unsuppressed"][0]) == (5, 6)
    assert people["FAIR11", "local"] == (None, "secondary")
    assert people["FAIR21", "local"] == (5, "zero")
