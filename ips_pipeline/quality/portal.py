"""The four reports that the submission portal gives back, in its columns: validations, data quality, diagnostics and aggregation.

The layout and the numbering of the aggregation codes are the portal's. The wording is our own, and so is the reading of the
diagnostics, whose formulas are not public. The lines hold submitted values: these files stay in the restricted zone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from ips_pipeline.mhsds.standard import REJECTING, Level, Rule, Standard, Table
from ips_pipeline.quality.findings import FILE_KINDS, RuleSet
from ips_pipeline.quality.rulebook import LEVEL_WORDS, judged_elements, sentence
from ips_pipeline.store.duck import Connection, create_table, identifier, text_literal

#: Name and value pairs on a line.
ITEMS = 10
COLUMNS = (
    "REPORT_TYPE",
    "DESCRIPTION",
    "CODE",
    "NUMERATOR",
    "DENOMINATOR",
    *(f"{word}{number}" for number in range(1, ITEMS + 1) for word in ("DATA_ITEM", "DATA_VALUE")),
)

_VALIDATIONS, _DATA_QUALITY, _DIAGNOSTICS, _AGGREGATION = "Validations", "Data quality", "Diagnostics", "Aggregation"
#: File name -> the REPORT_TYPE of its lines.
FILES = {
    "validations.csv": _VALIDATIONS,
    "data_quality.csv": _DATA_QUALITY,
    "diagnostics.csv": _DIAGNOSTICS,
    "aggregation.csv": _AGGREGATION,
}

#: Lines that are in memory at a time.
_LINES = 50_000

#: A spreadsheet cell holds no more characters than this.
_CELL = 32_000


def write(connection: Connection, rules: RuleSet, targets: Sequence[Path]) -> None:
    """Write the four files of every submission just judged, the n-th into ``targets[n - 1]``, owner-only, in a total order.

    Needs ``findings``, ``report`` (submission, table_name, row, code, level), ``gone`` (submission, table_name, row) and
    ``submitted`` (submission, table_name, rows) on the connection. Each report of all submissions is one ordered stream, so
    neither a thousand submissions nor a million findings cost more than their lines.
    """
    _gather(connection, rules.standard)
    _count(connection, rules.standard, len(targets))
    for name in ("validations.csv", "data_quality.csv"):
        _split(_finding_lines(connection, rules, FILES[name]), [target / name for target in targets])
    for name in ("diagnostics.csv", "aggregation.csv"):
        pairs = "".join(f", elements[{item}], held[{item}]" for item in range(1, ITEMS + 1))
        lines = connection.sql(
            f"SELECT submission, report, description, code, numerator, denominator{pairs}"
            f" FROM portal_count WHERE report = {text_literal(FILES[name])} ORDER BY submission, code"
        )
        _split(lines.to_arrow_reader(_LINES), [target / name for target in targets])


def items_of(rule: Rule, table: Table) -> tuple[str, ...]:
    """The elements a line of this rule shows: what identifies the row, then what the rule looks at; ten at most.

    Elements of the table, or ``MHS000.X`` for one of the header; none for a rule about the file.
    """
    if rule.kind in FILE_KINDS:
        return ()
    judged = judged_elements(rule, table)
    keys = [field.element for field in table.fields if field.key or field.parent]
    for other in table.rules:
        if other.kind == "unique":
            keys.extend(other.arguments["elements"])
    identifying = [element for element in dict.fromkeys(keys) if element not in judged]
    return tuple([*identifying[: max(ITEMS - len(judged), 0)], *judged][:ITEMS])


def _finding_lines(connection: Connection, rules: RuleSet, report: str) -> Iterator[pa.RecordBatch]:
    """The lines of one report: the submission, then the columns of the portal. What is the same for a code is added after the sort."""
    about: list[tuple[str, str, tuple[str, ...]]] = []
    for rule in rules.standard.rules():
        if (level := rules.levels.get(rule.code)) and _report(level) == report:
            table = rules.standard.table(rule.table)
            about.append((rule.code, _message(rule, level, table), items_of(rule, table)))
    elements = {f"item{item}": [items[item].removeprefix("MHS000.") if item < len(items) else None for _, _, items in about] for item in range(ITEMS)}
    name = f"portal_{report}"
    create_table(connection, name, {"code": [code for code, _, _ in about], "description": [message for _, message, _ in about], **elements})
    codes, descriptions, *names = (column.combine_chunks() for column in connection.sql(f"FROM {identifier(name)}").to_arrow_table().columns)
    values = "".join(f", held[{item}]" for item in range(1, ITEMS + 1))
    found = connection.sql(
        f"SELECT submission, code{values} FROM (SELECT submission, code, held FROM portal_line"
        f" WHERE code IN ({', '.join(text_literal(code) for code, _, _ in about)}) ORDER BY submission, table_name, row, code)"
    )
    for batch in found.to_arrow_reader(_LINES):
        which = pc.index_in(batch.column(1), value_set=codes)
        blank = pa.nulls(len(batch), pa.string())
        pairs = [column for item in range(ITEMS) for column in (names[item].take(which), batch.column(2 + item))]
        kind = pa.repeat(report, len(batch))
        columns = [batch.column(0), kind, descriptions.take(which), batch.column(1), blank, blank, *pairs]
        yield pa.RecordBatch.from_arrays(columns, ["submission", *COLUMNS])


def _split(lines: Iterable[pa.RecordBatch], paths: Sequence[Path]) -> None:
    """Write lines that are ordered by submission (their first column, from 1) to the file of each; a file without lines has only the header."""
    for path in paths:
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(",".join(COLUMNS) + "\n", encoding="ascii")
    for batch in lines:
        runs = pc.run_end_encode(batch.column(0))
        start = 0
        for submission, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            part = batch.select(range(1, 1 + len(COLUMNS))).slice(start, end - start)
            with paths[submission - 1].open("ab") as handle:
                pa_csv.write_csv(part, handle, pa_csv.WriteOptions(include_header=False))
            start = end


def _report(level: Level) -> str:
    return _VALIDATIONS if level in REJECTING else _DATA_QUALITY


def _message(rule: Rule, level: Level, table: Table) -> str:
    return f"{LEVEL_WORDS[level]}: {sentence(rule)} ({table.name})"


def _gather(connection: Connection, standard: Standard) -> None:
    """``portal_line``: submission, table_name, row, code and ``held``, the values of the code's elements in the order of its items.

    Table by table, so that only one table's rows are held at a time.
    """
    connection.execute(
        "CREATE TABLE portal_line AS SELECT submission, table_name, row, code, CAST([] AS VARCHAR[]) AS held FROM findings WHERE row = 0"
    )
    codes: dict[str, set[str]] = defaultdict(set)
    for table_name, code in connection.execute("SELECT DISTINCT table_name, code FROM findings WHERE row > 0").fetchall():
        codes[table_name].add(code)
    for table in standard.tables.values():
        if table.name in codes:
            shown = {rule.code: items_of(rule, table) for rule in standard.rules() if rule.table == table.id and rule.code in codes[table.name]}
            connection.execute(
                f"INSERT INTO portal_line SELECT found.submission, found.table_name, found.row, found.code,"
                f" {_held(shown)} FROM {identifier(table.name + ' judged')} AS judged"
                f" JOIN findings AS found USING (submission, row) WHERE found.table_name = {text_literal(table.name)}"
            )


def _held(shown: Mapping[str, tuple[str, ...]]) -> str:
    """SQL for the values on a line, given the items of each code; a value that a spreadsheet would run is made plain text.

    Every value is made plain once and each code picks its own by their places: a case per code takes seconds to plan.
    """
    every = list(dict.fromkeys(item for items in shown.values() for item in items))
    if not every:
        return "CAST([] AS VARCHAR[])"
    columns = [identifier("@" + item.removeprefix("MHS000.")) if item.startswith("MHS000.") else identifier(item) for item in every]
    values = ", ".join(_plain(f"judged.{column}") for column in columns)
    places = ", ".join(f"{text_literal(code)}: [{', '.join(str(every.index(item) + 1) for item in items)}]" for code, items in shown.items() if items)
    return f"coalesce(list_select([{values}], MAP {{{places}}}[found.code]), CAST([] AS VARCHAR[]))"


def _plain(column: str) -> str:
    """A value that no spreadsheet takes for a formula, and that fits a cell."""
    return f"CASE WHEN left({column}, 1) IN ('=', '+', '-', '@', chr(9), chr(13)) THEN '''' ELSE '' END || left({column}, {_CELL})"


def _count(connection: Connection, standard: Standard, submissions: int) -> None:
    """``portal_count``: the aggregation and diagnostics lines of every table of every submission.

    A file that is rejected loads nothing, so none of its rows counts as accepted.
    """
    tables = standard.tables.values()
    create_table(
        connection,
        "portal_table",
        {
            "table_name": [table.name for table in tables],
            "number": [table.id.removeprefix("MHS") for table in tables],
            "title": [f"{table.name} ({table.title})" for table in tables],
        },
    )
    connection.execute(
        f"""
        CREATE TABLE portal_count AS
        WITH every AS (SELECT unnest(range(1, {submissions + 1}))::INTEGER AS submission),
        refused AS (SELECT DISTINCT submission FROM report WHERE level = 'file'),
        warned AS (
            SELECT submission, table_name, count(*) AS warned
            FROM (SELECT DISTINCT submission, table_name, row FROM report WHERE row > 0 AND level NOT IN ({_levels(REJECTING)})) AS flagged
            ANTI JOIN gone USING (submission, table_name, row)
            GROUP BY ALL
        ),
        lost AS (SELECT submission, table_name, count(*) AS rejected FROM gone GROUP BY ALL),
        counted AS (
            SELECT every.submission, number, title, coalesce(rows, 0) AS rows, coalesce(rejected, 0) AS rejected,
                coalesce(warned, 0) AS warned, refused.submission IS NOT NULL AS refused
            FROM every CROSS JOIN portal_table
            LEFT JOIN submitted USING (submission, table_name)
            LEFT JOIN lost USING (submission, table_name)
            LEFT JOIN warned USING (submission, table_name)
            LEFT JOIN refused USING (submission)
        )
        SELECT submission, '{_AGGREGATION}' AS report, 'MHSARV' || number AS code,
            title || ': rows accepted, of rows submitted' AS description,
            CASE WHEN refused THEN 0 ELSE rows - rejected END AS numerator, rows AS denominator,
            CAST([] AS VARCHAR[]) AS elements, CAST([] AS VARCHAR[]) AS held
        FROM counted
        UNION ALL
        SELECT submission, '{_DIAGNOSTICS}', 'MHSDAG' || number,
            title || ': rows with a rejection or a warning, of rows submitted (our reading; the national formula is not public)',
            rejected + warned, rows, ['Rows rejected', 'Rows with a warning that are not rejected'],
            [CAST(rejected AS VARCHAR), CAST(warned AS VARCHAR)]
        FROM counted
        """
    )


def _levels(levels: Iterable[Level]) -> str:
    return ", ".join(text_literal(level) for level in sorted(levels))
