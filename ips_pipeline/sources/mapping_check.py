"""Look over a mapping: what it covers of the standard, and what it makes of the rows that its source holds for a month.

Everything that would stop the extract is found in one go, in the words of the extract. Of the source's values nothing is shown but local
codes, under the rule of the extract.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.settings import Site, check_period
from ips_pipeline.sources import extract, raw
from ips_pipeline.sources import mapping as mappings
from ips_pipeline.sources.mapping import Column, LocalMapping, TableCoverage, TableMap, Unmapped
from ips_pipeline.store import stages
from ips_pipeline.store.duck import Connection, DuckError, identifier, session, text_literal

#: How the standard writes what is not text; anything else breaks a format rule.
_FORMS = {
    "date": "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "time": "[0-9]{2}:[0-9]{2}:[0-9]{2}",
    "timestamp": "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([+-][0-9]{2}:[0-9]{2}|Z)?",
}


@dataclass(frozen=True, slots=True)
class ElementCheck:
    """One mapped element over the rows of a month. Counts are of rows, and None without a source.

    ``odd`` are dates and times that are not in the standard's form after mapping; ``formats`` counts those in the source by the first format
    that fits, with "none" for those that fit none.
    """

    element: str
    mandation: str
    origin: str
    empty: int | None = None
    odd: int | None = None
    formats: Mapping[str, int] | None = None
    unmapped: Unmapped | None = None


@dataclass(frozen=True, slots=True)
class TableCheck:
    """One mapped table: its input, how many rows the month has (None without a source), what is covered, and each mapped element."""

    table: str
    source: str | None
    rows: int | None
    coverage: TableCoverage
    elements: tuple[ElementCheck, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """A mapping looked over: ``unused`` columns, by input, are those that nothing in it names; ``stops`` are what would stop an extract."""

    mapping: Path
    period: str | None
    tables: tuple[TableCheck, ...]
    missing_tables: tuple[str, ...]
    odd_codes: tuple[tuple[str, str, str], ...]
    unused: Mapping[str, tuple[str, ...]]
    stops: tuple[IpsError, ...]


def check(site: Site, provider: str, period: str | None) -> Check:
    """Look a provider's mapping over; with a month, fetch its source as the extract does and look at what comes. Nothing lands.

    Raises UsageError for a mapping that cannot be read, InputError and RetryableError when the source cannot be.
    """
    mapping = mappings.load(site.provider(provider).mapping)
    static = _static(mapping)
    if period is None:
        return static
    try:
        job = extract._job(site, provider, check_period(period), full=False)
    except UsageError as fault:
        return replace(static, stops=(fault,))
    try:
        for zone in (site.restricted, site.temporary):
            zone.mkdir(parents=True, exist_ok=True, mode=0o700)
            zone.chmod(0o700)
        with TemporaryDirectory(prefix="check-", dir=site.temporary) as work:
            # Of an input that is fetched as changes the new snapshot is not put in force, so the next extract begins where it would have.
            fetched, _ = extract._fetch(job, Path(work))
            folders = sorted({item.path.parent for item in fetched.values()})
            with session(read=folders, temporary=site.temporary, memory_limit=site.options.memory_limit) as connection:
                for name, value in job.parameters.items():
                    connection.execute(f"SET VARIABLE {name} = {text_literal(value)}")
                for key, item in fetched.items():
                    connection.execute(f"CREATE TABLE {identifier(key)} AS {mappings.input_sql(mapping.inputs[key], item.path)}")
                return _looked_at(connection, job, static, fetched)
    except OSError as error:
        raise stages.storage_error(error, site.restricted) from None


def _static(mapping: LocalMapping) -> Check:
    """What the mapping itself tells."""
    covered = mappings.check(mapping)
    tables = []
    for coverage in covered.tables:
        about = standard.load().table(coverage.table)
        mapped = mapping.tables[about.id]
        elements = tuple(
            ElementCheck(name, about.field(name).mandation, _origin(mapped.columns[name])) for name in about.elements if name in mapped.columns
        )
        tables.append(TableCheck(about.name, mapped.source, None, coverage, elements))
    stops: tuple[IpsError, ...] = ()
    if covered.missing_required:
        stops = (
            UsageError(f"The mapping {mapping.file} lacks {', '.join(covered.missing_required)}, without which every submission is rejected; map it"),
        )
    return Check(mapping.file, None, tuple(tables), covered.missing_tables, covered.odd_codes, {}, stops)


def _origin(column: Column) -> str:
    if column.column is not None:
        return f"column {column.column}"
    if column.expression is not None:
        return "expression"
    return f"value {column.value}" if column.value is not None else f"parameter {column.parameter}"


def _looked_at(connection: Connection, job: extract._Job, static: Check, fetched: Mapping[str, raw.Fetched]) -> Check:
    stops: list[IpsError] = []
    tables = []
    for table in static.tables:
        identifier_ = standard.load().table(table.table).id
        mapped = job.mapping.tables[identifier_]
        bare = _only(job.mapping, identifier_, mapped.model_copy(update={"columns": {}}))
        if fault := _fault(extract._check_expressions, connection, bare, identifier_, {}):
            # Without its condition nothing can be said of the rows.
            stops.append(fault)
            tables.append(table)
            continue
        rows = int((connection.execute(f"SELECT count(*) {mappings.rows_sql(mapped)}").fetchone() or (0,))[0])
        elements = []
        for element in table.elements:
            faults, found = _element(connection, job, identifier_, element, fetched)
            stops += faults
            elements.append(found)
        tables.append(replace(table, rows=rows, elements=tuple(elements)))
    return replace(static, period=job.period, tables=tuple(tables), unused=_unused(job.mapping, fetched), stops=(*static.stops, *stops))


def _only(mapping: LocalMapping, table: str, mapped: TableMap) -> LocalMapping:
    return mapping.model_copy(update={"tables": {table: mapped}})


def _fault(check_: Callable[..., None], *given: object) -> IpsError | None:
    """What a check of the extract raises, or None."""
    try:
        check_(*given)
    except IpsError as fault:
        return fault
    return None


def _element(
    connection: Connection, job: extract._Job, table: str, given: ElementCheck, fetched: Mapping[str, raw.Fetched]
) -> tuple[list[IpsError], ElementCheck]:
    """One element by itself: what would stop the extract, and its figures where it can be evaluated."""
    mapped = job.mapping.tables[table]
    column, field = mapped.columns[given.element], standard.load().table(table).field(given.element)
    alone = mapped.model_copy(update={"columns": {given.element: column}})
    one = _only(job.mapping, table, alone)
    without_where = _only(one, table, alone.model_copy(update={"where": None}))
    if fault := _fault(extract._check_columns, one, table, fetched) or _fault(extract._check_expressions, connection, without_where, table, {}):
        return [fault], given
    value, source = mappings.element_sql(job.mapping, field, column), mappings.rows_sql(mapped)
    odd = f"count(*) FILTER (NOT regexp_full_match({value}, {text_literal(_FORMS[field.type])}))" if field.type in _FORMS else "NULL"
    try:
        empty, wrong = connection.execute(f"SELECT count(*) - count({value}), {odd} {source}").fetchall()[0]
    except DuckError as error:
        fault = extract._value_fault(connection, one, table, error)
        if isinstance(fault, RetryableError):
            raise fault from None
        return [fault], given
    faults = [fault] if (fault := _fault(extract._check_codes, connection, replace(job, mapping=one), table)) else []
    unmapped = mappings.unmapped_codes(connection, job.mapping, mapped, column) if column.codes is not None else None
    formats = _by_format(connection, column, source) if column.format is not None else None
    return faults, replace(given, empty=int(empty), odd=None if wrong is None else int(wrong), formats=formats, unmapped=unmapped)


def _by_format(connection: Connection, column: Column, source: str) -> dict[str, int]:
    """How many values of the source each format reads, the first that fits, and how many none does."""
    formats = [column.format] if isinstance(column.format, str) else list(column.format or ())
    origin = mappings.origin_sql(column)
    cases = " ".join(f"WHEN try_strptime({origin}, {text_literal(form)}) IS NOT NULL THEN {position}" for position, form in enumerate(formats))
    rows = connection.execute(
        f"SELECT fits, count(*) FROM (SELECT CASE {cases} ELSE {len(formats)} END AS fits {source}"
        f"{' AND' if 'WHERE' in source else ' WHERE'} {origin} IS NOT NULL) GROUP BY fits"
    ).fetchall()
    held = {int(position): int(count) for position, count in rows}
    return {form: held.get(position, 0) for position, form in enumerate([*formats, "none"])}


def _unused(mapping: LocalMapping, fetched: Mapping[str, raw.Fetched]) -> dict[str, tuple[str, ...]]:
    """The columns of each input that nothing names. An expression may read any input, so a word in one counts for all."""
    words = {word for table in mapping.tables.values() for word in _words(table)}
    unused = {}
    for key, item in sorted(fetched.items()):
        named = {
            str(column.column).lower()
            for table in mapping.tables.values()
            if table.source == key
            for column in table.columns.values()
            if column.column
        }
        if left := tuple(column for column in item.columns if column.lower() not in named | words):
            unused[key] = left
    return unused


def _words(table: TableMap) -> Iterator[str]:
    """The names in the condition and the expressions of a table, in small letters; texts in single quotes are none."""
    for written in filter(None, (table.where, *(column.expression for column in table.columns.values()))):
        for quoted, plain in re.findall(r"""'(?:[^']|'')*'|"((?:[^"]|"")+)"|([A-Za-z_]\w*)""", written):
            yield (quoted.replace('""', '"') or plain).lower()


def refusal(found: Check) -> IpsError | None:
    """What to end with: the class of the first fault that would stop the extract, and how many there are; None when nothing would."""
    if not found.stops:
        return None
    first = found.stops[0]
    kind = type(first) if isinstance(first, (UsageError, InputError)) else InputError
    more = f" (and {len(found.stops) - 1} more, listed above)" if len(found.stops) > 1 else ""
    return kind(f"The extract would stop: {first}{more}")
