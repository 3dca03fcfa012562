"""Compare what came back with our own verdict and numbers: the same, only theirs, only ours, and the reason as far as it can be told.

Nothing is passed over: every line of either side is in exactly one class, and what cannot be explained is a class of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard
from ips_pipeline.mhsds.standard import Table
from ips_pipeline.store import steps
from ips_pipeline.store.duck import Connection, create_table, identifier, session, text_literal
from ips_pipeline.submission.feedback import REPORT_COLUMNS, REPORTS, extract_elements

#: Steps over ``report_line``, ``known_code`` and ``not_evaluated``; and over ``published``.
REPORT_STEPS = (
    "reconcile/report_item",
    "reconcile/report_shared",
    "reconcile/report_row",
    "reconcile/report_difference",
    "reconcile/count_difference",
)
PUBLISHED_STEPS = ("reconcile/published_difference",)

#: Values to the nearest five, as the publication rounds below England.
_VARIABLES: Mapping[str, steps.Value] = {"rounding_base": 5}

#: Classes that need nobody's attention.
AGREED = frozenset({"same code and row", "same count", "same row", "match", "rounding edge"})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the summary: what was compared, the class, how many, and of how many codes, tables or measures."""

    part: str
    what: str
    name: str
    count: int


def reports(ours: Path, theirs: Path, out: Path, *, not_evaluated: Sequence[str] = (), temporary: Path | None = None) -> list[Line]:
    """Compare the portal's reports with ours and write ``findings.csv`` (code, record, theirs, ours, class) and ``counts.csv``.

    ``ours`` is where validation wrote its four CSV files and ``theirs`` where ``feedback.read_reports`` wrote. ``record`` holds
    values of patients: ``out`` lies in the restricted zone. Raises InputError when either side has no report.
    """
    known = [rule.code for rule in standard.load().rules()]
    types = ", ".join(f"{text_literal(name)}: 'VARCHAR'" for name in REPORT_COLUMNS)
    with session(read=[ours, theirs], write=[out], temporary=temporary) as connection:
        connection.execute(
            "CREATE TABLE report_line (side VARCHAR, report VARCHAR, line BIGINT, "
            + ", ".join(f"{identifier(name)} VARCHAR" for name in REPORT_COLUMNS)
            + ")"
        )
        columns = ", ".join(identifier(name) for name in REPORT_COLUMNS)
        held = 0
        for report in REPORTS:
            mine, portal = ours / f"{report}.csv", theirs / f"{report}.parquet"
            if not mine.is_file() or not portal.is_file():
                continue
            held += 1
            connection.execute(
                f"INSERT INTO report_line SELECT 'theirs', {text_literal(report)}, line, {columns}"
                f" FROM read_parquet({text_literal(str(portal.resolve()))})"
            )
            connection.execute(
                f"INSERT INTO report_line SELECT 'ours', {text_literal(report)}, row_number() OVER (), {columns}"
                f" FROM read_csv({text_literal(str(mine.resolve()))}, header = true, all_varchar = true, auto_detect = false,"
                f" columns = {{{types}}},"
                " delim = ',', quote = '\"', escape = '\"', strict_mode = false, max_line_size = 50000000)"
            )
        if not held:
            raise InputError(f"There is no report of both sides to compare in {ours} and what was imported; validate the month first")
        create_table(connection, "known_code", {"code": known})
        create_table(connection, "not_evaluated", {"code": list(not_evaluated)})
        steps.run(connection, REPORT_STEPS, {})
        _copy(connection, "report_difference", out / "findings.csv")
        _copy(connection, "count_difference", out / "counts.csv")
        return [
            *_summary(connection, "findings", "SELECT class, code, sum(greatest(theirs, ours)) FROM report_difference GROUP BY ALL ORDER BY ALL"),
            *_summary(connection, "counts", "SELECT class, code, count(*) FROM count_difference GROUP BY ALL ORDER BY ALL"),
        ]


def publication(
    ours: Path, theirs: Path, out: Path, *, other_months: Sequence[Path] = (), earlier: Sequence[Path] = (), temporary: Path | None = None
) -> list[Line]:
    """Compare the monthly publication with our own publication file and write ``published.csv``: each level with its class.

    ``ours`` is our final publication CSV, ``theirs`` where ``feedback.read_publication`` wrote. ``other_months`` are our publication files
    of the months before and after, ``earlier`` those of earlier versions of this month: they show what a difference comes from. Only
    rows of the same period end and status are compared. Raises InputError when the publication has none of them.
    """
    with session(read=[ours.parent, theirs, *{path.parent for path in (*other_months, *earlier)}], write=[out], temporary=temporary) as connection:
        connection.execute("CREATE TABLE published (version VARCHAR, measure_id VARCHAR, breakdown VARCHAR, level VARCHAR, value VARCHAR)")
        _insert_ours(connection, ours, "ours")
        for path in other_months:
            _insert_ours(connection, path, "another month")
        for path in earlier:
            _insert_ours(connection, path, "earlier version")
        mine = text_literal(str(ours.resolve()))
        connection.execute(
            "INSERT INTO published SELECT 'theirs', measure_id, breakdown, level, value"
            f" FROM read_parquet({text_literal(str((theirs / 'publication.parquet').resolve()))})"
            f" WHERE (CAST(period_end AS VARCHAR), status) IN (SELECT REPORTING_PERIOD_END, STATUS FROM read_csv({mine}, all_varchar = true))"
        )
        found = connection.execute("SELECT count(*) FROM published WHERE version = 'theirs'").fetchone()
        if not found or not found[0]:
            raise InputError(f"The publication is of another month or status than {ours.name}; import the one of the same month")
        steps.declare(connection, _VARIABLES)
        steps.run(connection, PUBLISHED_STEPS, _VARIABLES)
        _copy(connection, "published_difference", out / "published.csv")
        query = "SELECT class, measure_id || ' ' || breakdown, count(*) FROM published_difference GROUP BY ALL ORDER BY ALL"
        return _summary(connection, "published", query)


def extract(accepted: Path, theirs: Path, out: Path, *, temporary: Path | None = None) -> list[Line]:
    """Compare the rows we would load with the records of the post-deadline extract and write ``rows.csv``.

    Columns: table, class, record (the identifying values), elements (names of those that differ). Records are matched by the table's key
    where it has one, else by all elements that both sides hold. ``accepted`` holds a Parquet file per table; ``theirs`` is where
    ``feedback.read_extract`` wrote. ``record`` holds values of patients: ``out`` lies in the restricted zone.
    """
    with session(read=[accepted, theirs], write=[out], temporary=temporary) as connection:
        connection.execute('CREATE TABLE difference ("table" VARCHAR, class VARCHAR, record VARCHAR, elements VARCHAR)')
        connection.execute('CREATE TABLE tally ("table" VARCHAR, class VARCHAR, lines BIGINT)')
        for table in standard.load().tables.values():
            _compare_table(connection, table, accepted / f"{table.name}.parquet", theirs / f"{table.name}.parquet")
        connection.execute("CREATE TABLE row_difference AS FROM difference ORDER BY ALL")
        _copy(connection, "row_difference", out / "rows.csv")
        return _summary(connection, "rows", 'SELECT class, "table", sum(lines) FROM tally GROUP BY ALL ORDER BY ALL')


def _compare_table(connection: Connection, table: Table, mine: Path, portal: Path) -> None:
    """Add one table's rows to ``tally``, and those that differ to ``difference``. Identifiers come from the standard alone."""
    shared = [element for element in table.elements if element in extract_elements().get(table.name, ())]
    key = [field.element for field in table.fields if field.key and field.element in shared] or shared
    values = [element for element in shared if element not in key]
    for side, path in (("ours", mine), ("theirs", portal)):
        source = f"read_parquet({text_literal(str(path.resolve()))})" if path.is_file() else None
        columns = ", ".join(f"coalesce(trim(CAST({identifier(element)} AS VARCHAR)), '') AS {identifier(element)}" for element in shared)
        nothing = "SELECT " + ", ".join(f"CAST('' AS VARCHAR) AS {identifier(element)}" for element in shared) + " WHERE false"
        rows = f"SELECT {columns} FROM {source}" if source else nothing
        numbered, ordered = (", ".join(identifier(element) for element in listed) for listed in (key, shared))
        # Rows that are alike in every compared element are told apart by counting them.
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {side} AS SELECT *, row_number() OVER (PARTITION BY {numbered} ORDER BY {ordered}) AS copy FROM ({rows})"
        )
    on = " AND ".join(f"theirs.{identifier(element)} = ours.{identifier(element)}" for element in (*key, "copy"))
    record = " || '; ' || ".join(
        f"{text_literal(element)} || '=' || coalesce(theirs.{identifier(element)}, ours.{identifier(element)})" for element in key
    )
    differ = [f"CASE WHEN theirs.{identifier(element)} <> ours.{identifier(element)} THEN {text_literal(element)} END" for element in values]
    elements = f"coalesce(array_to_string([{', '.join(differ)}], '; '), '')" if differ else "''"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE compared AS SELECT CASE WHEN ours.copy IS NULL THEN 'only theirs' WHEN theirs.copy IS NULL THEN 'only ours'"
        f" WHEN {elements} = '' THEN 'same row' ELSE 'values differ' END AS class, {record} AS record,"
        f" CASE WHEN ours.copy IS NOT NULL AND theirs.copy IS NOT NULL THEN {elements} ELSE '' END AS elements"
        f" FROM theirs FULL JOIN ours ON {on}"
    )
    name = text_literal(table.name)
    connection.execute(f"INSERT INTO tally SELECT {name}, class, count(*) FROM compared GROUP BY class")
    connection.execute(f"INSERT INTO difference SELECT {name}, class, record, elements FROM compared WHERE class <> 'same row'")


def _insert_ours(connection: Connection, path: Path, version: str) -> None:
    connection.execute(
        f"INSERT INTO published SELECT {text_literal(version)}, MEASURE_ID, BREAKDOWN, PRIMARY_LEVEL, MEASURE_VALUE"
        f" FROM read_csv({text_literal(str(path.resolve()))}, all_varchar = true)"
    )


def _summary(connection: Connection, part: str, query: str) -> list[Line]:
    return [Line(part, what, name, int(count)) for what, name, count in connection.execute(query).fetchall()]


def _copy(connection: Connection, table: str, path: Path) -> None:
    connection.execute(f"COPY (FROM {identifier(table)}) TO {text_literal(str(path.resolve()))} (FORMAT csv, HEADER)")
    path.chmod(0o600)
