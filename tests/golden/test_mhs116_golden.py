"""The edge cases of MHS116, one readable line each in sql/measures/mhs116_cases.yaml, through the real SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ips_pipeline.errors import InputError
from ips_pipeline.measures import compute
from ips_pipeline.store import folders, steps

CASES: list[dict[str, Any]] = yaml.load((steps.root() / "measures" / "mhs116_cases.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506 - every value stays text
NOTHING = ("null", "")
COUNTED = {
    "age_band": "30 to 34",
    "gender": "1",
    "upper_ethnicity": "White or White British",
    "imd_decile": "01 Most deprived",
    "sub_icbs": ["BBB"],
    "route": "team",
    "contacts": "1",
    "months": "1",
    "AccessDate": "2026-08-10",
}


def add_row(world: Any, case: str, row: dict[str, Any]) -> None:
    """Add one person's month to the world, as described at the head of mhs116_cases.yaml."""

    def value(name: str, otherwise: str) -> str | None:
        given = row.get(name, otherwise)
        return None if given in NOTHING else given

    month, provider = row.get("month", "2026-08"), row.get("provider", "RAA")
    patient, referral = row.get("patient", f"P{case}"), row.get("referral", f"R{case}")
    # Files of RBB are made later than those of the others, so its records have the higher numbers.
    world.submission(provider, month, "12:00:00" if provider == "RBB" else "10:00:00")
    if "header" in row:
        header = world.rows[provider, month]["MHS000Header"]
        header[0] = {**header[0], "OrgIDProvider": row["header"]}
    if "headerless" in row:
        world.headerless.add((provider, month))
    if "second_header" in row:
        header = {"OrgIDProvider": row["second_header"], "ReportingPeriodStartDate": f"{month}-01", "DateTimeDatSetCreate": f"{month}-28T10:00:00"}
        world.add(provider, month, "MHS000Header", header)
    if "describes" in row:
        world.add(provider, month, "MHS902ServiceTeamDetails", {"CareProfTeamLocalID": row["describes"], "ServTeamTypeMH": row.get("kind", "D05")})
    person = {
        "LocalPatientID": patient,
        "NHSNumber": value("nhs_number", ""),
        "PersonBirthDate": value("born", "1994-05-05"),
        "Postcode": value("home", "AA1 1AA"),
        "Gender": value("gender", "1"),
        "GenderIDCode": value("identity", "1" if "gender" not in row else ""),
        "EthnicCategory": value("ethnicity", "A"),
    }
    world.add(provider, month, "MHS001MPI", person)
    for practice in row.get("gp", ["B00001"]):
        registration = {
            "LocalPatientID": patient,
            "GMPReg": None if practice in NOTHING else practice,
            "EndDateGMPRegistration": value("gp_ended", ""),
        }
        world.add(provider, month, "MHS002GP", registration)
    request = {
        "ServiceRequestID": referral,
        "LocalPatientID": patient,
        "ReferralRequestReceivedDate": value("received", "2026-01-10"),
        "ReferRejectionDate": value("rejected", ""),
        "CareProfTeamLocalID": value("team", "IPS"),
    }
    world.add(provider, month, "MHS101Referral", request)
    if "other_team" in row:
        world.add(provider, month, "MHS102OtherServiceType", {"ServiceRequestID": referral, "OtherCareProfTeamLocalID": row["other_team"]})
    if (day := value("contact", "10")) is not None:
        named = row.get("contact_id", f"C{referral}")
        contact = {
            "CareContactID": named,
            "ServiceRequestID": referral,
            "CareContDate": value("contact_date", f"{month}-{day}"),
            "ConsMechanismMH": value("mechanism", "01"),
            "AttendStatus": value("attend", "5"),
        }
        world.add(provider, month, "MHS201CareContact", contact)
        if "procedure" in row:
            world.add(provider, month, "MHS202CareActivity", {"CareActID": f"A{named}", "CareContactID": named, "Procedure": row["procedure"]})
    if "indirect" in row:
        activity = {"ServiceRequestID": referral, "IndirectActDate": f"{month}-10", "IndActProcedure": row["indirect"]}
        world.add(provider, month, "MHS204IndirectActivity", activity)


@pytest.fixture(scope="module")
def result(publish: Callable[..., Any], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    world = new_world()
    for case in CASES:
        for row in case.get("rows", [{}]):
            add_row(world, case["case"], row)
    return publish(world, tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['case']} {case['says']}")
def test_case(case: dict[str, Any], result: Any) -> None:
    assert differences(case, result.evidence) == {}


def differences(case: dict[str, Any], evidence: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the evidence says otherwise than the case expects, each with what it says."""
    provider = case.get("rows", [{}])[0].get("provider", "RAA")
    row = evidence.get(f"{provider}R{case['case']}")
    if case["expect"] == "no":
        found = {"reason": row["reason"], "counted": row["counted"], "contacts": row["contacts"]} if row else {}
        wanted: dict[str, Any] = {"reason": case["reason"], "counted": False, "contacts": 0} if "reason" in case else {}
        if not wanted and row:
            return dict(row)
    else:
        wanted = {**COUNTED, **{name: None if value in NOTHING else value for name, value in case["expect"].items()}, "counted": "True"}
        found = {name: _told(row[name]) for name in wanted} if row else {}
    return {name: found.get(name) for name in wanted if found.get(name) != wanted[name]}


def _told(value: Any) -> Any:
    return value if value is None or isinstance(value, list) else str(value)


def test_breakdowns_add_up(result: Any) -> None:
    """Every breakdown adds up to England, except the sub-ICBs, which may exceed it by the referrals in two of them."""
    england = int(result.final["MHS116", "England", "England"])
    assert england == result.returned["mhs116"] == sum(case["expect"] != "no" for case in CASES)
    for breakdown in ("England; Age Band", "England; Gender", "England; Upper Ethnicity", "England; IMD Decile"):
        assert sum(int(value) for (measure, name, _), value in result.final.items() if (measure, name) == ("MHS116", breakdown)) == england
    assert sum(float(value) for (measure, name, _), value in result.raw.items() if (measure, name) == ("MHS116", "Provider")) == england
    assert sum(float(value) for (measure, name, _), value in result.raw.items() if measure == "MHS116" and name.startswith("Sub ICB")) == england + 1


def test_a_provider_the_register_does_not_know_is_in_the_raw_file_only(result: Any) -> None:
    assert result.raw["MHS116", "Provider", "RZZ"] == "1.0"
    assert ("MHS116", "Provider", "RZZ") not in result.final


@pytest.mark.parametrize(("referrals", "shown"), [(3, "*"), (4, "*"), (7, "5"), (8, "10"), (12, "10"), (13, "15")])
def test_rounding_below_england(referrals: int, shown: str, publish: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    for number in range(referrals):
        add_row(world, str(number), {"provider": f"RT{referrals}"})
    result = publish(world, tmp_path)
    assert result.final["MHS116", "Provider", f"RT{referrals}"] == shown
    assert result.final["MHS116", "England", "England"] == str(referrals)
    sub_icb = "Sub ICB of GP Practice or Residence"
    assert result.final["MHS116", sub_icb, "BBB"] == shown
    assert result.final["MHS116", sub_icb, "CCC"] == "*"
    # 100 people of each age from 0 to 90 and gender live in the sub-ICB.
    assert result.final["MHS116a", sub_icb, "BBB"] == ("*" if shown == "*" else f"{round(referrals / 18_200 * 100_000)}.0")


def test_the_team_on_the_referral_counts_from_version_6_on(publish: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    """A further team counts in every month. The dashboard looks at both in every month."""
    add_row(world, "1", {"month": "2024-03"})
    add_row(world, "2", {"month": "2024-04"})
    add_row(world, "3", {"month": "2024-03", "team": "CMHT", "other_team": "IPS"})
    add_row(world, "4", {"month": "2024-03", "other_team": "IPS"})
    result = publish(world, tmp_path, period="2024-08")
    assert {key: row["counted"] for key, row in result.evidence.items()} == {"RAAR1": False, "RAAR2": True, "RAAR3": True, "RAAR4": True}
    # Each of the two with a further team is two rows there.
    assert result.measure("TotalContacts", "2024-03") == ("5", "")
    assert result.measure("TotalContacts", "2024-04") == ("1", "")


@pytest.mark.parametrize(("people", "shown"), [(80_000, "8.0"), (80_001, "7.0"), (0, "0.0")])
def test_a_rate_is_rounded_as_the_published_table_holds_it(people: int, shown: str, publish: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    """Six of 80,000 are 7.5 in 100,000, which division in double precision just misses; the published table has 32 bits. Of nobody it is nothing."""
    for number in range(6):
        add_row(world, str(number), {})
    result = publish(world, tmp_path, population=[("E38000002", "M", "32", str(people)), ("E38000009", "M", "32", "5")])
    assert result.final["MHS116a", "Sub ICB of GP Practice or Residence", "BBB"] == shown
    if not people:
        assert result.raw["MHS116a", "Sub ICB of GP Practice or Residence", "BBB"] == "0.0"


def test_people_of_an_area_without_a_sub_icb_are_those_of_no_sub_icb(publish: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    for number in range(5):
        add_row(world, str(number), {"gp": ["null"], "home": "NO1 1IC"})
    result = publish(world, tmp_path, population=[("E38000002", "M", "32", "100"), ("E38000009", "M", "32", "5000")])
    assert result.final["MHS116a", "Sub ICB of GP Practice or Residence", "UNKNOWN"] == "100.0"
    assert result.final["MHS116a", "England", "England"] == str(5 / 5_100 * 100_000)


@pytest.mark.parametrize("name", ["gp_practices", "postcodes", "geography", "commissioner_code_changes", "lsoa_imd2019", "providers"])
def test_a_line_of_reference_data_that_is_there_twice_says_nothing_new(
    name: str, publish: Callable[..., Any], new_world: Callable[[], Any], tmp_path: Path
) -> None:
    """By every practice and home, one of them of a sub-ICB that has changed its code."""
    found = []
    for twice in (False, True):
        world = new_world()
        for number, practice in enumerate(("B00001", "Z00001", "null")):
            add_row(world, str(number), {"gp": [practice]})
        result = publish(world, tmp_path / str(twice), repeated=[name] if twice else [])
        found.append((result.raw, result.final, result.dashboard, result.evidence))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("providers", "RAA,ANOTHER NAME", "providers.csv has RAA more than once, and not the same of it"),
        ("geography", "BBB,ELSEWHERE,E38000007,Q2,ICB,Y1,REGION", "geography.csv has BBB more than once"),
        ("lsoa_imd2019", "E01000001,5", "lsoa_imd2019.csv has E01000001 more than once"),
        ("postcodes", "AA1 1AA,E01000002,E06000001,CCC", "postcodes.csv has a postcode that is somebody's home more than once"),
    ],
)
def test_reference_data_that_contradict_themselves_are_named(name: str, line: str, message: str, world: Any, tmp_path: Path) -> None:
    add_row(world, "01", {})
    world.write(tmp_path)
    with (tmp_path / "reference" / f"{name}.csv").open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")
    with pytest.raises(InputError, match=message) as raised:
        compute(folders.discover(tmp_path / "submissions"), tmp_path / "reference", "2026-08", "Performance", tmp_path / "out")
    assert "AA1" not in str(raised.value)


def test_absent_reference_files_switch_off_what_needs_them(publish: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    add_row(world, "01", {})
    result = publish(world, tmp_path, without=["lsoa_imd2019", "population_subicb", "geography"])
    assert result.returned["mhs116"] == 1
    breakdowns = {(measure, breakdown) for measure, breakdown, _ in result.final}
    assert ("MHS116", "England") in breakdowns
    assert ("MHS116", "England; IMD Decile") not in breakdowns
    assert ("MHS116", "Sub ICB of GP Practice or Residence") not in breakdowns
    assert ("MHS116a", "England") not in breakdowns
    assert ("MHS116a", "England; Upper Ethnicity") in breakdowns
    switched_off = {(item["measure"], item["breakdown"]): item["needs"] for item in result.returned["not_evaluated"]}
    assert switched_off["MHS116", "England; IMD Decile"] == ["lsoa_imd2019.csv"]
    assert switched_off["MHS116a", "England"] == ["population_subicb.csv"]
    assert switched_off["Caseload", "SubICB"] == ["geography.csv"]
    assert switched_off["DeprivationQuintileMissing", "England"] == ["lsoa_imd2019.csv"]
    assert result.measure("Caseload", "2026-08") == ("1", "1")
    assert result.measure("DeprivationQuintileMissing", "2026-08") == ("", "")
