"""The four reports that the submission portal gives back, in its columns: validations, data quality, diagnostics and aggregation.

The layout and the numbering of the aggregation codes are the portal's. The wording is our own, and so is the reading of the
diagnostics, whose formulas are not public. The lines hold submitted values: these files stay in the restricted zone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ips_pipeline.mhsds.standard import REJECTING, Level, Rule, Standard, Table
from ips_pipeline.quality.findings import RuleSet
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

#: A spreadsheet cell holds no more characters than this.
_CELL = 32_000


def prepare(connection: Connection, rules: RuleSet, submissions: int) -> None:
    """Gather the lines of all four reports for the submissions just judged; ``write`` then takes them one submission at a time.

    Needs ``findings``, ``report`` (submission, table_name, row, code, level), ``gone`` (submission, table_name, row) and
    ``submitted`` (submission, table_name, rows) on the connection.
    """
    _describe(connection, rules)
    _gather(connection, rules.standard)
    _count(connection, rules.standard, submissions)


def write(connection: Connection, number: int, target: Path) -> None:
    """Write the four files of one submission (by its number in the batch) into ``target``, owner-only, in a total order."""
    pairs = "".join(f", nullif(elements[{item}], '') AS DATA_ITEM{item}, held[{item}] AS DATA_VALUE{item}" for item in range(1, ITEMS + 1))
    for name in ("validations.csv", "data_quality.csv"):
        report = text_literal(FILES[name])
        _copy(
            connection,
            f"SELECT report AS REPORT_TYPE, description AS DESCRIPTION, code AS CODE, NULL AS NUMERATOR, NULL AS DENOMINATOR{pairs}"
            f" FROM portal_line JOIN portal_rule USING (code) WHERE submission = {number} AND report = {report} ORDER BY table_name, row, code",
            target / name,
        )
    for name in ("diagnostics.csv", "aggregation.csv"):
        report = text_literal(FILES[name])
        _copy(
            connection,
            f"SELECT report AS REPORT_TYPE, description AS DESCRIPTION, code AS CODE, numerator AS NUMERATOR, denominator AS DENOMINATOR{pairs}"
            f" FROM portal_count WHERE submission = {number} AND report = {report} ORDER BY code",
            target / name,
        )


def items_of(rule: Rule, table: Table) -> tuple[str, ...]:
    """The elements a line of this rule shows: what identifies the row, then what the rule looks at; ten at most.

    Elements of the table, or ``MHS000.X`` for one of the header.
    """
    judged = judged_elements(rule, table)
    keys = [field.element for field in table.fields if field.key or field.parent]
    for other in table.rules:
        if other.kind == "unique":
            keys.extend(other.arguments["elements"])
    identifying = [element for element in dict.fromkeys(keys) if element not in judged]
    return tuple([*identifying[: max(ITEMS - len(judged), 0)], *judged][:ITEMS])


def _describe(connection: Connection, rules: RuleSet) -> None:
    """``portal_rule``: per code of the standard the report it goes to, its message and the elements on its lines."""
    found = {code for (code,) in connection.execute("SELECT DISTINCT code FROM findings").fetchall()}
    lines: dict[str, list[str | None]] = {"code": [], "report": [], "description": [], "elements": []}
    for rule in rules.standard.rules():
        if rule.code in found and (level := rules.levels.get(rule.code)):
            table = rules.standard.table(rule.table)
            lines["code"].append(rule.code)
            lines["report"].append(_report(level))
            lines["description"].append(_message(rule, level, table))
            lines["elements"].append(" ".join(element.removeprefix("MHS000.") for element in items_of(rule, table)))
    create_table(connection, "portal_rule as text", lines)
    connection.execute("""CREATE VIEW portal_rule AS SELECT * REPLACE (string_split(elements, ' ') AS elements) FROM "portal_rule as text" """)


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
            connection.execute(
                f"INSERT INTO portal_line SELECT found.submission, found.table_name, found.row, found.code,"
                f" {_held(standard, table, codes[table.name])} FROM {identifier(table.name + ' judged')} AS judged"
                f" JOIN findings AS found USING (submission, row) WHERE found.table_name = {text_literal(table.name)}"
            )


def _held(standard: Standard, table: Table, found: set[str]) -> str:
    """SQL for the values on a line, by the code of the finding; a value that a spreadsheet would run is made plain text."""
    by_items: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for rule in standard.rules():
        if rule.table == table.id and rule.code in found:
            by_items[items_of(rule, table)].append(rule.code)
    cases = []
    for items, codes in by_items.items():
        columns = [identifier("@" + item.removeprefix("MHS000.")) if item.startswith("MHS000.") else identifier(item) for item in items]
        values = ", ".join(_plain(f"judged.{column}") for column in columns)
        cases.append(f"WHEN found.code IN ({', '.join(text_literal(code) for code in codes)}) THEN [{values}]")
    return f"CASE {' '.join(cases)} ELSE CAST([] AS VARCHAR[]) END" if cases else "CAST([] AS VARCHAR[])"


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


def _copy(connection: Connection, query: str, path: Path) -> None:
    connection.execute(f"COPY ({query}) TO {text_literal(str(path.resolve()))} (FORMAT csv, HEADER true)")
    path.chmod(0o600)
