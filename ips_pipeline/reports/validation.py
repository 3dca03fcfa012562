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
    """Write ``report.html`` beside the ``findings.csv`` and ``rejected_rows.csv`` of a validated submission folder; gives its path.

    ``sentences`` says per code what the rule asks for and ``advice`` how to mend it at source; ``not_evaluated`` gives the codes
    that were not judged, with the reason. Rows per table come from ``aggregation.csv`` where it lies there, and from the
    submission otherwise; the verdict of ``gate.json`` is told where there is one. The submission is read for the keys that
    link rejected rows to the rows they depend on, in the memory of the session. Raises InputError for files that cannot be
    read, and RetryableError when the page cannot be written.
    """
    standard = mhsds.load()
    rules = {rule.code: rule for rule in standard.rules()}
    counts = _counts(out / "aggregation.csv", standard)
    with session(read=[out, submission], temporary=temporary) as connection:
        _load(connection, out)
        fired = _fired(connection, rules)
        tables = _tables_to_read(standard, submission, fired, counts)
        folders.load(connection, [submission], [standard.table(name) for name in tables], elements=tables)
        if counts is None:
            counts = {name: _number(connection, f"SELECT count(*) FROM {identifier(name)}") for name in tables}
        _trace(connection, standard, fired)
        fixes = _fixes(connection, standard, fired, sentences, advice)
        per_table = _per_table(connection, standard, counts)
        rejected = _number(connection, "SELECT count(*) FROM rejected")
    submitted = sum(counts.values())
    content = {
        "verdict": _verdict(fired, rejected),
        "provider": provider,
        "period": pages.month(date.fromisoformat(f"{period}-01")) if period else None,
        "submitted": submitted,
        "rejected": rejected,
        "warned": sum(item["warned"] for item in per_table),
        "codes": len(fired),
        "file_rules": [_described(item, standard, sentences, advice) for item in fired if item.level == "file"],
        "fixes": fixes[:_MOST_FIXES],
        "more_fixes": len(fixes) - _MOST_FIXES,
        "tables": per_table,
        "groups": _by_severity(fired, standard, sentences, advice),
        "not_evaluated": _reasons(not_evaluated or {}, rules),
        "edition": _EDITIONS[edition],
        "standard": standard.version,
        "gate": _gate(out / "gate.json"),
    }
    return pages.write_page(out / PAGE, "validation.html", content)


def _load(connection: Connection, out: Path) -> None:
    """``finding`` (table_name, row, code, level) and ``rejected`` (table_name, row) as validation wrote them."""
    files: Mapping[str, tuple[str, Mapping[str, str]]] = {
        "finding": ("findings.csv", {"table_name": "VARCHAR", "row": "BIGINT", "code": "VARCHAR", "level": "VARCHAR"}),
        "rejected": ("rejected_rows.csv", {"table_name": "VARCHAR", "row": "BIGINT"}),
    }
    for name, (file, columns) in files.items():
        path = out / file
        if not path.is_file():
            raise InputError(f"{path} does not exist; validate the submission first")
        schema = "{" + ", ".join(f"{text_literal(column)}: {text_literal(kind)}" for column, kind in columns.items()) + "}"
        connection.execute(
            f"CREATE TABLE {name} AS FROM read_csv({text_literal(str(path.resolve()))}, columns = {schema}, header = true, auto_detect = false)"
        )


def _fired(connection: Connection, rules: Mapping[str, Rule]) -> list[_Fired]:
    """Every rule that fired, the most severe and then the most frequent first."""
    order = {level: place for place, level in enumerate(_LEVELS)}
    found = connection.execute(f"SELECT code, level, count(*), min(row, {_FIRST_ROWS}) FROM finding GROUP BY code, level").fetchall()
    fired = [_Fired(rules[code], level, rows, tuple(first)) for code, level, rows, first in found]
    return sorted(fired, key=lambda item: (order[item.level], -item.rows, item.rule.code))


def _counts(path: Path, standard: Standard) -> dict[str, int] | None:
    """Rows submitted per table from the portal's aggregation report, whose codes end in the number of the table; None without it."""
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            return {standard.table("MHS" + row["CODE"][-3:]).name: int(row["DENOMINATOR"] or 0) for row in csv.DictReader(handle)}
    except (OSError, UnicodeDecodeError, KeyError, ValueError):
        raise InputError(f"{path} is not an aggregation report; validate the submission again") from None


def _tables_to_read(standard: Standard, submission: Path, fired: Iterable[_Fired], counts: Mapping[str, int] | None) -> dict[str, tuple[str, ...]]:
    """The tables to read with their key columns: those linked by a rule that rejected rows, and all where rows are to be counted."""
    keys: dict[str, set[str]] = defaultdict(set)
    if counts is None:
        for table in standard.tables.values():
            if any((submission / f"{table.name}{suffix}").exists() for suffix in (".csv", ".parquet")):
                keys[table.name] = set()
    for item in fired:
        if _links(item):
            for linked in (item.rule.table, str(item.rule.arguments["parent"])):
                keys[standard.table(linked).name].add(item.rule.arguments["key"])
    return {name: tuple(sorted(wanted)) for name, wanted in sorted(keys.items())}


def _links(item: _Fired) -> bool:
    """Whether the rule rejected rows for want of a row that they depend on."""
    return item.rule.kind == "parent_exists" and item.level in REJECTING


def _trace(connection: Connection, standard: Standard, fired: Sequence[_Fired]) -> None:
    """``held`` (table_name, row, cause): per rejected row the codes that must be mended before it is loaded.

    A row that fails a rule of its own is its own cause. A row that was rejected for want of its parent has the causes of that
    parent; where the submission has no such parent at all, the want itself is the cause. The links are followed in
    the order in which the portal judges them, so a row is never the cause of what was rejected before it.
    """
    linking = {item.rule.code: item.rule for item in fired if _links(item)}
    own = [item.rule.code for item in fired if item.level in REJECTING and item.rule.code not in linking]
    connection.execute("CREATE TABLE held (table_name VARCHAR, row BIGINT, cause VARCHAR)")
    connection.execute("INSERT INTO held SELECT DISTINCT table_name, row, code FROM finding WHERE row > 0 AND list_contains(?, code)", [own])
    for code in (code for code in standard.referential_order if code in linking):
        rule = linking[code]
        child, parent = standard.table(rule.table), standard.table(rule.arguments["parent"])
        key = identifier(rule.arguments["key"])
        connection.execute(
            f"""INSERT INTO held
            WITH lost AS (
                SELECT finding.row, child.{key} AS link
                FROM finding JOIN {identifier(child.name)} AS child ON child.row = finding.row
                WHERE finding.code = {text_literal(code)}
            ), cause AS (
                SELECT DISTINCT parent.{key} AS link, held.cause
                FROM held JOIN {identifier(parent.name)} AS parent ON parent.row = held.row
                WHERE held.table_name = {text_literal(parent.name)}
            )
            SELECT {text_literal(child.name)}, lost.row, coalesce(cause.cause, {text_literal(code)})
            FROM lost LEFT JOIN cause ON cause.link = lost.link
            EXCEPT
            FROM held"""
        )


def _fixes(
    connection: Connection, standard: Standard, fired: Sequence[_Fired], sentences: Mapping[str, str], advice: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The causes of rejected rows: what rejects the file first, then by how many rows one of them alone holds back."""
    found = connection.execute(
        f"""WITH alone AS (SELECT table_name, row FROM held GROUP BY table_name, row HAVING count(*) = 1)
        SELECT held.cause, held.table_name, count(*), count(alone.row), min(held.row, {_FIRST_ROWS})
        FROM held LEFT JOIN alone ON alone.table_name = held.table_name AND alone.row = held.row
        GROUP BY held.cause, held.table_name ORDER BY held.table_name"""
    ).fetchall()
    by_code = {item.rule.code: item for item in fired}
    causes: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    at_fault: dict[str, _Fired] = {}
    for cause, table, rows, alone, first in found:
        causes[cause].append((table, rows, alone))
        if table == standard.table(by_code[cause].rule.table).name:
            at_fault[cause] = _Fired(by_code[cause].rule, by_code[cause].level, rows, tuple(first))
    fixes = []
    for cause, parts in causes.items():
        item = at_fault[cause]
        fixes.append(
            {
                **_described(item, standard, sentences, advice),
                "held": sum(rows for _, rows, _ in parts),
                "frees": sum(alone for _, _, alone in parts),
                "reach": [{"table": standard.table(table).title, "rows": rows} for table, rows, _ in sorted(parts, key=lambda part: -part[1])],
            }
        )
    return sorted(fixes, key=lambda fix: (fix["level"] != "file", -fix["frees"], -fix["held"], fix["code"]))


def _per_table(connection: Connection, standard: Standard, counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Rows submitted, rejected and loaded with a warning, for every table that has any."""
    rejected = dict(connection.execute("SELECT table_name, count(*) FROM rejected GROUP BY table_name").fetchall())
    warned = dict(
        connection.execute(
            "SELECT table_name, count(DISTINCT row) FROM finding ANTI JOIN rejected USING (table_name, row) WHERE row > 0 GROUP BY table_name"
        ).fetchall()
    )
    return [
        {
            "id": table.id,
            "title": table.title,
            "submitted": counts[table.name],
            "rejected": rejected.get(table.name, 0),
            "loaded": counts[table.name] - rejected.get(table.name, 0),
            "warned": warned.get(table.name, 0),
        }
        for table in standard.tables.values()
        if counts.get(table.name)
    ]


def _described(item: _Fired, standard: Standard, sentences: Mapping[str, str], advice: Mapping[str, str]) -> dict[str, Any]:
    """A rule that fired, in words."""
    table, code = standard.table(item.rule.table), item.rule.code
    return {
        "code": code,
        "level": item.level,
        "level_words": _LEVELS[item.level],
        "rejects": item.level in REJECTING,
        "table": table.title,
        "file": table.name,
        "element": item.rule.element,
        "sentence": sentences.get(code, ""),
        "advice": advice.get(code, ""),
        "rows": item.rows,
        "first": [f"{row:,}" for row in item.first if row],
        "whole_file": item.first == (0,),
    }


def _by_severity(
    fired: Sequence[_Fired], standard: Standard, sentences: Mapping[str, str], advice: Mapping[str, str]
) -> list[tuple[str, list[dict[str, Any]]]]:
    described = [_described(item, standard, sentences, advice) for item in fired]
    groups = {"Rules that reject": [item for item in described if item["rejects"]], "Warnings": [item for item in described if not item["rejects"]]}
    return [(title, items) for title, items in groups.items() if items]


def _verdict(fired: Iterable[_Fired], rejected: int) -> str:
    if any(item.level == "file" for item in fired):
        return "file"
    return "mixed" if rejected else "good"


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


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
