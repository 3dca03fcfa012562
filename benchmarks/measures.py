"""How long the measures take, and how much memory, on made-up submissions of any size.

    python -m benchmarks.measures --people 500000
    python -m benchmarks.measures --people 36000 --months 13 --ips-percent 100 --dashboard
    python -m benchmarks.measures --people 36000 --months 13 --providers 40 --format csv --ips-percent 100

Every person is in every month with a demographics row, a GP registration and a referral; contacts, activities, teams and
employment follow from a hash of the person, the month and the seed, so a seed gives the same files everywhere. The
computation runs in a process of its own, and its wall time, processor time and largest resident memory are reported, and the pace of the
machine before it (see ``pace``).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ips_pipeline.measures import computation, compute
from ips_pipeline.store import duck, folders

LAST = (2026, 8)

#: One person of one month: h is a number from 0 to 9,999 that stays with the person, m one that changes each month.
PEOPLE = """
    SELECT
        person,
        hash(person, $seed) % 10000 AS h,
        hash(person, $month, $seed) % 10000 AS m,
        printf('P%08d', person) AS LocalPatientID,
        printf('R%08d', person) AS ServiceRequestID,
        hash(person, $seed, 'ips') % 100 < $ips_percent AS ips
    FROM range($first, $last) AS people(person)
"""

TABLES = {
    "MHS000Header": """
        SELECT '6.0' AS DatSetVer, $provider AS OrgIDProvider, $provider AS OrgIDSubmit, $month || '-01' AS ReportingPeriodStartDate,
            CAST(last_day(CAST($month || '-01' AS DATE)) AS VARCHAR) AS ReportingPeriodEndDate, $month || '-28T10:00:00' AS DateTimeDatSetCreate
    """,
    "MHS001MPI": """
        SELECT LocalPatientID, printf('999%07d', person) AS NHSNumber,
            CAST(DATE '1950-01-01' + CAST(h * 2 AS INTEGER) AS VARCHAR) AS PersonBirthDate,
            printf('ZZ%d %dAA', h // 10, h % 10) AS Postcode, CAST(1 + h % 2 AS VARCHAR) AS Gender,
            CASE WHEN h % 3 = 0 THEN CAST(1 + h % 4 AS VARCHAR) END AS GenderIDCode,
            substr('ABCDEFGHJKLMNPRSZ', CAST(1 + h % 17 AS BIGINT), 1) AS EthnicCategory
        FROM people
    """,
    "MHS002GP": """
        SELECT LocalPatientID, printf('A%05d', h % 6500) AS GMPReg, CAST(NULL AS VARCHAR) AS EndDateGMPRegistration FROM people
    """,
    "MHS004EmpStatus": """
        SELECT LocalPatientID, printf('%02d', 1 + h % 8) AS EmployStatus, $month || '-05' AS EmployStatusRecDate,
            CASE WHEN h % 8 = 0 THEN '02' END AS WeekHoursWorked, CASE WHEN h % 16 = 0 THEN '2024-01-01' END AS EmployStatusStartDate
        FROM people WHERE ips AND m % 2 = 0
    """,
    "MHS101Referral": """
        SELECT ServiceRequestID, LocalPatientID, CAST(DATE '2024-06-01' + CAST(h // 20 AS INTEGER) AS VARCHAR) AS ReferralRequestReceivedDate,
            CAST(NULL AS VARCHAR) AS ServDischDate, 'A1' AS SourceOfReferralMH, CASE WHEN ips THEN 'T-IPS' ELSE 'T-CMHT' END AS CareProfTeamLocalID
        FROM people
    """,
    "MHS102OtherServiceType": """
        SELECT ServiceRequestID, 'T-CRHT' AS OtherCareProfTeamLocalID FROM people WHERE m % 10 = 0
    """,
    "MHS201CareContact": """
        SELECT printf('C%08d%d', person, n) AS CareContactID, ServiceRequestID, printf('%s-%02d', $month, 1 + (m + n * 7) % 28) AS CareContDate,
            printf('%02d', 1 + m % 4) AS ConsMechanismMH, CASE WHEN m % 9 = 0 THEN '3' ELSE '5' END AS AttendStatus
        FROM people, range(0, 3) AS contact(n) WHERE n <= m % 3
    """,
    "MHS202CareActivity": """
        SELECT printf('A%08d%d', person, n) AS CareActID, printf('C%08d%d', person, n) AS CareContactID,
            CASE WHEN h % 200 = 0 THEN '772822000' WHEN h % 2 = 0 THEN '304891004:408730004=385658003' ELSE '228557008' END AS Procedure
        FROM people, range(0, 3) AS contact(n) WHERE n <= m % 3 AND m % 2 = 0
    """,
    "MHS902ServiceTeamDetails": """
        SELECT * FROM (VALUES ('T-IPS', 'D05'), ('T-CMHT', 'A06'), ('T-CRHT', 'A02')) AS team(CareProfTeamLocalID, ServTeamTypeMH)
    """,
}

REFERENCE = {
    "providers": "SELECT printf('R%02d', n) AS OrgIDProvider, printf('TRUST %02d', n) AS Name FROM range(0, 100) AS t(n)",
    "gp_practices": "SELECT printf('A%05d', n) AS GMPReg, printf('%03dS', n % 106) AS SubICB FROM range(0, 6500) AS t(n)",
    "postcodes": """
        SELECT printf('ZZ%d %dAA', n // 10, n % 10) AS Postcode, printf('E01%06d', n % 33755) AS LSOA2011,
            printf('E06%06d', n % 300) AS LADistrictAuth,
            printf('%03dS', n % 106) AS SubICB FROM range(0, 1700000) AS t(n)
    """,
    "geography": """
        SELECT printf('%03dS', n) AS SubICB, printf('SUB ICB %03d', n) AS SubICBName, printf('E38%06d', n) AS SubICB_ONS,
            printf('Q%02d', n % 42) AS ICB,
            printf('ICB %02d', n % 42) AS ICBName, printf('Y%d', n % 7) AS Region, printf('REGION %d', n % 7) AS RegionName FROM range(0, 106) AS t(n)
    """,
    "commissioner_code_changes": "SELECT '999X' AS OldSubICB, '000S' AS NewSubICB",
    "lsoa_imd2019": "SELECT printf('E01%06d', n) AS LSOA2011, 1 + n % 10 AS IMDDecile2019 FROM range(0, 33000) AS t(n)",
    "population_subicb": """
        SELECT printf('E38%06d', n) AS SubICB_ONS, g AS Gender, a AS Age, 3000 + (n * 7 + a) % 500 AS Population
        FROM range(0, 106) AS t(n), range(0, 91) AS ages(a), (VALUES ('M'), ('F')) AS genders(g)
    """,
    "population_lsoa": """
        SELECT printf('E01%06d', n) AS LSOA2011, g AS Gender, a AS Age, 5 + (n + a) % 9 AS Population
        FROM range(0, 33755) AS t(n), range(0, 91) AS ages(a), (VALUES ('M'), ('F')) AS genders(g)
    """,
    "census2021_ethnicity": """
        SELECT printf('E38%06d', n) AS SubICB_ONS, a AS Age, s AS Sex, e AS EthnicGroupCode, 10 + (n + a + e) % 40 AS Observation
        FROM range(0, 106) AS t(n), range(0, 101) AS ages(a), range(1, 3) AS sexes(s), range(1, 20) AS groups(e)
    """,
}


def months(count: int) -> list[str]:
    """The last ``count`` months up to LAST, as yyyy-mm, oldest first."""
    last = LAST[0] * 12 + LAST[1] - 1
    return [f"{number // 12}-{number % 12 + 1:02d}" for number in range(last - count + 1, last + 1)]


def generate(root: Path, *, people: int, providers: int, periods: list[str], file_format: str, ips_percent: int, seed: int) -> int:
    """Write the submissions and the reference folder under root; gives the bytes written."""
    options = "FORMAT csv, HEADER" if file_format == "csv" else "FORMAT parquet"
    size = -(-people // providers)
    with duck.session(write=[root], memory_limit="2GB") as connection:
        (root / "reference").mkdir(parents=True)
        for name, query in REFERENCE.items():
            connection.execute(f"COPY ({query}) TO {duck.text_literal(str((root / 'reference' / name).resolve()) + '.csv')} (FORMAT csv, HEADER)")
        for number in range(providers):
            for month in periods:
                folder = root / "submissions" / f"R{number:02d}" / month
                folder.mkdir(parents=True)
                values = {"seed": str(seed), "month": month, "provider": f"R{number:02d}"}
                numbers = {"ips_percent": ips_percent, "first": number * size, "last": min(people, (number + 1) * size)}
                connection.execute("CREATE OR REPLACE TABLE people AS " + _filled(PEOPLE, values, numbers))
                for table, query in TABLES.items():
                    path = (folder / f"{table}.{file_format}").resolve()
                    connection.execute(f"COPY ({_filled(query, values, numbers)}) TO {duck.text_literal(str(path))} ({options})")
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def _filled(query: str, values: dict[str, str], numbers: dict[str, int]) -> str:
    for name, value in values.items():
        query = query.replace(f"${name}", duck.text_literal(value))
    for name, number in numbers.items():
        query = query.replace(f"${name}", str(number))
    return query


def pace() -> float:
    """Seconds for ten million additions in plain Python: how fast the machine is at this moment, which the load of a virtual one does not show."""
    start = time.perf_counter()
    total = 0
    for number in range(10_000_000):
        total += number
    return round(time.perf_counter() - start, 2)


def dashboard(root: Path, period: str, out: Path) -> int:
    """The 54 measures of the dashboard and nothing else, from the files to ``dashboard.csv``; gives its rows."""
    declared = computation.variables(period, "Performance")
    submissions = folders.discover(root / "submissions", last=period)
    # The dashboard has no rates, so it reads no populations.
    populations = ("population_subicb", "population_lsoa", "census2021_ethnicity")
    with computation.opened(submissions, root / "reference", declared, write=[out], temporary=out / "tmp", left_out=populations) as inputs:
        # What our own measures alone read. The dashboard is the same whether contacts are narrowed down for them first or not.
        ours = {"derive/patient_level", "derive/near_referral", "derive/near_contact", "measures/dashboard_contact", "measures/dashboard_evidence"}
        inputs.connection.execute("CREATE VIEW near_contact AS FROM MHS201CareContact")
        made = [step for step in (*computation.DERIVE, *computation.DASHBOARD) if step not in ours]
        inputs.make(*made, "publish/dashboard_result", "publish/dashboard")
        return computation.copy(inputs.connection, "dashboard", out / "dashboard.csv", "FORMAT csv, HEADER")


def measure_once(root: Path, period: str, *options: str) -> dict[str, float]:
    """Run the computation in a new process; seconds of wall and processor time, and the largest resident memory in MB."""
    speed = pace()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=root) as out:
        command = [sys.executable, "-m", "benchmarks.measures", "--root", str(root), "--out", out, "--period", period, *options]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(printed)
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "rss_mb": result["rss_mb"],
        "pace_s": speed,
        **{name: value for name, value in result.items() if name != "rss_mb"},
    }


@contextmanager
def workspace(kept: Path | None) -> Iterator[Path]:
    """The folder to work in: the one to keep, or one that is removed afterwards."""
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the measures on made-up submissions")
    parser.add_argument("--people", type=int, default=500_000)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--providers", type=int, default=10)
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet", dest="file_format")
    parser.add_argument("--ips-percent", type=int, default=5, help="share of the people whose referral is with an IPS team")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="generate into this folder, or use what is there")
    parser.add_argument("--dashboard", action="store_true", help="only the 54 measures of the dashboard")
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--period", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.root is not None and given.dashboard:
        rows = dashboard(given.root, given.period, given.out)
        print(json.dumps({"rows": rows, "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
        return
    if given.root is not None:
        result = compute(
            folders.discover(given.root / "submissions"),
            given.root / "reference",
            given.period,
            "Performance",
            given.out,
            temporary=given.out / "tmp",
        )
        print(json.dumps({"mhs116": result["mhs116"], "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
        return
    periods = months(given.months)
    with workspace(given.keep) as root:
        if not (root / "submissions").exists():
            size = generate(
                root,
                people=given.people,
                providers=given.providers,
                periods=periods,
                file_format=given.file_format,
                ips_percent=given.ips_percent,
                seed=given.seed,
            )
            print(
                f"{given.people:,} people, {given.months} months, {given.providers} providers, {size / 1e6:,.0f} MB of {given.file_format}",
                flush=True,
            )
        runs = [measure_once(root, periods[-1], *(["--dashboard"] if given.dashboard else [])) for _ in range(given.repeat)]
    for run in runs:
        print(json.dumps(run))
    print(f"best of {len(runs)} on {os.cpu_count()} cores: {min(run['wall_s'] for run in runs)} s, {max(run['rss_mb'] for run in runs):,.0f} MB")


if __name__ == "__main__":
    main()
