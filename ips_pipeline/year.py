"""A trust's year in one go: a made-up trust sends twelve months, with what goes wrong in a year, by the same stages as a real site.

``examples/a-year`` says who the trust is and what happens when. The days are made up as well: the clock of the year stands still but
for a minute from one record to the next, and is set on for each step, so that the ledger reads as if a year had passed.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from ips_pipeline import flows, returns, settings, worked_sites
from ips_pipeline.errors import SubmissionRejected, UsageError
from ips_pipeline.settings import Site
from ips_pipeline.sources import changes, madeup
from ips_pipeline.store import ledger, stages
from ips_pipeline.submission import access
from ips_pipeline.submission.calendar import standard_month

#: Who does what is not a decision: accounts named like what they are.
SCHEDULE, ANALYST, UPLOADER = "schedule", "information-analyst", "data-quality-officer"

_REPORTS = ("validations", "data_quality", "diagnostics", "aggregation")


@dataclass(frozen=True, slots=True)
class Late:
    """Contacts of a ``team`` in a month (``period``) that were written up late, and the month whose run finds them (``found``)."""

    period: str
    found: str
    team: str


@dataclass(frozen=True, slots=True)
class Year:
    """The months in order, the scenario of the made-up trust, and what happens beside the steps of every month."""

    months: tuple[str, ...]
    seed: int
    data: Mapping[str, Any]
    late: tuple[Late, ...]
    rejected: str
    reconciled: str


@dataclass(slots=True)
class Outcome:
    """What the year came to: the site, the ledger's lines, faults found in the ledger, and a month's reconciliation: its classes with counts."""

    site: Site
    compared: str
    entries: list[ledger.Entry] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    reconciled: dict[tuple[str, str], int] = field(default_factory=dict)
    without_access: str | None = None


def load() -> Year:
    """The year as ``examples/a-year`` describes it."""
    content = yaml.safe_load((_home() / "year.yaml").read_text(encoding="utf-8"))
    months = flows.months_between(content["data"]["first_month"], content["data"]["last_month"])
    late = tuple(Late(**item) for item in content["late"])
    return Year(tuple(months), content["seed"], content["data"], late, content["rejected"], content["reconciled"])


def run(year: Year, folder: Path, progress: flows.Progress = lambda line: None) -> Outcome:
    """Make the trust in ``folder`` and let its year pass. Raises UsageError for a folder that holds something already."""
    progress("Making up a trust, its people and its systems")
    site = _make(year, folder)
    told = Outcome(site, year.reconciled)
    clock = _Clock()
    trust = _Trust(site, year)
    for late in year.late:
        trust.hold_back(late)
    for month in year.months:
        progress(f"{month}  month {year.months.index(month) + 1} of {len(year.months)}")
        _month(site, year, month, trust, clock, told)
    told.entries = list(ledger.entries(site.ledger))
    told.faults = returns.verify_ledger(site)
    return told


def lines(entries: Sequence[ledger.Entry]) -> Iterator[str]:
    """The ledger as people read it: one line per entry, in words."""
    for entry in entries:
        about = " ".join(filter(None, (entry.provider, entry.period)))
        yield f"{entry.number:>4}  {entry.at[:10]} {entry.at[11:16]}  {about:<12} {entry.kind:<10} {entry.actor:<22} {_words(entry.facts)}".rstrip()


def _words(facts: Mapping[str, Any]) -> str:  # noqa: PLR0911 - one return per kind of line
    """Of a line's facts those that tell the story."""
    if "why" in facts:
        return f"why: {facts['why']}"
    if "codes" in facts:
        return f"as a file: {', '.join(facts['codes'])}"
    if "role" in facts:
        return f"as {facts['role']}; content {facts['content']}"
    if "closes" in facts:
        return f"content {facts['content']}; window closes {facts['closes']}{'; resubmission' if facts['resubmission'] else ''}"
    if "rows" in facts:
        return f"{facts['rows']:,} rows, {'with' if facts['access'] else 'without'} an Access file"
    if "rows_rejected" in facts:
        return f"{facts['rows_rejected']:,} rows rejected"
    if "kind" in facts:
        return str(facts["kind"])
    if "handed_over" in facts:
        return changes.words(changes.counts(facts)) or "as it was handed over"
    return f"from {facts['provider_months']} provider-months" if "provider_months" in facts else ""


class _Clock:
    """The time of the year: it stands, but for a minute with each look, until it is set on."""

    def __init__(self) -> None:
        self.moment = datetime(2000, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(minutes=1)
        return self.moment

    @contextlib.contextmanager
    def on(self, day: date, hour: int, person: str) -> Iterator[None]:
        """What is done in the block is done by a person, from that hour of that day on."""
        self.moment = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
        with ledger.in_the_name_of(person, self):
            yield


class _Trust:
    """The made-up trust's record system, and what people forget and mistype in it."""

    def __init__(self, site: Site, year: Year) -> None:
        self.file = site.file.parent / "trusts" / site.providers[0].code / "epr.sqlite"
        self.kept: dict[str, list[tuple[str, tuple[Any, ...]]]] = {}

    def hold_back(self, late: Late) -> None:
        """Take the contacts of a team in a month out, with what was done in them, until they are written up."""
        of_month = (
            "SELECT appt_no FROM appointment JOIN referral USING (ref_no) WHERE coalesce(appointment.team, referral.team) = ? AND appt_date LIKE ?"
        )
        chosen = (late.team, f"{late.period}-%")
        with contextlib.closing(sqlite3.connect(self.file)) as database, database:
            for table in ("intervention", "appointment"):
                rows = database.execute(f"SELECT * FROM {table} WHERE appt_no IN ({of_month})", chosen).fetchall()
                self.kept.setdefault(late.period, []).extend((table, row) for row in rows)
                if rows:
                    marks = ", ".join("?" for _ in rows[0])
                    database.executemany(f"DELETE FROM {table} WHERE ({', '.join(self._columns(database, table))}) IS ({marks})", rows)

    def write_up(self, period: str) -> int:
        """Put back what was held back of a month; gives how many rows."""
        held = self.kept.pop(period)
        with contextlib.closing(sqlite3.connect(self.file)) as database, database:
            for table, row in held:
                database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in row)})", row)
        return len(held)

    def swap_digits(self) -> None:
        """Mistype the NHS number of the person with a referral in every month, or mend it: done twice it is as before."""
        with contextlib.closing(sqlite3.connect(self.file)) as database, database:
            person, number = database.execute(
                "SELECT person_id, nhs_no FROM person JOIN referral USING (person_id) WHERE length(nhs_no) = 10 ORDER BY received_on, ref_no LIMIT 1"
            ).fetchone()
            database.execute("UPDATE person SET nhs_no = ? WHERE person_id = ?", (number[:-2] + number[-1] + number[-2], person))

    @staticmethod
    def _columns(database: sqlite3.Connection, table: str) -> list[str]:
        return [str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")]


def _home() -> Path:
    return worked_sites.root() / "a-year"


def _make(year: Year, folder: Path) -> Site:
    """The site with its windows, and a template of our own where Access files can be written."""
    if (folder / "SITE.toml").exists():
        raise UsageError(f"{folder} holds a year already; see its data folder, or give a new folder with --out")
    text = (_home() / "SITE.toml").read_text(encoding="utf-8")
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = madeup.write_site(folder, year.seed, year.data, _home() / "SITE.toml")
    windows = [
        f"{month}-21,{standard_month(_day(month, 1), 1)}-20,final,made up for this site"
        for month in (standard_month(_day(year.months[0], 1), -1), *year.months)
    ]
    (folder / "calendar.csv").write_text("\n".join(("opens,closes,state,source", *windows)) + "\n", encoding="utf-8")
    if access.runtime() is not None:
        returns.write_template(folder / "template.accdb")
        file.write_text(text.replace('outbox = "outbox"', 'outbox = "outbox"\ntemplate = "template.accdb"'), encoding="utf-8")
    return settings.load(file)


def _day(month: str, day: int) -> date:
    return date.fromisoformat(f"{month}-{day:02d}")


def _month(site: Site, year: Year, month: str, trust: _Trust, clock: _Clock, told: Outcome) -> None:
    """One month as a trust lives it: run, mended where it has to be, sent, come back, sent again where rows were late, published."""
    due = standard_month(_day(month, 1), 1)
    provider = site.providers[0].code
    if month == year.rejected:
        trust.swap_digits()
        with clock.on(_day(due, 8), 5, SCHEDULE), contextlib.suppress(SubmissionRejected):
            flows.extract(site, provider, month)
            flows.validate(site, provider, month)
        trust.swap_digits()
    with clock.on(_day(due, 9), 5, SCHEDULE):
        flows.extract(site, provider, month)
        flows.validate(site, provider, month)
    _send(site, provider, month, due, 9, clock, told)
    with clock.on(_day(due, 14), 9, ANALYST):
        _import_reports(site, provider, month, lacking=0)
    for late in year.late:
        if late.found == month:
            _send_again(site, year, provider, late, due, trust, clock, told)
    with clock.on(_day(due, 19), 5, SCHEDULE):
        flows.measure(site, month)


def _send(site: Site, provider: str, month: str, due: str, first: int, clock: _Clock, told: Outcome) -> None:
    """Package, two approvals, hand-over, from a day of the month ``due`` on."""
    with clock.on(_day(due, first), 10, ANALYST):
        told.without_access = returns.build_package(site, provider, month).without_access
        seen = returns.standing(site, provider, month).content
    decisions: tuple[tuple[int, str, str], ...] = (
        (first, "head-of-information", "Head of information"),
        (first + 1, "caldicott-guardian", "Caldicott Guardian"),
    )
    for day, person, role in decisions:
        with clock.on(_day(due, day), 15, person):
            returns.decide(site, provider, month, "approved", role=role, seen=seen)
    with clock.on(_day(due, first + 1), 16, UPLOADER):
        returns.hand_over(site, provider, month)


def _send_again(site: Site, year: Year, provider: str, late: Late, due: str, trust: _Trust, clock: _Clock, told: Outcome) -> None:
    """A month rebuilt with the rows that came late: replayed with the reason, approved anew, sent in the window that is open, published."""
    rows = trust.write_up(late.period)
    with clock.on(_day(due, 15), 9, ANALYST):
        flows.extract(site, provider, late.period, why=f"{rows} rows of {late.period} were written up late")
        flows.validate(site, provider, late.period)
    _send(site, provider, late.period, due, 15, clock, told)
    with clock.on(_day(due, 17), 9, ANALYST):
        _import_reports(site, provider, late.period, lacking=late.period == year.reconciled)
        if late.period == year.reconciled:
            # It was made of what was sent first.
            published = _publication(site, late.period)
            flows.measure(site, late.period)
            returns.import_feedback(site, provider, late.period, "publication", published)
            found: Counter[tuple[str, str]] = Counter()
            for line in returns.reconcile_month(site, provider, late.period, site.restricted / "reconciled" / provider / late.period):
                found[line.part, line.what] += line.count
            told.reconciled = dict(sorted(found.items()))
        else:
            flows.measure(site, late.period)


def _import_reports(site: Site, provider: str, month: str, *, lacking: int) -> None:
    """Take in the reports as the portal would give them: our own writer's, less the last ``lacking`` lines of the validation report."""
    judged = stages.current(site.findings(provider, month))
    if judged is None:
        raise UsageError(f"{provider} {month} has not been validated; run the month first")
    with _temporary(site) as work:
        with zipfile.ZipFile(work / "reports.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in _REPORTS:
                content = (judged.path / f"{name}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
                kept = content[: len(content) - lacking] if name == "validations" and lacking else content
                archive.writestr(f"{name}.csv", "".join(kept))
        returns.import_feedback(site, provider, month, "reports", work / "reports.zip")


def _publication(site: Site, month: str) -> Path:
    """The publication file that the release in force was made with."""
    exact = flows.evidence_in_force(site, month).parent / "exact" / "publication"
    return next(path for path in sorted(exact.glob("*_bbrb.csv")) if "_RAW_" not in path.name)


@contextlib.contextmanager
def _temporary(site: Site) -> Iterator[Path]:
    """A folder for what the made-up portal gives, inside the restricted zone."""
    work = site.temporary / "portal"
    work.mkdir(parents=True, mode=0o700)
    try:
        yield work
    finally:
        shutil.rmtree(work)
