"""Statuses at referral and discharge, sustained work, and nights in hospital, against plain Python that goes day by day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ips_pipeline.measures import computation
from ips_pipeline.store import duck, steps
from ips_pipeline.store.groups import STANDARD, load_groups

START, END = date(2025, 9, 1), date(2026, 8, 31)
STATES = {"01": "In work", "02": "Out of work", "04": "Out of work"}
HOURS = {"01": "30 hours or more", "02": "16 to 29 hours", "03": "5 to 15 hours", "04": "1 to 4 hours"}

#: Weeks from the referral: few, so that what must not be mistaken meets: the same day, equal distances, exactly 13, 26 and 52 weeks.
WEEKS = (-4, -2, 0, 2, 4, 6, 13, 15, 26, 52)


@pytest.fixture(scope="module")
def connection() -> Iterator[duck.Connection]:
    with duck.session(read=[STANDARD]) as held:
        load_groups(held)
        steps.declare(held, computation.variables("2026-08", "Performance"))
        yield held


def table(connection: duck.Connection, name: str, types: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
    """Make a table of a few rows, in place of the one of the last example."""
    connection.execute(f"CREATE OR REPLACE TABLE {name} ({', '.join(f'{column} {kind}' for column, kind in types.items())})")
    if rows:
        connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' for _ in types)})", [list(row) for row in rows])


def run(connection: duck.Connection, *names: str) -> list[dict[str, Any]]:
    """Run the steps anew; gives the rows of the last."""
    for name in names:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    steps.run(connection, [f"measures/{name}" for name in names], computation.variables("2026-08", "Performance"))
    found = connection.execute(f"SELECT * FROM {names[-1]}")
    columns = [column[0] for column in found.description]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]


@dataclass(frozen=True)
class Sent:
    submission: int
    recorded: date | None
    status: str | None
    hours: str | None
    started: date | None
    ended: date | None


@dataclass(frozen=True)
class Life:
    received: date
    discharged: date | None
    watched: date
    first_contact: date | None
    rows: tuple[Sent, ...]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    received = draw(st.sampled_from((date(2025, 7, 5), date(2025, 9, 1))))
    day = st.sampled_from(WEEKS).map(lambda weeks: received + timedelta(weeks=weeks))
    rarely = st.one_of(st.none(), st.none(), day)
    discharged = draw(st.none() | st.sampled_from((0, 2, 4, 13, 26)).map(lambda weeks: received + timedelta(weeks=weeks)))
    statuses = st.builds(
        Sent,
        st.integers(1, 3),
        st.one_of(day, day, day, st.none()),
        st.sampled_from(["01", "01", "01", "02", "04", "ZZ", "UU", None]),
        st.sampled_from(["01", "04", "99", None]),
        rarely | day,
        rarely,
    )
    rows = tuple(draw(st.lists(statuses, min_size=2, max_size=6)))
    return Life(received, discharged, discharged or received + timedelta(weeks=draw(st.sampled_from((0, 13, 51)))), draw(rarely), rows)


def placed(life: Life) -> list[tuple[date, str, str, date | None, date | None]]:
    """recorded, state, hours, started, ended: each recorded date once, as it was sent last."""
    order = sorted(enumerate(life.rows), key=lambda item: (item[1].submission, item[0]))
    ends: dict[tuple[str, date], date] = {}
    latest: dict[date, Sent] = {}
    for _, sent in order:
        if sent.started and sent.ended:
            ends[STATES.get(sent.status or "", "Unknown"), sent.started] = sent.ended
        if sent.recorded and sent.recorded <= END:
            latest[sent.recorded] = sent
    return [
        (
            recorded,
            state := STATES.get(sent.status or "", "Unknown"),
            HOURS.get(sent.hours or "", "Unknown"),
            sent.started,
            ends.get((state, sent.started), sent.ended) if sent.started else sent.ended,
        )
        for recorded, sent in sorted(latest.items())
    ]


def status_on(life: Life, day: date, before: int, after: int, *, later: bool) -> tuple[date, str, str] | None:
    near = [
        (state == "Unknown", abs((recorded - day).days), -recorded.toordinal() if later else recorded.toordinal(), (recorded, state, hours))
        for recorded, state, hours, started, ended in placed(life)
        if -before <= (recorded - day).days <= after and (started or day) <= day <= (ended or day)
    ]
    return min(near)[3] if near else None


def expected_outcome(life: Life) -> dict[str, object]:
    start = status_on(life, life.received, 182, 28, later=False)
    discharge = status_on(life, life.discharged, 91, 28, later=True) if life.discharged else None
    statuses = placed(life)
    jobs = sorted(
        (started, recorded, hours, ended)
        for recorded, state, hours, started, ended in statuses
        if state == "In work" and started and life.received <= started <= life.watched
    )
    job_started, _, _, job_ended = jobs[0] if jobs else (None, None, None, None)
    if job_started and not job_ended:
        job_ended = next((recorded for recorded, state, *_ in statuses if state == "Out of work" and recorded > job_started), None)
    out_of_work = bool(start and start[1] == "Out of work")
    shown = [
        recorded
        for recorded, state, _, started, _ in statuses
        if start
        and state == "In work"
        and recorded > start[0]
        and life.received <= recorded <= life.watched
        and (started or life.received) >= life.received
    ]
    signs = ([job_started] if job_started else []) + shown
    moved = min(signs) if out_of_work and signs else None
    left = bool(life.discharged and START <= life.discharged <= END)
    result: dict[str, object] = {
        "by_start_status": start[1] if start else "Unknown",
        "discharge_status": discharge[1] if discharge else "Unknown",
        "job_started": job_started,
        "moved": moved,
        "n_emp_discharged_in_work": int(left and bool(discharge and discharge[1] == "In work")),
        "n_emp_discharged_hours_30_or_more": int(left and bool(discharge and discharge[1:] == ("In work", "30 hours or more"))),
        "n_emp_moves": int(bool(moved and START <= moved <= END)),
    }
    for weeks in (13, 26, 52):
        due = job_started + timedelta(weeks=weeks) if job_started else None
        is_due = bool(due and START <= due <= END)
        result[f"n_emp_due_{weeks}_weeks"] = int(is_due)
        result[f"n_emp_sustained_{weeks}_weeks"] = int(is_due and not (job_ended and due and job_ended < due))
    return result


def outcomes(connection: duck.Connection, people: Sequence[Life]) -> list[dict[str, Any]]:
    """The evidence of each of the people, from the SQL."""
    episodes, records, rows, levels = [], [], [], []
    for number, life in enumerate(people):
        name = f"P{number}"
        referral = (f"RAA{name}", "RAA", name, name, 1, number, life.first_contact, 1, 0, 0, life.received, life.discharged, 1517, life.watched)
        episodes.append(referral)
        levels.append((1, number, "RAA"))
        records += [(submission, name, "RAA", 1516, submission, END, name) for submission in (1, 2, 3)]
        rows += [
            (sent.submission, place, name, sent.status, sent.recorded, sent.hours, sent.started, sent.ended) for place, sent in enumerate(life.rows)
        ]
    text = "VARCHAR"
    table(
        connection,
        "referral_episode",
        {
            **dict.fromkeys(("UniqServReqID", "OrgIDProv", "ServiceRequestID", "Person_ID"), text),
            **dict.fromkeys(("submission", "patient_row"), "INTEGER"),
            "first_contact": "DATE",
            **dict.fromkeys(("contacts_in_window", "contacts_placed", "contacts_in_community"), "INTEGER"),
            **dict.fromkeys(("received", "discharged"), "DATE"),
            "last_month": "INTEGER",
            "observed_until": "DATE",
        },
        episodes,
    )
    table(
        connection,
        "person_record",
        {
            "submission": "INTEGER",
            "LocalPatientID": text,
            "OrgIDProv": text,
            "UniqMonthID": "INTEGER",
            "UniqSubmissionID": "INTEGER",
            "ReportingPeriodEndDate": "DATE",
            "Person_ID": text,
        },
        records,
    )
    status_columns = ("LocalPatientID", "EmployStatus", "EmployStatusRecDate", "WeekHoursWorked", "EmployStatusStartDate", "EmployStatusEndDate")
    table(connection, "MHS004EmpStatus", {"submission": "INTEGER", "row": "INTEGER", **dict.fromkeys(status_columns, text)}, rows)
    table(connection, "patient_level", {"submission": "INTEGER", "patient_row": "INTEGER", "by_provider": text}, levels)
    found = {row["unit"]: row for row in run(connection, "employment_status", "employment_episode", "employment")}
    return [found[f"referral RAAP{number}"] for number in range(len(people))]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=st.lists(lives(), min_size=8, max_size=8))
def test_employment(connection: duck.Connection, people: list[Life]) -> None:
    for life, row in zip(people, outcomes(connection, people), strict=True):
        wanted = expected_outcome(life)
        assert {key: row[key] for key in wanted} == wanted


DAY = date(2025, 10, 1)


def on(days: int, status: str, *, started: int | None = None, ended: int | None = None, submission: int = 1) -> Sent:
    """A status recorded so many days after the referral of 1 October 2025."""
    dated = [None if after is None else DAY + timedelta(days=after) for after in (started, ended)]
    return Sent(submission, DAY + timedelta(days=days), status, None, *dated)


CASES = {
    # statuses -> status at the referral, at the discharge 100 days later, sustained 13 weeks of those due
    "nothing recorded": ((), ("Unknown", "Unknown", None)),
    "equal distances: the earlier for the referral": ((on(-7, "01"), on(7, "02")), ("In work", "Unknown", None)),
    "equal distances: the later for the discharge": ((on(93, "01"), on(107, "02")), ("Unknown", "Out of work", None)),
    "the first day near enough": ((on(-182, "02"), on(9, "02")), ("Out of work", "Out of work", None)),
    "too long before": ((on(-183, "02"), on(8, "02", started=8)), ("Unknown", "Unknown", None)),
    "the last day near enough": ((on(28, "02"), on(128, "02")), ("Out of work", "Out of work", None)),
    "too long after": ((on(29, "02", started=29), on(129, "02", started=129)), ("Unknown", "Out of work", None)),
    "a known one before an unknown one": ((on(0, "ZZ"), on(20, "02")), ("Out of work", "Out of work", None)),
    "work that began after the referral is not work at it": ((on(-5, "02"), on(2, "01", started=1)), ("Out of work", "Unknown", 1)),
    "ended on the day of thirteen weeks": ((on(0, "02"), on(5, "01", started=5, ended=5 + 91)), ("Out of work", "Unknown", 1)),
    "ended the day before": ((on(0, "02"), on(5, "01", started=5, ended=5 + 90)), ("Out of work", "Unknown", 0)),
    "out of work recorded on the day of thirteen weeks": ((on(0, "02"), on(5, "01", started=5), on(96, "02")), ("Out of work", "Out of work", 1)),
    "out of work recorded the day before": ((on(0, "02"), on(5, "01", started=5), on(95, "02")), ("Out of work", "Out of work", 0)),
    "sent again with an end": (
        (on(0, "02"), on(5, "01", started=5), on(5, "01", started=5, ended=50, submission=2)),
        ("Out of work", "Unknown", 0),
    ),
    "the end taken back": (
        (on(0, "02"), on(5, "01", started=5, ended=50), on(5, "01", started=5, ended=300, submission=2)),
        ("Out of work", "Unknown", 1),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(connection: duck.Connection, case: str) -> None:
    rows, expected = CASES[case]
    discharged = DAY + timedelta(days=100)
    (row,) = outcomes(connection, [Life(DAY, discharged, discharged, None, rows)])
    sustained = row["n_emp_sustained_13_weeks"] if row["n_emp_due_13_weeks"] else None
    assert (row["by_start_status"], row["discharge_status"], sustained) == expected


MONTHS = [date(2024 + (7 + step) // 12, (7 + step) % 12 + 1, 1) for step in range(25)]


def month_end(first: date) -> date:
    return (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


@dataclass(frozen=True)
class Stay:
    started: date
    discharged: date | None
    sent: tuple[int, ...]


@dataclass(frozen=True)
class Patient:
    first_contact: date
    months: frozenset[int]
    stays: tuple[Stay, ...]


@st.composite
def patients(draw: st.DrawFn) -> Patient:
    months = sorted(set(range(len(MONTHS))) - draw(st.frozensets(st.integers(0, len(MONTHS) - 1), max_size=3)))
    stays = []
    for _ in range(draw(st.integers(0, 4))):
        started = MONTHS[0] + timedelta(days=draw(st.integers(-40, 740)))
        discharged = draw(st.none() | st.integers(0, 120).map(lambda days, started=started: started + timedelta(days=days)))
        sent = tuple(sorted(draw(st.frozensets(st.sampled_from(months), min_size=1, max_size=3))))
        if started <= END:
            stays.append(Stay(started, discharged, sent))
    return Patient(draw(st.sampled_from([START, date(2025, 12, 24), date(2026, 3, 1), END])), frozenset(months), tuple(stays))


def expected_use(patient: Patient, sends_stays: bool) -> dict[str, int | None]:
    one = timedelta(days=1)
    view = set()
    for number in patient.months if sends_stays else ():
        day = MONTHS[number]
        while day <= month_end(MONTHS[number]):
            view.add(day)
            day += one
    before = {day for day in view if 0 < (patient.first_contact - day).days <= 365}
    after = {day for day in view if 0 <= (day - patient.first_contact).days < 365}
    nights = set()
    for stay in patient.stays:
        until = min(stay.discharged or month_end(MONTHS[stay.sent[-1]]), END)
        nights |= {stay.started + timedelta(days=step) for step in range((until - stay.started).days)}
    back = next(step for step in range(366) if patient.first_contact - timedelta(days=step + 1) not in before)
    forth = next(step for step in range(366) if patient.first_contact + timedelta(days=step) not in after)
    matched = timedelta(days=min(back, forth))
    close_before = {day for day in before if day >= patient.first_contact - matched}
    close_after = {day for day in after if day < patient.first_contact + matched}
    counted = bool(before)
    numbers = {
        "n_hosp_days_before": len(before),
        "n_hosp_days_after": len(after),
        "n_hosp_nights_before": len(nights & before),
        "n_hosp_nights_after": len(nights & after),
        "n_hosp_admissions_before": sum(stay.started in before for stay in patient.stays),
        "n_hosp_admissions_after": sum(stay.started in after for stay in patient.stays),
        "n_hosp_days_matched": matched.days,
        "n_hosp_nights_matched_before": len(nights & close_before),
        "n_hosp_nights_matched_after": len(nights & close_after),
    }
    return {"n_hosp_people": int(counted), **{key: value if counted else None for key, value in numbers.items()}}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=st.lists(patients(), min_size=1, max_size=4))
def test_hospital_use(connection: duck.Connection, people: list[Patient]) -> None:
    submissions, records, spells, referrals, access = [], [], [], [], []
    for number, patient in enumerate(people):
        name, provider = f"P{number}", f"R{number}"
        access.append((name, f"{provider}R", provider, 1, number, patient.first_contact, True, True))
        for month in sorted(patient.months):
            identity = number * 100 + month
            first, last = MONTHS[month], month_end(MONTHS[month])
            submissions.append((identity, provider, identity, 1493 + month, first, last))
            records.append((identity, name, provider, 1493 + month, identity, last, name))
            referrals.append((identity, 1, f"H{number}", name))
        for place, stay in enumerate(patient.stays):
            for month in stay.sent:
                discharged = stay.discharged if month == stay.sent[-1] else None
                spells.append((number * 100 + month, place, f"S{place}", f"H{number}", stay.started, discharged))
    text, whole = "VARCHAR", "INTEGER"
    known = {"submission": whole, "LocalPatientID": text, "OrgIDProv": text, "UniqMonthID": whole, "UniqSubmissionID": whole}
    table(connection, "person_record", {**known, "ReportingPeriodEndDate": "DATE", "Person_ID": text}, records)
    sent = {"submission": whole, "OrgIDProv": text, "UniqSubmissionID": whole, "UniqMonthID": whole}
    table(connection, "submission", {**sent, "ReportingPeriodStartDate": "DATE", "ReportingPeriodEndDate": "DATE"}, submissions)
    table(connection, "MHS101Referral", {"submission": whole, "row": whole, "ServiceRequestID": text, "LocalPatientID": text}, referrals)
    stays = ("HospProvSpellID", "ServiceRequestID", "StartDateHospProvSpell", "DischDateHospProvSpell")
    table(connection, "MHS501HospProvSpell", {"submission": whole, "row": whole, **dict.fromkeys(stays, text)}, spells)
    came = {"Person_ID": text, "UniqServReqID": text, "OrgIDProv": text, "submission": whole, "patient_row": whole}
    table(connection, "person_access", {**came, "first_contact": "DATE", "has_episode": "BOOLEAN", "known_first": "BOOLEAN"}, access)
    levels = [(1, number, f"R{number}") for number in range(len(people))]
    table(connection, "patient_level", {"submission": whole, "patient_row": whole, "by_provider": text}, levels)
    found = {row["unit"]: row for row in run(connection, "hospital_spell", "health_use")}
    for number, patient in enumerate(people):
        wanted = expected_use(patient, sends_stays=bool(patient.stays))
        row = found[f"person P{number}"]
        assert {key: row[key] for key in wanted} == wanted
