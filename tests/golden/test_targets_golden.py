"""Targets: what is counted against the target that is next, the straight line to it, and what is needed each month; and wrong rows of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline.errors import InputError
from ips_pipeline.measures import targets
from ips_pipeline.store import duck

HEADER = ",".join(targets.COLUMNS) + "\n"
#: Months of the last contact of the nine referrals of RAA, of whom two are of one person; the twelve months end in 2026-08, without the last.
LAST_SEEN = ["2025-09", "2025-10", "2025-12", "2026-01", "2026-04", "2026-06", "2026-08", "2026-08", "2025-08"]


def row(text: str) -> str:
    """measure org_type org_code period_end basis value, separated by blanks; ``-`` stands for an empty code."""
    measure, kind, code, end, unit, over, value = text.split()
    return f"{measure},{kind},{'' if code == '-' else code},{end},{unit} {over},{value},plan,no,\n"


#: A target among others -> counted, target, line, leaving by then, needed each month.
CASES: dict[str, tuple[list[str], tuple[int | None, ...]]] = {
    # Of 8, the two last seen by October 2025 leave by October 2026: 6 stay, 14 are lacking in 2 months.
    "next one": (["ACC01 provider RAA 2026-10-31 referrals rolling 20"], (8, 20, None, 2, 7)),
    # From 4 in February to 16 in February 2027: half of the way in August.
    "line": (["ACC01 provider RAA 2026-02-28 referrals rolling 4", "ACC01 provider RAA 2027-02-28 referrals rolling 16"], (8, 16, 10, 4, 2)),
    "due now": (["ACC01 provider RAA 2026-08-31 referrals rolling 10"], (8, 10, 10, 0, None)),
    "past": (["ACC01 provider RAA 2026-03-31 referrals rolling 10"], (8, 10, None, 0, None)),
    # More than a year away, everybody will have left: 24 in the last twelve months are 2 a month.
    "far": (["ACC01 provider RAA 2028-03-31 referrals rolling 24"], (8, 24, None, 8, 2)),
    "reached": (["ACC01 provider RAA 2026-09-30 referrals rolling 5"], (8, 5, None, 1, 0)),
    "people": (["ACC02 provider RAA 2026-10-31 people rolling 20"], (7, 20, None, 2, 8)),
    # Four referrals since 1 April; 5 of 12 months gone by, 7 left.
    "in the year": (["ACC05 provider RAA 2027-03-31 referrals ytd 24"], (4, 24, 10, 0, 3)),
    # The two of August are one person.
    "people in the year": (["ACC06 provider RAA 2027-03-31 people ytd 24"], (3, 24, 10, 0, 3)),
    "of the ICB": (["ACC01 icb Q1 2026-10-31 referrals rolling 20"], (8, 20, None, 2, 7)),
    "of everything": (["ACC01 site - 2026-10-31 referrals rolling 20"], (8, 20, None, 2, 7)),
    "nothing sent": (["ACC01 provider RNO 2026-10-31 referrals rolling 20"], (None, 20, None, None, None)),
    "nobody there": (["ACC01 icb Q2 2026-10-31 referrals rolling 20"], (0, 20, None, 0, 10)),
    "unlike": (["ACC01 provider RAA 2026-10-31 people rolling 20"], (8, 20, None, 2, 7)),
}


def tell(world: Any) -> None:
    for number, month in enumerate(LAST_SEEN):
        patient, nhs_number = f"P{number}", "9990000018" if number in (6, 7) else None
        world.add(
            "RAA", month, "MHS001MPI", {"LocalPatientID": patient, "NHSNumber": nhs_number, "PersonBirthDate": "1994-05-05", "Postcode": "AA1 1AA"}
        )
        request = {
            "ServiceRequestID": f"R{number}",
            "LocalPatientID": patient,
            "ReferralRequestReceivedDate": "2025-06-01",
            "CareProfTeamLocalID": "IPS",
        }
        world.add("RAA", month, "MHS101Referral", request)
        contact = {"CareContactID": f"C{number}", "ServiceRequestID": f"R{number}", "CareContDate": f"{month}-10"}
        world.add("RAA", month, "MHS201CareContact", {**contact, "ConsMechanismMH": "01", "AttendStatus": "5"})


@pytest.fixture(scope="module")
def evidence(access_evidence: Callable[..., Any], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The rows of one case: cases are told apart by their source, and run together where their targets do not meet."""
    held: dict[str, Any] = {}

    def evidence(name: str) -> Any:
        # Cases about the same measure and organisation would be one series, so they are put in as many runs as there are of them.
        while name not in held:
            waiting = {case: told for case, (told, _) in CASES.items() if case not in held}
            series: set[tuple[str, ...]] = set()
            together = []
            for case, told in waiting.items():
                key = (*told[0].split()[:3], *told[0].split()[4:6])
                if key not in series:
                    series.add(key)
                    together.append(case)
            world = new_world()
            tell(world)
            text = HEADER + "".join(row(line).replace(",plan,", f",{case},") for case in together for line in waiting[case])
            rows = access_evidence(world, tmp_path_factory.mktemp("targets"), "targets", extra={"targets.csv": text})["targets"]
            held.update({case: [found for found in rows if found["source"] == case] for case in together})
        return held[name]

    return evidence


@pytest.mark.parametrize("name", CASES)
def test_target(evidence: Callable[[str], Any], name: str) -> None:
    (found,) = evidence(name)
    assert tuple(found[column] for column in ("counted", "target", "trajectory", "leaving", "needed_each_month")) == CASES[name][1]


def test_a_count_of_one_thing_against_a_target_of_another_says_so(evidence: Callable[[str], Any]) -> None:
    (unlike,), (alike,) = evidence("unlike"), evidence("next one")
    assert unlike["reason"] == "the target is of people, the count of referrals"
    assert (unlike["n_count_referrals_for_people"], unlike["n_target_people_for_referrals"]) == (8, 20)
    assert not [
        name for name, value in unlike.items() if name.startswith("n_") and value is not None and not name.endswith(("for_people", "for_referrals"))
    ]
    assert (alike["n_count_referrals_rolling"], alike["n_target_referrals_rolling"], alike["n_count_referrals_for_people"]) == (8, 20, None)


def test_the_national_path_counts_only_where_every_region_is_seen(access_evidence: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    tell(world)
    regions = "SubICB,SubICBName,SubICB_ONS,ICB,ICBName,Region,RegionName\nAAA,A,E1,Q1,ICB,Y1,ONE\nBBB,B,E2,Q2,ICB,{},TWO\n"
    made = {}
    for region in ("Y1", "Y2"):
        (tmp_path / region).mkdir()
        (made[region],) = access_evidence(world, tmp_path / region, "targets", extra={"geography.csv": regions.format(region)})["targets"]
    assert (made["Y1"]["counted"], made["Y1"]["target"], made["Y1"]["trajectory"], made["Y1"]["verified"]) == (7, 63_500, 61_847, False)
    assert (made["Y2"]["counted"], made["Y2"]["reason"]) == (None, "the submissions do not cover every region")


GOOD = "ACC01,icb,Q1,2027-03-31,referrals rolling,20,Plan 2026,no,\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("measure,org_type\n", "has no column org_code"),
        (HEADER + GOOD.replace("ACC01", "ACC99"), "line 2: measure is not one of ACC01, ACC02, ACC05, ACC06"),
        (HEADER + GOOD + GOOD.replace("icb", "trust"), "line 3: org_type is not one of england, region, icb, sub_icb, provider, site"),
        (HEADER + GOOD.replace("Q1", ""), "line 2: org_code is empty"),
        (HEADER + GOOD.replace("icb", "england"), "line 2: org_code has no place here"),
        (HEADER + GOOD.replace("2027-03-31", "2027-03-30"), "line 2: period_end is not the last day of a month"),
        (HEADER + GOOD.replace("2027-03-31", "31/03/2027"), "line 2: period_end is not the last day of a month"),
        (HEADER + GOOD.replace("rolling", "monthly"), "line 2: basis is not one of people rolling"),
        (HEADER + GOOD.replace(",20,", ",twenty,"), "line 2: value is not a whole number above 0"),
        (HEADER + GOOD.replace(",20,", ",0,"), "line 2: value is not a whole number above 0"),
        (HEADER + GOOD.replace("Plan 2026", ""), "line 2: source is empty"),
        (HEADER + GOOD.replace(",no,", ",perhaps,"), "line 2: verified is not one of yes, no"),
        (HEADER + GOOD + GOOD, "line 3: this target is there already"),
    ],
)
def test_a_wrong_row_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "targets.csv").write_text(text, encoding="utf-8")
    bases = {"ACC01": "referrals rolling", "ACC02": "people rolling", "ACC05": "referrals ytd", "ACC06": "people ytd"}
    with duck.session() as connection, pytest.raises(InputError, match=says) as caught:
        targets.load(connection, tmp_path, bases)
    assert "\n" not in str(caught.value)


def test_the_sites_target_replaces_the_one_that_ships(tmp_path: Path) -> None:
    (tmp_path / "targets.csv").write_text(HEADER + "ACC02,england,,2024-03-31,people rolling,60000,Board,yes,Board\n", encoding="utf-8")
    with duck.session() as connection:
        connection.execute('CREATE TABLE "ips_target as recorded" (measure VARCHAR, basis VARCHAR)')
        connection.execute("INSERT INTO \"ips_target as recorded\" VALUES ('ACC01', 'people rolling'), ('of their own', 'people rolling')")
        held = targets.load(connection, tmp_path, {"ACC01": "referrals rolling", "ACC02": "people rolling"})
        rows = connection.execute("SELECT value, source FROM target_given WHERE period_end = DATE '2024-03-31'").fetchall()
    assert rows == [(60_000, "Board")]
    assert held == {"target_people_rolling", "target_people_for_referrals"}
