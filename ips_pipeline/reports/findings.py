"""What validation found, read again for a page: the rules that fired with their rows, and the rows of each table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds.standard import REJECTING, Rule, Standard
from ips_pipeline.store.duck import Connection, text_literal

#: Rows that are named of a rule that more rows fail.
FIRST_ROWS = 20

LEVELS: Mapping[str, str] = {
    "file": "File rejected",
    "group": "Group rejected",
    "record": "Record rejected",
    "severity1": "Severity 1 warning",
    "warning": "Warning",
}

_FINDINGS: Mapping[str, str] = {"table_name": "VARCHAR", "row": "BIGINT", "code": "VARCHAR", "level": "VARCHAR"}
_REJECTED: Mapping[str, str] = {"table_name": "VARCHAR", "row": "BIGINT"}


@dataclass(frozen=True, slots=True)
class Fired:
    """One rule and the rows that fail it: how many, and the first of them; row 0 is the file itself."""

    rule: Rule
    level: str
    rows: int
    first: tuple[int, ...]

    def described(self, standard: Standard, sentences: Mapping[str, str], advice: Mapping[str, str]) -> dict[str, Any]:
        """The rule in words, for the templates; ``sentences`` and ``advice`` are those of the rule book by code."""
        table, code = standard.table(self.rule.table), self.rule.code
        return {
            "code": code,
            "level": self.level,
            "level_words": LEVELS[self.level],
            "rejects": self.level in REJECTING,
            "table": table.title,
            "file": table.name,
            "element": self.rule.element,
            "sentence": sentences.get(code, ""),
            "advice": advice.get(code, ""),
            "rows": self.rows,
            "first": [f"{row:,}" for row in self.first if row],
            "whole_file": self.first == (0,),
        }


def read(connection: Connection, folders: Mapping[int, Path]) -> None:
    """What validation wrote into folders, by number of the submission; raises InputError when one of the files is not there.

    ``finding`` (submission, table_name, row, code, level), ``rejected`` (submission, table_name, row).
    """
    read_files(connection, "finding", {number: folder / "findings.csv" for number, folder in folders.items()}, _FINDINGS)
    read_files(connection, "rejected", {number: folder / "rejected_rows.csv" for number, folder in folders.items()}, _REJECTED)


def read_files(connection: Connection, name: str, paths: Mapping[int, Path], columns: Mapping[str, str]) -> None:
    """A table of CSV files with the same columns, and the number of the submission before them; InputError when one is not there."""
    if lost := next((path for path in paths.values() if not path.is_file()), None):
        raise InputError(f"{lost} does not exist; validate the submission first")
    if not paths:
        fields = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        connection.execute(f"CREATE TABLE {name} (submission INTEGER, {fields})")
        return
    listed = "[" + ", ".join(text_literal(str(path.resolve())) for path in paths.values()) + "]"
    numbers = "[" + ", ".join(str(number) for number in paths) + "]"
    schema = "{" + ", ".join(f"{text_literal(column)}: {text_literal(kind)}" for column, kind in columns.items()) + "}"
    connection.execute(
        f"CREATE TABLE {name} AS SELECT CAST({numbers}[CAST(file_index AS BIGINT) + 1] AS INTEGER) AS submission, *"
        f" FROM read_csv({listed}, columns = {schema}, header = true, auto_detect = false)"
    )


def fired(connection: Connection, rules: Mapping[str, Rule]) -> dict[int, list[Fired]]:
    """Per submission every rule that fired, the most severe and then the most frequent first."""
    order = {level: place for place, level in enumerate(LEVELS)}
    found: dict[int, list[Fired]] = defaultdict(list)
    for submission, code, level, rows, first in connection.execute(
        f"SELECT submission, code, level, count(*), min(row, {FIRST_ROWS}) FROM finding GROUP BY submission, code, level"
    ).fetchall():
        found[submission].append(Fired(rules[code], level, rows, tuple(first)))
    for items in found.values():
        items.sort(key=lambda item: (order[item.level], -item.rows, item.rule.code))
    return found


def per_table(connection: Connection, standard: Standard, counts: Mapping[int, Mapping[str, int]]) -> dict[int, list[dict[str, Any]]]:
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
                "name": table.name,
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


def by_severity(described: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Rules in words, those that reject first; a part without any is left out."""
    groups = {"Rules that reject": [item for item in described if item["rejects"]], "Warnings": [item for item in described if not item["rejects"]]}
    return [(title, items) for title, items in groups.items() if items]


def reasons(not_evaluated: Mapping[str, str], rules: Mapping[str, Rule]) -> list[tuple[str, list[str]]]:
    """The reasons for which rules were not judged, each with its codes."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for code, reason in not_evaluated.items():
        if code in rules:
            grouped[reason].append(code)
    return sorted(((reason, sorted(codes)) for reason, codes in grouped.items()), key=lambda pair: (-len(pair[1]), pair[0]))
