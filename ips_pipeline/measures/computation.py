"""Compute the measures of a reporting period over all submissions, and write what is published."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from ips_pipeline.errors import InputError, IpsError, UsageError
from ips_pipeline.measures import reference as reference_data
from ips_pipeline.measures import registry, targets
from ips_pipeline.mhsds import standard
from ips_pipeline.store import completeness, duck, folders, steps

#: NHS England's rule, which local releases keep as well: counts below this are hidden, and the others rounded to this.
SMALLEST_SHOWN, ROUNDING_BASE = 5, 5

STATUSES = ("Provisional", "Performance", "Final", "Adhoc")

#: By whose rule a release is made: the local one, or as NHS England publishes.
Publisher = Literal["local", "published"]

#: The elements the measures read; everything else in a submission is left on disk.
ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "MHS000Header": ("OrgIDProvider", "ReportingPeriodStartDate", "DateTimeDatSetCreate"),
    "MHS001MPI": ("LocalPatientID", "NHSNumber", "PersonBirthDate", "Postcode", "Gender", "GenderIDCode", "EthnicCategory"),
    "MHS002GP": ("LocalPatientID", "GMPReg", "EndDateGMPRegistration"),
    "MHS004EmpStatus": (
        "LocalPatientID",
        "EmployStatus",
        "EmployStatusRecDate",
        "WeekHoursWorked",
        "EmployStatusStartDate",
        "EmployStatusEndDate",
    ),
    "MHS101Referral": (
        "ServiceRequestID",
        "LocalPatientID",
        "ReferralRequestReceivedDate",
        "SourceOfReferralMH",
        "ServDischDate",
        "CareProfTeamLocalID",
    ),
    "MHS102OtherServiceType": ("ServiceRequestID", "OtherCareProfTeamLocalID"),
    "MHS201CareContact": (
        "CareContactID",
        "ServiceRequestID",
        "CareContDate",
        "ConsMechanismMH",
        "AttendStatus",
        "OtherCareProfTeamLocalID",
        "ActLocTypeCode",
    ),
    "MHS202CareActivity": ("CareContactID", "Procedure"),
    "MHS501HospProvSpell": ("HospProvSpellID", "ServiceRequestID", "StartDateHospProvSpell", "DischDateHospProvSpell"),
    "MHS902ServiceTeamDetails": ("CareProfTeamLocalID", "ServTeamTypeMH"),
}

DERIVE = (
    "derive/submission",
    "derive/home",
    "derive/ips_team",
    "derive/ips_team_referral",
    "derive/ips_written",
    "derive/ips_procedure",
    "derive/near_referral",
    "derive/near_contact",
    "derive/ips_contact",
    "derive/ips_referral",
    "derive/ips_patient",
    "derive/gp_registration",
    "derive/patient_sub_icb",
    "derive/patient_level",
)
#: What the local IPS records become; without them the tables are empty and what needs them is not evaluated.
RECORDS = (
    "derive/ips_episode",
    "derive/ips_episode_level",
    "derive/ips_job",
    "derive/ips_job_week",
    "derive/ips_employer_contact",
    "derive/ips_staff",
    "derive/ips_target",
    "derive/ips_funding",
)
MHS116 = (
    "measures/mhs116_contact",
    "measures/mhs116",
    "measures/mhs116_sub_icb",
    "measures/mhs116_evidence",
    "measures/mhs116_count",
    "measures/population",
)
DASHBOARD = (
    "measures/dashboard_contact_count",
    "measures/dashboard_referral",
    "measures/dashboard_activity",
    "measures/dashboard_place",
    "measures/dashboard_access",
    "measures/dashboard_contact",
    "measures/dashboard_employment",
    "measures/dashboard_area",
    "measures/dashboard_row",
    "measures/dashboard_count",
    "measures/dashboard_quantity",
    "measures/dashboard_evidence",
)
#: IPS referrals over all months, what became of their people, and the whole caseload: what the families of outcomes share.
EPISODES = (
    "measures/episode_contact",
    "measures/referral_episode",
    "measures/person_record",
    "measures/employment_status",
    "measures/employment_episode",
    "measures/person_access",
    "measures/hospital_spell",
    "measures/pool",
    "measures/caseload_provider",
    "measures/caseload_person",
    "measures/data_quality_row",
)
#: What local IPS records say of jobs, clients and staff, before it is put together as evidence.
PLACEMENTS = (
    "measures/ips_first_job",
    "measures/ips_span",
    "measures/ips_covered",
    "measures/ips_threshold",
    "measures/ips_grow_episode",
    "measures/ips_grow_job",
    "measures/ips_grow_staff",
)
#: Evidence of our own measures, a table per family; ``publish/evidence`` puts them together.
FAMILIES = (
    "measures/data_quality_contact",
    "measures/data_quality",
    "measures/access_month",
    "measures/access_window",
    "measures/access_rolling",
    "measures/access_year",
    "measures/access_movement",
    "measures/access_sign",
    "measures/access_local",
    "measures/access_trace",
    "measures/access_reconciliation",
    "measures/access",
    "measures/dashboard_corrected",
    "measures/targets_standing",
    "measures/targets",
)
OUTCOMES = (
    "measures/employment",
    "measures/waits",
    "measures/waits_time",
    "measures/health_use",
    "measures/fairness",
    "measures/ips_grow",
    "measures/ips_grow_time",
    "measures/trial",
)
#: What becomes of our own evidence, before disclosure control.
RESULTS = (
    "publish/evidence",
    "publish/evidence_total",
    "publish/evidence_count",
    "publish/times",
    "publish/survival",
    "publish/evidence_result",
)
#: The two publications as NHS England makes them.
PUBLICATIONS = (
    "publish/level",
    "publish/result",
    "publish/disclosed",
    "publish/mhsds_raw",
    "publish/mhsds_final",
    "publish/dashboard_result",
    "publish/dashboard",
)
#: Everything countable, for disclosure control.
CELLS = (
    "publish/counted",
    "publish/measure_quantity",
    "publish/cell",
    "publish/cell_part",
)
#: What follows the decision which cells a local release hides.
DISCLOSE = (
    "publish/local_count",
    "publish/statistic",
    "measures/trial_comparison",
    "publish/broken",
    "publish/measure_value",
    "publish/released",
)

#: Read once and wide, or small: not worth keeping, so what reads them reads a view.
VIEWS = frozenset({"measures/dashboard_area", "measures/dashboard_row", "measures/dashboard_evidence", "publish/evidence", "publish/dashboard"})
#: Read for one family after the other, so that none carries the quantities of all: step -> its parameter.
MACROS = {"publish/evidence_total": "evidence_table"}

_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def compute(
    submissions: Sequence[Path],
    reference: Path,
    period: str,
    status: str,
    out: Path,
    *,
    records: Sequence[Path] = (),
    evidence: Path | None = None,
    release: Path | None = None,
    publisher: Publisher = "local",
    temporary: Path | None = None,
    memory_limit: str | None = None,
) -> dict[str, Any]:
    """Compute every measure for the reporting month ``period`` (yyyy-mm) and write its files, with exact small counts, into ``out``.

    What may be published goes into ``release``: ``measures.parquet`` and ``measures.csv`` with what disclosure control lets through, by the
    local rule or, where the ``publisher`` is "published" (a national body that publishes as NHS England does), by NHS England's for MHS116.

    ``submissions`` are submission folders ``<provider>/<yyyy-mm>``, taken as accepted; those after the period are ignored. ``records``
    are folders of accepted local IPS records, one per provider. ``status`` is one of STATUSES. Evidence rows name patients' records, so
    they are written only to ``evidence``, which lies in the restricted zone, as does ``temporary``. Returns counts and file names, and what
    could not be evaluated and why; no patient's value. Raises UsageError for a wrong period or status, InputError for inputs that cannot
    be read, and IpsError when a measure breaks an invariant.
    """
    if not _PERIOD.fullmatch(period):
        raise UsageError(f"The period {period} is not a month; write it as yyyy-mm")
    if status not in STATUSES:
        raise UsageError(f"The status {status} is not known; use one of {', '.join(STATUSES)}")
    chosen = [folder for folder in submissions if folder.name <= period]
    if not chosen:
        raise InputError(f"No submission folder is of {period} or before; check the folder and the period")
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    if evidence is not None:
        evidence.mkdir(parents=True, exist_ok=True, mode=0o700)
    if release is not None:
        release.mkdir(parents=True, exist_ok=True, mode=0o700)
    with opened(
        chosen,
        reference,
        variables(period, status, publisher),
        records=records,
        write=[folder for folder in (out, evidence, release) if folder],
        temporary=temporary,
        memory_limit=memory_limit,
    ) as inputs:
        connection = inputs.connection
        inputs.make(*DERIVE, *RECORDS, *MHS116, *DASHBOARD, *EPISODES)
        reference_data.hold_homes(connection, reference)
        completeness.prepare(connection, standard.load(), only="data_quality_row")
        inputs.make(completeness.STEP, *FAMILIES, *PLACEMENTS, *OUTCOMES, *RESULTS, *PUBLICATIONS, *CELLS)
        _disclose(connection)
        inputs.make(*DISCLOSE)
        hold_invariants(connection)
        files = _write(connection, period, status, out, evidence)
        if release is not None:
            _write_release(connection, release)
        return {
            "period": period,
            "status": status,
            "submissions": len(chosen),
            "mhs116": _count(connection, "SELECT count(*) FROM mhs116 WHERE counted"),
            "near_misses": _count(connection, "SELECT count(*) FROM mhs116 WHERE NOT counted"),
            "files": files,
            "not_evaluated": not_evaluated(inputs.held),
            # Without it nobody is known to live elsewhere, and the published measures then count everybody.
            "residence_tested": "postcodes" in inputs.held,
            "reference": reference_data.versions(reference),
        }


def _disclose(connection: duck.Connection) -> None:
    from ips_pipeline.measures import disclosure  # noqa: PLC0415 - it loads numpy and pyarrow, which nothing before it needs

    disclosure.apply(connection, disclosure.Rule(SMALLEST_SHOWN, ROUNDING_BASE))


@dataclass(frozen=True, slots=True)
class Inputs:
    """A connection that holds everything the steps read, the variables they read, and the names of the inputs that were there."""

    connection: duck.Connection
    held: frozenset[str]
    variables: Mapping[str, steps.Value]

    def make(self, *made: str) -> None:
        """Run steps, in order; see ``store.steps``."""
        steps.run(self.connection, made, self.variables, views=VIEWS, macros=MACROS)


@contextmanager
def opened(
    submissions: Sequence[Path],
    reference: Path,
    declared: Mapping[str, steps.Value],
    *,
    records: Sequence[Path] = (),
    write: Sequence[Path] = (),
    temporary: Path | None = None,
    memory_limit: str | None = None,
    left_out: Collection[str] = (),
) -> Iterator[Inputs]:
    """Open a connection with submission folders, reference data, targets, local IPS records and the registry, before the first step.

    ``declared`` is what ``variables`` gives; what is made may be written into the folders of ``write``. Reference files ``left_out`` count as
    absent, for who makes only steps that do not read them. Raises InputError for inputs that cannot be read.
    """
    roots = sorted({folder.resolve() for folder in submissions})
    with duck.session(
        read=[*roots, *records, reference, reference_data.STANDARD], write=write, temporary=temporary, memory_limit=memory_limit
    ) as connection:
        held = frozenset(reference_data.held(reference, left_out=left_out))
        # Reference data are few large files, which DuckDB reads while one thread of Python opens the many small ones of the submissions.
        with ThreadPoolExecutor(1) as beside:
            reference_files = beside.submit(reference_data.load, connection.cursor(), reference, left_out=left_out)
            _load_submissions(connection, submissions)
            held |= _load_records(connection, records) | _earlier_month(submissions, declared["period_start"]) | _hospital_stays(submissions)
            held |= targets.load(connection, reference, {item.id: item.basis for item in registry.load().measures if item.basis})
            reference_data.load_groups(connection)
            registry.as_tables(connection, held)
        reference_files.result()
        steps.declare(connection, declared)
        yield Inputs(connection, held, declared)


def window(period: str) -> tuple[date, date]:
    """The first and the last day of the twelve months that end with a reporting month (yyyy-mm)."""
    year, month = int(period[:4]), int(period[5:])
    first_year, first_month = standard.month_of(standard.month_id(year, month) - 11)
    return date(first_year, first_month, 1), date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)


def variables(period: str, status: str, publisher: str = "local") -> dict[str, steps.Value]:
    """The variables the SQL reads, for a reporting month, a status and by whose rule a release is made."""
    year, month = int(period[:4]), int(period[5:])
    last = standard.month_id(year, month)
    first_day, last_day = window(period)
    return {
        "first_month_of_v6": standard.load().first_month,
        "window_first_month": last - 11,
        "window_last_month": last,
        "dashboard_first_month": standard.month_id(2018, 4),
        "year_first_month": last - (month - 4) % 12,
        "period_start": first_day,
        "period_end": last_day,
        "year_start": date(year if month >= 4 else year - 1, 4, 1),
        "status": status,
        # The published code looks at referrals received since the data set took its present form.
        "earliest_referral": date(2016, 1, 1),
        "smallest_shown": SMALLEST_SHOWN,
        "rounding_base": ROUNDING_BASE,
        "publisher": publisher,
    }


def _hospital_stays(chosen: Sequence[Path]) -> frozenset[str]:
    """``hospital_stays`` when any provider sent them, without which nobody can be said to have had none."""
    return frozenset({"hospital_stays"} if any(next(folder.glob("MHS501HospProvSpell.*"), None) for folder in chosen) else ())


def _earlier_month(chosen: Sequence[Path], first_day: steps.Value) -> frozenset[str]:
    """``earlier_month`` when a month before the twelve is held, without which nobody can be said to have entered or left the count."""
    return frozenset({"earlier_month"} if any(f"{folder.name}-01" < str(first_day) for folder in chosen) else ())


def hold_invariants(connection: duck.Connection) -> None:
    """Raise IpsError when a measure breaks what must always hold; nothing is written then."""
    broken = connection.execute("SELECT invariant, measure_id, breakdown FROM broken").fetchall()
    if broken:
        invariant, measure, breakdown = broken[0]
        others = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise IpsError(
            f"The measure {measure} by {breakdown} does not keep an invariant ({invariant}){others}; nothing was written. "
            "It is a fault of the measure's SQL or of its registry entry: correct that and run again"
        )


def _load_submissions(connection: duck.Connection, chosen: Sequence[Path]) -> None:
    columns = {
        "submission": [str(number) for number in range(1, len(chosen) + 1)],
        "provider": [folder.parent.name for folder in chosen],
        "first_day": [f"{folder.name}-01" for folder in chosen],
    }
    duck.create_table(connection, "folder as text", columns)
    connection.execute(
        "CREATE TABLE folder AS SELECT CAST(submission AS INTEGER) AS submission, provider, CAST(first_day AS DATE) AS first_day"
        ' FROM "folder as text"'
    )
    current = standard.load()
    # What the completeness of fields looks at is read too.
    extra = completeness.elements()
    wanted = {name: tuple(dict.fromkeys((*read, *extra.get(name, ())))) for name, read in ELEMENTS.items()}
    folders.load(connection, chosen, [current.table(name) for name in wanted], elements=wanted)


def _load_records(connection: duck.Connection, records: Sequence[Path]) -> frozenset[str]:
    """Create ``<table> as recorded`` for every table of the local IPS records; gives the names of the tables that are held."""
    tables = tuple(standard.load(standard.LOCAL).tables.values())
    folders.load(connection, records, tables, suffix=" as recorded")
    benchmarks = standard.load(standard.LOCAL).code_rows("benchmark")
    duck.create_table(connection, "benchmark as text", {key: [row[key] for row in benchmarks] for key in ("code", "valid_from", "value")})
    connection.execute('CREATE TABLE ips_benchmark AS SELECT code, CAST(valid_from AS DATE) AS valid_from, value FROM "benchmark as text"')
    return frozenset(table.name for table in tables for folder in records if next(folder.glob(f"{table.name}.*"), None))


def _write(connection: duck.Connection, period: str, status: str, out: Path, evidence: Path | None) -> list[str]:
    """Write the publication files, the long table and the evidence; gives the file names under ``out``."""
    month = date.fromisoformat(f"{period}-01")
    short = status if status == "Final" else status[:4]
    stem = f"MHSDS Data_{_MONTHS[month.month - 1]}{short}_{month.year}"
    publication = out / "publication"
    publication.mkdir(exist_ok=True, mode=0o700)
    tables = {f"publication/{stem}_RAW_bbrb.csv": "mhsds_raw", f"publication/{stem}_bbrb.csv": "mhsds_final", "dashboard.csv": "dashboard"}
    for name, table in tables.items():
        copy(connection, table, out / name, "FORMAT csv, HEADER")
    copy(connection, "measure_value", out / "measures.parquet", "FORMAT parquet")
    if evidence is not None:
        copy(connection, "mhs116_evidence", evidence / "mhs116.parquet", "FORMAT parquet")
        copy(connection, "dashboard_evidence", evidence / "dashboard.parquet", "FORMAT parquet", order="ALL")
        for step in (*FAMILIES, *OUTCOMES):
            family = step.rpartition("/")[2]
            copy(connection, family, evidence / f"{family}.parquet", "FORMAT parquet", order="ALL")
    return sorted([*tables, "measures.parquet"])


def _write_release(connection: duck.Connection, release: Path) -> None:
    """Write what may be published, as Parquet and for spreadsheets."""
    copy(connection, "released", release / "measures.parquet", "FORMAT parquet")
    copy(connection, "released", release / "measures.csv", "FORMAT csv, HEADER")


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def copy(connection: duck.Connection, table: str, path: Path, options: str, *, order: str = "") -> int:
    """Write a table to a file of its owner only, and give its rows; ``options`` are those of COPY, ``order`` is for tables that have none."""
    sorted_by = f" ORDER BY {order}" if order else ""
    rows = _count(connection, f"COPY (FROM {duck.identifier(table)}{sorted_by}) TO {duck.text_literal(str(path.resolve()))} ({options})")
    path.chmod(0o600)
    return rows


def _count(connection: duck.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


_INPUTS = {
    "earlier_month": "a month before the twelve",
    "hospital_stays": "hospital stays (MHS501) in the submissions",
    **{
        f"target_{basis.replace(' ', '_')}": f"a target of {basis.replace(' rolling', ' in twelve months').replace(' ytd', ' in the year')}"
        for basis in get_args(registry.Basis)
    },
    "target_people_for_referrals": "a target of people for a count of referrals",
    "target_referrals_for_people": "a target of referrals for a count of people",
}


def not_evaluated(held: frozenset[str]) -> list[dict[str, Any]]:
    """What lacks an input: the measure, the breakdown and the inputs, as a person knows them."""
    known = registry.load()
    return [
        {"measure": measure.id, "breakdown": known.breakdowns[breakdown].name, "needs": [_INPUTS.get(name, f"{name}.csv") for name in sorted(absent)]}
        for measure in known.measures
        for breakdown in measure.breakdowns
        if (absent := known.absent(measure, breakdown, held))
    ]
