"""Access, seen three ways: small tables of people and what each count makes of them, through the real SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

Rows = list[dict[str, Any]]
Tables = dict[str, Rows]


def tell(world: Any, provider: str, patient: str, month: str, **told: Any) -> None:
    """One month of one referral; what is not told is ordinary: an IPS team, one attended contact face to face on the 10th, still open.

    ``dates`` are those of the month's contacts, None for one without a date.
    """
    world.submission(provider, month)
    for team in told.get("named_teams", ()):
        world.add(provider, month, "MHS902ServiceTeamDetails", {"CareProfTeamLocalID": team, "ServTeamTypeMH": "D05"})
    referral = told.get("referral", f"R{patient}")
    person = {
        "LocalPatientID": patient,
        "NHSNumber": told.get("nhs_number"),
        "PersonBirthDate": "1994-05-05",
        "Postcode": told.get("home", "AA1 1AA"),
        "Gender": told.get("gender", "1"),
        "EthnicCategory": "A",
    }
    world.add(provider, month, "MHS001MPI", person)
    world.add(provider, month, "MHS002GP", {"LocalPatientID": patient, "GMPReg": told.get("gp", "B00001"), "EndDateGMPRegistration": None})
    request = {
        "ServiceRequestID": referral,
        "LocalPatientID": patient,
        "ReferralRequestReceivedDate": told.get("received", "2025-06-01"),
        "ServDischDate": told.get("discharged"),
        "CareProfTeamLocalID": told.get("team", "IPS"),
    }
    world.add(provider, month, "MHS101Referral", request)
    for team in told.get("other_teams", ()):
        world.add(provider, month, "MHS102OtherServiceType", {"ServiceRequestID": referral, "OtherCareProfTeamLocalID": team})
    contact_on = told.get("contact", "10")
    for number, day in enumerate(told.get("dates", [f"{month}-{contact_on}"] if contact_on else [])):
        contact = {
            "CareContactID": f"{referral}-{month}-{number}",
            "ServiceRequestID": referral,
            "CareContDate": day,
            "ConsMechanismMH": told.get("mechanism", "01"),
            "AttendStatus": told.get("attend", "5"),
            "OtherCareProfTeamLocalID": told.get("seen_by"),
        }
        world.add(provider, month, "MHS201CareContact", contact)
        for procedure in told.get("procedures", [told["procedure"]] if "procedure" in told else []):
            activity = {"CareActID": f"{contact['CareContactID']} {procedure}", "CareContactID": contact["CareContactID"], "Procedure": procedure}
            world.add(provider, month, "MHS202CareActivity", activity)


def counted(rows: Rows, quantity: str, month: str | None = None, **levels: str) -> int:
    """As the one count does it: each unit counts once at a level, with its largest amount; ``month`` is that of the period's end."""
    units: dict[str, int] = {}
    for row in rows:
        if (
            row[quantity] is not None
            and all(row[name] == level for name, level in levels.items())
            and str(row["period_end"])[:7] == (month or "2026-08")
        ):
            units[row["unit"]] = max(units.get(row["unit"], 0), row[quantity])
    return sum(units.values())


#: provider -> (patient, month, what is told); then the counts expected of the provider.
STORIES: list[tuple[str, list[tuple[str, str, dict[str, Any]]], dict[str, int]]] = [
    (
        "P01 two referrals of one person are two referrals and one person",
        [("A", "2026-05", {"referral": "R1", "nhs_number": "9990000018"}), ("A", "2026-06", {"referral": "R2", "nhs_number": "9990000018"})],
        {
            "n_referrals_accessed": 2,
            "n_people_accessed": 1,
            "n_referrals_accessed_in_year": 2,
            "n_people_accessed_in_year": 1,
            "n_dashboard_rows_in_year": 2,
        },
    ),
    (
        "P02 seen in March only: in the twelve months, not in the financial year",
        [("A", "2026-03", {})],
        {"n_referrals_accessed": 1, "n_people_accessed": 1},
    ),
    (
        "P03 two teams: one referral, which the dashboard adds up twice",
        [("A", "2026-04", {"other_teams": ["CMHT"]})],
        {
            "n_referrals_accessed": 1,
            "n_people_accessed": 1,
            "n_referrals_accessed_in_year": 1,
            "n_people_accessed_in_year": 1,
            "n_dashboard_rows_in_year": 2,
        },
    ),
    (
        "P04 received on the first day that counts",
        [("A", "2026-03", {"received": "2016-01-01"})],
        {"n_referrals_accessed": 1, "n_people_accessed": 1, "n_referrals_first_in_window": 1},
    ),
    (
        "P05 found by procedure alone",
        [("A", "2026-03", {"team": "CMHT", "procedure": "772822000"})],
        {"n_referrals_accessed": 1, "n_people_accessed": 1, "n_referrals_first_in_window": 1},
    ),
]


@pytest.fixture(scope="module")
def told(access_evidence: Callable[..., Tables], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """All stories in one world, each at a provider of its own."""
    world = new_world()
    for name, months, _ in STORIES:
        for patient, month, story in months:
            tell(world, name[:3], patient, month, **story)
    # A referral's chat at an online service, and people whom two providers saw.
    tell(world, "DFC", "A", "2026-06", mechanism="13")
    for number, (first, discharged, second) in enumerate(PAIRS):
        tell(world, "T01", f"T{number}", first, nhs_number=f"999100000{number}", discharged=discharged)
        tell(world, "T02", f"T{number}", second, nhs_number=f"999100000{number}")
    tell(world, "T02", "T0", "2026-03", nhs_number="9991000000", referral="again")
    for month, discharged in (("2025-12", "2025-12-20"), ("2026-02", None)):
        tell(world, "T03", "T9", month, nhs_number="9991000009", referral=f"R{month}", discharged=discharged)
    for name, (months, _) in MOVEMENT.items():
        for month in months:
            tell(world, "M01", name, month)
    for name, (contacts, _, _) in FIRST.items():
        for (month, dates), practice in zip(contacts.items(), ("B00001", "C00001"), strict=True):
            tell(world, "M02", name, month, dates=dates, gp=practice)
    for name, (days, _) in RECORDS.items():
        for month in ("2025-08", "2026-08"):
            for number, day in enumerate(days):
                tell(
                    world,
                    "M03",
                    f"{name}{number}",
                    month,
                    nhs_number=NUMBERS[name, month],
                    referral=f"{name}{month}{number}",
                    contact=day,
                    gender=str(number + 1),
                )
    # One person's two records, and beside the first of them somebody of another practice.
    tell(world, "D01", "Z", "2026-05", gp="C00001")
    tell(world, "D01", "A", "2026-05", nhs_number="9992000001", referral="R1", gender="1")
    tell(world, "D01", "A", "2026-07", nhs_number="9992000001", referral="R2", gender="2")
    return access_evidence(world, tmp_path_factory.mktemp("access"), "access", "access_reconciliation", "mhs116")


#: First seen at T01, discharged there, first seen at T02, always on the 10th; it is a transfer where the discharge is not after the first contact
#: at T02, and that is after the one at T01.
PAIRS = [
    ("2025-12", "2025-12-20", "2026-02"),
    ("2025-12", None, "2026-02"),
    ("2025-12", "2026-03-01", "2026-02"),
    ("2025-12", "2026-02-10", "2026-02"),
    ("2026-02", "2026-02-10", "2026-02"),
    ("2026-03", "2026-02-01", "2026-02"),
]
TRANSFERRED = {"person 9991000000", "person 9991000003"}

#: Two months and the dates of the contacts in each -> the first contact, and the month whose record describes the referral: that of the first
#: contact, and one without a date comes before all others. The practice of the first month is one of BBB, that of the second of CCC.
DATED_ON_THE_DASHBOARD = "no date beside a date"  # it takes the first date of a month that has one
FIRST: dict[str, tuple[dict[str, list[str | None]], str, str]] = {
    "dates": ({"2026-04": ["2026-04-20", "2026-04-10"], "2026-06": ["2026-06-10"]}, "2026-04-10", "2026-04"),
    "the earlier date is sent later": ({"2026-06": ["2026-06-10"], "2026-07": ["2026-05-01", "2026-07-20"]}, "2026-05-01", "2026-07"),
    "one date sent twice": ({"2026-04": ["2026-04-10"], "2026-05": ["2026-04-10"]}, "2026-04-10", "2026-04"),
    "no date later": ({"2026-05": ["2026-05-10"], "2026-06": [None]}, "None", "2026-06"),
    DATED_ON_THE_DASHBOARD: ({"2026-05": ["2026-05-10"], "2026-06": [None, "2026-06-10"]}, "None", "2026-06"),
    "no date twice": ({"2026-05": [None], "2026-06": [None]}, "None", "2026-05"),
}

#: Months with a contact -> the movements of the referral: the kind, the month it is in, and the reason.
MOVEMENT: dict[str, tuple[list[str], set[tuple[str, str, str]]]] = {
    "gone": (["2025-08"], {("left", "2026-08", "not seen in the twelve months since")}),
    "new": (
        ["2026-08"],
        {
            ("first seen", "2026-08", "first contact in all months held"),
            ("entered", "2026-08", "first contact in all months held"),
            ("will leave", "2027-08", "last seen twelve months before"),
        },
    ),
    "back": (
        ["2025-07", "2026-08"],
        {
            ("first seen", "2026-08", "seen before the twelve months"),
            ("entered", "2026-08", "seen again after leaving"),
            ("will leave", "2027-08", "last seen twelve months before"),
        },
    ),
    "kept": (
        ["2025-08", "2026-08"],
        {("first seen", "2026-08", "seen before the twelve months"), ("will leave", "2027-08", "last seen twelve months before")},
    ),
    "edge": (
        ["2025-09"],
        {("first seen", "2025-09", "first contact in all months held"), ("will leave", "2026-09", "last seen twelve months before")},
    ),
    "july": (
        ["2026-07"],
        {("first seen", "2026-07", "first contact in all months held"), ("will leave", "2027-07", "last seen twelve months before")},
    ),
    "january": (
        ["2026-01"],
        {("first seen", "2026-01", "first contact in all months held"), ("will leave", "2027-01", "last seen twelve months before")},
    ),
    "often": (
        ["2025-10", "2026-01", "2026-05"],
        {("first seen", "2025-10", "first contact in all months held"), ("will leave", "2027-05", "last seen twelve months before")},
    ),
}


#: Days of the contacts of a person's two records in one month, the first of a man, the second of a woman -> which record describes the person
#: as first seen, entered or left, and which as one who will leave.
RECORDS = {"far": (("20", "05"), ("Female", "Male")), "same": (("10", "10"), ("Male", "Female"))}
NUMBERS = {("far", "2025-08"): "9993000001", ("far", "2026-08"): "9993000002", ("same", "2025-08"): "9993000003", ("same", "2026-08"): "9993000004"}
#: Movement -> what it adds to the counts, without the first ever, which the reason decides.
MOVES = {"first seen": "first_in_window", "entered": "entered", "left": "left", "will leave": "leaving"}


@pytest.mark.parametrize(
    ("name", "expected"), [(name, expected) for name, _, expected in STORIES], ids=lambda value: value if isinstance(value, str) else ""
)
def test_counts_of_a_provider(told: Tables, name: str, expected: Mapping[str, int]) -> None:
    quantities = (
        "n_referrals_accessed",
        "n_people_accessed",
        "n_referrals_accessed_in_year",
        "n_people_accessed_in_year",
        "n_dashboard_rows_in_year",
    )
    found = {quantity: counted(told["access"], quantity, by_provider=name[:3]) for quantity in quantities}
    assert found == {quantity: expected.get(quantity, 0) for quantity in quantities}
    if "n_referrals_first_in_window" in expected:
        assert counted(told["access"], "n_referrals_first_in_window", "2026-03", by_provider=name[:3]) == 1


def test_no_row_is_there_twice_and_dashboard_rows_are_those_of_providers(told: Tables) -> None:
    rows = [tuple(sorted((column, str(value)) for column, value in row.items())) for row in told["access"]]
    assert len(rows) == len(set(rows))
    near_misses = {f"referral {row['UniqServReqID']}" for row in told["mhs116"] if not row["counted"]}
    assert {row["unit"] for row in told["access"] if row["n_referrals_accessed"] == 0} == near_misses
    # Those of P02, P04 and P05 were seen before 1 April.
    assert {row["by_provider"] for row in told["access"] if row["n_dashboard_rows_in_year"] is not None} == {
        "P01",
        "P03",
        "DFC",
        "M01",
        "M02",
        "M03",
        "D01",
    }


def test_people_of_two_providers_count_once_in_all_and_once_at_each(told: Tables) -> None:
    assert counted(told["access"], "n_people_accessed", by_provider="T01") == len(PAIRS)
    assert counted(told["access"], "n_people_accessed", by_provider="T02") == len(PAIRS)
    people = {row["unit"]: row for row in told["access"] if row["n_people_accessed"]}
    pairs = {f"person 999100000{number}" for number in range(len(PAIRS))}
    assert {unit for unit, row in people.items() if row["n_people_at_several_providers"]} == pairs
    assert {unit for unit, row in people.items() if row["n_people_transferred"]} == TRANSFERRED
    assert {unit for unit, row in people.items() if row["reason"] == "transferred between providers"} == TRANSFERRED
    assert {unit for unit, row in people.items() if row["reason"] == "seen by several providers"} == pairs - TRANSFERRED
    assert {str(row["first_contact"]) for row in told["access"] if row["unit"] == "person 9991000000" and row["n_people_accessed"]} == {"2025-12-10"}


def test_a_person_is_described_by_the_latest_record_and_a_referral_by_its_own(told: Tables) -> None:
    for quantity in ("n_people_accessed", "n_people_accessed_in_year"):
        assert [counted(told["access"], quantity, by_provider="D01", by_gender=gender) for gender in ("Male", "Female")] == [1, 1]
        rows = [row for row in told["access"] if row["unit"] == "person 9992000001" and row[quantity]]
        assert {row["by_gender"] for row in rows} == {"Female"}
    for quantity in ("n_referrals_accessed", "n_referrals_accessed_in_year"):
        found = {(row["unit"], row["by_sub_icb"], row["by_gender"]) for row in told["access"] if row["by_provider"] == "D01" and row[quantity]}
        assert found == {("referral D01RZ", "CCC", "Male"), ("referral D01R1", "BBB", "Male"), ("referral D01R2", "BBB", "Female")}
    moved = {(row["unit"], row["by_sub_icb"]) for row in told["access"] if row["by_provider"] == "D01" and row["movement"] == "first seen"}
    assert moved == {("referral D01RZ", "CCC"), ("referral D01R1", "BBB"), ("referral D01R2", "BBB")}
    person = {(row["movement"], str(row["period_end"])[:7], row["by_gender"]) for row in told["access"] if row["unit"] == "person 9992000001"}
    assert {item for item in person if item[0]} == {("first seen", "2026-05", "Male"), ("will leave", "2027-07", "Female")}


@pytest.mark.parametrize("name", FIRST)
def test_the_first_contact_says_which_record_describes_a_referral(told: Tables, name: str) -> None:
    contacts, first, month = FIRST[name]
    place = "BBB" if list(contacts).index(month) == 0 else "CCC"
    for quantity in ("n_referrals_accessed", "n_referrals_accessed_in_year"):
        rows = [row for row in told["access"] if row["unit"] == f"referral M02R{name}" and row[quantity]]
        if name == DATED_ON_THE_DASHBOARD and quantity.endswith("year"):
            assert [(str(row["first_contact"]), row["by_sub_icb"]) for row in rows] == [("2026-05-10", "BBB")]
            continue
        assert [(str(row["first_contact"]), row["by_sub_icb"]) for row in rows] == [(first, place)]
    (compared,) = [row for row in told["access_reconciliation"] if row["unit"] == f"referral M02R{name}"]
    assert str(compared["mhs116_first_contact"]) == first
    # The reconciliation shows the first date of the dashboard that is known.
    assert str(compared["dashboard_first_contact"]) == min((day for days in contacts.values() for day in days if day), default="None")
    for unit, where in ((f"referral M02R{name}", place), (f"person M02{name}", None)):
        rows = [row for row in told["access"] if row["unit"] == unit and row["movement"] == "first seen"]
        assert [(str(row["period_start"])[:7], row["by_sub_icb"]) for row in rows] == [(month, where)]


@pytest.mark.parametrize("name", MOVEMENT)
def test_movement(told: Tables, name: str) -> None:
    for unit in (f"referral M01R{name}", f"person M01{name}"):
        found = {(row["movement"], str(row["period_end"])[:7], row["reason"]) for row in told["access"] if row["unit"] == unit and row["movement"]}
        assert found == MOVEMENT[name][1]


def test_a_movement_counts_in_its_month_once_as_what_it_is(told: Tables) -> None:
    rows = [row for row in told["access"] if row["movement"]]
    counts = {name for row in rows for name, value in row.items() if name.startswith("n_") and value is not None}
    assert counts == {f"n_{kind}_{what}" for kind in ("referrals", "people") for what in (*MOVES.values(), "first_ever")}
    for row in rows:
        kind = "people" if row["unit"].startswith("person") else "referrals"
        expected = {f"n_{kind}_{MOVES[row['movement']]}": 1}
        if row["movement"] == "first seen":
            expected[f"n_{kind}_first_ever"] = int(row["reason"] == "first contact in all months held")
        assert {name: row[name] for name in counts if row[name] is not None} == expected
        assert (row["period_start"].day, str(row["period_start"])[:7]) == (1, str(row["period_end"])[:7])


@pytest.mark.parametrize(("name", "month"), NUMBERS)
def test_of_two_records_of_a_month_one_describes_the_person(told: Tables, name: str, month: str) -> None:
    first, last = RECORDS[name][1]
    accessed = [row for row in told["access"] if row["unit"] == f"person {NUMBERS[name, month]}" and row["n_people_accessed_in_year"]]
    assert {row["by_gender"] for row in accessed} == ({"Female"} if month == "2026-08" else set())
    rows = [row for row in told["access"] if row["unit"] == f"person {NUMBERS[name, month]}" and row["movement"]]
    found = sorted((row["movement"], row["by_gender"], row["by_provider"]) for row in rows)
    if month == "2025-08":
        assert found == [("left", first, None)]
    else:
        assert found == [("entered", first, None), ("first seen", first, None), ("will leave", last, None)]


def test_the_first_months_and_the_months_ahead_add_up_to_the_count(told: Tables) -> None:
    months = [f"{2025 + (8 + n) // 12}-{(8 + n) % 12 + 1:02d}" for n in range(24)]
    for kind in ("referrals", "people"):
        total = counted(told["access"], f"n_{kind}_accessed")
        assert sum(counted(told["access"], f"n_{kind}_first_in_window", month) for month in months[:12]) == total
        assert sum(counted(told["access"], f"n_{kind}_leaving", month) for month in months[12:]) == total


@pytest.mark.parametrize(("month", "movements"), [("2025-09", {"first seen", "will leave"}), ("2025-08", {"first seen", "will leave", "entered"})])
def test_without_an_earlier_month_nobody_enters_or_leaves(
    access_evidence: Callable[..., Tables], world: Any, tmp_path: Path, month: str, movements: set[str]
) -> None:
    tell(world, "P01", "A", "2026-08")
    world.submission("P01", month)
    rows = access_evidence(world, tmp_path, "access")["access"]
    assert {row["movement"] for row in rows if row["movement"]} == movements


#: What is told of a referral -> why MHS116 leaves it out, and what makes it look like IPS.
REASONS: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("old", {"received": "2015-12-31"}, "received before the measure begins, or without a date", None),
    ("abroad", {"home": "CF1 1AA"}, "resident outside England", None),
    ("none", {"contact": None}, "no contact recorded", None),
    ("closed", {"contact": None, "discharged": "2026-06-20"}, "discharged without a contact", None),
    ("missed", {"attend": "3"}, "not attended", None),
    ("missed and discharged", {"attend": "3", "discharged": "2026-06-20"}, "not attended", None),
    ("blank", {"mechanism": None}, "consultation mechanism blank", None),
    ("letter", {"mechanism": "98"}, "consultation mechanism not direct", None),
    ("refused", {"team": "CMHT", "procedure": "772822000:408730004=443390004"}, "IPS procedure refused", "IPS procedure refused"),
    ("term", {"team": "CMHT", "procedure": "772822000 |IPS|"}, "IPS code not read", "IPS code not read"),
    ("context", {"team": "CMHT", "procedure": "129125009:363589002=772822000"}, "IPS code not read", "IPS code not read"),
    ("long", {"team": "CMHT", "procedure": "772822000:408730004=1082621000000104"}, "IPS code not read", "IPS code not read"),
    ("signpost", {"team": "CMHT", "procedure": "1082611000000105"}, "referred to an IPS service", "referred to an IPS service"),
    (
        "other",
        {"team": "CMHT", "seen_by": "IPS"},
        "contact by an IPS team on a referral it does not hold",
        "contact by an IPS team on a referral it does not hold",
    ),
]


@pytest.fixture(scope="module")
def near(access_evidence: Callable[..., Tables], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Tables:
    world = new_world()
    for name, story, _, _ in REASONS:
        tell(world, "P01", name, "2026-06", **story)
    # The IPS team's row is missing in the month of the contact; and an earlier contact, before the twelve months.
    tell(world, "P01", "gap", "2026-05", contact=None)
    tell(world, "P01", "gap", "2026-06", team="CMHT")
    tell(world, "P01", "before", "2025-05")
    tell(world, "P01", "before", "2026-05", contact=None)
    tell(world, "P01", "mixed", "2026-05", team="CMHT", mechanism=None)
    tell(world, "P01", "mixed", "2026-06", team="CMHT", procedure=SIGNPOST)
    # Seen before the twelve months, held in one of them and seen in another.
    tell(world, "P01", "again", "2025-05")
    tell(world, "P01", "again", "2026-05", contact=None)
    tell(world, "P01", "again", "2026-06", team="CMHT")
    # A refusal that was not direct, and a direct contact whose code no count reads.
    tell(world, "P01", "refused by email", "2026-05", team="CMHT", mechanism="05", procedure=REFUSED)
    tell(world, "P01", "refused by email", "2026-06", team="CMHT", procedure=LONG)
    tell(world, "P01", "plain", "2026-06", team="CMHT")
    return access_evidence(world, tmp_path_factory.mktemp("near"), "access", "access_reconciliation", "mhs116")


REFUSED, UNREAD, SIGNPOST = "772822000:408730004=443390004", "772822000 |IPS|", "1082611000000105"
LONG = "772822000:408730004=1082621000000104"
#: provider -> what is told of a referral month by month, and what of it looks like IPS; None where nothing does. A team of IPS in a month without a
#: contact makes a referral one to look at, and is a sign of its own.
HELD = ("2026-05", {"contact": None})
SIGNS: list[tuple[str, str, list[tuple[str, dict[str, Any]]], set[str] | None]] = [
    ("P01", "two codes at one contact", [("2026-06", {"procedures": [UNREAD, SIGNPOST]})], {"unread", "signposted"}),
    (
        "P01",
        "a sign a month",
        [
            ("2026-03", {"procedure": REFUSED}),
            ("2026-04", {"procedure": UNREAD}),
            ("2026-05", {"procedure": SIGNPOST}),
            ("2026-06", {"seen_by": "IPS"}),
        ],
        {"refused", "unread", "signposted", "other_holder"},
    ),
    ("P01", "held in another month", [HELD, ("2026-06", {})], {"other_month"}),
    ("P01", "held long ago", [("2025-05", {"contact": None}), ("2026-06", {})], None),
    ("P01", "long ago", [("2025-05", {"procedure": REFUSED}), ("2026-06", {"contact": None})], None),
    ("P01", "counted, but abroad", [("2026-06", {"procedure": "772822000", "home": "CF1 1AA"})], None),
    ("P01", "not attended", [("2026-06", {"procedure": REFUSED, "attend": "3"})], None),
    ("P01", "a status that is a code of another list", [("2026-06", {"procedure": REFUSED, "attend": "01"})], None),
    ("P01", "by email", [("2026-06", {"procedure": REFUSED, "mechanism": "05"})], None),
    ("P01", "by a mechanism that ended", [("2026-06", {"procedure": REFUSED, "mechanism": "03"})], None),
    ("P01", "by chat, for an online service alone", [("2026-06", {"procedure": REFUSED, "mechanism": "13"})], None),
    ("DFC", "by chat, for an online service alone", [("2026-06", {"procedure": REFUSED, "mechanism": "13"})], {"refused"}),
    ("P01", "counted in this month", [("2026-06", {"team": "IPS", "procedure": REFUSED})], None),
    ("P01", "counted in another month", [("2026-05", {"team": "IPS"}), ("2026-06", {"procedure": REFUSED})], None),
    ("P01", "counted until July", [("2025-08", {"team": "IPS"}), ("2026-06", {"procedure": REFUSED})], {"refused"}),
    ("P01", "refused", [("2026-06", {"procedure": REFUSED})], {"refused"}),
    ("P01", "unread", [("2026-06", {"procedure": UNREAD})], {"unread"}),
    # Another provider's referrals and contacts of the same numbers, and its teams of the same names in another month.
    ("P02", "held in another month", [("2026-06", {})], None),
    ("P02", "refused", [HELD, ("2026-06", {"seen_by": "CMHT"})], {"other_month"}),
    ("P02", "unread", [HELD, ("2026-06", {})], {"other_month"}),
    ("P02", "a team that was", [("2026-05", {"contact": None, "named_teams": ["WAS"]}), ("2026-06", {"seen_by": "WAS"})], {"other_month"}),
    ("P02", "a team that is new", [("2026-06", {"named_teams": ["NEW"], "seen_by": "NEW"})], {"other_holder"}),
    # Providers with one submission.
    ("P03", "its one team", [("2026-06", {"seen_by": "IPS"})], {"other_holder"}),
    ("P04", "its one code", [("2026-06", {"procedure": UNREAD})], {"unread"}),
]


@pytest.fixture(scope="module")
def signs(access_evidence: Callable[..., Tables], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Rows:
    world = new_world()
    for provider, name, months, _ in SIGNS:
        for month, story in months:
            tell(world, provider, name, month, **{"team": "CMHT" if story.get("contact", "10") else "IPS", **story})
    teams = world.rows["P03", "2026-06"]["MHS902ServiceTeamDetails"]
    teams[:] = [team for team in teams if team["CareProfTeamLocalID"] == "IPS"]
    return access_evidence(world, tmp_path_factory.mktemp("signs"), "access_sign")["access_sign"]


@pytest.mark.parametrize(("provider", "name", "expected"), [(provider, name, expected) for provider, name, _, expected in SIGNS])
def test_signs_of_ips(signs: Rows, provider: str, name: str, expected: set[str] | None) -> None:
    found = [row for row in signs if row["UniqServReqID"] == f"{provider}R{name}"]
    assert [{sign for sign, seen in row.items() if seen is True} for row in found] == ([] if expected is None else [expected])
    assert all(row["OrgIDProv"] == provider for row in found)


def test_no_other_referral_has_a_sign(signs: Rows) -> None:
    assert len(signs) == sum(expected is not None for _, _, _, expected in SIGNS)


@pytest.mark.parametrize(
    ("name", "reason", "sign"),
    [
        *((name, reason, sign) for name, _, reason, sign in REASONS),
        ("gap", "IPS team row missing in the month of contact", "IPS team row missing in the month of contact"),
        ("before", "last seen before the twelve months", None),
        ("mixed", "referred to an IPS service", "referred to an IPS service"),
        ("again", "IPS team row missing in the month of contact", "IPS team row missing in the month of contact"),
        ("refused by email", "IPS procedure refused", "IPS procedure refused"),
    ],
)
def test_why_a_referral_is_not_counted(near: Tables, name: str, reason: str, sign: str | None) -> None:
    (row,) = [row for row in near["access_reconciliation"] if row["UniqServReqID"] == f"P01R{name}"]
    assert (row["in_mhs116"], row["reason_mhs116"], row["sign"]) == (False, reason, sign)


def test_a_near_miss_counts_nowhere_and_moves_nothing(near: Tables) -> None:
    found = {(row["unit"], row["reason"], row["by_provider"], row["n_referrals_accessed"]) for row in near["access"] if row["family"] is not None}
    found = {item for item in found if item[3] is not None}
    assert found == {("referral " + row["UniqServReqID"], row["reason"], "P01", 0) for row in near["mhs116"]}
    assert not [row for row in near["access"] if row["movement"]]


def test_an_ordinary_referral_is_no_near_miss(near: Tables) -> None:
    assert not [row for row in near["access_reconciliation"] if row["UniqServReqID"] == "P01Rplain"]


def test_what_the_dashboard_reads_otherwise(near: Tables, told: Tables) -> None:
    classes = {
        row["UniqServReqID"]: (row["agreement"], row["reason_dashboard"]) for row in (*near["access_reconciliation"], *told["access_reconciliation"])
    }
    assert classes["P01Rrefused"] == ("Dashboard only", None)
    assert classes["P02RA"] == ("MHS116 only", "seen, but not yet in this financial year")
    assert classes["DFCRA"] == ("MHS116 only", "contact or code that only MHS116 reads")
    assert classes["P03RA"] == ("MHS116 and dashboard", None)
    assert classes["P01Rmissed"] == ("None, but near", "not attended")


#: A local episode -> the counts its referral is in, why MHS116 and why the local records leave it out, and how it was matched.
EPISODES: dict[str, tuple[dict[str, str | None], tuple[str, str | None, str | None, str | None]]] = {
    "all": (
        {"ServiceRequestID": "Rseen", "agreed_date": "2026-06-01", "first_contact_date": "2026-06-10"},
        ("MHS116, dashboard and local", None, None, "referral id"),
    ),
    "profile": (
        {"ServiceRequestID": "Rprofile", "vocational_profile_date": "2025-10-10"},
        ("MHS116, dashboard and local", None, None, "referral id"),
    ),
    "shy": (
        {"ServiceRequestID": "Rshy", "first_contact_date": "2026-06-10"},
        ("MHS116 and dashboard", None, "no agreement and no vocational profile in local records", "referral id"),
    ),
    "willing": (
        {"ServiceRequestID": "Rwilling", "agreed_date": "2026-06-10"},
        ("MHS116 and dashboard", None, "agreed, but no contact or vocational profile in local records", "referral id"),
    ),
    "early": (
        {"ServiceRequestID": "Rearly", "vocational_profile_date": "2025-08-31"},
        ("MHS116 and dashboard", None, "accessed before the twelve months in local records", "referral id"),
    ),
    "lost": (
        {"ServiceRequestID": "Rlost", "agreed_date": "2026-06-01", "first_contact_date": "2026-06-02"},
        ("Local only", "referral not found in MHSDS", None, None),
    ),
    "late": (
        {"ServiceRequestID": "Rlate", "agreed_date": "2026-08-01", "first_contact_date": "2026-08-02"},
        ("Local only", "month of access not submitted", None, "referral id"),
    ),
    "person": (
        {"ServiceRequestID": None, "NHSNumber": "9990000026", "agreed_date": "2026-06-01", "first_contact_date": "2026-06-02"},
        ("MHS116, dashboard and local", None, None, "person"),
    ),
    "ordinary": (
        {"ServiceRequestID": "Rordinary", "agreed_date": "2026-06-01", "first_contact_date": "2026-06-02"},
        ("Local only", "no IPS team and no IPS procedure", None, "referral id"),
    ),
    "march": (
        {"ServiceRequestID": "Rmarch", "agreed_date": "2026-03-01", "first_contact_date": "2026-03-10"},
        ("MHS116 and local", None, None, "referral id"),
    ),
    "refused": (
        {"ServiceRequestID": "Rrefused", "agreed_date": "2026-06-01", "first_contact_date": "2026-06-10"},
        ("Dashboard and local", "IPS procedure refused", None, "referral id"),
    ),
    "early and unseen": (
        {"ServiceRequestID": "Runseen", "vocational_profile_date": "2025-08-31"},
        ("None, but near", "no contact recorded", "accessed before the twelve months in local records", "referral id"),
    ),
    "ended before": (
        {"ServiceRequestID": "Rbefore", "vocational_profile_date": "2025-08-31"},
        ("None, but near", "discharged without a contact", "accessed before the twelve months in local records", "referral id"),
    ),
    "ended that day": (
        {"ServiceRequestID": "Rthat day", "agreed_date": "2026-06-01", "first_contact_date": "2026-06-20"},
        ("Local only", "discharged without a contact", None, "referral id"),
    ),
    "ended": (
        {"ServiceRequestID": "Rended", "agreed_date": "2026-06-01", "first_contact_date": "2026-06-25"},
        ("Local only", "discharged before the access in local records", None, "referral id"),
    ),
}


@pytest.fixture(scope="module")
def local(access_evidence: Callable[..., Tables], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Tables:
    world = new_world()
    for name in ("seen", "profile", "shy", "willing", "early", "unrecorded"):
        tell(world, "P01", name, "2026-06")
    tell(world, "P01", "person", "2026-06", nhs_number="9990000026")
    tell(world, "P01", "late", "2026-06", contact=None)
    tell(world, "P01", "ordinary", "2026-06", team="CMHT")
    tell(world, "P01", "ended", "2026-06", contact=None, discharged="2026-06-20")
    tell(world, "P01", "that day", "2026-06", contact=None, discharged="2026-06-20")
    tell(world, "P01", "before", "2026-06", contact=None, discharged="2025-08-20")
    tell(world, "P01", "unseen", "2026-06", contact=None)
    tell(world, "P01", "march", "2026-03")
    tell(world, "P01", "refused", "2026-06", team="CMHT", procedure=REFUSED)
    tell(world, "P02", "elsewhere", "2026-06")
    # Another provider submits the month that this one lacks, and a second folder one of its own.
    world.submission("P02", "2026-08")
    world.submission("P01 again", "2026-06")
    world.rows["P01 again", "2026-06"]["MHS000Header"] = world.rows["P01", "2026-06"]["MHS000Header"]
    episodes = [
        {"OrgIDProvider": "P01", "episode_id": name, "LocalPatientID": None, "NHSNumber": None, "referral_date": "2025-07-01", **told}
        for name, (told, _) in EPISODES.items()
    ]
    return access_evidence(
        world, tmp_path_factory.mktemp("local"), "access", "access_reconciliation", "access_local", local={"ips_episode": episodes}
    )


@pytest.mark.parametrize("name", EPISODES)
def test_reconciliation_with_local_records(local: Tables, name: str) -> None:
    (row,) = [row for row in local["access_reconciliation"] if row["local_episode"] == f"P01 {name}"]
    assert (row["agreement"], row["reason_mhs116"], row["reason_local"], row["matched_by"]) == EPISODES[name][1]


def test_no_local_record_and_no_local_records_are_two_things(local: Tables) -> None:
    rows = {row["UniqServReqID"]: row for row in local["access_reconciliation"]}
    assert (rows["P01Runrecorded"]["in_local"], rows["P01Runrecorded"]["reason_local"]) == (False, "no local record")
    assert (rows["P02Relsewhere"]["in_local"], rows["P02Relsewhere"]["reason_local"]) == (None, None)


def test_counts_of_the_reconciliation(local: Tables) -> None:
    rows = local["access"]
    assert counted(rows, "n_referrals_compared", by_provider="P01", by_agreement="MHS116, dashboard and local") == 3
    assert counted(rows, "n_referrals_compared", by_provider_agreement="P01|Local only") == 5
    assert counted(rows, "n_not_in_mhs116", by_provider="P01") == 6
    assert counted(rows, "n_not_in_local", by_provider_reason="P01|no local record") == 1
    assert counted(rows, "n_episodes_accessed", by_provider="P01") == 10
    assert counted(rows, "n_clients_accessed", by_provider="P01") == 10


#: What an episode of P01 names -> the referrals of that person, month by month, and the one that it belongs to.
MATCHES: dict[str, tuple[dict[str, str], list[tuple[str, str, str, dict[str, Any]]], str | None]] = {
    "its referral, sent twice": ({"ServiceRequestID": "R1"}, [("P01", "L1", month, {"referral": "R1"}) for month in ("2026-05", "2026-06")], "P01R1"),
    "its local number": ({"LocalPatientID": "L2"}, [("P01", "L2", "2026-06", {"referral": "R2", "nhs_number": "9994000002"})], "P01R2"),
    "a person of another provider": ({"NHSNumber": "9994000003"}, [("P02", "L3", "2026-06", {"nhs_number": "9994000003"})], None),
    "one whose local number is the same": ({"NHSNumber": "9994000004"}, [("P02", "L2", "2026-06", {"nhs_number": "9994000004"})], None),
    "the one seen first": (
        {"NHSNumber": "9994000005"},
        [("P01", "L5", "2026-06", {"referral": "R5a"}), ("P01", "L5", "2026-03", {"referral": "R5b"})],
        "P01R5b",
    ),
    "the one seen": (
        {"NHSNumber": "9994000006"},
        [("P01", "L6", "2026-06", {"referral": "R6a", "contact": None}), ("P01", "L6", "2026-06", {"referral": "R6b", "received": "2026-01-05"})],
        "P01R6b",
    ),
    "the one received first": (
        {"NHSNumber": "9994000007"},
        [
            ("P01", "L7", "2026-06", {"referral": "R7a", "contact": None, "received": "2026-02-02"}),
            ("P01", "L7", "2026-05", {"referral": "R7b", "contact": None, "received": "2025-07-01"}),
            ("P01", "L7", "2026-06", {"referral": "R7b", "contact": None, "received": "2026-03-02"}),
        ],
        "P01R7b",
    ),
    "the first by its id": (
        {"NHSNumber": "9994000008"},
        [("P01", "L8", "2026-06", {"referral": f"R8{letter}", "contact": None}) for letter in "ba"],
        "P01R8a",
    ),
    "one of long ago": ({"NHSNumber": "9994000009"}, [("P01", "L9", "2025-05", {"referral": "R9", "contact": None})], "P01R9"),
}


#: Episodes of one referral by their ids, with the first contact once agreed -> the one that speaks for the referral.
SPEAKERS: dict[str, tuple[dict[str, str | None], str]] = {
    "R of one accessed": ({"a": None, "b": "2026-02-10"}, "b"),
    "R of two the later": ({"a": "2026-02-10", "b": "2026-03-10"}, "b"),
    "R of two alike": ({"a": "2026-02-10", "b": "2026-02-10"}, "a"),
}


def test_one_month_of_one_provider_is_enough(access_evidence: Callable[..., Tables], world: Any, tmp_path: Path) -> None:
    """Contacts are looked at where a referral of the same provider is near IPS, in that month or in any other."""
    tell(world, "P01", "alone", "2026-08")
    assert [row["UniqServReqID"] for row in access_evidence(world, tmp_path, "access_window")["access_window"]] == ["P01Ralone"]


def test_of_several_episodes_of_a_referral_one_speaks_for_it(access_evidence: Callable[..., Tables], world: Any, tmp_path: Path) -> None:
    episodes = []
    for name, (contacts, _) in SPEAKERS.items():
        tell(world, "P01", name, "2026-06", referral=name)
        base = {"OrgIDProvider": "P01", "ServiceRequestID": name, "agreed_date": "2026-01-05", "referral_date": "2026-01-05"}
        episodes += [{**base, "episode_id": f"{name} {letter}", "first_contact_date": contact} for letter, contact in contacts.items()]
    rows = access_evidence(world, tmp_path, "access_reconciliation", local={"ips_episode": episodes})["access_reconciliation"]
    assert sorted((row["UniqServReqID"], row["local_episode"]) for row in rows) == sorted(
        (f"P01{name}", f"P01 {name} {speaker}") for name, (_, speaker) in SPEAKERS.items()
    )


def test_the_referral_of_a_local_episode(access_evidence: Callable[..., Tables], world: Any, tmp_path: Path) -> None:
    for named, months, _ in MATCHES.values():
        for provider, patient, month, story in months:
            tell(world, provider, patient, month, **{"nhs_number": named.get("NHSNumber"), **story})
    names = ("ServiceRequestID", "LocalPatientID", "NHSNumber")
    base = {"OrgIDProvider": "P01", **dict.fromkeys(names), "referral_date": "2025-07-01"}
    episodes = [{**base, "episode_id": name, **named} for name, (named, _, _) in MATCHES.items()]
    rows = access_evidence(world, tmp_path, "access_local", local={"ips_episode": episodes})["access_local"]
    assert sorted((row["UniqEpisodeID"], str(row["UniqServReqID"])) for row in rows) == sorted(
        (f"P01 {name}", str(referral)) for name, (_, _, referral) in MATCHES.items()
    )


#: What MHSDS holds of a referral that an ordinary team holds, with one direct contact in the twelve months.
TRACE = {
    "in_window": True,
    "received_in_scope": True,
    "discharged": None,
    "in_england": True,
    "contacts": 1,
    "attended": 1,
    "unspecified": 0,
    "direct": 1,
    "ips_team": False,
    "seen_before": False,
}
NONE_SEEN = {"contacts": 0, "attended": 0, "direct": 0}
NO_CONTACT = {"contact": None}
#: Provider and referral -> its months, and what is held of it otherwise than that.
TRACES: dict[tuple[str, str], tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]] = {
    ("P01", "plain"): ([("2026-06", {})], {}),
    ("P01", "august"): ([("2026-08", {})], {}),
    ("P01", "near"): ([("2026-06", {"seen_by": "IPS"})], {}),
    ("P01", "no contact"): ([("2026-06", NO_CONTACT)], NONE_SEEN),
    (
        "P01",
        "four contacts",
    ): (
        [("2026-04", {"mechanism": None}), ("2026-05", {"attend": "3"}), ("2026-06", {"dates": ["2026-06-01", "2026-06-02"]})],
        {"contacts": 4, "attended": 3, "unspecified": 1, "direct": 2},
    ),
    ("P01", "attended by another list"): ([("2026-06", {"attend": "01"})], {"attended": 0, "direct": 0}),
    ("P01", "by email"): ([("2026-06", {"mechanism": "05"})], {"direct": 0}),
    ("P01", "by chat"): ([("2026-06", {"mechanism": "13"})], {"direct": 0}),
    ("DFC", "by chat"): ([("2026-06", {"mechanism": "13"})], {}),
    ("P01", "by a mechanism that ended"): ([("2026-06", {"mechanism": "03"})], {"direct": 0}),
    ("P01", "seen long ago"): ([("2025-05", {"team": "IPS"}), ("2026-06", {})], {"seen_before": True}),
    ("P01", "sent long ago"): ([("2025-05", {})], {"in_window": False, **NONE_SEEN}),
    ("P01", "in the first month"): ([("2025-09", {"team": "IPS"})], {"ips_team": True}),
    ("P01", "held twice"): ([(month, {"team": "IPS", **NO_CONTACT}) for month in ("2026-05", "2026-06")], {"ips_team": True, **NONE_SEEN}),
    ("P01", "received"): ([("2026-05", {"received": "2015-12-31", **NO_CONTACT}), ("2026-06", {"received": "2016-01-01"})], {}),
    (
        "P01",
        "discharged",
    ): ([("2026-05", {"discharged": "2026-05-20", **NO_CONTACT}), ("2026-06", {"discharged": "2026-06-20"})], {"discharged": date(2026, 6, 20)}),
    ("P01", "moved to England"): ([("2026-05", {"home": "CF1 1AA", **NO_CONTACT}), ("2026-06", {})], {}),
    ("P01", "Wales"): ([("2026-06", {"home": "CF1 1AA"})], {"in_england": False}),
    ("P01", "Scotland"): ([("2026-06", {"home": "EH1 1AA"})], {"in_england": False}),
    ("P01", "no authority"): ([("2026-06", {"home": "NO1 1LA"})], {}),
    ("P01", "nowhere"): ([("2026-06", {"home": "XX1 1XX"})], {}),
    # Another provider's referrals of the same ids, and people of the same numbers.
    ("P02", "plain"): ([("2026-06", {"team": "IPS"})], {"ips_team": True}),
    ("P02", "Wales"): ([("2026-06", {})], {}),
}


@pytest.fixture(scope="module")
def traces(access_evidence: Callable[..., Tables], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Local records name every referral but one, which is counted; one of them is of nobody."""
    world = new_world()
    for (provider, name), (months, _) in TRACES.items():
        for month, story in months:
            tell(world, provider, name, month, **{"team": "CMHT", **story})
    tell(world, "P01", "counted", "2026-06")
    nobody = {"ServiceRequestID": "Rnobody", "LocalPatientID": "nobody", "ReferralRequestReceivedDate": "2025-06-01", "CareProfTeamLocalID": "CMHT"}
    world.add("P01", "2026-06", "MHS101Referral", nobody)
    base = {"referral_date": "2025-07-01"}
    named = [*TRACES, ("P01", "nobody")]
    episodes = [{**base, "OrgIDProvider": provider, "episode_id": name, "ServiceRequestID": f"R{name}"} for provider, name in named]
    return access_evidence(world, tmp_path_factory.mktemp("traces"), "access_trace", local={"ips_episode": episodes})["access_trace"]


@pytest.mark.parametrize(("provider", "name"), TRACES)
def test_what_is_held_of_a_referral(traces: Rows, provider: str, name: str) -> None:
    (row,) = [row for row in traces if row["UniqServReqID"] == f"{provider}R{name}"]
    assert {column: row[column] for column in TRACE} == {**TRACE, **TRACES[provider, name][1]}


def test_what_is_held_is_held_of_the_referrals_that_are_asked_about(traces: Rows) -> None:
    assert sorted(row["UniqServReqID"] for row in traces) == sorted([*(f"{provider}R{name}" for provider, name in TRACES), "P01Rnobody"])
    (nobody,) = [row for row in traces if row["UniqServReqID"] == "P01Rnobody"]
    assert (nobody["in_england"], nobody["contacts"]) == (False, 0)
