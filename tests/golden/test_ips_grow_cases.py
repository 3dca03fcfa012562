"""Cases of local IPS records, one line each in ips_grow_cases.yaml, through the real SQL: every quantity of each, and no other."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ips_pipeline.measures import computation
from ips_pipeline.store import duck, folders

CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("ips_grow_cases.yaml").read_text(encoding="utf-8"))
PERIOD = "2026-08"

#: What a client, a job, a week of hours, a contact with an employer and a post are unless a case says otherwise.
USUAL: Mapping[str, Mapping[str, str]] = {
    "ips_episode": {
        "status_at_start": "out_of_work",
        "referral_date": "2026-01-05",
        "accepted_date": "2026-01-12",
        "agreed_date": "2026-01-12",
        "first_contact_date": "2026-01-15",
        "vocational_profile_date": "2026-01-20",
        "last_contact_date": "2026-08-20",
    },
    "ips_job": {"start_date": "2026-03-02"},
    "ips_job_week": {"job_no": "1"},
    "ips_employer_contact": {"mode": "face_to_face"},
    "ips_staff": {"role": "specialist", "wte": "1", "from_date": "2020-01-01"},
}
#: What most clients count, without n_ips_.
ORDINARY: Mapping[str, int] = {
    "referrals": 1,
    "access": 1,
    "access_out_of_work": 1,
    "access_out_of_work_hundredths": 100,
    "benchmark_hundredths": 40,
    "profiles_open": 1,
    "profiles": 1,
    "caseload": 1,
    "active": 1,
    "cohort_6": 1,
    "search_due": 1,
    "search_none_yet": 1,
}
#: Legal minimum: from, lowest age, pence.
MINIMUM = (("2025-04-01", 21, 1221), ("2025-04-01", 18, 1000), ("2026-04-01", 21, 1271), ("2026-04-01", 18, 1085), ("2026-10-01", 18, 1))


def rows(case: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str | None]]]:
    """(table, row) of a case. Clients are numbered from 1; what belongs to the first of them need not say so."""
    number = case.get("as", case["case"])

    def row(table: str, **columns: Any) -> tuple[str, dict[str, str | None]]:
        if "client" in columns:
            client = columns.pop("client")
            columns["episode_id"] = client and f"{number}-{client}"
        if table in ("ips_staff", "ips_employer_contact") and "specialist_id" in columns:
            columns["specialist_id"] = f"{number}{columns['specialist_id']}"
        provider = {"OrgIDProvider": f"K{case['case']}"} if table in ("ips_episode", "ips_staff", "ips_funding") else {}
        return table, {**provider, **USUAL.get(table, {}), **columns}

    for position, client in enumerate(case.get("clients", [{}]), 1):
        yield row("ips_episode", **{"client": position, **client})
    for position, job in enumerate(case.get("jobs", []), 1):
        start = date.fromisoformat(job.get("start_date", USUAL["ips_job"]["start_date"]))
        yield row("ips_job", **{"client": 1, "job_no": str(position), "first_four_hours_date": str(start + timedelta(days=1)), **job})
    for first, count, hours, *more in case.get("weeks", []):
        for week in range(count):
            day = date.fromisoformat(first) + timedelta(weeks=week)
            yield row("ips_job_week", **{"client": 1, "week_start": str(day), "hours": str(hours), **(more[0] if more else {})})
    for position, contact in enumerate(case.get("contacts", []), 1):
        yield row("ips_employer_contact", **{"client": 1, "contact_id": f"{case['case']}-{position}", **contact})
    for table, name in (("ips_staff", "posts"), ("ips_funding", "funding"), ("ips_target", "targets")):
        for given in case.get(name, []):
            yield row(table, **given)


def write(root: Path, world: Any, cases: list[dict[str, Any]]) -> list[Path]:
    """Write the records of the cases, their submissions and the reference; gives the folders of records."""
    held: dict[tuple[str, str], list[dict[str, str | None]]] = {}
    for case in cases:
        for table, row in rows(case):
            held.setdefault((f"records {case.get('folder', 1)}", table), []).append(row)
        for number, (referral, day) in enumerate(case.get("mhsds", [])):
            provider = f"K{case['case']}"
            world.add(provider, PERIOD, "MHS101Referral", {"ServiceRequestID": referral, "CareProfTeamLocalID": "IPS"})
            contact = {"CareContactID": f"C{number}", "ServiceRequestID": referral, "CareContDate": day, "AttendStatus": "5", "ConsMechanismMH": "01"}
            world.add(provider, PERIOD, "MHS201CareContact", contact)
    world.write(root)
    lines = [",".join(map(str, line)) for line in (("valid_from", "lowest_age", "pence_per_hour"), *MINIMUM)]
    (root / "reference" / "minimum_wage.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for (folder, table), given in held.items():
        (root / folder).mkdir(exist_ok=True)
        with (root / folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(dict.fromkeys(column for row in given for column in row)))
            writer.writeheader()
            writer.writerows(given)
    return sorted({root / folder for folder, _ in held})


#: What a case may look at: table -> the provider of a row, as SQL.
TABLES: Mapping[str, str] = {
    "ips_episode": "OrgIDProvider",
    "ips_job": "OrgIDProvider",
    "ips_first_job": "OrgIDProvider",
    "ips_job_week": "split_part(UniqEpisodeID, ' ', 1)",
    "ips_funding": "OrgIDProvider",
    "ips_target": "org_code",
    "ips_grow": "by_provider",
    "trial": "by_provider",
}
#: The same for what has a query of its own, which gives the provider first.
QUERIES: Mapping[str, str] = {
    "reasons": "SELECT by_provider, reason FROM ips_grow WHERE unit LIKE 'episode %' ORDER BY ALL",
    "reasons_trial": "SELECT by_provider, reason FROM trial ORDER BY ALL",
    "times": "SELECT by_provider, CAST(right(unit, 1) AS INTEGER), substr(quantity, 7), days, happened FROM ips_grow_time ORDER BY ALL",
    "covered": "SELECT split_part(UniqEpisodeID, ' ', 1), CAST(right(UniqEpisodeID, 1) AS INTEGER), purpose, covered_days FROM ips_covered"
    " ORDER BY ALL",
    "hours": "SELECT split_part(UniqEpisodeID, ' ', 1), CAST(right(UniqEpisodeID, 1) AS INTEGER), CAST(first_week AS VARCHAR),"
    " CAST(reached_on AS VARCHAR) FROM ips_threshold ORDER BY ALL",
    "largest": "SELECT by_provider, split_part(by_specialist, ' ', 2), CAST(sum(n_ips_jobs_largest_employer) AS INTEGER),"
    " CAST(sum(n_ips_jobs_largest_title) AS INTEGER) FROM ips_grow WHERE unit LIKE 'job %' GROUP BY ALL ORDER BY ALL",
    "teams": "SELECT by_provider, split_part(by_ips_team, ' ', 2), CAST(sum(n_ips_employer_contacts) AS INTEGER) FROM ips_grow"
    " WHERE unit LIKE 'contact %' GROUP BY ALL ORDER BY ALL",
}


class Found:
    """What was made of the cases of one period, by provider."""

    def __init__(self, connection: duck.Connection) -> None:
        self.counts: dict[str | None, Counter[str]] = {}
        for family, prefix in (("ips_grow", "n_ips_"), ("trial", "n_")):
            query = connection.execute(f"SELECT by_provider, sum(COLUMNS('^n_')) FROM {family} GROUP BY by_provider")
            names = [column[0].removeprefix(prefix) for column in query.description or ()]
            for provider, *values in query.fetchall():
                self.counts.setdefault(provider, Counter()).update(dict(zip(names[1:], (int(value or 0) for value in values), strict=True)))
        #: Rows that belong to no client, and spans of which the days in work and the others are not all the days.
        self.stray = [
            connection.execute(f"SELECT count(*) FROM {query}").fetchone()
            for query in (
                "ips_job WHERE UniqEpisodeID IS NULL",
                "ips_job_week WHERE UniqEpisodeID IS NULL",
                "ips_grow WHERE unit IS NULL",
                "ips_covered WHERE covered_days + gap_days <> last_day - first_day + 1",
            )
        ]
        self.told: dict[tuple[str, str], list[list[Any]]] = {}
        for name, text in QUERIES.items():
            for provider, *values in connection.execute(text).fetchall():
                self.told.setdefault((name, provider), []).append(values)
        columns = {(table, column) for case in CASES for table, column, _ in case.get("rows", [])}
        for table, column in sorted(columns):
            filled = f"WHERE {column} IS NOT NULL" if table == "ips_grow" else ""
            query = connection.execute(f"SELECT {TABLES[table]}, CAST({column} AS VARCHAR) FROM {table} {filled}")
            for provider, value in query.fetchall():
                self.told.setdefault((f"{table}.{column}", provider), []).append([value])


def expected(case: Mapping[str, Any]) -> dict[str, int]:
    """Every quantity of the case that is not nothing."""
    clients = len(case.get("clients", [{}]))
    amounts = {**{name: amount * clients for name, amount in ORDINARY.items()}, **case.get("counts", {})}
    return {name: amount for name, amount in amounts.items() if amount}


@pytest.fixture(scope="module")
def found(new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    made: dict[str, Found] = {}
    for period in dict.fromkeys(case.get("period", PERIOD) for case in CASES):
        root = tmp_path_factory.mktemp(f"records-{period}")
        records = write(root, new_world(), [case for case in CASES if case.get("period", PERIOD) == period])
        submissions = folders.discover(root / "submissions") if (root / "submissions").is_dir() else []
        declared = computation.variables(period, "Performance")
        with computation.opened(submissions, root / "reference", declared, records=records) as inputs:
            grown = ("measures/ips_grow", "measures/ips_grow_time", "measures/trial")
            inputs.make(*computation.DERIVE, *computation.RECORDS, *computation.PLACEMENTS, *grown)
            made[period] = Found(inputs.connection)
    return made


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['case']} {case['says']}")
def test_case(case: dict[str, Any], found: dict[str, Found]) -> None:
    of_period, provider = found[case.get("period", PERIOD)], f"K{case['case']}"
    counts = {name: amount for name, amount in of_period.counts.get(provider, Counter()).items() if amount}
    assert counts == expected(case)
    for name in QUERIES.keys() & case.keys():
        told = [value if len(value) > 1 else value[0] for value in of_period.told.get((name, provider), [])]
        assert (name, told) == (name, case[name])
    for table, column, values in case.get("rows", []):
        told = [value for (value,) in of_period.told.get((f"{table}.{column}", provider), [])]
        assert (column, sorted(told, key=str)) == (column, sorted(values, key=str))


def test_nothing_else_is_counted(found: dict[str, Found]) -> None:
    for period, made in found.items():
        assert made.counts.keys() <= {f"K{case['case']}" for case in CASES if case.get("period", PERIOD) == period}
        assert made.stray == [(0,)] * len(made.stray)
