"""The report of one validated submission, for the trust's information team: the verdict, what to mend first, and where.

It lies in the restricted zone and yet holds no value of a patient: row numbers, codes and counts say where to look.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard as mhsds
from ips_pipeline.mhsds.standard import REJECTING, Edition, Rule, Standard
from ips_pipeline.reports import earlier, findings, landings, pages, records
from ips_pipeline.reports.earlier import Change, Outcome
from ips_pipeline.reports.findings import FIRST_ROWS, LEVELS, Fired
from ips_pipeline.reports.landings import Landed
from ips_pipeline.reports.worklist import NO_TEAM, WORKBOOK, Task, write_worklist
from ips_pipeline.store import folders
from ips_pipeline.store.duck import Connection, create_table, identifier, session, text_literal

PAGE = "report.html"

_MOST_FIXES, _MOST_TEAMS, _MOST_CHANGES = 10, 40, 15
#: Submissions worked out together: enough to share the cost of a statement, few enough to bound memory.
_BATCH = 200
#: How urgent a line of work is, by its level; a check beyond the portal endangers a measure, as a severity 1 warning does.
_PRIORITIES: Mapping[str, int] = {"file": 1, "group": 2, "record": 2, "severity1": 3, "check": 3, "warning": 4}
_CHECK_WORDS = "Check beyond the portal"
_PROVIDER = re.compile(r"[A-Z0-9]{3,6}")
_PERIOD = re.compile(r"([0-9]{4}-(?:0[1-9]|1[0-2]))-[0-9]{2}")
_EDITIONS: Mapping[Edition, str] = {"published": "the published rules (January 2024)", "etos": "ETOS 6.0 (March 2024)"}


@dataclass(frozen=True, slots=True)
class _Words:
    """What is said about a rule, by its code."""

    standard: Standard
    sentences: Mapping[str, str]
    advice: Mapping[str, str]
    checks: Mapping[str, CheckWords]
    edition: Edition

    def task(self, code: str, rules: Mapping[str, Rule]) -> Task:
        """What a line of the work list says of a code."""
        if rule := rules.get(code):
            level = rule.levels[self.edition]
            return Task(_PRIORITIES[level], LEVELS[level], rule.element or "", self.sentences.get(code, ""), self.advice.get(code, ""))
        said = self.checks.get(code)
        return Task(_PRIORITIES["check"], _CHECK_WORDS, said.element if said else "", said.title if said else "", said.mend if said else "")

    def of(self, item: Fired) -> dict[str, Any]:
        """A rule that fired, in words."""
        return item.described(self.standard, self.sentences, self.advice)


class CheckWords(Protocol):
    """What is said of a check beyond the portal: IPS-nnn or LOCAL-nnn."""

    @property
    def title(self) -> str:
        """What it finds."""

    @property
    def why(self) -> str:
        """Why that matters."""

    @property
    def mend(self) -> str:
        """How to mend it at source."""

    @property
    def endangers(self) -> Sequence[str]:
        """The measures at stake."""

    @property
    def element(self) -> str:
        """The element it looks at."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A validated submission: its folder, where validation wrote, and whose and which month (yyyy-mm) it is, if known.

    ``previous`` is the folder that the check of the last upload of the same month wrote, ``months`` what the checks of earlier
    months came to; both may be left to ``earlier``, folders that checks of the same provider wrote, the latest last. With
    ``worklist`` the workbook is written too. ``landed`` is what is known of a month as it landed; None for a folder, which did not.
    """

    out: Path
    submission: Path
    provider: str | None = None
    period: str | None = None
    previous: Path | None = None
    months: Sequence[Outcome] = ()
    earlier: Sequence[Path] = ()
    worklist: bool = False
    landed: Landed | None = None


def write_validation_report(
    out: Path,
    submission: Path,
    *,
    sentences: Mapping[str, str],
    advice: Mapping[str, str],
    edition: Edition = "published",
    not_evaluated: Mapping[str, str] | None = None,
    provider: str | None = None,
    period: str | None = None,
    previous: Path | None = None,
    months: Sequence[Outcome] = (),
    worklist: bool = False,
    landed: Landed | None = None,
    checks: Mapping[str, CheckWords] | None = None,
    temporary: Path | None = None,
) -> Path:
    """Write ``report.html`` beside the findings of one submission and give its path; see ``write_validation_reports``."""
    checked = Checked(out, submission, provider, period, previous, months, worklist=worklist, landed=landed)
    (page,) = write_validation_reports(
        [checked], sentences=sentences, advice=advice, edition=edition, not_evaluated=not_evaluated, checks=checks, temporary=temporary
    )
    return page


def write_validation_reports(
    checked: Sequence[Checked],
    *,
    sentences: Mapping[str, str],
    advice: Mapping[str, str],
    edition: Edition = "published",
    not_evaluated: Mapping[str, str] | None = None,
    checks: Mapping[str, CheckWords] | None = None,
    temporary: Path | None = None,
) -> list[Path]:
    """Write ``report.html`` beside the ``findings.csv`` and ``rejected_rows.csv`` of validated submissions; gives the paths in order.

    ``sentences`` says per code what the rule asks for and ``advice`` how to mend it at source; ``not_evaluated`` gives the codes
    that were not judged, with the reason; ``checks`` the words of the checks beyond the portal by their code. Rows per table come
    from ``aggregation.csv`` where it lies there, and from the submission otherwise; ``completeness.csv``, ``checks.csv`` and
    ``gate.json`` are told where they are. A submission is read for the keys that link rejected rows to the rows they depend on and
    to their teams, in the memory of the session. ``outcome.json`` and ``rejected_records.parquet`` are left for the next check to
    compare with. Raises InputError for files that cannot be read, and RetryableError when a page cannot be written.
    """
    standard = mhsds.load()
    rules = {rule.code: rule for rule in standard.rules()}
    shared = {
        "edition": _EDITIONS[edition],
        "standard": standard.version,
        "not_evaluated": findings.reasons(not_evaluated or {}, rules),
    }
    words = _Words(standard, sentences, advice, checks or {}, edition)
    written = []
    for start in range(0, len(checked), _BATCH):
        batch = checked[start : start + _BATCH]
        read = [folder for one in batch for folder in (one.out, one.submission, one.previous, *one.earlier) if folder]
        read += landings.folders(one.landed for one in batch if one.worklist)
        with session(read=read, temporary=temporary) as connection:
            contents = _contents(connection, batch, rules, words)
        written += [pages.write_page(one.out / PAGE, "validation.html", {**shared, **held}) for one, held in zip(batch, contents, strict=True)]
    return written


def _contents(connection: Connection, batch: Sequence[Checked], rules: Mapping[str, Rule], words: _Words) -> list[dict[str, Any]]:
    """What each page of a batch says, all submissions of the batch worked out together."""
    standard = words.standard
    _load(connection, batch)
    fired = findings.fired(connection, rules)
    every = [item for items in fired.values() for item in items]
    held = [_counts(one.out / "aggregation.csv", standard) for one in batch]
    header = standard.table("MHS000")
    folders.load(connection, [one.submission for one in batch], [header])
    sent = _sent(connection, batch)
    previous, months = _compared(batch, sent)
    flagged = [name for (name,) in connection.execute("SELECT DISTINCT table_name FROM flagged ORDER BY table_name").fetchall()]
    compared = sorted(earlier.rejected_tables(previous, standard))
    known = {name: set(records.identity(standard.table(name))) for name in compared}
    elements = records.merged(_tables_to_read(standard, batch, every, counting=None in held), records.to_read(standard, flagged))
    elements = {name: wanted for name, wanted in records.merged(elements, known).items() if name != header.name}
    folders.load(connection, [one.submission for one in batch], [standard.table(name) for name in elements], elements=elements)
    counted = _counted(connection, [header.name, *elements]) if None in held else {}
    _trace(connection, standard, every)
    records.find(connection, standard, flagged)
    _list_work(connection, rules, words, {number: period for number, (_, period) in sent.items()})
    earlier.write_rejected(connection, standard, _rejected_tables(connection), [one.out for one in batch])
    changed = earlier.changes(connection, standard, previous, compared)
    fixes = _fixes(connection, fired, words)
    per_table = findings.per_table(connection, standard, {number: counts or counted.get(number, {}) for number, counts in enumerate(held, 1)})
    per_team = _per_team(connection, words)
    checks = _checks(connection, batch, words)
    landings.load(connection, standard, {number: one.landed for number, one in enumerate(batch, 1) if one.worklist and one.landed})
    contents = []
    for number, one in enumerate(batch, 1):
        provider, period = sent[number]
        totals = {key: sum(table[key] for table in per_table[number]) for key in ("submitted", "rejected", "warned")}
        verdict = _verdict(fired[number], per_table[number])
        outcome = Outcome(
            provider, period, words.edition, verdict == "file", totals["submitted"], totals["rejected"], sum(item.rows for item in fired[number])
        )
        earlier.write_outcome(one.out, outcome)
        content = {
            "verdict": verdict,
            "provider": provider,
            "period": pages.month(date.fromisoformat(f"{period}-01")) if period else None,
            **totals,
            "codes": len(fired[number]),
            "file_rules": [words.of(item) for item in fired[number] if item.level == "file"],
            "fixes": fixes[number][:_MOST_FIXES],
            "more_fixes": len(fixes[number]) - _MOST_FIXES,
            "tables": per_table[number],
            "teams": per_team.get(number, [])[:_MOST_TEAMS],
            "more_teams": max(len(per_team.get(number, [])) - _MOST_TEAMS, 0),
            "groups": findings.by_severity([words.of(item) for item in fired[number]]),
            "gate": _gate(one.out / "gate.json"),
            "change": _change(changed[number], fired[number], rules, words) if number in changed else None,
            "late": landings.content(one.landed, standard, provider),
            "trend": _trend([*months[number], outcome]),
            "completeness": _completeness(one.out / "completeness.csv", standard),
            "checks": checks[number],
            "worklist": WORKBOOK if one.worklist else None,
        }
        contents.append(content)
        if one.worklist:
            _write_worklist(connection, number, one.out / WORKBOOK, content, rules, words)
    return contents


def _compared(batch: Sequence[Checked], sent: Mapping[int, tuple[str | None, str | None]]) -> tuple[dict[int, Path], dict[int, Sequence[Outcome]]]:
    """Per submission the check of its last upload, and what the checks of earlier months of the same provider came to."""
    previous: dict[int, Path] = {}
    months: dict[int, Sequence[Outcome]] = {}
    for number, one in enumerate(batch, 1):
        provider, period = sent[number]
        found = [(folder, outcome) for folder in one.earlier if (outcome := earlier.outcome(folder)) and outcome.provider == provider]
        last = next((folder for folder, outcome in reversed(found) if outcome.period == period), one.previous)
        if last:
            previous[number] = last
        before = [outcome for _, outcome in found if outcome.period and period and outcome.period < period]
        months[number] = sorted([*one.months, *before], key=lambda outcome: outcome.period or "")
    return previous, months


def _sent(connection: Connection, batch: Sequence[Checked]) -> dict[int, tuple[str | None, str | None]]:
    """Whose and which month each submission is: as it was checked, else as its header says where that has the right form."""
    headers = connection.execute(
        "SELECT submission, min_by(OrgIDProvider, row), min_by(ReportingPeriodStartDate, row) FROM MHS000Header GROUP BY submission"
    ).fetchall()
    found = {number: (provider or "", start or "") for number, provider, start in headers}
    sent = {}
    for number, one in enumerate(batch, 1):
        provider, start = found.get(number, ("", ""))
        month = _PERIOD.fullmatch(start)
        sent[number] = (
            one.provider or (provider if _PROVIDER.fullmatch(provider) else None),
            one.period or (month[1] if month else None),
        )
    return sent


def _rejected_tables(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT DISTINCT table_name FROM rejected ORDER BY table_name").fetchall()]


def _list_work(connection: Connection, rules: Mapping[str, Rule], words: _Words, periods: Mapping[int, str | None]) -> None:
    """``work`` (submission, code, priority, table_name, row, month, frees): what a person can mend, each fault once.

    A row that was rejected only for want of the row it depends on is no work: it comes back with that row. ``frees`` counts
    the rows that the line alone holds back. ``month`` is given where the row is in the file of another month.
    """
    codes = {code for (code,) in connection.execute("SELECT DISTINCT code FROM finding UNION SELECT DISTINCT code FROM check_finding").fetchall()}
    priorities = {code: words.task(code, rules).priority for code in sorted(codes)}
    create_table(connection, "code_priority", {"code": list(priorities), "priority": [str(priority) for priority in priorities.values()]})
    create_table(
        connection,
        "own_period",
        {"submission": [str(number) for number in periods], "period": list(periods.values())},
    )
    rejecting = ", ".join(text_literal(level) for level in sorted(REJECTING))
    connection.execute(
        f"""CREATE TABLE work AS
        WITH alone AS (SELECT submission, table_name, row FROM held GROUP BY ALL HAVING count(*) = 1 AND max(together) = 1),
        freed AS (
            SELECT submission, code, spot AS row, count(*) AS frees FROM held
            SEMI JOIN alone USING (submission, table_name, row) GROUP BY ALL
        ),
        found AS (
            SELECT submission, code, table_name, row, CAST(NULL AS VARCHAR) AS month FROM finding
            WHERE row = 0 OR level NOT IN ({rejecting})
            UNION
            SELECT finding.submission, finding.code, finding.table_name, finding.row, NULL FROM finding
            SEMI JOIN held ON held.submission = finding.submission AND held.table_name = finding.table_name AND held.row = finding.row
                AND held.code = finding.code AND held.spot = finding.row
            UNION
            SELECT check_finding.submission, code, table_name, row, CASE WHEN month IS DISTINCT FROM period THEN month END
            FROM check_finding JOIN own_period ON own_period.submission = CAST(check_finding.submission AS VARCHAR)
        )
        SELECT found.submission, found.code, CAST(code_priority.priority AS INTEGER) AS priority, found.table_name, found.row, found.month,
            coalesce(freed.frees, 0) AS frees
        FROM found JOIN code_priority USING (code)
        LEFT JOIN freed ON freed.submission = found.submission AND freed.code = found.code AND freed.row = found.row"""
    )


def _per_team(connection: Connection, words: _Words) -> dict[int, list[dict[str, Any]]]:
    """Per submission and team the rows rejected, warned and named by a check, and what the team meets most; no team last."""
    most = {
        (submission, team): (code, rows)
        for submission, team, code, rows in connection.execute(
            """SELECT submission, team, code, rows FROM (
                SELECT place_team.submission, place_team.team, work.code, min(work.priority) AS priority, count(*) AS rows
                FROM work JOIN place_team USING (submission, table_name, row) WHERE work.month IS NULL GROUP BY ALL
            ) QUALIFY row_number() OVER (PARTITION BY submission, team ORDER BY least(priority, 3), rows DESC, code) = 1"""
        ).fetchall()
    }
    teams: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for submission, team, kind, rejected, warned, checked in connection.execute(
        """WITH state AS (
            SELECT submission, table_name, row, max(rejected) AS rejected, max(warned) AS warned, max(checked) AS checked FROM (
                SELECT submission, table_name, row, 1 AS rejected, 0 AS warned, 0 AS checked FROM rejected
                UNION ALL
                SELECT submission, table_name, row, 0, 1, 0 FROM finding ANTI JOIN rejected USING (submission, table_name, row)
                UNION ALL
                SELECT submission, table_name, row, 0, 0, 1 FROM work SEMI JOIN check_finding USING (submission, code) WHERE month IS NULL
            ) GROUP BY ALL
        )
        SELECT place_team.submission, place_team.team, min(team.kind), sum(rejected), sum(warned), sum(checked)
        FROM place_team JOIN state USING (submission, table_name, row)
        LEFT JOIN team ON team.submission = place_team.submission AND team.team = place_team.team
        GROUP BY place_team.submission, place_team.team
        ORDER BY place_team.submission, place_team.team IS NULL, sum(rejected) DESC, sum(warned) DESC, place_team.team"""
    ).fetchall():
        code, rows = most.get((submission, team), (None, 0))
        said = words.checks.get(code) if code else None
        teams[submission].append(
            {
                "team": NO_TEAM if team is None else _short(team),
                "kind": kind,
                "rejected": int(rejected),
                "warned": int(warned),
                "checked": int(checked),
                "code": code,
                "sentence": said.title if said else words.sentences.get(code or "", ""),
                "rows": rows,
            }
        )
    return teams


def _short(team: str) -> str:
    """A team's local id; what is longer than an id may be is no id, and is not shown."""
    return team if len(team) <= 20 and team.isprintable() else "(not a team id: too long, or unreadable)"


def _change(change: Change, fired: Sequence[Fired], rules: Mapping[str, Rule], words: _Words) -> dict[str, Any]:
    """The rules that fire more, fewer, anew or no longer, and what became of the rejected rows, since the last upload."""
    now = {item.rule.code: item for item in fired}
    before = dict(change.before)
    lines = []
    for code in sorted(now.keys() | (before.keys() & rules.keys())):
        was, rows = before.get(code, 0), now[code].rows if code in now else 0
        if was == rows:
            continue
        rule = rules[code]
        level = now[code].level if code in now else rule.levels.get(words.edition, "warning")
        state = "New" if not was else "Gone" if not rows else "More" if rows > was else "Fewer"
        shown = Fired(rule, level, rows, ())
        lines.append({**words.of(shown), "was": was, "now": rows, "state": state, "size": abs(rows - was), "follows": _links(shown)})
    order = {"New": 0, "More": 1, "Fewer": 2, "Gone": 3}
    # What follows from other rows changes with them, so it comes last.
    lines.sort(key=lambda line: (line["follows"], not line["rejects"], order[line["state"]], -line["size"], line["code"]))
    return {
        "lines": lines[:_MOST_CHANGES],
        "more": max(len(lines) - _MOST_CHANGES, 0),
        "states": {state: sum(line["state"] == state for line in lines) for state in order},
        "rows": {"freed": change.freed, "again": change.again, "gone": change.gone, "newly": change.newly} if change.rows_known else None,
    }


def _trend(months: Sequence[Outcome]) -> dict[str, Any] | None:
    """Rows submitted, rows rejected and findings per month as charts and a table; None where there are not two months to compare."""
    dated = {outcome.period: outcome for outcome in months if outcome.period}
    if len(dated) < 2:
        return None
    ordered = [dated[period] for period in sorted(dated)]
    labels = [pages.short_month(date.fromisoformat(f"{outcome.period}-01")) for outcome in ordered]
    shown = {"Rows submitted": "rows_submitted", "Rows rejected": "rows_rejected", "Findings": "findings"}
    charts = []
    for title, name in shown.items():
        values = [getattr(outcome, name) for outcome in ordered]
        charts.append({"title": title, "chart": pages.line(labels, values), "first": values[0], "last": values[-1], "highest": max(values)})
    rows = [{"month": label, "outcome": outcome} for label, outcome in zip(labels, ordered, strict=True)]
    return {"charts": charts, "rows": rows, "first": labels[0], "last": labels[-1]}


def _completeness(path: Path, standard: Standard) -> list[dict[str, Any]]:
    """Per field that matters for IPS how its values are filled, as validation counted them; empty where it did not."""
    if not path.is_file():
        return []
    counts = ("counted", "valid", "other", "defaulted", "invalid", "missing")
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            lines: list[dict[str, Any]] = [{**row, **{name: int(row[name]) for name in counts}} for row in csv.DictReader(handle)]
        return [
            {**line, "title": standard.table(line["table"]).title, "name": standard.table(line["table"]).field(line["element"]).name}
            for line in lines
        ]
    except (OSError, UnicodeDecodeError, KeyError, ValueError):
        raise InputError(f"{path} is not a completeness report; validate the submission again") from None


def _checks(connection: Connection, batch: Sequence[Checked], words: _Words) -> dict[int, dict[str, Any] | None]:
    """Per submission what the checks beyond the portal found and which were not evaluated; None where they were not run."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for submission, code, table, rows, first, other in connection.execute(
        f"""SELECT work.submission, work.code, work.table_name, count(*), min(work.row, {FIRST_ROWS}) FILTER (WHERE work.month IS NULL),
            count(*) FILTER (WHERE work.month IS NOT NULL)
        FROM work SEMI JOIN check_finding USING (submission, code) GROUP BY work.submission, work.code, work.table_name
        ORDER BY work.submission, work.code, work.table_name"""
    ).fetchall():
        said = words.checks.get(code)
        found[submission].append(
            {
                "code": code,
                "title": said.title if said else code,
                "why": said.why if said else "",
                "mend": said.mend if said else "",
                "endangers": list(said.endangers) if said else [],
                "table": words.standard.table(table).title,
                "file": table,
                "element": said.element if said else "",
                "rows": rows,
                "first": [f"{row:,}" for row in first or [] if row],
                "elsewhere": other,
                "whole_file": list(first or []) == [0],
            }
        )
    return {
        number: {"found": found[number], "not_evaluated": _not_run(one.out / "checks.json", words)} if (one.out / "checks.csv").is_file() else None
        for number, one in enumerate(batch, 1)
    }


def _not_run(path: Path, words: _Words) -> list[tuple[str, list[str]]]:
    """The reasons for which checks were not evaluated, each with its codes."""
    try:
        held: Mapping[str, str] = json.loads(path.read_text(encoding="utf-8"))["not_evaluated"]
        grouped: dict[str, list[str]] = defaultdict(list)
        for code, reason in held.items():
            grouped[str(reason)].append(f"{code} ({words.checks[code].title})" if code in words.checks else code)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} is not a record of the checks; validate the submission again") from None
    return sorted((reason, sorted(codes)) for reason, codes in grouped.items())


def _write_worklist(connection: Connection, number: int, path: Path, content: Mapping[str, Any], rules: Mapping[str, Rule], words: _Words) -> None:
    codes = [code for (code,) in connection.execute("SELECT DISTINCT code FROM work WHERE submission = ?", [number]).fetchall()]
    name = ", ".join(filter(None, (content["provider"], content["period"])))
    said = {"file": "Would be rejected as a file", "mixed": "Accepted with rejections", "good": "Accepted"}[content["verdict"]]
    write_worklist(
        path,
        connection,
        number,
        {code: words.task(code, rules) for code in codes},
        title=f"Work list of the MHSDS submission{': ' + name if name else ''}",
        verdict=f"{said}. {content['rejected']:,} of {content['submitted']:,} rows rejected, {content['warned']:,} more with a warning.",
        again=[f"{pages.month(item['month'])} has to be sent again. {item['sending']}. {item['next']}" for item in content["late"]["again"]]
        if content["late"]
        else (),
    )


def _load(connection: Connection, batch: Sequence[Checked]) -> None:
    """What validation wrote: ``finding``, ``rejected``, ``check_finding``; and ``flagged``, the rows that any of them names.

    Of ``findings.read``; ``check_finding`` (submission, code, table_name, row, month), ``flagged`` (submission, table_name, row).
    """
    findings.read(connection, {number: one.out for number, one in enumerate(batch, 1)})
    checked = {number: path for number, one in enumerate(batch, 1) if (path := one.out / "checks.csv").is_file()}
    findings.read_files(connection, "check_finding", checked, {"code": "VARCHAR", "table_name": "VARCHAR", "row": "BIGINT", "month": "VARCHAR"})
    connection.execute(
        "CREATE TABLE flagged AS SELECT submission, table_name, row FROM finding WHERE row > 0"
        " UNION SELECT submission, table_name, row FROM rejected UNION SELECT submission, table_name, row FROM check_finding WHERE row > 0"
    )


def _counts(path: Path, standard: Standard) -> dict[str, int] | None:
    """Rows submitted per table from the portal's aggregation report, whose codes end in the number of the table; None without it."""
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            return {standard.table("MHS" + row["CODE"][-3:]).name: int(row["DENOMINATOR"] or 0) for row in csv.DictReader(handle)}
    except (OSError, UnicodeDecodeError, KeyError, ValueError):
        raise InputError(f"{path} is not an aggregation report; validate the submission again") from None


def _counted(connection: Connection, tables: Iterable[str]) -> dict[int, dict[str, int]]:
    """Rows per submission and table, counted in the submissions themselves."""
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for name in tables:
        for submission, rows in connection.execute(f"SELECT submission, count(*) FROM {identifier(name)} GROUP BY submission").fetchall():
            counts[submission][name] = rows
    return counts


def _tables_to_read(standard: Standard, batch: Iterable[Checked], fired: Iterable[Fired], *, counting: bool) -> dict[str, tuple[str, ...]]:
    """The tables to read with their key columns: those linked by a rule that rejected rows, and all there are when rows are counted."""
    keys: dict[str, set[str]] = defaultdict(set)
    if counting:
        there = {path.stem for one in batch for path in one.submission.iterdir()}
        keys.update({table.name: set() for table in standard.tables.values() if table.name in there})
    for item in fired:
        if _links(item):
            for linked in (item.rule.table, str(item.rule.arguments["parent"])):
                keys[standard.table(linked).name].add(item.rule.arguments["key"])
    return {name: tuple(sorted(wanted)) for name, wanted in sorted(keys.items())}


def _links(item: Fired) -> bool:
    """Whether the rule rejected rows for want of a row that they depend on."""
    return item.rule.kind == "parent_exists" and item.level in REJECTING


def _trace(connection: Connection, standard: Standard, fired: Iterable[Fired]) -> None:
    """``held`` (submission, table_name, row, cause, code, spot, together): per rejected row what must be mended before it is loaded.

    ``code`` is the rule that fails at the row at fault, ``spot`` the number of that row (the first, where several are),
    ``together`` how many are. A row that fails a rule of its own is its own cause. A row that was rejected for want of its parent
    has the causes of that parent; where the submission has no such parent at all, the want itself is the cause, and it is one
    cause whichever tables miss that parent. The links are followed in the order in which the portal judges them, so a row is
    never the cause of what was rejected before it.
    """
    rejecting = {item.rule.code: item for item in fired if item.level in REJECTING}
    linking = {code: item.rule for code, item in rejecting.items() if _links(item)}
    connection.execute(
        "CREATE TABLE held (submission INTEGER, table_name VARCHAR, row BIGINT, cause VARCHAR, code VARCHAR, spot BIGINT, together BIGINT)"
    )
    connection.execute(
        "INSERT INTO held SELECT DISTINCT submission, table_name, row, code, code, row, 1 FROM finding WHERE row > 0 AND list_contains(?, code)",
        [sorted(rejecting.keys() - linking.keys())],
    )
    for code in (code for code in standard.referential_order if code in linking):
        rule = linking[code]
        child, parent = standard.table(rule.table), standard.table(rule.arguments["parent"])
        key, want = identifier(rule.arguments["key"]), f"{parent.id}.{rule.arguments['key']}"
        connection.execute(
            f"""INSERT INTO held
            WITH lost AS (
                SELECT finding.submission, finding.row, child.{key} AS link
                FROM finding JOIN {identifier(child.name)} AS child ON child.submission = finding.submission AND child.row = finding.row
                WHERE finding.code = {text_literal(code)}
            ), cause AS (
                SELECT held.submission, parent.{key} AS link, held.cause, min({{'spot': held.spot, 'code': held.code}}) AS fault,
                    greatest(count(DISTINCT held.spot), max(held.together)) AS together
                FROM held JOIN {identifier(parent.name)} AS parent ON parent.submission = held.submission AND parent.row = held.row
                WHERE held.table_name = {text_literal(parent.name)}
                GROUP BY ALL
            )
            SELECT * FROM (
                SELECT lost.submission, {text_literal(child.name)} AS table_name, lost.row, coalesce(cause.cause, {text_literal(want)}) AS cause,
                    coalesce(cause.fault.code, {text_literal(code)}), coalesce(cause.fault.spot, lost.row), coalesce(cause.together, 1)
                FROM lost LEFT JOIN cause ON cause.submission = lost.submission AND cause.link = lost.link
            ) ANTI JOIN held USING (submission, table_name, row, cause)"""
        )


def _fixes(connection: Connection, fired: Mapping[int, Sequence[Fired]], words: _Words) -> dict[int, list[dict[str, Any]]]:
    """Per submission the causes of rejected rows: what rejects the file first, then by how many rows one of them alone holds back."""
    found = connection.execute(
        """WITH alone AS (SELECT submission, table_name, row FROM held GROUP BY ALL HAVING count(*) = 1)
        SELECT held.submission, held.cause, held.table_name, count(*), count(alone.row)
        FROM held LEFT JOIN alone ON alone.submission = held.submission AND alone.table_name = held.table_name AND alone.row = held.row
        GROUP BY held.submission, held.cause, held.table_name ORDER BY held.submission, held.cause, held.table_name"""
    ).fetchall()
    # Only the rows at fault: those of other tables are held back by them. One want has a code for each table that misses the parent.
    faults: dict[tuple[int, str], list[tuple[str, int, tuple[int, ...]]]] = defaultdict(list)
    for submission, cause, code, rows, first in connection.execute(
        f"""SELECT submission, cause, code, count(*) AS rows, min(row, {FIRST_ROWS})
        FROM held JOIN finding USING (submission, table_name, row, code) WHERE held.spot = held.row
        GROUP BY submission, cause, code ORDER BY submission, cause, rows DESC, code"""
    ).fetchall():
        faults[submission, cause].append((code, rows, tuple(first)))
    by_code = {(submission, item.rule.code): item for submission, items in fired.items() for item in items}
    fixes: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for (submission, cause), group in groupby(found, key=lambda line: line[:2]):
        parts = [(words.standard.table(table), rows, alone) for _, _, table, rows, alone in group]
        (code, rows, first), *others = faults[submission, cause]
        item = by_code[submission, code]
        fixes[submission].append(
            {
                **words.of(Fired(item.rule, item.level, rows, first)),
                "also": [other for other, _, _ in others],
                "held": sum(part[1] for part in parts),
                "frees": sum(part[2] for part in parts),
                "reach": [{"table": table.title, "rows": rows} for table, rows, _ in sorted(parts, key=lambda part: -part[1])],
            }
        )
    for items in fixes.values():
        items.sort(key=lambda fix: (fix["level"] != "file", -fix["frees"], -fix["held"], fix["code"]))
    return fixes


def _verdict(fired: Iterable[Fired], per_table: Iterable[Mapping[str, Any]]) -> str:
    if any(item.level == "file" for item in fired):
        return "file"
    return "mixed" if any(table["rejected"] for table in per_table) else "good"


def _gate(path: Path) -> dict[str, Any] | None:
    """The verdict of the Great Expectations gate and how many expectations it ran, when the gate was asked."""
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return {"verdict": str(held["verdict"]), "expectations": int(held["expectations"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} is not the record of the gate; validate the submission again") from None
