"""Extract and map one provider's month: from the trust's systems to an immutable landing in the layout of the standard."""

from __future__ import annotations

import calendar
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.settings import Provider, Site, SqlSource, check_period, near
from ips_pipeline.sources import drift, files, increments, raw
from ips_pipeline.sources import mapping as mappings
from ips_pipeline.sources.mapping import LocalMapping
from ips_pipeline.store import stages
from ips_pipeline.store.duck import Connection, DuckError, identifier, safe_error, session, text_literal


@dataclass(frozen=True, slots=True)
class _Job:
    """One provider's month to extract: where it comes from, how it maps, and the facts of the run."""

    site: Site
    provider: Provider
    mapping: LocalMapping
    period: str
    first: date
    last: date
    as_of: datetime
    full: bool

    @property
    def parameters(self) -> dict[str, str]:
        """What a mapping may ask for, as text."""
        return {
            "provider": self.provider.code,
            "submitter": self.provider.submitter,
            "period_start": self.first.isoformat(),
            "period_end": self.last.isoformat(),
            "as_of": self.as_of.isoformat(),
        }


def extract(site: Site, provider: str, period: str, *, full: bool = False) -> stages.Stage:
    """Bring a provider's month to its landing shelf: one text Parquet file per mapped table of the standard.

    The landing is named by what was extracted (content, mapping, version of the standard) and not by when: the same content
    again gives the same identity and ``changed`` False. Rows are in order of all their elements. The manifest records rows per
    table and input, the hash of every file, query and mapping, and the time of the extract. Of inputs that say how they change only
    what has changed is fetched, unless everything is wanted (``full``); the landing is the same. What has changed since earlier
    landings lies beside it, on the shelf ``drift``.

    Raises UsageError for settings or a mapping that cannot be followed, InputError when a source or a code in it cannot be
    read, Drifted when the site does not take what has changed, RetryableError when the source does not answer.
    """
    return _extract(_job(site, provider, period, full), aside=False)


def extract_aside(site: Site, provider: str, period: str) -> stages.Stage:
    """Map a month again as its source is now, and keep it beside the landing in force, which stays so; raises as ``extract``."""
    return _extract(_job(site, provider, period, full=False), aside=True)


def _extract(job: _Job, *, aside: bool) -> stages.Stage:
    try:
        for zone in (job.site.restricted, job.site.temporary):
            zone.mkdir(parents=True, exist_ok=True, mode=0o700)
            zone.chmod(0o700)
        with TemporaryDirectory(prefix="extract-", dir=job.site.temporary) as work:
            return _land(job, Path(work), aside=aside)
    except OSError as error:
        raise stages.storage_error(error, job.site.restricted) from None


def _job(site: Site, provider: str, period: str, full: bool) -> _Job:
    """Check all that can be checked before a source is opened."""
    year, month = map(int, check_period(period).split("-"))
    about = site.provider(provider)
    mapping = mappings.load(about.mapping)
    if lacking := mappings.check(mapping).missing_required:
        raise UsageError(f"The mapping {mapping.file} lacks {', '.join(lacking)}, without which every submission is rejected; map it")
    database = isinstance(site.sources[about.source], SqlSource)
    for key, item in mapping.inputs.items():
        if (item.file is None) != database:
            wanted = "a query or a table" if database else "a file"
            raise UsageError(f"The mapping {mapping.file}, input {key}: the source {about.source} needs {wanted}; correct it")
    last = date(year, month, calendar.monthrange(year, month)[1])
    return _Job(site, about, mapping, period, last.replace(day=1), last, datetime.now(UTC).replace(microsecond=0, tzinfo=None), full)


def _land(job: _Job, work: Path, *, aside: bool) -> stages.Stage:
    """Fetch and map inside ``work``, then put the tables on the landing shelf; ``aside`` leaves what is in force so."""
    fetched_folder, mapped_folder, naming_folder = (work / part for part in ("fetched", "mapped", "naming"))
    for folder in (fetched_folder, mapped_folder, naming_folder):
        folder.mkdir(mode=0o700)
    fetched, merged = _fetch(job, fetched_folder)
    rows, profile = _map(job, fetched, mapped_folder, naming_folder)
    # A table that holds the time of the extract is named by its twin without it.
    hashes = {name: stages.file_hash(twin if (twin := naming_folder / f"{name}.parquet").exists() else mapped_folder / twin.name) for name in rows}
    inputs = {
        "provider": job.provider.code,
        "period": job.period,
        "standard": standard.load().version,
        "mapping": stages.identity_of(job.mapping.content()),
        "queries": {key: _query_hash(item) for key, item in sorted(job.mapping.inputs.items())},
    }

    def build(folder: Path) -> Mapping[str, Any]:
        for path in sorted(mapped_folder.iterdir()):
            shutil.move(path, folder / path.name)
        return {
            "as_of": job.as_of.isoformat() + "Z",
            "rows": sum(rows.values()),
            "tables": rows,
            "fetched": {key: item.rows for key, item in sorted(fetched.items())},
            **({"increments": {key: dict(item.facts) for key, item in sorted(merged.items())}} if merged else {}),
        }

    identity = stages.identity_of({**inputs, "content": hashes})
    where = job.provider.code, job.period
    if aside:
        return stages.write(job.site.landing(*where), build, staging=job.site.staging, identity=identity, inputs=inputs, in_force=False)
    examined = drift.examine(job.site, *where, job.mapping, profile)
    if examined.lost or examined.mode == "freeze":
        raise drift.refused(examined, drift.keep(job.site, *where, examined, identity, in_force=False), *where, None)
    take = examined.mode == "evolve"
    landed = stages.write(job.site.landing(*where), build, staging=job.site.staging, identity=identity, inputs=inputs, in_force=take)
    kept = drift.keep(job.site, *where, examined, identity, in_force=take)
    if not take:
        raise drift.refused(examined, kept, *where, identity)
    increments.put_in_force(job.site, job.provider.code, merged)
    return landed


def _fetch(job: _Job, folder: Path) -> tuple[dict[str, raw.Fetched], dict[str, increments.Merged]]:
    """Every input in ``folder``, those that are fetched as changes merged into their last snapshots; and these by themselves."""
    name = job.provider.source
    source = job.site.sources[name]
    if not isinstance(source, SqlSource):
        fill = {"period": job.period, "provider": job.provider.code}
        return files.fetch(name, source, job.mapping.inputs, fill=fill, folder=folder), {}
    bind = {"period_start": job.first, "period_end": job.last, "provider": job.provider.code}
    from ips_pipeline.sources import sql  # noqa: PLC0415 - SQLAlchemy takes half a second that only databases need

    full = dict.fromkeys(job.mapping.inputs, "it was asked for") if job.full else {}
    while True:
        plans = increments.plan(job.site, job.provider.code, job.mapping, job.as_of, full)
        since = {key: item.since for key, item in plans.items()}
        wanted = increments.inputs(job.mapping, plans, sql.clock(job.site, name))
        fetched = sql.fetch(job.site, name, wanted, bind=bind, folder=folder, since=since)
        try:
            merged = increments.merge(job.site, job.provider.code, job.mapping, plans, fetched, job.as_of)
        except increments.MissedError as missed:
            # All inputs again, so that they are of one moment; an input of which everything was fetched is not missed twice.
            full.update(missed.why)
            continue
        return {key: merged[key].fetched if key in merged else fetched[key] for key in job.mapping.inputs}, merged


def _map(job: _Job, fetched: Mapping[str, raw.Fetched], mapped_folder: Path, naming_folder: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Write the tables of the standard, and beside them those that hold the time of the extract without it; rows per table, and the profile."""
    mapping, rows = job.mapping, {}
    folders = {item.path.parent for item in fetched.values()}
    with session(
        read=sorted(folders), write=[mapped_folder, naming_folder], temporary=job.site.temporary, memory_limit=job.site.options.memory_limit
    ) as connection:
        for name, value in job.parameters.items():
            connection.execute(f"SET VARIABLE {name} = {text_literal(value)}")
        for key, item in fetched.items():
            connection.execute(f"CREATE VIEW {identifier(key)} AS {mappings.input_sql(mapping.inputs[key], item.path)}")
        profile = {"inputs": drift.inputs_profile(connection, fetched)}
        lost = drift.lost_columns(job.site, job.provider.code, job.period, fetched)
        for table in sorted(mapping.tables):
            name = standard.load().table(table).name
            _check_columns(mapping, table, fetched)
            _check_expressions(connection, mapping, table, lost)
            _check_codes(connection, job, table)
            rows[name] = _copy(connection, mapping, table, mapped_folder / f"{name}.parquet")
            if any(column.parameter == "as_of" for column in mapping.tables[table].columns.values()):
                _copy(connection, mapping, table, naming_folder / f"{name}.parquet", blank=frozenset({"as_of"}))
        profile["tables"] = drift.tables_profile(connection, mapping, mapped_folder)
    return rows, profile


def _copy(connection: Connection, mapping: LocalMapping, table: str, target: Path, *, blank: frozenset[mappings.Parameter] = frozenset()) -> int:
    query = mappings.select(mapping, table, blank=blank)
    try:
        written = connection.execute(f"COPY ({query}) TO {text_literal(str(target))} (FORMAT parquet, COMPRESSION zstd)").fetchone()
    except DuckError as error:
        raise _value_fault(connection, mapping, table, error) from None
    return int(written[0]) if written else 0


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


def _check_expressions(connection: Connection, mapping: LocalMapping, table: str, lost: Mapping[str, Sequence[str]]) -> None:
    """Bind each expression by itself, so that a wrong one is named; nothing is evaluated yet. ``lost`` are columns that inputs had before."""
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
            if gone := [f"{key}.{column}" for key, columns in sorted(lost.items()) for column in columns]:
                raise InputError(
                    f"The mapping {mapping.file}, table {name}, {what}: the expression does not fit what came, which has no longer {', '.join(gone)};"
                    " mend the source or correct the mapping"
                ) from None
            raise UsageError(
                f"The mapping {mapping.file}, table {name}, {what}: the expression is not valid SQL over the columns of its input"
                f" ({type(error).__name__}); correct it"
            ) from None


def _check_codes(connection: Connection, job: _Job, table: str) -> None:
    """Refuse local codes that have no national one, unless the mapping lets them pass."""
    mapping, mapped = job.mapping, job.mapping.tables[table]
    for element, column in mapped.columns.items():
        if column.codes is None or (mapping.codes[column.codes].unmapped or mapping.unmapped_codes) == "keep":
            continue
        found = mappings.unmapped_codes(connection, mapping, mapped, column)
        if not found.codes:
            continue
        shown = ": " + ", ".join(f"{code} ({rows})" for code, rows in found.shown) if found.shown else ""
        raise InputError(
            f"{_place(mapping, table, element)}, provider {job.provider.code}: {found.codes} local codes have no national code,"
            f" in {found.rows} of {found.total} rows{shown}{', …' if 0 < len(found.shown) < found.codes else ''}; add them to codes.{column.codes},"
            " or write unmapped: keep"
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
