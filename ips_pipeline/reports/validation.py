"""The report of one validated submission, for the trust's information team: the verdict, what to mend first, and where.

It lies in the restricted zone and yet holds no value of a patient: row numbers, codes and counts say where to look.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard as mhsds
from ips_pipeline.mhsds.standard import REJECTING, Edition, Rule, Standard
from ips_pipeline.reports import pages
from ips_pipeline.store import folders
from ips_pipeline.store.duck import Connection, identifier, session, text_literal

PAGE = "report.html"

_FIRST_ROWS, _MOST_FIXES = 20, 10
#: Submissions worked out together: enough to share the cost of a statement, few enough to bound memory.
_BATCH = 200
_LEVELS: Mapping[str, str] = {
    "file": "File rejected",
    "group": "Group rejected",
    "record": "Record rejected",
    "severity1": "Severity 1 warning",
    "warning": "Warning",
}
_EDITIONS: Mapping[Edition, str] = {"published": "the published rules (January 2024)", "etos": "ETOS 6.0 (March 2024)"}


@dataclass(frozen=True, slots=True)
class _Fired:
    """One rule and the rows that fail it: how many, and the first of them; row 0 is the file itself."""

    rule: Rule
    level: str
    rows: int
    first: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Words:
    """What is said about a rule, by its code."""

    standard: Standard
    sentences: Mapping[str, str]
    advice: Mapping[str, str]

    def of(self, item: _Fired) -> dict[str, Any]:
        """A rule that fired, in words."""
        table, code = self.standard.table(item.rule.table), item.rule.code
        return {
            "code": code,
            "level": item.level,
            "level_words": _LEVELS[item.level],
            "rejects": item.level in REJECTING,
            "table": table.title,
            "file": table.name,
            "element": item.rule.element,
            "sentence": self.sentences.get(code, ""),
            "advice": self.advice.get(code, ""),
            "rows": item.rows,
            "first": [f"{row:,}" for row in item.first if row],
            "whole_file": item.first == (0,),
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """A validated submission: its folder, where validation wrote, and whose and which month (yyyy-mm) it is, if known."""

    out: Path
    submission: Path
    provider: str | None = None
    period: str | None = None


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
    temporary: Path | None = None,
) -> Path:
    """Write ``report.html`` beside the findings of one submission and give its path; see ``write_validation_reports``."""
    checked = Checked(out, submission, provider, period)
    (page,) = write_validation_reports(
        [checked], sentences=sentences, advice=advice, edition=edition, not_evaluated=not_evaluated, temporary=temporary
    )
    return page


def write_validation_reports(
    checked: Sequence[Checked],
    *,
    sentences: Mapping[str, str],
    advice: Mapping[str, str],
    edition: Edition = "published",
    not_evaluated: Mapping[str, str] | None = None,
    temporary: Path | None = None,
) -> list[Path]:
    """Write ``report.html`` beside the ``findings.csv`` and ``rejected_rows.csv`` of validated submissions; gives the paths in order.

    ``sentences`` says per code what the rule asks for and ``advice`` how to mend it at source; ``not_evaluated`` gives the codes
    that were not judged, with the reason. Rows per table come from ``aggregation.csv`` where it lies there, and from the
    submission otherwise; the verdict of ``gate.json`` is told where there is one. A submission is read for the keys that
    link rejected rows to the rows they depend on, in the memory of the session. Raises InputError for files that cannot be
    read, and RetryableError when a page cannot be written.
    """
    standard = mhsds.load()
    rules = {rule.code: rule for rule in standard.rules()}
    shared = {
        "edition": _EDITIONS[edition],
        "standard": standard.version,
        "not_evaluated": _reasons(not_evaluated or {}, rules),
    }
    words = _Words(standard, sentences, advice)
    written = []
    for start in range(0, len(checked), _BATCH):
        batch = checked[start : start + _BATCH]
        with session(read=[folder for one in batch for folder in (one.out, one.submission)], temporary=temporary) as connection:
            contents = _contents(connection, batch, rules, words)
        written += [pages.write_page(one.out / PAGE, "validation.html", {**shared, **held}) for one, held in zip(batch, contents, strict=True)]
    return written


def _contents(connection: Connection, batch: Sequence[Checked], rules: Mapping[str, Rule], words: _Words) -> list[dict[str, Any]]:
    """What each page of a batch says, all submissions of the batch worked out together."""
    standard = words.standard
    _load(connection, [one.out for one in batch])
    fired = _fired(connection, rules)
    every = [item for items in fired.values() for item in items]
    held = [_counts(one.out / "aggregation.csv", standard) for one in batch]
    tables = _tables_to_read(standard, batch, every, counting=None in held)
    folders.load(connection, [one.submission for one in batch], [standard.table(name) for name in tables], elements=tables)
    counted = _counted(connection, tables) if None in held else {}
    _trace(connection, standard, every)
    fixes = _fixes(connection, fired, words)
    per_table = _per_table(connection, standard, {number: counts or counted.get(number, {}) for number, counts in enumerate(held, 1)})
    return [
        {
            "verdict": _verdict(fired[number], per_table[number]),
            "provider": one.provider,
            "period": pages.month(date.fromisoformat(f"{one.period}-01")) if one.period else None,
            **{key: sum(table[key] for table in per_table[number]) for key in ("submitted", "rejected", "warned")},
            "codes": len(fired[number]),
            "file_rules": [words.of(item) for item in fired[number] if item.level == "file"],
            "fixes": fixes[number][:_MOST_FIXES],
            "more_fixes": len(fixes[number]) - _MOST_FIXES,
            "tables": per_table[number],
            "groups": _by_severity(fired[number], words),
            "gate": _gate(one.out / "gate.json"),
        }
        for number, one in enumerate(batch, 1)
    ]


def _load(connection: Connection, outs: Sequence[Path]) -> None:
    """``finding`` (submission, table_name, row, code, level) and ``rejected`` (submission, table_name, row), as validation wrote them."""
    files: Mapping[str, tuple[str, Mapping[str, str]]] = {
        "finding": ("findings.csv", {"table_name": "VARCHAR", "row": "BIGINT", "code": "VARCHAR", "level": "VARCHAR"}),
        "rejected": ("rejected_rows.csv", {"table_name": "VARCHAR", "row": "BIGINT"}),
    }
    for name, (file, columns) in files.items():
        paths = [out / file for out in outs]
        if lost := next((path for path in paths if not path.is_file()), None):
            raise InputError(f"{lost} does not exist; validate the submission first")
        listed = "[" + ", ".join(text_literal(str(path.resolve())) for path in paths) + "]"
        schema = "{" + ", ".join(f"{text_literal(column)}: {text_literal(kind)}" for column, kind in columns.items()) + "}"
        connection.execute(
            f"CREATE TABLE {name} AS SELECT CAST(file_index + 1 AS INTEGER) AS submission, *"
            f" FROM read_csv({listed}, columns = {schema}, header = true, auto_detect = false)"
        )


def _fired(connection: Connection, rules: Mapping[str, Rule]) -> dict[int, list[_Fired]]:
    """Per submission every rule that fired, the most severe and then the most frequent first."""
    order = {level: place for place, level in enumerate(_LEVELS)}
    fired: dict[int, list[_Fired]] = defaultdict(list)
    for submission, code, level, rows, first in connection.execute(
        f"SELECT submission, code, level, count(*), min(row, {_FIRST_ROWS}) FROM finding GROUP BY submission, code, level"
    ).fetchall():
        fired[submission].append(_Fired(rules[code], level, rows, tuple(first)))
    for items in fired.values():
        items.sort(key=lambda item: (order[item.level], -item.rows, item.rule.code))
    return fired


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


def _tables_to_read(standard: Standard, batch: Iterable[Checked], fired: Iterable[_Fired], *, counting: bool) -> dict[str, tuple[str, ...]]:
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


def _links(item: _Fired) -> bool:
    """Whether the rule rejected rows for want of a row that they depend on."""
    return item.rule.kind == "parent_exists" and item.level in REJECTING


def _trace(connection: Connection, standard: Standard, fired: Iterable[_Fired]) -> None:
    """``held`` (submission, table_name, row, cause): per rejected row the codes that must be mended before it is loaded.

    A row that fails a rule of its own is its own cause. A row that was rejected for want of its parent has the causes of that
    parent; where the submission has no such parent at all, the want itself is the cause. The links are followed in
    the order in which the portal judges them, so a row is never the cause of what was rejected before it.
    """
    rejecting = {item.rule.code: item for item in fired if item.level in REJECTING}
    linking = {code: item.rule for code, item in rejecting.items() if _links(item)}
    connection.execute("CREATE TABLE held (submission INTEGER, table_name VARCHAR, row BIGINT, cause VARCHAR)")
    connection.execute(
        "INSERT INTO held SELECT DISTINCT submission, table_name, row, code FROM finding WHERE row > 0 AND list_contains(?, code)",
        [sorted(rejecting.keys() - linking.keys())],
    )
    for code in (code for code in standard.referential_order if code in linking):
        rule = linking[code]
        child, parent = standard.table(rule.table), standard.table(rule.arguments["parent"])
        key = identifier(rule.arguments["key"])
        connection.execute(
            f"""INSERT INTO held
            WITH lost AS (
                SELECT finding.submission, finding.row, child.{key} AS link
                FROM finding JOIN {identifier(child.name)} AS child ON child.submission = finding.submission AND child.row = finding.row
                WHERE finding.code = {text_literal(code)}
            ), cause AS (
                SELECT DISTINCT held.submission, parent.{key} AS link, held.cause
                FROM held JOIN {identifier(parent.name)} AS parent ON parent.submission = held.submission AND parent.row = held.row
                WHERE held.table_name = {text_literal(parent.name)}
            )
            SELECT lost.submission, {text_literal(child.name)}, lost.row, coalesce(cause.cause, {text_literal(code)})
            FROM lost LEFT JOIN cause ON cause.submission = lost.submission AND cause.link = lost.link
            EXCEPT
            FROM held"""
        )


def _fixes(connection: Connection, fired: Mapping[int, Sequence[_Fired]], words: _Words) -> dict[int, list[dict[str, Any]]]:
    """Per submission the causes of rejected rows: what rejects the file first, then by how many rows one of them alone holds back."""
    found = connection.execute(
        f"""WITH alone AS (SELECT submission, table_name, row FROM held GROUP BY ALL HAVING count(*) = 1)
        SELECT held.submission, held.cause, held.table_name, count(*), count(alone.row), min(held.row, {_FIRST_ROWS})
        FROM held LEFT JOIN alone ON alone.submission = held.submission AND alone.table_name = held.table_name AND alone.row = held.row
        GROUP BY held.submission, held.cause, held.table_name ORDER BY held.submission, held.cause, held.table_name"""
    ).fetchall()
    by_code = {(submission, item.rule.code): item for submission, items in fired.items() for item in items}
    fixes: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for (submission, cause), group in groupby(found, key=lambda line: line[:2]):
        parts = [(words.standard.table(table), rows, alone, first) for _, _, table, rows, alone, first in group]
        item = by_code[submission, cause]
        # Only the rows of the rule's own table are at fault; those of other tables are held back by them.
        rows, first = next((rows, tuple(first)) for table, rows, _, first in parts if table.id == item.rule.table)
        fixes[submission].append(
            {
                **words.of(_Fired(item.rule, item.level, rows, first)),
                "held": sum(part[1] for part in parts),
                "frees": sum(part[2] for part in parts),
                "reach": [{"table": table.title, "rows": rows} for table, rows, _, _ in sorted(parts, key=lambda part: -part[1])],
            }
        )
    for items in fixes.values():
        items.sort(key=lambda fix: (fix["level"] != "file", -fix["frees"], -fix["held"], fix["code"]))
    return fixes


def _per_table(connection: Connection, standard: Standard, counts: Mapping[int, Mapping[str, int]]) -> dict[int, list[dict[str, Any]]]:
    """Per submission the rows submitted, rejected and loaded with a warning, for every table that has any."""
    rejected = _by_table(connection, "SELECT submission, table_name, count(*) FROM rejected GROUP BY ALL")
    warned = _by_table(
        connection,
        "SELECT submission, table_name, count(DISTINCT row) FROM finding ANTI JOIN rejected USING (submission, table_name, row)"
        " WHERE row > 0 GROUP BY ALL",
    )
    return {
        submission: [
            {
                "id": table.id,
                "title": table.title,
                "submitted": own[table.name],
                "rejected": rejected.get((submission, table.name), 0),
                "loaded": own[table.name] - rejected.get((submission, table.name), 0),
                "warned": warned.get((submission, table.name), 0),
            }
            for table in standard.tables.values()
            if own.get(table.name)
        ]
        for submission, own in counts.items()
    }


def _by_table(connection: Connection, query: str) -> dict[tuple[int, str], int]:
    return {(submission, table): rows for submission, table, rows in connection.execute(query).fetchall()}


def _by_severity(fired: Sequence[_Fired], words: _Words) -> list[tuple[str, list[dict[str, Any]]]]:
    described = [words.of(item) for item in fired]
    groups = {"Rules that reject": [item for item in described if item["rejects"]], "Warnings": [item for item in described if not item["rejects"]]}
    return [(title, items) for title, items in groups.items() if items]


def _verdict(fired: Iterable[_Fired], per_table: Iterable[Mapping[str, Any]]) -> str:
    if any(item.level == "file" for item in fired):
        return "file"
    return "mixed" if any(table["rejected"] for table in per_table) else "good"


def _reasons(not_evaluated: Mapping[str, str], rules: Mapping[str, Rule]) -> list[tuple[str, list[str]]]:
    """The reasons for which rules were not judged, each with its codes."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for code, reason in not_evaluated.items():
        if code in rules:
            grouped[reason].append(code)
    return sorted(((reason, sorted(codes)) for reason, codes in grouped.items()), key=lambda pair: (-len(pair[1]), pair[0]))


def _gate(path: Path) -> dict[str, Any] | None:
    """The verdict of the Great Expectations gate and how many expectations it ran, when the gate was asked."""
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return {"verdict": str(held["verdict"]), "expectations": int(held["expectations"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} is not the record of the gate; validate the submission again") from None
