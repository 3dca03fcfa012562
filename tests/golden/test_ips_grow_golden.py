"""Small local IPS records and what each measure counts of them, in the twelve months to 31 August 2026."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline.measures import computation, registry
from ips_pipeline.quality import records as record_rules
from ips_pipeline.store import duck, steps

PERIOD = "2026-08"

#: A client as most are: referred in January, on the caseload, out of work.
CLIENT = {
    "OrgIDProvider": "RAA",
    "status_at_start": "out_of_work",
    "referral_date": "2026-01-05",
    "accepted_date": "2026-01-12",
    "agreed_date": "2026-01-12",
    "first_contact_date": "2026-01-15",
    "vocational_profile_date": "2026-01-20",
    "last_contact_date": "2026-08-20",
}
#: A job as most are: found with support, four paid hours done on the second day.
JOB = {"job_no": "1", "start_date": "2026-03-02", "first_four_hours_date": "2026-03-03"}
POST = {"OrgIDProvider": "RAA", "specialist_id": "S1", "ips_team": "North", "role": "specialist", "wte": "1", "from_date": "2020-01-01"}

Rows = Sequence[Mapping[str, str | None]]


def client(episode: str, **changed: str | None) -> dict[str, str | None]:
    return {"episode_id": episode, **CLIENT, **changed}


def job(episode: str, **changed: str | None) -> dict[str, str | None]:
    return {"episode_id": episode, **JOB, **changed}


def weeks(episode: str, hours: Mapping[str, str]) -> list[dict[str, str | None]]:
    return [{"episode_id": episode, "job_no": "1", "week_start": day, "hours": value} for day, value in hours.items()]


def write(folder: Path, tables: Mapping[str, Rows]) -> Path:
    for name, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        folder.mkdir(exist_ok=True)
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, columns)
            writer.writeheader()
            writer.writerows(rows)
    return folder


@contextmanager
def computed(tmp_path: Path, tables: Mapping[str, Rows], places: Mapping[str, Rows] | None = None) -> Iterator[duck.Connection]:
    """The evidence of local records alone: no submission at all."""
    records, held = write(tmp_path / "records", tables), write(tmp_path / "reference", places or {})
    held.mkdir(exist_ok=True)
    with computation.opened([], held, computation.variables(PERIOD, "Performance"), records=[records]) as inputs:
        grown = ("measures/ips_grow", "measures/ips_grow_time", "measures/trial")
        inputs.make(*computation.DERIVE, *computation.RECORDS, *computation.PLACEMENTS, *grown)
        yield inputs.connection


def counts(tmp_path: Path, tables: Mapping[str, Rows], where: str = "true", *, family: str = "ips_grow", **places: Rows) -> dict[str, int]:
    """Every quantity above nought, each unit counted once, as the aggregation does."""
    with computed(tmp_path, tables, places) as connection:
        query = f"SELECT sum(COLUMNS('^n_')) FROM (SELECT unit, max(COLUMNS('^n_')) FROM {family} WHERE {where} GROUP BY unit)"
        found = connection.execute(query)
        names = [column[0] for column in found.description or ()]
        return {name: int(value) for name, value in zip(names, found.fetchone() or (), strict=True) if value}


def pick(found: Mapping[str, int], *names: str) -> tuple[int, ...]:
    return tuple(found.get(f"n_ips_{name}", 0) for name in names)


@pytest.mark.parametrize(
    ("changed", "counted"),
    [
        ({}, 1),
        ({"referral_date": "2025-09-01"}, 1),
        ({"referral_date": "2025-08-31"}, 0),  # the day before the twelve months
        ({"accepted_date": None}, 0),  # referred, and not accepted
        ({"accepted_date": "2026-09-01"}, 0),  # accepted after the last day
    ],
)
def test_referrals_are_those_accepted_onto_the_caseload(tmp_path: Path, changed: dict[str, str], counted: int) -> None:
    assert pick(counts(tmp_path, {"ips_episode": [client("1", **changed)]}), "referrals") == (counted,)


def test_clients_already_employed_are_a_share_of_referrals_and_of_the_caseload(tmp_path: Path) -> None:
    episodes = [
        client("1"),
        client("2", status_at_start="in_work", in_work_reason="retention"),
        client("3", status_at_start="unknown"),
        client("4", status_at_start="in_work", discharge_date="2026-05-01"),
    ]
    found = counts(tmp_path, {"ips_episode": episodes})
    assert pick(found, "referrals", "referrals_in_work", "caseload", "caseload_in_work") == (4, 2, 3, 1)


def test_profiles_as_the_tool_counts_them_leave_out_the_discharged(tmp_path: Path) -> None:
    episodes = [client("1"), client("2", discharge_date="2026-06-01"), client("3", vocational_profile_date="2025-08-31")]
    assert pick(counts(tmp_path, {"ips_episode": episodes}), "profiles_open", "profiles") == (1, 2)


@pytest.mark.parametrize(
    ("agreed", "contact", "profile", "accessed"),
    [
        ("2026-01-12", "2026-01-15", None, "2026-01-15"),  # the first contact after agreeing
        ("2026-02-01", "2026-01-15", None, "2026-02-01"),  # seen first, agreed later
        ("2026-01-12", "2026-01-15", "2026-01-13", "2026-01-13"),  # the profile came first
        (None, "2026-01-15", "2026-03-01", "2026-03-01"),  # no agreement on record
        ("2026-01-12", None, None, None),
        (None, "2026-01-15", None, None),
    ],
)
def test_access_is_the_first_contact_once_agreed_or_the_profile(
    tmp_path: Path, agreed: str | None, contact: str | None, profile: str | None, accessed: str | None
) -> None:
    row = client("1", agreed_date=agreed, first_contact_date=contact, vocational_profile_date=profile)
    with computed(tmp_path, {"ips_episode": [row]}) as connection:
        assert str((connection.execute("SELECT access_date FROM ips_episode").fetchone() or ("",))[0]) == str(accessed)


@pytest.mark.parametrize(
    ("jobs", "first_starts", "starts"),
    [
        ([{}], 1, 1),
        ([{"first_four_hours_date": None}], 0, 1),  # four paid hours not done
        ([{"first_four_hours_date": "2026-09-01"}], 0, 1),  # done after the last day
        ([{"held_at_start": "Y"}], 0, 0),  # the client had the job already
        ([{"start_date": "2025-08-31", "first_four_hours_date": "2025-09-01"}], 0, 0),  # started before the twelve months
        ([{"start_date": "2025-08-31", "first_four_hours_date": "2025-09-01"}, {"job_no": "2"}], 0, 1),  # only the first job counts as such
        ([{"first_four_hours_date": None}, {"job_no": "2", "start_date": "2026-04-06", "first_four_hours_date": "2026-04-07"}], 1, 2),
        ([{}, {"job_no": "2"}, {"job_no": "3", "start_date": "2026-05-04"}], 1, 3),  # two at once, and one later
        ([{"start_date": "2026-09-01", "first_four_hours_date": "2026-09-02"}], 0, 0),
    ],
)
def test_first_job_starts_and_all_starts(tmp_path: Path, jobs: list[dict[str, str]], first_starts: int, starts: int) -> None:
    found = counts(tmp_path, {"ips_episode": [client("1")], "ips_job": [job("1", **changed) for changed in jobs]})
    assert pick(found, "first_starts", "starts") == (first_starts, starts)


def test_the_employment_rate_is_of_people_out_of_work(tmp_path: Path) -> None:
    episodes = [client("1"), client("2"), client("3", status_at_start="in_work"), client("4", status_at_start="unknown")]
    jobs = [job(episode) for episode in ("1", "3", "4")]
    found = counts(tmp_path, {"ips_episode": episodes, "ips_job": jobs})
    assert pick(found, "first_starts", "first_starts_out_of_work", "access", "access_out_of_work") == (3, 1, 4, 2)
    assert pick(found, "benchmark_hundredths", "access_out_of_work_hundredths") == (80, 200)  # 40% since April 2024


@pytest.mark.parametrize(
    ("accessed", "started", "six", "twelve"),
    [
        ("2026-01-20", "2026-07-20", (1, 1), (0, 0)),  # exactly six months; twelve have not passed
        ("2026-01-20", "2026-07-21", (1, 0), (0, 0)),  # a day late
        ("2026-03-01", "2026-03-02", (0, 0), (0, 0)),  # six months end on 1 September: not mature
        ("2026-02-28", "2026-03-02", (1, 1), (0, 0)),  # six months end on 28 August
        ("2025-06-01", "2026-03-02", (1, 0), (1, 1)),  # six months ended on 1 December, twelve on 1 June
        ("2024-06-01", "2026-03-02", (0, 0), (0, 0)),  # both matured before the twelve months
    ],
)
def test_cohorts_count_when_they_mature(tmp_path: Path, accessed: str, started: str, six: tuple[int, int], twelve: tuple[int, int]) -> None:
    row = client("1", referral_date=None, accepted_date=None, agreed_date=None, first_contact_date=None, vocational_profile_date=accessed)
    row["referral_date"] = accessed
    found = counts(tmp_path, {"ips_episode": [row], "ips_job": [job("1", start_date=started, first_four_hours_date=started)]})
    assert pick(found, "cohort_6", "cohort_6_started") == six
    assert pick(found, "cohort_12", "cohort_12_started") == twelve


def test_rates_at_discharge(tmp_path: Path) -> None:
    episodes = [
        client("1", discharge_date="2026-06-01", in_work_at_discharge="Y"),
        client("2", discharge_date="2026-06-01", in_work_at_discharge="N"),
        client("3", discharge_date="2026-06-01"),
        client("4", discharge_date="2026-09-01", in_work_at_discharge="Y"),
        client("5", discharge_date="2026-06-01", status_at_start="in_work", in_work_at_discharge="Y"),
    ]
    found = counts(tmp_path, {"ips_episode": episodes, "ips_job": [job("2"), job("4"), job("5")]})
    assert pick(found, "discharged_out_of_work", "discharged_with_job") == (3, 1)
    assert pick(found, "discharged", "discharged_in_work", "discharged_unknown") == (4, 2, 1)
    assert pick(found, "episode_days", "episodes_ended") == (4 * 140, 4)  # 12 January to 1 June


@pytest.mark.parametrize(
    ("jobs", "same", "anywhere"),
    [
        ([{}], 1, 1),
        ([{"end_date": "2026-06-01"}], 1, 1),  # 2 March and 91 days: on 1 June the 13 weeks are complete
        ([{"end_date": "2026-05-31"}], 0, 1),  # ended on the last day of them
        ([{"end_date": "2026-05-18"}], 0, 1),  # 13 days without a job
        ([{"end_date": "2026-05-17"}], 0, 1),  # 14 days
        ([{"end_date": "2026-05-16"}], 0, 0),  # 15 days
        ([{"end_date": "2026-04-05"}, {"job_no": "2", "start_date": "2026-04-20"}], 0, 1),  # 14 days between two jobs
        ([{"end_date": "2026-04-05"}, {"job_no": "2", "start_date": "2026-04-21"}], 0, 0),
        ([{"end_date": "2026-04-05"}, {"job_no": "2", "start_date": "2026-04-12", "end_date": "2026-05-23"}], 0, 1),  # 6 and 8 days
        ([{"end_date": "2026-04-05"}, {"job_no": "2", "start_date": "2026-04-12", "end_date": "2026-05-22"}], 0, 0),
        ([{"end_date": "2026-04-05"}, {"job_no": "2", "start_date": "2026-03-16"}], 0, 1),  # the second began while the first went on
    ],
)
def test_sustained_for_13_weeks_in_both_variants(tmp_path: Path, jobs: list[dict[str, str]], same: int, anywhere: int) -> None:
    found = counts(tmp_path, {"ips_episode": [client("1")], "ips_job": [job("1", **changed) for changed in jobs]})
    assert pick(found, "mature_13", "same_job_13", "any_job_13") == (1, same, anywhere)


def test_only_mature_jobs_are_asked_whether_they_lasted(tmp_path: Path) -> None:
    episodes = [client("1"), client("2"), client("3")]
    jobs = [job("1", start_date="2026-06-01"), job("2", start_date="2026-06-02"), job("3", start_date="2025-09-01")]
    jobs = [{**row, "first_four_hours_date": row["start_date"]} for row in jobs]
    assert pick(counts(tmp_path, {"ips_episode": episodes, "ips_job": jobs}), "mature_13", "mature_26", "mature_52") == (2, 1, 1)


@pytest.mark.parametrize(
    ("skipped", "reached"),
    [
        ((), 1),
        ((3, 7, 11), 1),  # 13 of the first 16 weeks
        ((3, 7, 11, 13), 0),  # 12 of 16, and no later week to make up
    ],
)
def test_thirteen_weeks_of_seven_hours_within_sixteen(tmp_path: Path, skipped: tuple[int, ...], reached: int) -> None:
    mondays = ["2026-03-02", "2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30", "2026-04-06", "2026-04-13", "2026-04-20"]
    mondays += ["2026-04-27", "2026-05-04", "2026-05-11", "2026-05-18", "2026-05-25", "2026-06-01", "2026-06-08", "2026-06-15"]
    hours = {day: "6.9" if number in skipped else "7" for number, day in enumerate(mondays, 1)}
    tables = {"ips_episode": [client("1"), client("2")], "ips_job": [job("1"), job("2")], "ips_job_week": weeks("1", hours)}
    assert pick(counts(tmp_path, tables), "threshold_due", "threshold_reached") == (1, reached)  # client 2 has no hours on record


def test_hours_of_several_jobs_add_up_and_unpaid_ones_do_not(tmp_path: Path) -> None:
    rows = weeks("1", {"2026-03-02": "4"})
    rows += [{**rows[0], "job_no": "2", "hours": "3"}, {**rows[0], "job_no": "3", "hours": "9", "paid": "N"}]
    with computed(tmp_path, {"ips_episode": [client("1")], "ips_job_week": rows}) as connection:
        assert connection.execute("SELECT hours FROM ips_job_week").fetchall() == [(7,)]


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([{"held_at_start": "Y", "start_date": "2020-01-01"}], (1, 1, 0)),
        ([{"held_at_start": "Y", "start_date": "2020-01-01", "end_date": "2026-04-20"}], (1, 0, 0)),  # 13 weeks after access: 16 April + 5 days
        ([{"held_at_start": "Y", "start_date": "2020-01-01", "end_date": "2026-04-10"}, {"job_no": "2", "start_date": "2026-04-13"}], (1, 1, 0)),
        ([], (1, 0, 1)),  # no job on record
    ],
)
def test_job_retention(tmp_path: Path, jobs: list[dict[str, str]], expected: tuple[int, int, int]) -> None:
    # Access on 20 January, so the day asked about is 21 April.
    row = client("1", status_at_start="in_work", agreed_date=None, first_contact_date=None)
    tables = {"ips_episode": [row], "ips_job": [job("1", **changed) for changed in jobs] or [job("9")]}
    assert pick(counts(tmp_path, tables), "retention_due", "retention_kept", "retention_no_job_recorded") == expected


def test_rapid_search_and_its_median(tmp_path: Path) -> None:
    episodes = [client(str(number)) for number in range(1, 4)] + [client("4", vocational_profile_date="2026-08-10")]
    contacts = [
        {"contact_id": "a", "episode_id": "1", "contact_date": "2026-02-19"},  # day 30
        {"contact_id": "b", "episode_id": "2", "contact_date": "2026-02-20"},  # day 31
        {"contact_id": "c", "episode_id": None, "contact_date": "2026-01-21"},  # for no client in particular
    ]
    tables = {"ips_episode": episodes, "ips_employer_contact": contacts}
    assert pick(counts(tmp_path, tables), "search_due", "search_within_30", "search_none_yet") == (3, 1, 1)
    with computed(tmp_path, tables) as connection:
        query = "SELECT unit, days, happened FROM ips_grow_time WHERE quantity = 't_ips_profile_to_employer' ORDER BY unit"
        assert connection.execute(query).fetchall() == [
            ("episode RAA 1", 30, True),
            ("episode RAA 2", 31, True),
            ("episode RAA 3", 223, False),
            ("episode RAA 4", 21, False),
        ]


def test_hours_pay_and_kind_of_job(tmp_path: Path) -> None:
    said = [("4.9", "12.20"), ("5", "12.21"), ("15.99", "13"), ("16", None), ("29.5", "11"), ("30", "12.21"), (None, "12.21")]
    jobs = [job(str(number), weekly_hours=hours, hourly_pay=pay, competitive="Y" if hours else "N") for number, (hours, pay) in enumerate(said)]
    episodes = [client(str(number), PersonBirthDate="1990-01-01") for number in range(len(said))]
    episodes[0]["PersonBirthDate"] = "2008-01-01"  # eighteen, with a lower minimum
    minimum = [
        {"valid_from": "2025-04-01", "lowest_age": "21", "pence_per_hour": "1221"},
        {"valid_from": "2025-04-01", "lowest_age": "18", "pence_per_hour": "1000"},
        {"valid_from": "2026-04-01", "lowest_age": "21", "pence_per_hour": "1271"},
    ]
    found = counts(tmp_path, {"ips_episode": episodes, "ips_job": jobs}, minimum_wage=minimum)
    assert pick(found, "hours_1_4", "hours_5_15", "hours_16_29", "hours_30", "hours_unknown") == (1, 2, 2, 1, 1)
    assert pick(found, "hours_16_or_more", "hours_known") == (3, 6)
    assert pick(found, "pay_known", "pay_comparable", "pay_at_minimum") == (6, 6, 5)
    assert pick(found, "competitive", "competitive_known") == (6, 7)


def test_diversity_of_employers_and_titles(tmp_path: Path) -> None:
    said = [("Shop", "Sales assistant"), ("Shop", "sales assistant "), ("Cafe", "Cook"), ("Shop", None), (None, "Driver")]
    tables = {
        "ips_episode": [client(str(number)) for number in range(5)],
        "ips_job": [job(str(number), employer_id=employer, job_title=title) for number, (employer, title) in enumerate(said)],
    }
    found = counts(tmp_path, tables)
    assert pick(found, "different_employers", "jobs_with_employer", "jobs_largest_employer") == (2, 4, 3)
    assert pick(found, "different_titles", "jobs_with_title", "jobs_largest_title") == (3, 4, 2)


def test_posts_count_pro_rata_and_with_the_benchmark_of_their_year(tmp_path: Path) -> None:
    posts = [
        POST,  # the whole year, long in post: 40
        {**POST, "specialist_id": "S2", "wte": "0.5", "from_date": "2026-03-02"},  # 183 days of a first year: 0.5 x 35 x 183 / 365
        {**POST, "specialist_id": "S3", "to_date": "2025-08-31"},  # left before the twelve months
        {**POST, "specialist_id": "S4", "role": "team_leader"},
        {**POST, "specialist_id": "S5", "to_date": "2026-02-28"},  # 181 days: 40 x 181 / 365
    ]
    found = counts(tmp_path, {"ips_episode": [client("1")], "ips_staff": posts})
    assert pick(found, "wte_hundredths", "wte_hundredth_days") == (150, 100 * 365 + 50 * 183 + 100 * 181)
    assert pick(found, "expected_hundredths") == (4000 + 877 + 1984,)
    assert pick(counts(tmp_path, {"ips_episode": [client("1")], "ips_staff": posts}, "by_specialist = 'RAA S2'"), "wte_hundredths") == (50,)


def test_funding_counts_by_the_days_in_the_twelve_months(tmp_path: Path) -> None:
    funding = [
        {"OrgIDProvider": "RAA", "period_start": "2025-09-01", "period_end": "2026-08-31", "amount": "1000.50", "borough": "East"},
        {"OrgIDProvider": "RAA", "period_start": "2026-08-01", "period_end": "2026-09-30", "amount": "61", "borough": "West"},  # 31 of 61 days
        {"OrgIDProvider": "RAA", "period_start": "2024-04-01", "period_end": "2025-03-31", "amount": "5"},
    ]
    tables = {"ips_episode": [client("1")], "ips_funding": funding}
    assert pick(counts(tmp_path, tables), "funding_pence") == (100_050 + 3_100,)
    assert pick(counts(tmp_path, tables, "by_borough = 'West'"), "funding_pence") == (3_100,)


@pytest.mark.parametrize(("last", "active"), [("2026-08-31", 1), ("2026-08-04", 1), ("2026-08-03", 0), (None, 0)])
def test_active_clients_were_in_contact_in_the_last_four_weeks(tmp_path: Path, last: str | None, active: int) -> None:
    assert pick(counts(tmp_path, {"ips_episode": [client("1", last_contact_date=last)]}), "caseload", "active") == (1, active)


def test_support_after_the_start_of_the_job(tmp_path: Path) -> None:
    episodes = [client("1", last_contact_date="2026-03-03"), client("2", last_contact_date="2026-03-02"), client("3", last_contact_date=None)]
    found = counts(tmp_path, {"ips_episode": episodes, "ips_job": [job("1"), job("2"), job("3")]})
    assert pick(found, "first_starts", "supported_after_start") == (3, 1)


def test_a_benchmark_counts_from_its_first_day_and_for_what_it_is_of(tmp_path: Path) -> None:
    """One post of 31 days in the first year of it: 31 / 365 of the accesses of a year, in hundredths."""
    tables = {"ips_episode": [client("1", referral_date="2026-01-06")], "ips_staff": [{**POST, "from_date": "2026-08-01"}]}
    later = [
        ("access_first_year", "2026-08-31", "36.5"),
        ("access_first_year", "2026-09-01", "73"),
        ("employment_rate", "2026-08-31", "0.35"),
        ("employment_rate", "2026-09-01", "0.50"),
        ("access_later_years", "2026-08-31", "80"),
    ]
    records = write(tmp_path / "records", tables)
    (tmp_path / "reference").mkdir()
    with computation.opened([], tmp_path / "reference", computation.variables(PERIOD, "Performance"), records=[records]) as inputs:
        inputs.connection.executemany("INSERT INTO ips_benchmark VALUES (?, CAST(? AS DATE), ?)", later)
        inputs.make(*computation.DERIVE, *computation.RECORDS, *computation.PLACEMENTS, "measures/ips_grow")
        query = "SELECT sum(n_ips_benchmark_hundredths), sum(n_ips_expected_hundredths) FROM ips_grow"
        assert inputs.connection.execute(query).fetchall() == [(35, 310)]


def trial(episode: str, arm: str, **changed: str | None) -> dict[str, str | None]:
    base = {"OrgIDProvider": "RAA", "status_at_start": "out_of_work", "arm": arm, "randomised_date": "2025-03-03"}
    return {"episode_id": episode, **base, **changed}


def test_a_trial_counts_everybody_in_the_arm_of_allocation(tmp_path: Path) -> None:
    episodes = [
        trial("1", "IPS", referral_date="2025-03-03", accepted_date="2025-03-10"),
        trial("2", "IPS"),  # never took it up: still in the arm
        trial("3", "usual"),
        trial("4", "usual", lost_date="2025-12-01"),  # lost within the year
        trial("5", "usual", lost_date="2026-03-02"),  # known to the last day of the year
        trial("6", "usual", randomised_date="2025-09-01"),  # the year has not passed
    ]
    jobs = [
        job("1", start_date="2025-06-02", end_date="2025-08-31"),  # 91 days
        job("3", start_date="2025-06-02", end_date="2025-08-30"),  # 90 days
        job("4", start_date="2025-03-10"),
        job("5", start_date="2025-01-01", held_at_start="Y"),
    ]
    tables = {"ips_episode": episodes, "ips_job": jobs}
    found = {arm: counts(tmp_path, tables, f"by_arm = '{arm}'", family="trial") for arm in ("IPS", "usual")}
    assert found["IPS"] == {"n_trial_allocated": 2, "n_trial_due": 2, "n_trial_followed": 2, "n_trial_employed_13": 1}
    assert found["usual"] == {"n_trial_allocated": 4, "n_trial_due": 3, "n_trial_lost": 1, "n_trial_followed": 2, "n_trial_employed_13": 1}
    assert pick(counts(tmp_path, tables), "first_starts", "referrals") == (0, 0)  # started before the twelve months; a control is no client


def test_a_trial_by_condition(tmp_path: Path) -> None:
    episodes = [
        trial("1", "IPS", health_condition="mental"),
        trial("2", "IPS", health_condition="physical"),
        trial("3", "IPS", health_condition="both"),
        trial("4", "IPS"),
        trial("5", "usual", health_condition="physical"),
    ]
    tables = {"ips_episode": episodes, "ips_job": [job("2", start_date="2025-06-02")]}
    found = {
        level: counts(tmp_path, tables, f"by_arm_condition = 'IPS; {level}'", family="trial") for level in ("Physical ill health", "Both", "Unknown")
    }
    assert [(row["n_trial_allocated"], row.get("n_trial_employed_13", 0)) for row in found.values()] == [(1, 1), (1, 0), (1, 0)]


#: Measures of arms: a difference and a ratio of one proportion, a difference of another that lacks its input, and what has to do with neither.
COMPARISON_TABLES = """
    CREATE TABLE measure AS FROM (VALUES
        ('Share', 'trial', 'proportion', 'n_a'), ('Difference', 'trial', 'difference', 'n_a'), ('Ratio', 'trial', 'ratio', 'n_a'),
        ('Other share', 'trial', 'proportion', 'n_b'), ('Other difference', 'trial', 'difference', 'n_b'), ('Mean', 'trial', 'mean', 'n_a'),
        ('Share elsewhere', 'ips_grow', 'proportion', 'n_a'), ('Difference elsewhere', 'ips_grow', 'difference', 'n_a')
    ) AS measure(measure_id, family, kind, numerator);
    CREATE TABLE measure_breakdown AS FROM (VALUES
        ('Difference', 'by_arm_pair', true), ('Ratio', 'by_arm_pair', true), ('Other difference', 'by_arm_pair', false),
        ('Share', 'by_arm', true), ('Difference elsewhere', 'by_arm_pair', true)
    ) AS measure_breakdown(measure_id, breakdown, evaluated);
    CREATE TABLE counted (
        variant VARCHAR, measure_id VARCHAR, period_start DATE, period_end DATE, breakdown VARCHAR, level VARCHAR, numerator BIGINT,
        denominator BIGINT, disclosure VARCHAR
    );
    CREATE TABLE local_count AS FROM counted;
"""
#: What is counted of an arm unless a case says otherwise.
ARM = {"variant": "unsuppressed", "measure_id": "Share", "start": "2025-09-01", "end": "2026-08-31", "breakdown": "by_arm", "disclosure": "exact"}


def compared(*arms: tuple[str, int | None, int | None, Mapping[str, str]], level: str | None = "1 against 2") -> dict[str, tuple[Any, ...]]:
    """Arms as (name, numerator, denominator, what differs of ARM); gives value, interval and disclosure by measure, and no row twice."""
    with duck.session() as connection:
        connection.execute(COMPARISON_TABLES)
        for name, numerator, denominator, changed in arms:
            row = {**ARM, **changed}
            table = "local_count" if row["variant"] == "local" else "counted"
            values = [row["variant"], row["measure_id"], row["start"], row["end"], row["breakdown"], name, numerator, denominator, row["disclosure"]]
            connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        steps.run(connection, ["measures/trial_comparison"], {})
        query = "SELECT measure_id, value, lower, upper, disclosure FROM trial_comparison WHERE level = ? OR ? IS NULL"
        found = connection.execute(query, [level, level]).fetchall()
        assert len(found) == len({row[0] for row in found})
        return {measure: tuple(values) for measure, *values in found}


@pytest.mark.parametrize(
    ("one", "other", "difference", "ratio"),
    [
        # With 56, 9, 6, 5, 0 and 10 in the first arm these are the examples of Newcombe (1998, table II, method 10), to two places more.
        ((56, 70), (48, 80), (0.2, 0.052431, 0.333873), (1.333333, 1.076626, 1.651249)),
        ((48, 80), (56, 70), (-0.2, -0.333873, -0.052431), (0.75, 0.605602, 0.928827)),
        ((9, 10), (3, 10), (0.6, 0.170523, 0.809018), (3.0, 1.138350, 7.906178)),
        ((6, 7), (2, 7), (0.571429, 0.058228, 0.806250), (3.0, 0.894846, 10.057598)),
        ((2, 7), (6, 7), (-0.571429, -0.806250, -0.058228), (0.333333, 0.099427, 1.117511)),
        ((1, 10), (5, 10), (-0.4, -0.675912, 0.002356), (0.2, 0.028173, 1.419814)),
        ((5, 10), (1, 10), (0.4, -0.002356, 0.675912), (5.0, 0.704317, 35.495357)),
        # Nobody or everybody: a difference, and no ratio where either has nobody.
        ((5, 56), (0, 29), (0.089286, -0.038137, 0.192560), None),
        ((0, 29), (5, 56), (-0.089286, -0.192560, 0.038137), None),
        ((0, 10), (0, 20), (0.0, -0.161125, 0.277533), None),
        ((10, 10), (0, 20), (1.0, 0.679086, 1.0), None),
        ((10, 10), (10, 10), (0.0, -0.277533, 0.277533), (1.0, 1.0, 1.0)),
        # One person in an arm; none, and what cannot be a share, are compared with nothing.
        ((1, 1), (1, 3), (0.666667, -0.249986, 0.938508), (3.0, 0.605506, 14.863614)),
        ((0, 0), (1, 3), None, None),
        ((1, 3), (0, 0), None, None),
        ((3, 2), (1, 3), None, None),
    ],
)
def test_comparison_of_arms(one: tuple[int, int], other: tuple[int, int], difference: tuple[float, ...], ratio: tuple[float, ...]) -> None:
    expected = {name: (*values, "exact") for name, values in (("Difference", difference), ("Ratio", ratio)) if values}
    assert compared(("1", *one, {}), ("2", *other, {})) == expected


def local(arm: str, numerator: int | None, denominator: int | None, disclosure: str, **changed: str) -> tuple[Any, ...]:
    return arm, numerator, denominator, {"variant": "local", "disclosure": disclosure, **changed}


@pytest.mark.parametrize(
    ("arms", "difference", "ratio"),
    [
        (
            [local("1", 20, 50, "rounded"), local("2", 10, 50, "rounded")],
            (0.2, 0.020134, 0.363592, "rounded"),
            (2.0, 1.044043, 3.831260, "rounded"),
        ),
        ([local("1", 20, 50, "rounded"), local("2", None, 50, "suppressed")], *[(None, None, None, "suppressed")] * 2),
        ([local("1", None, 50, "suppressed"), local("2", None, None, "secondary")], *[(None, None, None, "suppressed")] * 2),
        ([local("1", None, 50, "secondary"), local("2", 10, 50, "rounded")], *[(None, None, None, "secondary")] * 2),
        # A hidden arm by itself, or with the other of another quantity, is compared with nothing.
        ([local("1", None, 50, "suppressed")], None, None),
        ([local("1", None, 50, "suppressed"), local("2", 10, 50, "rounded", measure_id="Other share")], None, None),
    ],
)
def test_a_local_comparison_shows_what_its_counts_do(arms: list[Any], difference: tuple[Any, ...], ratio: tuple[Any, ...]) -> None:
    expected = {name: values for name, values in (("Difference", difference), ("Ratio", ratio)) if values}
    assert compared(*arms, level="1 against 2" if expected else None) == expected


@pytest.mark.parametrize(
    ("says", "arms"),
    [
        ("another period start", [("1", 56, 70, {}), ("2", 48, 80, {"start": "2026-08-01"})]),
        ("another period end", [("1", 56, 70, {}), ("2", 48, 80, {"end": "2026-07-31"})]),
        ("exact against rounded", [("1", 56, 70, {}), local("2", 50, 80, "rounded")]),
        ("another quantity", [("1", 56, 70, {}), ("2", 48, 80, {"measure_id": "Other share"})]),
        ("a mean", [("1", 56, 70, {"measure_id": "Mean"}), ("2", 48, 80, {"measure_id": "Mean"})]),
        ("a share of another family", [("1", 56, 70, {"measure_id": "Share elsewhere"}), ("2", 48, 80, {"measure_id": "Share elsewhere"})]),
        ("a level of something else", [("1", 56, 70, {"breakdown": "by_provider"}), ("2", 48, 80, {"breakdown": "by_provider"})]),
        ("an arm with itself", [("1", 56, 70, {})]),
        ("what lacks its input", [("1", 56, 70, {"measure_id": "Other share"}), ("2", 48, 80, {"measure_id": "Other share"})]),
    ],
)
def test_only_arms_of_one_quantity_and_period_are_compared(says: str, arms: list[Any]) -> None:
    assert compared(*arms, level=None) == {}, says


def test_every_comparison_is_of_one_share_by_arm() -> None:
    known = [item for item in registry.load().measures if item.family == "trial"]
    for measure in (item for item in known if item.kind in ("difference", "ratio")):
        assert sum(item.kind == "proportion" and item.numerator == measure.numerator and "by_arm" in item.breakdowns for item in known) == 1
        assert measure.breakdowns.keys() == {"by_arm_pair"}


def test_rejected_rows_do_not_count(tmp_path: Path) -> None:
    folder = write(tmp_path / "given", {"ips_episode": [client("1"), client("2", accepted_date="2026-13-01")], "ips_job": [job("1"), job("2")]})
    verdict = record_rules.validate(folder, tmp_path / "judged")
    assert (verdict.rows_given, verdict.rows_rejected) == (4, 2)
    assert (tmp_path / "judged" / "rejected_rows.csv").read_text().split() == ["table,row", "ips_episode,2", "ips_job,2"]
