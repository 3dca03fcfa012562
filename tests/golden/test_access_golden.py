"""Access, seen three ways: small tables of people and what each count makes of them, through the real SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Rows = list[dict[str, Any]]
Tables = dict[str, Rows]


def tell(world: Any, provider: str, patient: str, month: str, **told: Any) -> None:
    """One month of one referral; what is not told is ordinary: an IPS team, one attended contact face to face on the 10th, still open."""
    world.submission(provider, month)
    for team in told.get("named_teams", ()):
        world.add(provider, month, "MHS902ServiceTeamDetails", {"CareProfTeamLocalID": team, "ServTeamTypeMH": "D05"})
    referral = told.get("referral", f"R{patient}")
    person = {
        "LocalPatientID": patient,
        "NHSNumber": told.get("nhs_number"),
        "PersonBirthDate": "1994-05-05",
        "Postcode": told.get("home", "AA1 1AA"),
        "Gender": "1",
        "EthnicCategory": "A",
    }
    world.add(provider, month, "MHS001MPI", person)
    world.add(provider, month, "MHS002GP", {"LocalPatientID": patient, "GMPReg": "B00001", "EndDateGMPRegistration": None})
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
    if told.get("contact", "10"):
        contact = {
            "CareContactID": f"{referral}-{month}",
            "ServiceRequestID": referral,
            "CareContDate": f"{month}-{told.get('contact', '10')}",
            "ConsMechanismMH": told.get("mechanism", "01"),
            "AttendStatus": told.get("attend", "5"),
            "OtherCareProfTeamLocalID": told.get("seen_by"),
        }
        world.add(provider, month, "MHS201CareContact", contact)
        if "procedure" in told:
            activity = {"CareActID": f"{referral}-{month}", "CareContactID": f"{referral}-{month}", "Procedure": told["procedure"]}
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
        {"n_referrals_accessed": 2, "n_people_accessed": 1, "n_referrals_accessed_in_year": 2, "n_people_accessed_in_year": 1},
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
        "P04 an online service's chat counts for MHS116 only",
        [],
        {},
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
    for name, (months, _) in MOVEMENT.items():
        for month in months:
            tell(world, "M01", name, month)
    return access_evidence(world, tmp_path_factory.mktemp("access"), "access", "access_reconciliation", "mhs116")


#: First seen at T01, discharged there, first seen at T02; the first pair is a transfer, the second is not, for both still see the person.
PAIRS = [("2025-12", "2025-12-20", "2026-02"), ("2025-12", None, "2026-02"), ("2025-12", "2026-03-01", "2026-02")]

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
    "often": (
        ["2025-10", "2026-01", "2026-05"],
        {("first seen", "2025-10", "first contact in all months held"), ("will leave", "2027-05", "last seen twelve months before")},
    ),
}


@pytest.mark.parametrize(
    ("name", "expected"), [(name, expected) for name, _, expected in STORIES], ids=lambda value: value if isinstance(value, str) else ""
)
def test_counts_of_a_provider(told: Tables, name: str, expected: Mapping[str, int]) -> None:
    quantities = ("n_referrals_accessed", "n_people_accessed", "n_referrals_accessed_in_year", "n_people_accessed_in_year")
    found = {quantity: counted(told["access"], quantity, by_provider=name[:3]) for quantity in quantities}
    assert found == {quantity: expected.get(quantity, 0) for quantity in quantities}
    if "n_dashboard_rows_in_year" in expected:
        assert counted(told["access"], "n_dashboard_rows_in_year", by_provider=name[:3]) == expected["n_dashboard_rows_in_year"]


def test_people_of_two_providers_count_once_in_all_and_once_at_each(told: Tables) -> None:
    assert counted(told["access"], "n_people_accessed", by_provider="T01") == 3
    assert counted(told["access"], "n_people_accessed", by_provider="T02") == 3
    people = {row["unit"] for row in told["access"] if row["n_people_at_several_providers"]}
    assert people == {"person 9991000000", "person 9991000001", "person 9991000002"}
    assert {row["unit"] for row in told["access"] if row["n_people_transferred"]} == {"person 9991000000"}
    assert {str(row["first_contact"]) for row in told["access"] if row["unit"] == "person 9991000000" and row["n_people_accessed"]} == {"2025-12-10"}


@pytest.mark.parametrize("name", MOVEMENT)
def test_movement(told: Tables, name: str) -> None:
    for unit in (f"referral M01R{name}", f"person M01{name}"):
        found = {(row["movement"], str(row["period_end"])[:7], row["reason"]) for row in told["access"] if row["unit"] == unit and row["movement"]}
        assert found == MOVEMENT[name][1]


def test_the_first_months_and_the_months_ahead_add_up_to_the_count(told: Tables) -> None:
    months = [f"{2025 + (8 + n) // 12}-{(8 + n) % 12 + 1:02d}" for n in range(24)]
    for kind in ("referrals", "people"):
        total = counted(told["access"], f"n_{kind}_accessed")
        assert sum(counted(told["access"], f"n_{kind}_first_in_window", month) for month in months[:12]) == total
        assert sum(counted(told["access"], f"n_{kind}_leaving", month) for month in months[12:]) == total


def test_without_an_earlier_month_nobody_enters_or_leaves(access_evidence: Callable[..., Tables], world: Any, tmp_path: Path) -> None:
    tell(world, "P01", "A", "2026-08")
    rows = access_evidence(world, tmp_path, "access")["access"]
    assert {row["movement"] for row in rows} == {None, "first seen", "will leave"}


#: What is told of a referral -> why MHS116 leaves it out, and what makes it look like IPS.
REASONS: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("old", {"received": "2015-12-31"}, "received before the measure begins, or without a date", None),
    ("abroad", {"home": "CF1 1AA"}, "resident outside England", None),
    ("none", {"contact": None}, "no contact recorded", None),
    ("closed", {"contact": None, "discharged": "2026-06-20"}, "discharged without a contact", None),
    ("missed", {"attend": "3"}, "not attended", None),
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
    tell(world, "P01", "plain", "2026-06", team="CMHT")
    return access_evidence(world, tmp_path_factory.mktemp("near"), "access", "access_reconciliation", "mhs116")


@pytest.mark.parametrize(
    ("name", "reason", "sign"),
    [
        *((name, reason, sign) for name, _, reason, sign in REASONS),
        ("gap", "IPS team row missing in the month of contact", "IPS team row missing in the month of contact"),
        ("before", "last seen before the twelve months", None),
    ],
)
def test_why_a_referral_is_not_counted(near: Tables, name: str, reason: str, sign: str | None) -> None:
    (row,) = [row for row in near["access_reconciliation"] if row["UniqServReqID"] == f"P01R{name}"]
    assert (row["in_mhs116"], row["reason_mhs116"], row["sign"]) == (False, reason, sign)


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
    tell(world, "P02", "elsewhere", "2026-06")
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
    assert counted(rows, "n_referrals_compared", by_provider_agreement="P01|Local only") == 4
    assert counted(rows, "n_not_in_mhs116", by_provider="P01") == 4
    assert counted(rows, "n_not_in_local", by_provider_reason="P01|no local record") == 1
    assert counted(rows, "n_episodes_accessed", by_provider="P01") == 7
    assert counted(rows, "n_clients_accessed", by_provider="P01") == 7
