"""Targets: what is counted against the target that is next, the straight line to it, and what is needed each month; and wrong rows of the file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline.errors import InputError
from ips_pipeline.measures import targets
from ips_pipeline.store import duck

HEADER = ",".join(targets.COLUMNS) + "\n"
#: Months of the last contact of the nine referrals of RAA; the twelve months end in 2026-08, without the last. The three of SAME are of one person,
#: and one of them is with a practice elsewhere.
LAST_SEEN = ["2025-09", "2025-10", "2025-12", "2026-01", "2026-04", "2026-06", "2026-08", "2026-08", "2025-08"]
SAME, ELSEWHERE = (1, 5, 7), 6


def row(text: str) -> str:
    """measure org_type org_code period_end basis value, separated by blanks; ``-`` stands for an empty code."""
    measure, kind, code, end, unit, over, value = text.split()
    return f"{measure},{kind},{'' if code == '-' else code},{end},{unit} {over},{value},plan,no,\n"


#: A target among others -> counted, target, line, leaving by then, needed each month; None where no target is in force.
CASES: dict[str, tuple[list[str], tuple[int | None, ...] | None]] = {
    # Of 8, the two last seen by October 2025 leave by October 2026: 6 stay, 14 are lacking in 2 months.
    "next one": (["ACC01 provider RAA 2026-10-31 referrals rolling 20"], (8, 20, None, 2, 7)),
    # From 4 in February to 16 in February 2027: half of the way in August.
    "line": (["ACC01 provider RAA 2026-02-28 referrals rolling 4", "ACC01 provider RAA 2027-02-28 referrals rolling 16"], (8, 16, 10, 4, 2)),
    "line of people": (["ACC02 provider RAA 2026-02-28 people rolling 4", "ACC02 provider RAA 2027-02-28 people rolling 16"], (6, 16, 10, 3, 3)),
    "due now": (["ACC01 provider RAA 2026-08-31 referrals rolling 10"], (8, 10, 10, 0, None)),
    "due now and later": (
        ["ACC01 provider RAA 2026-08-31 referrals rolling 10", "ACC01 provider RAA 2026-12-31 referrals rolling 20"],
        (8, 10, 10, 0, None),
    ),
    "past": (["ACC01 provider RAA 2026-03-31 referrals rolling 10"], (8, 10, None, 0, None)),
    "just past": (
        ["ACC01 provider RAA 2026-06-30 referrals rolling 4", "ACC01 provider RAA 2026-07-31 referrals rolling 10"],
        (8, 10, None, 0, None),
    ),
    # More than a year away, everybody will have left: 145 in the last twelve months are 13 a month.
    "far": (["ACC01 provider RAA 2028-03-31 referrals rolling 145"], (8, 145, None, 8, 13)),
    "reached": (["ACC01 provider RAA 2026-09-30 referrals rolling 5"], (8, 5, None, 1, 0)),
    "people": (["ACC02 provider RAA 2026-10-31 people rolling 20"], (6, 20, None, 1, 8)),
    # Four referrals since 1 April; 5 of 12 months gone by, 7 left.
    "in the year": (["ACC05 provider RAA 2027-03-31 referrals ytd 26"], (4, 26, 11, 0, 4)),
    "due now in the year": (["ACC05 provider RAA 2026-08-31 referrals ytd 10"], (4, 10, 10, 0, None)),
    "of the months before, and of another year": (
        ["ACC05 provider RAA 2026-07-31 referrals ytd 10", "ACC05 provider RAA 2027-04-30 referrals ytd 24"],
        None,
    ),
    "in the year of what is counted over twelve months": (["ACC01 provider RAA 2027-03-31 referrals ytd 24"], None),
    # The two of August are one person.
    "people in the year": (["ACC06 provider RAA 2027-03-31 people ytd 24"], (3, 24, 10, 0, 3)),
    "of the ICB": (["ACC01 icb Q1 2026-10-31 referrals rolling 20"], (7, 20, None, 2, 8)),
    "of the sub-ICB": (["ACC01 sub_icb AAA 2026-10-31 referrals rolling 20"], (7, 20, None, 2, 8)),
    "of the region": (["ACC01 region Y1 2026-10-31 referrals rolling 20"], (8, 20, None, 2, 7)),
    "of everything": (["ACC01 site - 2026-10-31 referrals rolling 20"], (8, 20, None, 2, 7)),
    "nothing sent": (
        ["ACC01 provider RNO 2026-02-28 referrals rolling 4", "ACC01 provider RNO 2027-02-28 referrals rolling 16"],
        UNSENT := (None, 16, 10, None, None),
    ),
    "nothing sent of people": (["ACC02 provider RNO 2026-02-28 people rolling 4", "ACC02 provider RNO 2027-02-28 people rolling 16"], UNSENT),
    "nothing sent in the year": (["ACC05 provider RNO 2027-03-31 referrals ytd 24"], UNSENT_IN_YEAR := (None, 24, 10, None, None)),
    "nothing sent of people in the year": (["ACC06 provider RNO 2027-03-31 people ytd 24"], UNSENT_IN_YEAR),
    "nobody there": (["ACC01 icb Q3 2026-10-31 referrals rolling 20"], (0, 20, None, 0, 10)),
    "an ICB of the code of a provider": (["ACC01 icb RAA 2026-10-31 referrals rolling 20"], (0, 20, None, 0, 10)),
    # A target of one thing against the count of another.
    "unlike": (["ACC01 provider RAA 2026-02-28 people rolling 4", "ACC01 provider RAA 2027-02-28 people rolling 16"], (8, 16, 10, 4, 2)),
    "unlike, of referrals": (
        ["ACC02 provider RAA 2026-02-28 referrals rolling 4", "ACC02 provider RAA 2027-02-28 referrals rolling 16"],
        (6, 16, 10, 3, 3),
    ),
    "unlike in the year": (["ACC05 provider RAA 2027-03-31 people ytd 24"], (4, 24, 10, 0, 3)),
    "unlike in the year, of referrals": (["ACC06 provider RAA 2027-03-31 referrals ytd 24"], (3, 24, 10, 0, 3)),
    "unlike, and nothing sent": (["ACC05 provider RNO 2027-03-31 people ytd 24"], UNSENT_IN_YEAR),
    "unlike, of referrals, and nothing sent": (["ACC06 provider RNO 2027-03-31 referrals ytd 24"], UNSENT_IN_YEAR),
}
#: What each measure counts.
COUNTS = {"ACC01": "referrals rolling", "ACC02": "people rolling", "ACC05": "referrals ytd", "ACC06": "people ytd"}


def quantities(row: Any) -> dict[str, int]:
    """What a target adds to the counts of the release."""
    return {name: value for name, value in row.items() if name.startswith("n_") and value is not None}


def tell(world: Any, provider: str = "RAA", home: str = "AA1 1AA", nhs_number: str = "9990000018") -> None:
    for number, month in enumerate(LAST_SEEN):
        person = {"LocalPatientID": f"P{number}", "NHSNumber": nhs_number if number in SAME else None, "PersonBirthDate": "1994-05-05"}
        world.add(provider, month, "MHS001MPI", {**person, "Postcode": home})
        if number == ELSEWHERE:
            world.add(provider, month, "MHS002GP", {"LocalPatientID": f"P{number}", "GMPReg": "C00001", "EndDateGMPRegistration": None})
        request = {
            "ServiceRequestID": f"R{number}",
            "LocalPatientID": f"P{number}",
            "ReferralRequestReceivedDate": "2025-06-01",
            "CareProfTeamLocalID": "IPS",
        }
        world.add(provider, month, "MHS101Referral", request)
        contact = {"CareContactID": f"C{number}", "ServiceRequestID": f"R{number}", "CareContDate": f"{month}-10"}
        world.add(provider, month, "MHS201CareContact", {**contact, "ConsMechanismMH": "01", "AttendStatus": "5"})


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
            text = HEADER + "".join(row(line).replace(",plan,", f',"{case}",') for case in together for line in waiting[case])
            rows = access_evidence(world, tmp_path_factory.mktemp("targets"), "targets", extra={"targets.csv": text})["targets"]
            held.update({case: [found for found in rows if found["source"] == case] for case in together})
        return held[name]

    return evidence


@pytest.mark.parametrize("name", CASES)
def test_target(evidence: Callable[[str], Any], name: str) -> None:
    """One row for the measure and organisation, and what it adds to the counts: those of its own basis, or those of a target of something else."""
    told, expected = CASES[name]
    if expected is None:
        assert evidence(name) == []
        return
    (found,) = evidence(name)
    assert tuple(found[column] for column in ("counted", "target", "trajectory", "leaving", "needed_each_month")) == expected
    measure, kind, code, _, unit, over, _ = told[-1].split()
    assert {column: found[column] for column in found if column.startswith("by_") and found[column]} == {
        "by_whole" if kind == "site" else f"by_{kind}": "All submissions" if kind == "site" else code
    }
    counted, target, line, _, needed = expected
    added = {
        f"n_count_{unit}_{over}": counted,
        f"n_target_{unit}_{over}": target,
        f"n_trajectory_{unit}_{over}": line,
        f"n_needed_{unit}_{over}": needed,
    }
    reason = None
    if COUNTS[measure] != f"{unit} {over}":
        other = COUNTS[measure].split()[0]
        reason = f"the target is of {unit}, the count of {other}"
        added = {f"n_count_{other}_for_{unit}": counted, f"n_target_{unit}_for_{other}": target}
    if counted is None:
        reason, added = "the provider has sent nothing", {}
    assert found["reason"] == reason
    assert quantities(found) == {quantity: value for quantity, value in added.items() if value is not None}


def test_the_row_says_where_its_line_begins_and_what_is_lacking(evidence: Callable[[str], Any]) -> None:
    (line,), (first,) = evidence("line"), evidence("next one")
    assert (line["previous_period_end"], line["previous_value"], line["gap"]) == (date(2026, 2, 28), 4, -8)
    assert (first["previous_period_end"], first["previous_value"], first["gap"]) == (None, None, -12)
    assert {str(found["period_start"]) for name in ("line", "in the year") for found in evidence(name)} == {"2025-09-01", "2026-04-01"}


def test_the_national_path_counts_only_where_every_region_is_seen(access_evidence: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    """Neither people of no region nor a provider with the code of one make a region seen."""
    tell(world)
    tell(world, "Y2", "NO1 1IC", nhs_number="9990000026")
    regions = "SubICB,SubICBName,SubICB_ONS,ICB,ICBName,Region,RegionName\n"
    one = regions + "AAA,A,E1,Q1,ICB,Y1,ONE\n"
    two = one + "BBB,B,E2,Q2,ICB,Y2,TWO\n"
    given = HEADER + row("ACC02 provider RAA 2027-03-31 people rolling 20")
    made = {}
    for name, places in {"seen": one, "not seen": two, "none known": regions}.items():
        (tmp_path / name).mkdir()
        found = access_evidence(world, tmp_path / name, "targets", extra={"geography.csv": places, "targets.csv": given})["targets"]
        made[name], _ = sorted(found, key=lambda target: target["by_whole"] is None)
        assert [target["reason"] for target in found if target["by_provider"]] == [None]
    seen = made.pop("seen")
    assert (seen["by_whole"], seen["counted"], seen["target"], seen["trajectory"], seen["verified"]) == ("England", 12, 63_500, 61_847, False)
    assert seen["reason"] is None
    assert quantities(seen)["n_target_people_rolling"] == 63_500
    for unseen in made.values():
        assert (unseen["counted"], unseen["reason"], quantities(unseen)) == (None, "the submissions do not cover every region", {})


#: Targets among the local records, beside one in the file -> which of them are in force.
LOCAL: dict[str, tuple[str, bool]] = {
    "the same": ("ACC01 provider RAA 2026-10-31 referrals rolling 99", False),
    "of another measure": ("ACC02 provider RAA 2026-10-31 referrals rolling 1", True),
    "of another kind of organisation": ("ACC01 icb RAA 2026-10-31 referrals rolling 20", True),
    "of another organisation": ("ACC01 provider RBB 2026-10-31 referrals rolling 20", True),
    "of another day": ("ACC01 provider RAA 2026-09-30 referrals rolling 30", True),
    "of another basis": ("ACC01 provider RAA 2026-10-31 people rolling 20", True),
    "of nothing": ("ACC01 provider RCC 2026-10-31 referrals rolling 0", False),
    "of no day": ("ACC01 provider RDD 2026-02-30 referrals rolling 20", False),
    "of a measure of their own": ("OWN01 provider RAA 2026-10-31 referrals rolling 20", False),
}


def test_targets_among_the_local_records(access_evidence: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    """A target of the file is in force where the records have the same one; of two days the next one is."""
    tell(world)
    names = ("measure", "org_type", "org_code", "period_end", "unit", "over", "value")
    local = [{**dict(zip(names, told.split(), strict=True)), "source": name} for name, (told, _) in LOCAL.items()]
    rows = [{**{key: row[key] for key in row if key not in ("unit", "over")}, "basis": f"{row['unit']} {row['over']}"} for row in local]
    given = HEADER + row("ACC01 provider RAA 2026-10-31 referrals rolling 20")
    found = access_evidence(world, tmp_path, "targets", local={"ips_target": rows}, extra={"targets.csv": given})["targets"]
    assert {target["source"] for target in found if not target["by_whole"]} == {name for name, (_, in_force) in LOCAL.items() if in_force}
    (nearer,) = [target for target in found if target["source"] == "of another day"]
    assert (nearer["target"], nearer["counted"], nearer["verified"]) == (30, 8, False)


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
