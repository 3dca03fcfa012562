"""MHS116 in SQL against a plain-Python reading of the same definition, on random small worlds; and changes that must not matter."""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MONTHS = ["2025-08", "2025-09", "2026-02", "2026-07", "2026-08"]
PROVIDERS = ["RAA", "RBB", "DFC"]
PROCEDURES = [
    None,
    "228557008",
    "772822000",
    "1082621000000104",
    " 772822000 ",
    "772822000\n",
    "772822000 |IPS|",
    "772822000:408730004=443390004",
    "772822000:408730004=443390004 ",
    "772822000:408730004=385658003",
    "772822000:408730004=443390004,363589002=385658003",
    "772822000:408730004=1082621000000104",
    "772822000:408730004=",
    "772822000:408730004=-.5",
    "\x7f772822000:408730004=\x7f443390004",
    "228557008:408730004=772822000",
]
HOMES = {
    "AA1 1AA": ("1", "E06000001", "AAA"),
    "AA1 1ZZ": ("10", "E92000001", "AAA"),
    "AA9 9AA": (None, "E06000001", "AAA"),
    "NO1 1LA": ("1", None, "AAA"),
    "NO1 1IC": ("1", "E06000001", None),
    "CF1 1AA": (None, "W06000001", "7A1"),
    "XX1 1XX": (None, None, None),
}
PRACTICES = {"B00001": "BBB", "C00001": "CCC", "Z00001": "ZZZ"}
DECILES = {"1": "01 Most deprived", "10": "10 Least deprived"}
UPPER = {"A": "White or White British", "E": "Mixed", "L": "Asian or Asian British", "P": "Black or Black British", "R": "Other Ethnic Groups"}
UPPER |= {"Z": "Not Stated", "99": "Not Known"}

Described = tuple[str | None, str | None, str | None, str | None, tuple[str, ...]]


def end_of(month: str) -> date:
    year, number = int(month[:4]), int(month[5:])
    return date(year + number // 12, number % 12 + 1, 1) - timedelta(days=1)


def age_band(born: str | None, day: date) -> str | None:
    if born is None:
        return None
    birth = date.fromisoformat(born)
    age = day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
    if not 0 <= age < 125:
        return None
    if age >= 90:
        return "90 and over"
    if 16 <= age <= 19:
        return str(age)
    low, high = next(band for band in [(0, 5), (6, 10), (11, 15), *((start, start + 4) for start in range(20, 90, 5))] if age <= band[1])
    return f"{low} to {high}"


def whole_number(text: str, bits: int) -> int | None:
    stripped = text.strip("".join(map(chr, (*range(33), 127))))
    digits = stripped[1:] if stripped.startswith(("+", "-")) else stripped
    if not digits or digits.strip("0123456789.") or digits.count(".") > 1:
        return None
    number = int(stripped.partition(".")[0].lstrip("+-") or 0) * (-1 if stripped.startswith("-") else 1)
    return number if -(2 ** (bits - 1)) <= number < 2 ** (bits - 1) else None


def is_ips(procedure: str | None) -> bool:
    if procedure is None:
        return False
    code = procedure.split(":")[0].replace("\n", "").replace("\r", "")
    if whole_number(code, 64) not in (772822000, 1082621000000104):
        return False
    if "=" not in procedure:
        return True
    qualifier = whole_number(procedure.rpartition("=")[2], 32)
    return qualifier is not None and qualifier != 443390004


def counted(world: Any, period: str) -> Mapping[str, Described]:
    """The referrals of MHS116 in the twelve months to the period, with what describes them."""
    first = f"{int(period[:4]) - 1}-{int(period[5:]) + 1:02d}" if period[5:] != "12" else f"{period[:4]}-01"
    order = sorted(world.rows, key=lambda key: (key[1], world.rows[key]["MHS000Header"][0]["DateTimeDatSetCreate"], key[0]))
    records = []
    for number, (provider, month) in enumerate(order, 1):
        for row, person in enumerate(world.rows[provider, month]["MHS001MPI"], 1):
            identity = person["NHSNumber"] or provider + person["LocalPatientID"]
            records.append((number * 1_000_000 + row, provider, month, identity, person))
    practices: dict[tuple[str, str], tuple[int, list[str | None]]] = {}
    for record, provider, month, identity, person in records:
        open_now = [
            PRACTICES.get(gp["GMPReg"])
            for gp in world.rows[provider, month]["MHS002GP"]
            if gp["LocalPatientID"] == person["LocalPatientID"]
            and gp["EndDateGMPRegistration"] is None
            and gp["GMPReg"] not in (None, "V81997", "V81998", "V81999")
        ]
        if open_now and record > practices.get((identity, month), (0, []))[0]:
            practices[identity, month] = (record, open_now)
    contacts: dict[str, list[tuple[str, int, Any]]] = defaultdict(list)
    for record, provider, month, identity, person in records:
        tables = world.rows[provider, month]
        home = HOMES[person["Postcode"]]
        if not first <= month <= period or (home[1] is not None and not home[1].startswith("E")):
            continue
        direct = {"01", "02", "04", "11"} | ({"05", "09", "10", "13"} if provider in ("DFC", "S9X2N") else set())
        for referral in tables["MHS101Referral"]:
            if referral["LocalPatientID"] != person["LocalPatientID"] or (referral["ReferralRequestReceivedDate"] or "") < "2016-01-01":
                continue
            teams = {referral["CareProfTeamLocalID"]} | {
                row["OtherCareProfTeamLocalID"] for row in tables["MHS102OtherServiceType"] if row["ServiceRequestID"] == referral["ServiceRequestID"]
            }
            for contact in tables["MHS201CareContact"]:
                if contact["ServiceRequestID"] != referral["ServiceRequestID"] or contact["AttendStatus"] not in ("5", "6"):
                    continue
                procedures = [row["Procedure"] for row in tables["MHS202CareActivity"] if row["CareContactID"] == contact["CareContactID"]]
                if contact["ConsMechanismMH"] in direct and (teams & {"IPS", "IPS2"} or any(map(is_ips, procedures))):
                    described = (record, provider, month, identity, person)
                    contacts[provider + referral["ServiceRequestID"]].append((contact["CareContDate"], record, described))
    found: dict[str, Described] = {}
    for referral_id, all_contacts in contacts.items():
        _, _, (_, _, month, identity, person) = min(all_contacts, key=lambda contact: contact[:2])
        home = HOMES[person["Postcode"]]
        sub_icbs = {code or home[2] for code in practices.get((identity, month), (0, [None]))[1]}
        gender = (
            person["GenderIDCode"]
            if person["GenderIDCode"] in ("1", "2", "3", "4")
            else person["Gender"]
            if person["Gender"] in ("1", "2", "9")
            else None
        )
        found[referral_id] = (
            age_band(person["PersonBirthDate"], end_of(month)),
            gender,
            UPPER.get(person["EthnicCategory"] or ""),
            DECILES.get(home[0] or ""),
            tuple(sorted({code if code in ("AAA", "BBB", "CCC") else "UNKNOWN" for code in sub_icbs})),
        )
    return found


person_month = st.fixed_dictionaries(
    {
        "provider": st.sampled_from(PROVIDERS),
        "month": st.sampled_from(MONTHS),
        "person": st.integers(0, 4),
        "nhs_number": st.booleans(),
        "born": st.sampled_from([None, "1994-05-05", "2008-02-29", "2006-08-31", "2006-09-01", "1900-01-01", "1936-07-31"]),
        "home": st.sampled_from(sorted(HOMES)),
        "gender": st.sampled_from([None, "1", "2", "9", "X"]),
        "identity": st.sampled_from([None, "1", "3", "4", "X", "Z"]),
        "ethnicity": st.sampled_from([None, "A", "E", "L", "P", "R", "Z", "99", "V"]),
        "gp": st.lists(
            st.tuples(st.sampled_from(["B00001", "C00001", "Z00001", "V81999", "Q99999", None]), st.sampled_from([None, None, "2026-01-01"])),
            max_size=2,
        ),
        "referrals": st.lists(
            st.fixed_dictionaries(
                {
                    "number": st.integers(0, 1),
                    "received": st.sampled_from([None, "2015-12-31", "2016-01-01", "2025-07-01", "2026-07-01", "2026-08-31"]),
                    "discharged": st.sampled_from([None, None, "2026-02-15", "2026-08-31", "2026-09-01"]),
                    "team": st.sampled_from([None, "IPS", "CMHT", "GONE"]),
                    "other": st.sampled_from([None, None, "IPS2", "CMHT"]),
                    "contacts": st.lists(
                        st.fixed_dictionaries(
                            {
                                "day": st.integers(1, 28),
                                "attend": st.sampled_from(["5", "6", "3", None]),
                                "mechanism": st.sampled_from(["01", "02", "11", "03", "09", "98", None]),
                                "procedures": st.lists(st.sampled_from(PROCEDURES), max_size=2),
                            }
                        ),
                        max_size=3,
                    ),
                }
            ),
            max_size=2,
            unique_by=lambda referral: referral["number"],
        ),
    }
)


def build(world: Any, months: list[dict[str, Any]]) -> None:
    """Put each person's month into the world; the first description of a person at a provider in a month wins."""
    for item in months:
        provider, month, patient = item["provider"], item["month"], f"P{item['person']}"
        if any(row["LocalPatientID"] == patient for row in world.rows[provider, month]["MHS001MPI"]):
            continue
        world.submission(provider, month, {"RAA": "10:00:00", "RBB": "12:00:00", "DFC": "11:00:00"}[provider])
        person = {
            "LocalPatientID": patient,
            "NHSNumber": f"999000000{item['person']}" if item["nhs_number"] else None,
            "PersonBirthDate": item["born"],
            "Postcode": item["home"],
            "Gender": item["gender"],
            "GenderIDCode": item["identity"],
            "EthnicCategory": item["ethnicity"],
        }
        world.add(provider, month, "MHS001MPI", person)
        for practice, ended in item["gp"]:
            world.add(provider, month, "MHS002GP", {"LocalPatientID": patient, "GMPReg": practice, "EndDateGMPRegistration": ended})
        for referral in item["referrals"]:
            request = f"{patient}R{referral['number']}"
            row = {
                "ServiceRequestID": request,
                "LocalPatientID": patient,
                "ReferralRequestReceivedDate": referral["received"],
                "ServDischDate": referral.get("discharged"),
                "CareProfTeamLocalID": referral["team"],
            }
            world.add(provider, month, "MHS101Referral", row)
            if referral["other"]:
                world.add(provider, month, "MHS102OtherServiceType", {"ServiceRequestID": request, "OtherCareProfTeamLocalID": referral["other"]})
            for number, contact in enumerate(referral["contacts"]):
                row = {
                    "CareContactID": f"{request}C{number}",
                    "ServiceRequestID": request,
                    "CareContDate": f"{month}-{contact['day']:02d}",
                    "ConsMechanismMH": contact["mechanism"],
                    "AttendStatus": contact["attend"],
                }
                world.add(provider, month, "MHS201CareContact", row)
                for activity, procedure in enumerate(contact["procedures"]):
                    row = {"CareActID": f"{request}C{number}A{activity}", "CareContactID": f"{request}C{number}", "Procedure": procedure}
                    world.add(provider, month, "MHS202CareActivity", row)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(months=st.lists(person_month, min_size=5, max_size=30))
def test_sql_equals_the_plain_reading(months: list[dict[str, Any]], publish: Callable[..., Any], new_world: Callable[[], Any]) -> None:
    world = new_world()
    build(world, months)
    with tempfile.TemporaryDirectory() as folder:
        result = publish(world, Path(folder))
    found = {
        key: (row["age_band"], row["gender"], row["upper_ethnicity"], row["imd_decile"], tuple(row["sub_icbs"]))
        for key, row in result.evidence.items()
        if row["counted"]
    }
    assert found == counted(world, "2026-08")
    assert result.final["MHS116", "England", "England"] == str(len(found))


def crowd(seed: int) -> list[dict[str, Any]]:
    """A fixed crowd of people without ties: one NHS number each, one provider each, one contact a day."""
    chance = random.Random(seed)  # noqa: S311 - made-up people, not secrets
    return [
        {
            "provider": PROVIDERS[number % 3],
            "month": month,
            "person": number,
            "nhs_number": False,
            "born": f"{chance.randint(1940, 2012)}-06-15",
            "home": chance.choice(sorted(HOMES)),
            "gender": chance.choice([None, "1", "2", "9"]),
            "identity": chance.choice([None, "1", "3"]),
            "ethnicity": chance.choice(["A", "E", "L", "P", "R", "Z", None]),
            "gp": [(chance.choice(["B00001", "C00001", "V81999"]), None)],
            "referrals": [
                {
                    "number": 0,
                    "received": "2025-07-01",
                    "team": chance.choice(["IPS", "CMHT"]),
                    "other": None,
                    "contacts": [
                        {
                            "day": day,
                            "attend": chance.choice(["5", "3"]),
                            "mechanism": chance.choice(["01", "03"]),
                            "procedures": [chance.choice(PROCEDURES)],
                        }
                        for day in chance.sample(range(1, 29), 2)
                    ],
                }
            ],
        }
        for number in range(30)
        for month in MONTHS
    ]


@pytest.fixture(scope="module")
def usual(publish: Callable[..., Any], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    world = new_world()
    build(world, crowd(7))
    return publish(world, tmp_path_factory.mktemp("usual"))


def test_the_order_of_rows_does_not_matter(usual: Any, publish: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    build(world, crowd(7))
    chance = random.Random(1)  # noqa: S311 - an order, not a secret
    for tables in world.rows.values():
        for rows in tables.values():
            chance.shuffle(rows)
    result = publish(world, tmp_path)
    assert (result.raw, result.final, result.dashboard) == (usual.raw, usual.final, usual.dashboard)


def test_the_names_of_patients_and_records_do_not_matter(usual: Any, publish: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    build(world, crowd(7))
    local = ("LocalPatientID", "ServiceRequestID", "CareContactID", "CareActID")
    for tables in world.rows.values():
        for table, rows in tables.items():
            tables[table] = [{name: f"x-{value}" if value and name in local else value for name, value in row.items()} for row in rows]
    result = publish(world, tmp_path)
    assert (result.raw, result.final, result.dashboard) == (usual.raw, usual.final, usual.dashboard)


def test_what_is_sent_twice_counts_once(usual: Any, publish: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    """Teams, registrations, contacts and activities in every file twice: MHS116 takes no notice. Accepted files hold no such rows."""
    build(world, crowd(7))
    for tables in world.rows.values():
        for table in ("MHS201CareContact", "MHS202CareActivity", "MHS902ServiceTeamDetails", "MHS002GP"):
            tables[table] = tables[table] * 2
    result = publish(world, tmp_path)
    assert (result.raw, result.final) == (usual.raw, usual.final)


def test_the_year_does_not_matter(usual: Any, publish: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    """Everything two years later gives the same numbers two years later."""
    later = [{**item, "month": f"{int(item['month'][:4]) + 2}{item['month'][4:]}"} for item in crowd(7)]
    for item in later:
        item["born"] = f"{int(item['born'][:4]) + 2}{item['born'][4:]}"
        item["referrals"] = [{**referral, "received": "2027-07-01"} for referral in item["referrals"]]
    build(world, later)
    result = publish(world, tmp_path, period="2028-08")
    assert (result.raw, result.final) == (usual.raw, usual.final)


def test_a_second_run_gives_the_same_bytes(run: Callable[..., Any], new_world: Callable[[], Any], tmp_path: Path) -> None:
    outs = []
    for name in ("one", "two"):
        world = new_world()
        build(world, crowd(3))
        run(world, tmp_path / name)
        outs.append({path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name / "out").rglob("*") if path.is_file()})
    assert outs[0] == outs[1]
