"""Access in SQL against plain Python on random small worlds: referrals, people, entrants and leavers; and changes that must not matter."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Tables = dict[str, list[dict[str, Any]]]
#: The months that matter for windows ending in 2026-07 and 2026-08, and some between.
MONTHS = ["2025-06", "2025-07", "2025-08", "2025-09", "2026-01", "2026-04", "2026-07", "2026-08"]
PROVIDERS = ["RAA", "RBB"]

person_month = st.fixed_dictionaries(
    {
        "provider": st.sampled_from(PROVIDERS),
        "month": st.sampled_from(MONTHS),
        "person": st.integers(0, 3),
        "known": st.booleans(),
        "referral": st.integers(0, 1),
        "team": st.sampled_from(["IPS", "IPS", "CMHT"]),
        "attend": st.sampled_from(["5", "5", "3"]),
    }
)


def build(world: Any, months: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    """Put each month into the world; gives (provider, referral, person, month) of those with a counted contact.

    A person is known by NHS number at a provider, or not, as the first of the months there says.
    """
    known: dict[tuple[str, int], bool] = {}
    seen = set()
    for item in months:
        provider, month, number = item["provider"], item["month"], item["person"]
        is_known = known.setdefault((provider, number), item["known"])
        patient, nhs_number = f"P{number}", f"999000000{number}"
        referral = f"{patient}R{item['referral']}"
        world.submission(provider, month)
        if any(row["ServiceRequestID"] == referral for row in world.rows[provider, month]["MHS101Referral"]):
            continue
        person = {"LocalPatientID": patient, "NHSNumber": nhs_number if is_known else None, "PersonBirthDate": "1994-05-05", "Postcode": "AA1 1AA"}
        world.add(provider, month, "MHS001MPI", person)
        request = {
            "ServiceRequestID": referral,
            "LocalPatientID": patient,
            "ReferralRequestReceivedDate": "2025-06-01",
            "CareProfTeamLocalID": item["team"],
        }
        world.add(provider, month, "MHS101Referral", request)
        contact = {"CareContactID": f"{referral}{month}", "ServiceRequestID": referral, "CareContDate": f"{month}-10", "ConsMechanismMH": "01"}
        world.add(provider, month, "MHS201CareContact", {**contact, "AttendStatus": item["attend"]})
        if item["team"] == "IPS" and item["attend"] == "5":
            seen.add((provider, provider + referral, nhs_number if is_known else provider + patient, month))
    return seen


def window(seen: set[tuple[str, str, str, str]], last: str) -> tuple[set[str], set[str]]:
    """Referrals and people with a contact in the twelve months to ``last``."""
    first = f"{int(last[:4]) - 1}-{int(last[5:]) + 1:02d}"
    return {item[1] for item in seen if first <= item[3] <= last}, {item[2] for item in seen if first <= item[3] <= last}


def units(tables: Tables, quantity: str) -> set[str]:
    """Who is counted, without what kind of unit it is."""
    return {row["unit"].partition(" ")[2] for row in tables["access"] if row[quantity]}


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(months=st.lists(person_month, min_size=8, max_size=30))
def test_sql_equals_plain_python(months: list[dict[str, Any]], access_evidence: Callable[..., Tables], new_world: Callable[[], Any]) -> None:
    # A month before the twelve is always held, else nobody could be said to enter or leave.
    months = [{**months[0], "month": "2025-06"}, *months]
    world = new_world()
    seen = build(world, months)
    with tempfile.TemporaryDirectory() as folder:
        now, earlier = Path(folder, "now"), Path(folder, "earlier")
        now.mkdir()
        earlier.mkdir()
        tables = access_evidence(world, now, "access")
        before = access_evidence(world, earlier, "access", period="2026-07")
    referrals, people = window(seen, "2026-08")
    old_referrals, old_people = window(seen, "2026-07")
    assert (units(tables, "n_referrals_accessed"), units(tables, "n_people_accessed")) == (referrals, people)
    assert (units(before, "n_referrals_accessed"), units(before, "n_people_accessed")) == (old_referrals, old_people)
    assert (units(tables, "n_referrals_entered"), units(tables, "n_referrals_left")) == (referrals - old_referrals, old_referrals - referrals)
    assert (units(tables, "n_people_entered"), units(tables, "n_people_left")) == (people - old_people, old_people - people)
    several = {person for person in people if len({item[0] for item in seen if item[2] == person and item[3] >= "2025-09"}) > 1}
    assert units(tables, "n_people_at_several_providers") == several
    assert units(tables, "n_referrals_first_ever") == {
        referral for referral in referrals if min(item[3] for item in seen if item[1] == referral) >= "2025-09"
    }
    assert units(tables, "n_people_first_ever") == {person for person in people if min(item[3] for item in seen if item[2] == person) >= "2025-09"}
    assert units(tables, "n_people_accessed_in_year") == {item[2] for item in seen if item[3] >= "2026-04"}
    leaving = Counter(str(row["period_end"])[:7] for row in tables["access"] if row["n_people_leaving"])
    last = Counter(max(item[3] for item in seen if item[2] == person) for person in people)
    assert leaving == {f"{int(month[:4]) + 1}{month[4:]}": count for month, count in last.items()}


def crowd() -> list[dict[str, Any]]:
    chance = random.Random(5)  # noqa: S311 - made-up people, not secrets
    return [
        {
            "provider": provider,
            "month": month,
            "person": person,
            "known": person % 2 == 0,
            "referral": 0,
            "team": chance.choice(["IPS", "CMHT"]),
            "attend": chance.choice(["5", "3"]),
        }
        for provider in PROVIDERS
        for person in range(12)
        for month in MONTHS
    ]


def shape(tables: Tables, *, years: int = 0) -> Counter[tuple[Any, ...]]:
    """The evidence without names: how many rows of each table have which period, levels, reason and quantities."""

    def plain(name: str, value: Any) -> Any:
        return (
            f"{int(str(value)[:4]) - years}{str(value)[4:]}"
            if name in ("period_start", "period_end", "first_contact") and value is not None
            else value
        )

    kept = ("period_start", "period_end", "reason", "agreement", "sign", "first_contact")
    return Counter(
        (table, *((name, plain(name, value)) for name, value in row.items() if name in kept or name.startswith(("by_", "n_"))))
        for table, rows in tables.items()
        for row in rows
    )


@pytest.fixture(scope="module")
def usual(access_evidence: Callable[..., Tables], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Tables:
    world = new_world()
    build(world, crowd())
    return access_evidence(world, tmp_path_factory.mktemp("usual"), "access", "access_reconciliation", "dashboard_corrected")


def shuffled(world: Any) -> None:
    chance = random.Random(1)  # noqa: S311 - an order, not a secret
    for tables in world.rows.values():
        for rows in tables.values():
            chance.shuffle(rows)


def renamed(world: Any) -> None:
    for tables in world.rows.values():
        for table, rows in tables.items():
            local = ("LocalPatientID", "ServiceRequestID", "CareContactID")
            tables[table] = [{name: f"x-{value}" if value and name in local else value for name, value in row.items()} for row in rows]


def repeated(world: Any) -> None:
    """An extract that gives contacts, registrations and teams twice; the portal lets none of the other tables through twice."""
    for tables in world.rows.values():
        for table in ("MHS201CareContact", "MHS902ServiceTeamDetails", "MHS102OtherServiceType"):
            if table in tables:
                tables[table] = [*tables[table], *tables[table]]


@pytest.mark.parametrize("change", [shuffled, renamed, repeated], ids=lambda change: change.__name__)
def test_what_must_not_matter(
    usual: Tables, change: Callable[[Any], None], access_evidence: Callable[..., Tables], world: Any, tmp_path: Path
) -> None:
    build(world, crowd())
    change(world)
    assert shape(access_evidence(world, tmp_path, "access", "access_reconciliation", "dashboard_corrected")) == shape(usual)


def test_the_year_does_not_matter(usual: Tables, access_evidence: Callable[..., Tables], world: Any, tmp_path: Path) -> None:
    build(world, crowd())
    later = {(provider, f"{int(month[:4]) + 1}{month[4:]}"): tables for (provider, month), tables in world.rows.items()}
    for (_, month), tables in later.items():
        for rows in tables.values():
            rows[:] = [{name: f"{month}{value[7:]}" if value and name in DATES else value for name, value in row.items()} for row in rows]
        for row in tables["MHS101Referral"]:
            row["ReferralRequestReceivedDate"] = "2026-06-01"
        for row in tables["MHS001MPI"]:
            row["PersonBirthDate"] = "1995-05-05"
    world.rows = later
    found = access_evidence(world, tmp_path, "access", "access_reconciliation", "dashboard_corrected", period="2027-08")
    assert shape(found, years=1) == shape(usual)


DATES = ("CareContDate", "ReportingPeriodStartDate", "DateTimeDatSetCreate")
