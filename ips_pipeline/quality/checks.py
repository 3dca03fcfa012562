"""Checks beyond the portal: our own of what IPS measures lose (IPS-nnn), and a trust's own (LOCAL-nnn).

They run after the official judgement, over the rows as sent, and never change it: nothing is rejected by them. IPS-nnn are
written in ``sql/checks.yaml`` (what, why, how to mend, examples) and ``sql/checks/ips_nnn.sql`` (one SELECT each). LOCAL-nnn
are YAML files of the trust that name a rule kind and its arguments; see ``expectations/local/README.md``.

Each SELECT gives ``submission``, ``file`` (the submission itself, or an earlier month's, that holds the row), ``table_name`` and
``row`` (0 for the file). It reads the tables as sent, of the submissions in hand and of the months before them alike, and what
the national derivations in ``sql/derive`` make of both; ``current_submission`` and ``earlier_submission`` tell them apart.
"""

from __future__ import annotations

import calendar
import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds.standard import Rule, load, month_id, month_of
from ips_pipeline.quality.findings import Portal
from ips_pipeline.quality.kinds import KINDS, Judged
from ips_pipeline.store import folders, steps
from ips_pipeline.store.duck import Connection, create_table, identifier, text_literal
from ips_pipeline.store.groups import load_groups

#: Months before its own that a submission is compared with.
HISTORY_MONTHS = 12

#: Where a provider's earlier months lie: (ODS code, yyyy-mm) -> submission folder.
History = Mapping[tuple[str, str], Path]

#: What the checks read: table -> elements.
ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "MHS000Header": ("OrgIDProvider", "ReportingPeriodStartDate", "DateTimeDatSetCreate"),
    "MHS001MPI": ("LocalPatientID", "NHSNumber", "Postcode"),
    "MHS002GP": ("LocalPatientID", "GMPReg", "EndDateGMPRegistration"),
    "MHS004EmpStatus": (
        "LocalPatientID",
        "EmployStatus",
        "EmployStatusStartDate",
        "EmployStatusEndDate",
        "EmployStatusRecDate",
        "WeekHoursWorked",
    ),
    "MHS101Referral": (
        "ServiceRequestID",
        "LocalPatientID",
        "CareProfTeamLocalID",
        "ReferralRequestReceivedDate",
        "SourceOfReferralMH",
        "PrimReasonReferralMH",
        "ServDischDate",
    ),
    "MHS102OtherServiceType": ("ServiceRequestID", "OtherCareProfTeamLocalID", "ReferClosureDate", "ReferRejectionDate"),
    "MHS201CareContact": (
        "CareContactID",
        "ServiceRequestID",
        "CareContDate",
        "OtherCareProfTeamLocalID",
        "ConsMechanismMH",
        "AttendStatus",
        "ActLocTypeCode",
    ),
    "MHS202CareActivity": ("CareContactID", "Procedure"),
    "MHS902ServiceTeamDetails": ("CareProfTeamLocalID", "ServTeamTypeMH"),
}

#: The national derivations that say what is IPS, and what the checks share; run in this order before them.
DERIVE = (
    "derive/submission",
    "derive/ips_team",
    "derive/ips_team_referral",
    "derive/ips_written",
    "derive/ips_procedure",
    "derive/near_referral",
    "derive/near_contact",
    "derive/ips_contact",
    "derive/ips_referral",
)
SHARED = (
    "checks/person",
    "checks/current_referral",
    "checks/earlier_referral",
    "checks/known_employment",
    "checks/ips_mention",
    "checks/lost_team",
    "checks/month_volume",
    "checks/unusual_volume",
)

#: Reference files that a check may need, with what must be in them.
_REFERENCE: Mapping[str, tuple[str, ...]] = {
    "postcodes": ("Postcode", "LADistrictAuth"),
    "gp_practices": ("GMPReg", "SubICB"),
    "geography": ("SubICB",),
}
LISTS = tuple(_REFERENCE)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of our own. It needs ``at_least`` of the ``months`` before the submission's own, and the reference files in ``needs``."""

    code: str
    title: str
    table: str
    element: str
    endangers: tuple[str, ...]
    why: str
    mend: str
    months: int
    at_least: int
    needs: tuple[str, ...]
    good: tuple[Mapping[str, Any], ...]
    bad: tuple[Mapping[str, Any], ...]

    @property
    def step(self) -> str:
        """Its SQL file, as a step."""
        return f"checks/{self.code.lower().replace('-', '_')}"


@dataclass(frozen=True, slots=True)
class LocalCheck:
    """One check of a trust: a rule of the official kinds with the trust's own words. ``level`` is text; nothing is rejected."""

    rule: Rule
    file: Path
    level: str
    message: str
    why: str
    mend: str
    endangers: tuple[str, ...]

    @property
    def code(self) -> str:
        """LOCAL-nnn."""
        return self.rule.code


@dataclass(frozen=True, slots=True)
class Words:
    """What a report says of a check."""

    title: str
    why: str
    mend: str
    endangers: tuple[str, ...]
    level: str
    table: str
    element: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The checks of one submission: how often each that was evaluated found something, and why the others were not evaluated."""

    counts: Mapping[str, int]
    not_evaluated: Mapping[str, str]

    @property
    def found(self) -> int:
        """How many findings there are."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Registry:
    """Our own checks in order of code, the thresholds their SQL reads, and the clean month that their examples edit."""

    checks: tuple[Check, ...]
    thresholds: Mapping[str, int | date]
    example: Mapping[str, Sequence[Mapping[str, str | None]]]


@cache
def registry() -> Registry:
    """The checks that ship with the SQL."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = yaml.load((steps.root() / "checks.yaml").read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe loader either way
    return Registry(tuple(_check(item) for item in data["checks"]), data["thresholds"], data["example"])


def _check(item: Mapping[str, Any]) -> Check:
    history = item.get("history", {"months": 0, "at_least": 0})
    return Check(
        code=item["code"],
        title=item["title"],
        table=item["table"],
        element=item.get("element", ""),
        endangers=tuple(item["endangers"]),
        why=item["why"],
        mend=item["mend"],
        months=history["months"],
        at_least=history["at_least"],
        needs=tuple(item.get("needs", ())),
        good=tuple(item.get("good", ())),
        bad=tuple(item["bad"]),
    )


@cache
def fingerprint() -> str:
    """A hash of everything the checks' findings depend on beside the rows: the registry and the SQL."""
    digest = hashlib.sha256((steps.root() / "checks.yaml").read_bytes())
    for step in (*DERIVE, *SHARED, *(check.step for check in registry().checks)):
        digest.update(f"\0{step}\0{steps.text(step)}".encode())
    return digest.hexdigest()[:16]


def catalogue(local: Sequence[LocalCheck] = ()) -> dict[str, Words]:
    """Code -> what to say of it, for our own checks and the trust's, in order of code."""
    words = {
        check.code: Words(check.title, check.why, check.mend, check.endangers, "check", check.table, check.element) for check in registry().checks
    }
    for item in local:
        table = load().table(item.rule.table).name
        words[item.code] = Words(item.message, item.why, item.mend, item.endangers, item.level, table, item.rule.element or "")
    return words


def evaluate(
    connection: Connection,
    portals: Sequence[Portal],
    reference: Path,
    lists: Collection[str],
    history: History | None,
    local: Sequence[LocalCheck] = (),
) -> list[Outcome]:
    """Run every check over the submissions that ``findings.judge`` has judged on this connection; one outcome for each, in order.

    Creates ``check_finding`` (code, submission, table_name, row, month). ``lists`` are the look-up lists that were loaded.
    ``history`` are the provider's earlier months, taken as sent; without it the checks that need them are not evaluated. Raises
    InputError when an earlier month or a reference file cannot be read.
    """
    known = _months(connection)
    earlier = _earlier(known, history or {})
    before = sorted({folder for held in earlier.values() for folder in held.values()})
    tables = [load().table(name) for name in ELEMENTS]
    folders.load(connection, before, tables, elements=ELEMENTS, suffix=" before")
    connection.execute("CREATE SCHEMA checks")
    connection.execute("SET search_path = 'checks,main'")
    try:
        _relations(connection, len(portals), known, earlier, {folder: len(portals) + number for number, folder in enumerate(before, 1)})
        held = _reference(connection, reference)
        thresholds = {**registry().thresholds, "first_month_of_v6": load().first_month}
        steps.declare(connection, thresholds)
        steps.run(connection, (*DERIVE, *SHARED, *(check.step for check in registry().checks)), thresholds)
    finally:
        connection.execute("SET search_path = 'main'")
    out_of_reach = _local_not_evaluated(local, lists)
    skipped = [
        {**_not_evaluated(known.get(number), earlier.get(number, {}), held, history is not None), **out_of_reach}
        for number in range(1, len(portals) + 1)
    ]
    _collect(connection, skipped, [item for item in local if item.code not in out_of_reach])
    counts: dict[int, dict[str, int]] = {number: {} for number in range(1, len(portals) + 1)}
    for number, code, n in connection.execute("SELECT submission, code, count(*) FROM check_finding GROUP BY ALL").fetchall():
        counts[number][code] = n
    codes = [*(check.code for check in registry().checks), *(check.code for check in local)]
    return [
        Outcome({code: counts[number].get(code, 0) for code in codes if code not in reasons}, reasons) for number, reasons in enumerate(skipped, 1)
    ]


def write(connection: Connection, number: int, outcome: Outcome, target: Path) -> None:
    """Write ``checks.csv`` (code, table, row, month) and ``checks.json`` (counts, not_evaluated) of one submission; no value of a row.

    ``month`` is that of the file which holds the row, yyyy-mm; row 0 stands for the file.
    """
    path = target / "checks.csv"
    if outcome.found:
        connection.execute(
            f'COPY (SELECT code, table_name AS "table", row, month FROM check_finding WHERE submission = {number} ORDER BY ALL)'
            f" TO {text_literal(str(path.resolve()))} (FORMAT csv, HEADER true)"
        )
    else:
        path.write_text("code,table,row,month\n", encoding="ascii")
    content = {"counts": dict(outcome.counts), "not_evaluated": dict(outcome.not_evaluated)}
    (target / "checks.json").write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in ("checks.csv", "checks.json"):
        (target / name).chmod(0o600)


def _months(connection: Connection) -> dict[int, tuple[str, str]]:
    """Submission -> (provider, yyyy-mm), for those whose header or login says both."""
    rows = connection.execute('SELECT submission, "@portal_provider", "@portal_period_start" FROM context').fetchall()
    return {number: (provider, start[:7]) for number, provider, start in rows if provider and start and _is_month(start[:7])}


def _is_month(text: str) -> bool:
    return re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text) is not None


def _earlier(known: Mapping[int, tuple[str, str]], history: History) -> dict[int, dict[int, Path]]:
    """Submission -> how many months before -> the folder of that month, for those that are held."""
    found: dict[int, dict[int, Path]] = {}
    for number, (provider, month) in known.items():
        own = month_id(int(month[:4]), int(month[5:]))
        for before in range(1, HISTORY_MONTHS + 1):
            if folder := history.get((provider, _written(own - before))):
                found.setdefault(number, {})[before] = folder
    return found


def _written(month: int) -> str:
    return "{:04d}-{:02d}".format(*month_of(month))


def _relations(
    connection: Connection,
    submissions: int,
    known: Mapping[int, tuple[str, str]],
    earlier: Mapping[int, Mapping[int, Path]],
    numbers: Mapping[Path, int],
) -> None:
    """The relations the SQL starts from: the tables as sent, now and before, and which submission is which month of whom."""
    for name, elements in ELEMENTS.items():
        columns = ", ".join(("row", *(identifier(element) for element in elements)))
        connection.execute(
            f"CREATE TABLE {identifier(name)} AS SELECT submission, {columns} FROM main.{identifier(name)}"
            f" UNION ALL SELECT CAST(submission + {submissions} AS INTEGER), {columns} FROM main.{identifier(name + ' before')}"
        )
    months = dict(known)
    for number, held in earlier.items():
        provider, month = known[number]
        own = month_id(int(month[:4]), int(month[5:]))
        months.update({numbers[folder]: (provider, _written(own - before)) for before, folder in held.items()})
    _create(
        connection,
        "folder",
        {"submission": "INTEGER", "provider": "VARCHAR", "first_day": "DATE"},
        [(number, provider, f"{month}-01") for number, (provider, month) in months.items()],
    )
    _create(
        connection,
        "current_submission",
        {"submission": "INTEGER", "first_day": "DATE", "last_day": "DATE"},
        [(number, f"{month}-01", _last_day(month)) for number, (_, month) in known.items()],
    )
    _create(
        connection,
        "earlier_submission",
        {"submission": "INTEGER", "file": "INTEGER", "months_before": "INTEGER"},
        [(number, numbers[folder], before) for number, held in earlier.items() for before, folder in held.items()],
    )
    lists = {code_list for name, elements in ELEMENTS.items() for element in elements if (code_list := load().table(name).field(element).codes)}
    codes = [(name, code) for name in sorted(lists) for code in load().codes(name)]
    _create(connection, "national_code", {"list": "VARCHAR", "code": "VARCHAR"}, codes)
    load_groups(connection)


def _last_day(month: str) -> str:
    return f"{month}-{calendar.monthrange(int(month[:4]), int(month[5:]))[1]:02d}"


def _create(connection: Connection, name: str, columns: Mapping[str, str], rows: Sequence[tuple[object, ...]]) -> None:
    """A small table from values in memory, typed."""
    texts = {column: [str(row[position]) for row in rows] for position, column in enumerate(columns)}
    create_table(connection, f"{name} as text", texts)
    typed = ", ".join(f"CAST({identifier(column)} AS {kind}) AS {identifier(column)}" for column, kind in columns.items())
    connection.execute(f"CREATE TABLE {identifier(name)} AS SELECT {typed} FROM {identifier(f'{name} as text')}")


def _reference(connection: Connection, reference: Path) -> frozenset[str]:
    """``postcode_district`` (code, LADistrictAuth) and ``current_practice`` (GMPReg); gives the reference files that can be used."""
    held = {name for name, columns in _REFERENCE.items() if set(columns) <= set(_header(reference / f"{name}.csv"))}
    if "postcodes" in held:
        connection.execute("CREATE VIEW postcode_district AS SELECT code, LADistrictAuth FROM postcodes")
    else:
        connection.execute("CREATE TABLE postcode_district (code VARCHAR, LADistrictAuth VARCHAR)")
    if {"gp_practices", "geography"} <= held:
        practices, places = (
            f"read_csv({text_literal(str((reference / f'{name}.csv').resolve()))}, header = true, all_varchar = true)"
            for name in ("gp_practices", "geography")
        )
        connection.execute(
            f"CREATE TABLE current_practice AS SELECT DISTINCT GMPReg FROM {practices} SEMI JOIN {places} AS place USING (SubICB)"
            " WHERE GMPReg IS NOT NULL"
        )
    else:
        connection.execute("CREATE TABLE current_practice (GMPReg VARCHAR)")
    return frozenset(held)


def _header(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8-sig") as handle:
            return handle.readline().strip().split(",")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read; check its permissions and that it is CSV in UTF-8") from None


def _not_evaluated(known: tuple[str, str] | None, earlier: Mapping[int, Path], held: Collection[str], given: bool) -> dict[str, str]:
    """Code -> why one of our own checks cannot be evaluated for a submission."""
    reasons = {}
    for check in registry().checks:
        months = sum(before <= check.months for before in earlier)
        lacking = [name for name in check.needs if name not in held]
        if known is None:
            reasons[check.code] = "the header does not say whose file it is, or for which month"
        elif lacking:
            reasons[check.code] = f"{lacking[0]}.csv with {' and '.join(_REFERENCE[lacking[0]])} is not in the reference folder"
        elif check.at_least and not given:
            reasons[check.code] = "no earlier months were given"
        elif months < check.at_least:
            wanted = "the month before" if check.months == 1 else f"{check.at_least} of the {check.months} months before"
            reasons[check.code] = f"needs {wanted}, and {'none' if months == 0 else f'only {months}'} of this provider is at hand"
    return reasons


def _local_not_evaluated(local: Sequence[LocalCheck], lists: Collection[str]) -> dict[str, str]:
    held = {*lists, "assessment_tools"}
    return {
        item.code: f"{needed}.csv is not in the reference folder"
        for item in local
        if (needed := KINDS[item.rule.kind].needs_list) and needed not in held
    }


def _collect(connection: Connection, skipped: Sequence[Mapping[str, str]], local: Sequence[LocalCheck]) -> None:
    """``check_finding`` from the tables of the checks, without what was not evaluated."""
    parts = [
        f"SELECT {text_literal(check.code)} AS code, submission, file, table_name, row FROM checks.{identifier(check.step.rpartition('/')[2])}"
        for check in registry().checks
    ]
    standard = load()
    filled = {name for (name,) in connection.execute("SELECT DISTINCT table_name FROM submitted").fetchall()}
    for item in local:
        table = standard.table(item.rule.table)
        if table.name not in filled:
            continue
        parts.append(
            f"SELECT {text_literal(item.code)} AS code, submission, submission AS file, {text_literal(table.name)} AS table_name, row"
            f" FROM {identifier(table.name + ' judged')} AS judged WHERE {KINDS[item.rule.kind].bad(item.rule, Judged(standard, table))}"
        )
    _create(
        connection,
        "check_skipped",
        {"submission": "INTEGER", "code": "VARCHAR"},
        [(number, code) for number, reasons in enumerate(skipped, 1) for code in reasons],
    )
    connection.execute(
        "CREATE TABLE check_finding AS SELECT DISTINCT found.code, found.submission, found.table_name, CAST(found.row AS BIGINT) AS row,"
        " coalesce(strftime(folder.first_day, '%Y-%m'), '') AS month"
        f" FROM ({' UNION ALL '.join(parts)}) AS found LEFT JOIN checks.folder AS folder ON folder.submission = found.file"
        " ANTI JOIN check_skipped ON check_skipped.submission = found.submission AND check_skipped.code = found.code"
    )
