"""Cases of employment, waits, hospital use, fairness and data quality, one line each in outcome_cases.yaml, through the real SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from ips_pipeline.measures import computation
from ips_pipeline.mhsds import standard
from ips_pipeline.store import completeness, duck, folders, steps

CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("outcome_cases.yaml").read_text(encoding="utf-8"))
PERIOD = "2026-08"
MONTHS = [f"{year}-{month:02d}" for year in (2023, 2024, 2025, 2026) for month in range(1, 13)]
MONTHS = MONTHS[MONTHS.index("2024-06") : MONTHS.index(PERIOD) + 1]

PERSON: Mapping[str, str] = {"PersonBirthDate": "1990-01-01", "Postcode": "AA1 1AA", "Gender": "1", "GenderIDCode": "1", "EthnicCategory": "A"}
LEVELS: Mapping[str, str] = {
    "by_sub_icb": "AAA",
    "by_icb": "Q1",
    "by_region": "Y1",
    "by_age_group": "35 to 44",
    "by_working_age": "16 to 64",
    "by_adult": "18 and over",
    "by_gender": "Male",
    "by_ethnicity": "White or White British",
    "by_deprivation": "Quintile 1",
}
#: What most cases count: seen after ten days and still open, no employment status, all days in view for the year before and 320 after.
ORDINARY: Mapping[str, int] = {
    "emp_received": 1,
    "emp_received_unknown": 1,
    "wait_received": 1,
    "wait_seen_first": 1,
    "wait_seen_in_30": 1,
    "wait_seen_in_90": 1,
    "wait_open": 1,
    "wait_caseload": 1,
    "wait_seen": 1,
    "wait_contacts": 1,
    "hosp_people": 1,
    "hosp_days_before": 365,
    "hosp_days_after": 320,
    "hosp_days_matched": 320,
    "hosp_people_matched": 1,
    "qual_referrals": 1,
    "qual_open_referrals": 1,
    **{f"fair_{name}{years}": 1 for years in ("", "_24", "_36") for name in ("people", "people_seen", "adults", "adults_seen")},
}
FAMILIES = ("employment", "waits", "health_use", "fairness", "data_quality")
#: What a case may look at beside its counts: a query that gives the provider and the case's number first.
QUERIES: Mapping[str, str] = {
    "times": "SELECT unit, quantity, days, happened FROM waits_time ORDER BY ALL",
    "statuses_found": "SELECT 'referral ' || UniqServReqID, start_status, discharge_status, CAST(job_started AS VARCHAR), CAST(job_ended AS VARCHAR),"
    " CAST(moved AS VARCHAR) FROM employment_episode ORDER BY ALL",
    **{f"reason_{family}": f"SELECT unit, reason FROM {family} ORDER BY ALL" for family in ("employment", "waits", "health_use", "data_quality")},
    "contacts_judged": "SELECT by_provider, split_part(unit, ' ', 1), reason, CAST(n_qual_contacts AS INTEGER),"
    " CAST(n_qual_contact_months AS INTEGER) FROM data_quality WHERE n_qual_contacts IS NOT NULL OR n_qual_contact_months IS NOT NULL ORDER BY ALL",
    "statuses_valid": "SELECT by_provider, CAST(n_qual_values AS INTEGER), CAST(n_qual_valid AS INTEGER) FROM data_quality"
    " WHERE by_field = 'MHS004EmpStatus.EmployStatus'",
    "statuses_held": "SELECT 'person ' || Person_ID, CAST(recorded AS VARCHAR), state, CAST(started AS VARCHAR), CAST(ended AS VARCHAR)"
    " FROM employment_status ORDER BY ALL",
    "teams": "SELECT unit, by_team FROM waits ORDER BY ALL",
    "genders_of_use": "SELECT unit, by_gender FROM health_use",
    "score": "SELECT by_provider, CAST(n_qual_score AS INTEGER) FROM data_quality WHERE unit LIKE 'provider %'",
    "rows_judged": "SELECT submission.OrgIDProv, strftime(ReportingPeriodStartDate, '%Y-%m'), table_name, list(row ORDER BY row)"
    " FROM data_quality_row INNER JOIN submission ON submission.submission = data_quality_row.submission GROUP BY ALL ORDER BY ALL",
}


def provider(case: Mapping[str, Any]) -> str:
    return str(case.get("provider", "RAA"))


def local(case: Mapping[str, Any]) -> str:
    """What the provider calls the person."""
    return str(case.get("local", f"P{case['case']}"))


def who(case: Mapping[str, Any]) -> str:
    """The person, everywhere: by NHS number where there is one."""
    return str(case.get("person", {}).get("NHSNumber", f"{provider(case)}{local(case)}"))


def add_submission(world: Any, at: str, month: str, case: Mapping[str, Any]) -> None:
    """A month of the provider with its teams."""
    world.submission(at, month)
    tables = world.rows[at, month]
    tables["MHS000Header"][0] = {**tables["MHS000Header"][0], "OrgIDProvider": provider(case)}
    if case.get("without_teams"):
        tables["MHS902ServiceTeamDetails"].clear()
    for name, kind in [*((team, "D05") for team in case.get("ips_teams", [])), *case.get("teams_named", {}).get(month, [])]:
        world.add(at, month, "MHS902ServiceTeamDetails", {"CareProfTeamLocalID": name, "ServTeamTypeMH": kind})


def add_case(world: Any, case: Mapping[str, Any]) -> None:
    """A person with a referral to an IPS team, its contacts, employment statuses and stays in hospital."""
    at, number = case.get("folder", provider(case)), case["case"]
    sends = [*case.get("sends", MONTHS), *case.get("later", [])]
    person, referral = local(case), case.get("referral", f"R{number}")
    received, discharged = case.get("received", "2025-10-06"), case.get("discharged")
    first, last = case.get("from", received[:7]), case.get("until", min((discharged or PERIOD)[:7], PERIOD))
    details = {"LocalPatientID": person, **PERSON, **case.get("person", {})}
    contacts = case.get("contacts", [["2025-10-16"]])
    statuses = case.get("statuses", [])
    stays = case.get("stays", [])
    for month in sends:
        add_submission(world, at, month, case)
        ips = first <= month <= last
        dated = [row[0][:7] for row in statuses] + [sent for stay in stays for sent in stay[2]] + case.get("known", [])
        if ips or month in dated:
            world.add(at, month, "MHS001MPI", {**details, **case.get("person_sent", {}).get(month, {})})
            for practice, ended in case.get("gp_sent", {}).get(month, case.get("gp", [])):
                world.add(at, month, "MHS002GP", {"LocalPatientID": person, "GMPReg": practice, "EndDateGMPRegistration": ended})
            other = {"ServiceRequestID": f"H{number}", "LocalPatientID": person, "ReferralRequestReceivedDate": "2024-01-01"}
            world.add(at, month, "MHS101Referral", {**other, "CareProfTeamLocalID": "CMHT"})
        if ips:
            closed = discharged if discharged and month >= min(discharged[:7], PERIOD) else None
            day = case.get("received_sent", {}).get(month, received)
            row = {"ServiceRequestID": referral, "LocalPatientID": person, "ReferralRequestReceivedDate": day, "ServDischDate": closed}
            team = case.get("teams_sent", {}).get(month, case.get("team", "IPS"))
            world.add(at, month, "MHS101Referral", {**row, "CareProfTeamLocalID": team})
            for other_team in case.get("other_teams", []):
                world.add(at, month, "MHS102OtherServiceType", {"ServiceRequestID": referral, "OtherCareProfTeamLocalID": other_team})
    for position, (day, *more) in enumerate(contacts):
        place, attended, team, sent, on, name, procedure, mechanism = [*more, *[None] * 8][:8]
        row = {"CareContactID": name or f"C{number}{position}", "ServiceRequestID": on or referral, "CareContDate": day}
        row |= {
            "AttendStatus": attended or "5",
            "ConsMechanismMH": mechanism or "01",
            "OtherCareProfTeamLocalID": team or "IPS",
            "ActLocTypeCode": place,
        }
        world.add(at, sent or min(day[:7], PERIOD), "MHS201CareContact", row)
        if procedure:
            world.add(at, sent or min(day[:7], PERIOD), "MHS202CareActivity", {"CareContactID": row["CareContactID"], "Procedure": procedure})
    for recorded, status, *more in statuses:
        hours, started, ended, sent = [*more, *[None] * 4][:4]
        row = {"LocalPatientID": person, "EmployStatus": status, "EmployStatusRecDate": recorded, "WeekHoursWorked": hours}
        world.add(at, sent or min(recorded[:7], PERIOD), "MHS004EmpStatus", {**row, "EmployStatusStartDate": started, "EmployStatusEndDate": ended})
    for position, (started, ended, months, *name) in enumerate(stays):
        for month in months:
            stay = {"HospProvSpellID": "".join(name) or f"S{number}{position}", "ServiceRequestID": f"H{number}", "StartDateHospProvSpell": started}
            known = ended if month == months[-1] else None
            world.add(at, month, "MHS501HospProvSpell", {**stay, "DischDateHospProvSpell": known})


class Found:
    """What was made of the cases: the quantities of each unit above nought, what else is looked at, and levels."""

    def __init__(self, connection: duck.Connection) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self.providers: dict[str, dict[str, int]] = {}
        for family in FAMILIES:
            for key, kept in (("unit", self.counts), ("by_provider", self.providers)):
                if key == "by_provider" and family not in ("data_quality", "fairness"):
                    continue
                where = "by_field IS NULL" if family == "data_quality" else "true"
                query = connection.execute(f"SELECT {key}, sum(COLUMNS('^n_')) FROM {family} WHERE {where} AND {key} IS NOT NULL GROUP BY {key}")
                names = [column[0].removeprefix("n_") for column in query.description or ()]
                for unit, *values in query.fetchall():
                    amounts = {name: int(value) for name, value in zip(names[1:], values, strict=True) if value and name != "qual_score"}
                    kept.setdefault(unit, {}).update(amounts)
        self.told: dict[tuple[str, str], list[list[Any]]] = {}
        for name, text in QUERIES.items():
            for unit, *values in connection.execute(text).fetchall():
                self.told.setdefault((name, unit), []).append(values)
        self.levels: dict[str, list[dict[str, Any]]] = {}
        for row in connection.sql(f"SELECT Person_ID, {', '.join(LEVELS)} FROM caseload_person").to_arrow_table().to_pylist():
            self.levels.setdefault(row.pop("Person_ID"), []).append(row)
        self.everybody = connection.execute(
            "SELECT sum(n_fair_people), sum(n_fair_people_24), sum(n_fair_people_36), sum(n_fair_adults_36) FROM fairness"
        ).fetchone()
        self.caseload = connection.execute(
            f"SELECT count(*) FILTER (last_month >= {standard.month_id(2025, 9)}), count(*) FILTER (last_month >= {standard.month_id(2024, 9)}),"
            " count(*), count(*) FILTER (is_adult) FROM caseload_person"
        ).fetchone()
        self.stray = connection.execute("SELECT count(*) FROM hospital_spell WHERE Person_ID IS NULL").fetchone()

    def of(self, case: Mapping[str, Any]) -> dict[str, int]:
        """The quantities of a case: of its referral and of its person, and of its provider where that is its own."""
        at, number = provider(case), case["case"]
        units = (f"referral {at}{case.get('referral', 'R' + number)}", f"person {who(case)}")
        return {name: amount for unit in units for name, amount in self.counts.get(unit, {}).items()}


def expected(case: Mapping[str, Any]) -> dict[str, int]:
    ordinary = {name: amount for name, amount in ORDINARY.items() if not name.startswith(tuple(case.get("none", ())))}
    return {name: amount for name, amount in {**ordinary, **case.get("counts", {})}.items() if amount}


@pytest.fixture(scope="module")
def worlds(new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """What was made of the cases of each world: of those that share one, and of each that is alone."""
    found = {}
    for name in dict.fromkeys(case.get("world", "") for case in CASES):
        world, root = new_world(), tmp_path_factory.mktemp("outcomes")
        for case in CASES:
            if case.get("world", "") == name:
                add_case(world, case)
        if not name:
            # The first month of the 36, so that three years can be put together; nobody of it has to do with IPS.
            world.submission("RPP", "2023-09")
        world.write(root)
        declared = computation.variables(PERIOD, "Performance")
        with computation.opened(folders.discover(root / "submissions"), root / "reference", declared) as inputs:
            inputs.make(*computation.DERIVE, *computation.EPISODES)
            completeness.prepare(inputs.connection, standard.load(), only="data_quality_row")
            made = ("data_quality_contact", "data_quality", "employment", "waits", "waits_time", "health_use", "fairness")
            inputs.make(completeness.STEP, *(f"measures/{name}" for name in made))
            found[name] = Found(inputs.connection)
    return found


@pytest.fixture
def found(worlds: dict[str, Found]) -> Found:
    return worlds[""]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['case']} {case['says']}")
def test_case(case: dict[str, Any], worlds: dict[str, Found]) -> None:
    found = worlds[case.get("world", "")]
    assert found.of(case) == expected(case)
    person = who(case)
    assert found.levels[person] == [{**LEVELS, **case.get("levels", {})}]
    for name in QUERIES.keys() & case.keys():
        unit = f"referral {provider(case)}{case.get('referral', 'R' + case['case'])}"
        unit = {
            "reason_health_use": f"person {person}",
            "genders_of_use": f"person {person}",
            "statuses_held": f"person {person}",
            **dict.fromkeys(("contacts_judged", "statuses_valid", "score", "rows_judged"), provider(case)),
        }.get(name, unit)
        told = [value if len(value) > 1 else value[0] for value in found.told.get((name, unit), [])]
        assert (name, told) == (name, case[name])
    if "of_provider" in case:
        assert found.providers[provider(case)] == case["of_provider"]


@pytest.mark.parametrize(
    ("sent_from", "pooled"),
    [
        ((2026, 8), {12: date(2025, 9, 1)}),
        ((2024, 10), {12: date(2025, 9, 1)}),
        ((2024, 9), {12: date(2025, 9, 1), 24: date(2024, 9, 1)}),
        ((2023, 10), {12: date(2025, 9, 1), 24: date(2024, 9, 1)}),
        ((2023, 9), {12: date(2025, 9, 1), 24: date(2024, 9, 1), 36: date(2023, 9, 1)}),
    ],
)
def test_months_are_pooled_as_far_back_as_they_were_sent(sent_from: tuple[int, int], pooled: dict[int, date]) -> None:
    declared = computation.variables(PERIOD, "Performance")
    with duck.session() as connection:
        steps.declare(connection, declared)
        connection.execute("CREATE TABLE submission AS SELECT CAST(? AS INTEGER) AS UniqMonthID", [standard.month_id(*sent_from)])
        steps.run(connection, ["measures/pool"], declared)
        found = connection.execute("SELECT months, first_month, period_start FROM pool").fetchall()
    assert {months: day for months, _, day in found} == pooled
    assert {month for _, month, _ in found} == {standard.month_id(day.year, day.month) for day in pooled.values()}


def test_no_stay_is_without_a_person(found: Found) -> None:
    assert found.stray == (0,)


def test_everybody_on_a_caseload_is_counted_once_seen_or_not(found: Found) -> None:
    """From September 2025, 2024 and 2023; and the people of RAA once on its caseload."""
    assert found.everybody == found.caseload
    assert found.providers["RAA"]["fair_caseload_36"] == len({local(case) for case in CASES if provider(case) == "RAA" and "world" not in case})


def test_the_last_of_a_million_records_is_found_by_its_number(new_world: Callable[[], Any], tmp_path: Path) -> None:
    world = new_world()
    add_case(world, {"case": "01", "sends": [PERIOD]})
    world.write(tmp_path)
    declared = computation.variables(PERIOD, "Performance")
    with computation.opened(folders.discover(tmp_path / "submissions"), tmp_path / "reference", declared) as inputs:
        inputs.connection.execute("CREATE SCHEMA IF NOT EXISTS apart")
        inputs.connection.execute("CREATE OR REPLACE TABLE apart.MHS001MPI AS SELECT * REPLACE (999999 AS row) FROM main.MHS001MPI")
        inputs.connection.execute("SET search_path = 'apart,main'")
        inputs.make(*computation.DERIVE, "measures/pool", "measures/caseload_provider", "measures/caseload_person")
        assert inputs.connection.execute("SELECT Person_ID, by_gender FROM caseload_person").fetchall() == [("RAAP01", "Male")]
