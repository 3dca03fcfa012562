"""Extract and map one provider's month: from the trust's systems to an immutable landing in the layout of the standard."""

from __future__ import annotations

import calendar
import hashlib
import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.settings import Site, SqlSource, check_period, near
from ips_pipeline.sources import files, raw, sql
from ips_pipeline.sources import mapping as mappings
from ips_pipeline.sources.mapping import LocalMapping
from ips_pipeline.store import stages
from ips_pipeline.store.duck import Connection, DuckError, identifier, safe_error, session, text_literal

#: Local codes that a message names; the rest are counted.
_CODES_SHOWN = 5


def extract(site: Site, provider: str, period: str) -> stages.Stage:
    """Bring a provider's month to its landing shelf: one text Parquet file per mapped table of the standard.

    The landing is named by what was extracted (content, mapping, version of the standard) and not by when: the same content
    again gives the same identity and ``changed`` False. Rows are in order of all their elements. The manifest records rows per
    table and input, the hash of every file, query and mapping, and the time of the extract.

    Raises UsageError for settings or a mapping that cannot be followed, InputError when a source or a code in it cannot be
    read, RetryableError when the source does not answer.
    """
    check_period(period)
    about = site.provider(provider)
    mapping = mappings.load(about.mapping)
    if lacking := mappings.check(mapping).missing_required:
        raise UsageError(f"The mapping {mapping.file} lacks {', '.join(lacking)}, without which every submission is rejected; map it")
    _check_inputs(site, about.source, mapping)
    start, end = _days(period)
    as_of = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    parameters = {
        "provider": provider,
        "submitter": about.submitter,
        "period_start": start.isoformat(),
        "period_end": end.isoformat(),
        "as_of": as_of.isoformat(),
    }
    try:
        for zone in (site.restricted, site.temporary):
            zone.mkdir(parents=True, exist_ok=True, mode=0o700)
            zone.chmod(0o700)
        with TemporaryDirectory(prefix="extract-", dir=site.temporary) as work:
            fetched_folder, mapped_folder, named_folder = (Path(work) / part for part in ("fetched", "mapped", "named"))
            for folder in (fetched_folder, mapped_folder, named_folder):
                folder.mkdir(mode=0o700)
            fetched = _fetch(site, about.source, mapping, period, start, end, provider, fetched_folder)
            tables, hashes = _map(site, mapping, provider, fetched, parameters, mapped_folder, named_folder)
            inputs = {
                "provider": provider,
                "period": period,
                "standard": standard.load().version,
                "mapping": stages.identity_of(mapping.content()),
                "queries": {key: _query_hash(item) for key, item in sorted(mapping.inputs.items())},
            }
            facts = {
                "as_of": as_of.isoformat() + "Z",
                "rows": sum(tables.values()),
                "tables": tables,
                "fetched": {key: item.rows for key, item in sorted(fetched.items())},
            }

            def build(folder: Path) -> Mapping[str, Any]:
                for path in sorted(mapped_folder.iterdir()):
                    shutil.move(path, folder / path.name)
                return facts

            return stages.write(
                site.landing(provider, period),
                build,
                staging=site.staging,
                identity=stages.identity_of({**inputs, "content": hashes}),
                inputs=inputs,
            )
    except OSError as error:
        raise stages.storage_error(error, site.restricted) from None


def _fetch(site: Site, name: str, mapping: LocalMapping, period: str, start: date, end: date, provider: str, folder: Path) -> dict[str, raw.Fetched]:
    source = site.sources[name]
    if isinstance(source, SqlSource):
        bind = {"period_start": start, "period_end": end, "provider": provider}
        return sql.fetch(site, name, source, mapping.inputs, bind, folder)
    return files.fetch(name, source, mapping.inputs, period, provider, folder)


def _map(
    site: Site,
    mapping: LocalMapping,
    provider: str,
    fetched: Mapping[str, raw.Fetched],
    parameters: Mapping[str, str],
    mapped_folder: Path,
    named_folder: Path,
) -> tuple[dict[str, int], dict[str, str]]:
    """Write the tables of the standard; rows per table, and the hash of each table's content without the time of the extract."""
    known = standard.load()
    rows: dict[str, int] = {}
    hashes: dict[str, str] = {}
    folders = [item.path.parent for item in fetched.values()]
    with session(
        read=sorted(set(folders)), write=[mapped_folder, named_folder], temporary=site.temporary, memory_limit=site.options.memory_limit
    ) as connection:
        for name, value in parameters.items():
            connection.execute(f"SET VARIABLE {name} = {text_literal(value)}")
        for key, item in fetched.items():
            connection.execute(f"CREATE VIEW {identifier(key)} AS FROM read_parquet({text_literal(str(item.path))})")
        for table in sorted(mapping.tables):
            name = known.table(table).name
            _check_columns(mapping, table, fetched)
            _check_expressions(connection, mapping, table)
            _check_codes(connection, mapping, provider, table)
            target = mapped_folder / f"{name}.parquet"
            rows[name] = _copy(connection, mapping, table, target, mappings.select(mapping, table))
            timed = any(column.parameter == "as_of" for column in mapping.tables[table].columns.values())
            if timed:
                # What names the landing must not depend on when it was taken.
                target = named_folder / target.name
                _copy(connection, mapping, table, target, mappings.select(mapping, table, blank=frozenset({"as_of"})))
            hashes[name] = stages.file_hash(target)
    return rows, hashes


def _copy(connection: Connection, mapping: LocalMapping, table: str, target: Path, query: str) -> int:
    try:
        written = connection.execute(f"COPY ({query}) TO {text_literal(str(target))} (FORMAT parquet, COMPRESSION zstd)").fetchone()
    except DuckError as error:
        raise _value_fault(connection, mapping, table, error) from None
    return int(written[0]) if written else 0


def _check_inputs(site: Site, name: str, mapping: LocalMapping) -> None:
    """Each input must be of a kind that the provider's source can give."""
    database = isinstance(site.sources[name], SqlSource)
    for key, item in mapping.inputs.items():
        if (item.file is None) != database:
            wanted = "a query or a table" if database else "a file"
            raise UsageError(f"The mapping {mapping.file}, input {key}: the source {name} needs {wanted}; correct it")


def _check_columns(mapping: LocalMapping, table: str, fetched: Mapping[str, raw.Fetched]) -> None:
    """Every column the mapping names must be among those that came."""
    mapped = mapping.tables[table]
    if mapped.source is None:
        return
    held = {column.lower(): column for column in fetched[mapped.source].columns}
    for element, column in mapped.columns.items():
        if column.column is not None and column.column.lower() not in held:
            raise InputError(
                f"{_place(mapping, table, element)}: the input {mapped.source} has no column {column.column}"
                f"{near(column.column, fetched[mapped.source].columns)}; correct the mapping or the source"
            )


def _check_expressions(connection: Connection, mapping: LocalMapping, table: str) -> None:
    """Bind each expression by itself, so that a wrong one is named; nothing is evaluated yet."""
    mapped = mapping.tables[table]
    trials: list[tuple[str, str, str | None]] = [
        (f"element {element}", mappings.origin_sql(column), None) for element, column in mapped.columns.items() if column.expression
    ]
    if mapped.where:
        trials.append(("where", "1", mapped.where))
    source = mappings.rows_sql(mapped.model_copy(update={"where": None}))
    for what, value, condition in trials:
        try:
            connection.execute(f"SELECT {value} {source} WHERE ({condition or 'true'}) LIMIT 0")
        except DuckError as error:
            name = standard.load().table(table).name
            raise UsageError(
                f"The mapping {mapping.file}, table {name}, {what}: the expression is not valid SQL over the columns of its input"
                f" ({type(error).__name__}); correct it"
            ) from None


def _check_codes(connection: Connection, mapping: LocalMapping, provider: str, table: str) -> None:
    """Refuse local codes that have no national one, unless the mapping lets them pass.

    Codes are shown only where most rows of the column do have a national code: otherwise the column is probably not one of
    codes, and its values may be a patient's.
    """
    mapped = mapping.tables[table]
    for element, column in mapped.columns.items():
        if column.codes is None:
            continue
        codes = mapping.codes[column.codes]
        if (codes.unmapped or mapping.unmapped_codes) == "keep":
            continue
        counted = (
            f"WITH local AS (SELECT {mappings.origin_sql(column)} AS code {mappings.rows_sql(mapped)}),"
            f" counted AS (SELECT code, count(*) AS rows, {mappings.code_lookup(codes, 'code')} IS NOT NULL AS known"
            " FROM local WHERE code IS NOT NULL GROUP BY code)"
        )
        unmapped, lost, total = connection.execute(
            f"{counted} SELECT count(*) FILTER (NOT known), sum(rows) FILTER (NOT known), sum(rows) FROM counted"
        ).fetchall()[0]
        if not unmapped:
            continue
        shown = ""
        if 2 * lost <= total:
            most = connection.execute(
                f"{counted} SELECT code, rows FROM counted WHERE NOT known ORDER BY rows DESC, code LIMIT {_CODES_SHOWN}"
            ).fetchall()
            shown = ": " + ", ".join(f"{code} ({rows})" for code, rows in most) + (", …" if unmapped > _CODES_SHOWN else "")
        raise InputError(
            f"{_place(mapping, table, element)}, provider {provider}: {unmapped} local codes have no national code,"
            f" in {lost} of {total} rows{shown}; add them to codes.{column.codes}, or write unmapped: keep"
        )


def _value_fault(connection: Connection, mapping: LocalMapping, table: str, error: DuckError) -> IpsError:
    """Name the element whose expression fails on some value; the value stays where it is."""
    mapped = mapping.tables[table]
    if isinstance(fault := safe_error(error), RetryableError):
        return fault
    for element, column in mapped.columns.items():
        try:
            connection.execute(f"SELECT count({mappings.origin_sql(column)}) {mappings.rows_sql(mapped)}").fetchone()
        except DuckError:
            return InputError(
                f"{_place(mapping, table, element)}: the expression fails on some of the values; make it tolerant, for instance with try_cast"
            )
    return InputError(f"{_place(mapping, table, None)}: the rows could not be mapped ({type(error).__name__}); check where and the expressions")


def _place(mapping: LocalMapping, table: str, element: str | None) -> str:
    name = standard.load().table(table).name
    return f"The mapping {mapping.file}, table {name}" + (f", element {element}" if element else "")


def _query_hash(item: mappings.Input) -> str:
    written = item.query or item.table or item.file or ""
    return hashlib.sha256(written.encode()).hexdigest()[:16]


def _days(period: str) -> tuple[date, date]:
    year, month = int(period[:4]), int(period[5:])
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])
