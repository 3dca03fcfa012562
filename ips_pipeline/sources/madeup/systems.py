"""The made-up trusts' own systems: a relational database, a warehouse of Parquet files, or CSV exports month by month.

Local names and codes come from the mapping that the pipeline will read them with, turned round, so the two cannot drift apart.
"""

from __future__ import annotations

import contextlib
import csv
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ips_pipeline.mhsds import standard
from ips_pipeline.sources import mapping as mappings
from ips_pipeline.sources.madeup import services
from ips_pipeline.sources.madeup.people import History, Record, Trust, Variety, month, months

_HERE = Path(__file__).parent

#: Which records of a month fill a table of the standard.
_RECORDS = {
    "MHS001": "people",
    "MHS002": "registrations",
    "MHS003": "accommodation",
    "MHS004": "employment",
    "MHS101": "referrals",
    "MHS102": "other_teams",
    "MHS201": "contacts",
    "MHS202": "activities",
    "MHS204": "indirect",
    "MHS206": "staff_activity",
    "MHS501": "spells",
    "MHS502": "wards",
    "MHS901": "staff",
    "MHS902": "teams",
}


def mapping_file(shape: str) -> Path:
    """The mapping of a kind of system."""
    return _HERE / f"{shape}.yaml"


def site_toml(about: Variety) -> str:
    """SITE.toml of the made-up site."""
    lines = [
        "# A made-up site: six invented trusts, each with its own kind of system. No secrets are needed.",
        'name = "Made-up employment support network"',
        'data = "data"',
        'reference = "reference"',
        'status = "Performance"',
        'notice = "Everything on this page is made up: people, trusts, places and populations."',
        "",
        "# The made-up trusts stand for a country, so MHS116 is released as NHS England publishes it. A real site leaves this out.",
        "[options]",
        'disclosure = "published"',
    ]
    for trust in about.trusts:
        if trust.shape == "epr":
            lines += ["", f"[sources.{_source(trust)}]", 'kind = "sql"', f'url = "sqlite:///trusts/{trust.code}/epr.sqlite"']
    for shape in sorted({trust.shape for trust in about.trusts} - {"epr"}):
        lines += ["", f"[sources.{shape}]", 'kind = "files"', 'folder = "trusts"']
    for trust in about.trusts:
        lines += [
            "",
            "[[providers]]",
            f'code = "{trust.code}"',
            f'name = "{trust.name}"',
            f'source = "{_source(trust)}"',
            f'mapping = "mappings/{trust.shape}.yaml"',
        ]
        if records := services.kept_in(trust):
            lines.append(f'ips_records = "trusts/{records}"')
    return "\n".join(lines) + "\n"


def write(folder: Path, held: History, about: Variety) -> None:
    """Write a trust's systems into ``folder/<code>``."""
    home = folder / held.trust.code
    home.mkdir(mode=0o700)
    mapping = mappings.load(mapping_file(held.trust.shape))
    if held.trust.shape == "exports":
        for period in months(about):
            _export(home / period, mapping, month(held, period), spoilt=period == held.trust.rejected_month)
    elif held.trust.shape == "epr":
        _database(home / "epr.sqlite", mapping, held.records)
    else:
        for name, columns, rows in _tables("warehouse", mapping, held.records):
            _parquet(home / f"{name}.parquet", columns, rows)


def _source(trust: Trust) -> str:
    return f"epr-{trust.code.lower()}" if trust.shape == "epr" else trust.shape


@cache
def _layouts() -> Any:
    return yaml.safe_load((_HERE / "layouts.yaml").read_text(encoding="utf-8"))


def _local(mapping: mappings.LocalMapping, codes: str) -> Mapping[str, str]:
    """National code -> local code."""
    return {national: local for local, national in mapping.codes[codes].values.items()}


def _tables(shape: str, mapping: mappings.LocalMapping, records: Mapping[str, list[Record]]) -> list[tuple[str, list[str], list[tuple[Any, ...]]]]:
    """Each local table with its columns and rows, in local codes; a code without a local one stands as it is."""
    tables = []
    for name, layout in _layouts()[shape].items():
        read: list[tuple[str, Mapping[str, str]]] = [
            (origin, {}) if isinstance(origin, str) else (origin[0], _local(mapping, origin[1])) for origin in layout["columns"].values()
        ]
        rows = [
            tuple(codes.get(record[element], record[element]) if codes else record[element] for element, codes in read)
            for record in records[layout["records"]]
        ]
        tables.append((name, list(layout["columns"]), rows))
    return tables


def _database(path: Path, mapping: mappings.LocalMapping, records: Mapping[str, list[Record]]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for name, columns, rows in _tables("epr", mapping, records):
            connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' for _ in columns)})", rows)
        for index in ("referral (person_id)", "person_address (person_id)", "appointment (appt_date)", "intervention (appt_no)"):
            connection.execute(f"CREATE INDEX ix_{index.split()[0]} ON {index}")
    path.chmod(0o600)


def _parquet(path: Path, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Columns named …_date are dates, …_time times and durations whole numbers, where every value allows it."""
    arrays: list[pa.Array] = []
    for column, values in zip(columns, zip(*rows, strict=True) if rows else [()] * len(columns), strict=True):
        arrays.append(_typed(column, values))
    pq.write_table(pa.table(dict(zip(columns, arrays, strict=True))), path, compression="zstd")
    path.chmod(0o600)


def _typed(column: str, values: Sequence[Any]) -> pa.Array:
    convert: Callable[[str], Any] | None = None
    kind = pa.string()
    if column.endswith(("_date", "_on")):
        convert, kind = date.fromisoformat, pa.date32()
    elif column.endswith("_time"):
        convert, kind = time.fromisoformat, pa.time64("us")
    if convert is not None:
        with contextlib.suppress(ValueError):
            return pa.array([None if value is None else convert(value) for value in values], kind)
    if all(value is None or isinstance(value, int) for value in values):
        return pa.array(values, pa.int32())
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _export(folder: Path, mapping: mappings.LocalMapping, records: Mapping[str, list[Record]], *, spoilt: bool) -> None:
    """Write a month's CSV files. ``spoilt``: a digit of one NHS number is mistyped."""
    folder.mkdir(mode=0o700)
    for table, mapped in mapping.tables.items():
        if mapped.source is None:
            continue
        about = standard.load().table(table)
        columns: dict[str, Callable[[Record], Any]] = {}
        for element, column in mapped.columns.items():
            if element == "NHSNumber":
                columns["NHS no"] = _spaced
            elif column.column is not None:
                columns[column.column] = _written(about.field(element), column, _local(mapping, column.codes) if column.codes else {})
        for heading, key in _layouts()["exports"].get(mapped.source, {}).items():
            columns[heading] = itemgetter(key)
        rows = [[write_value(record) for write_value in columns.values()] for record in records[_RECORDS[table]]]
        if spoilt and table == "MHS001":
            position = list(columns).index("NHS no")
            row = next(row for row in rows if row[position])
            row[position] = row[position][:-1] + str((int(row[position][-1]) + 1) % 10)
        path = folder / str(mapping.inputs[mapped.source].file).rpartition("/")[2]
        with path.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
        path.chmod(0o600)


def _spaced(record: Record) -> str | None:
    number = record["NHSNumber"]
    return f"{number[:3]} {number[3:6]} {number[6:]}" if number else None


def _written(field: standard.Field, column: mappings.Column, codes: Mapping[str, str]) -> Callable[[Record], Any]:
    """How an element of a record is written in an export: in local codes, and dates and times in the mapping's format."""
    element, shape = field.element, column.format

    def write_value(record: Record) -> Any:
        value = record[element]
        if value is None or not isinstance(shape, str):
            return codes.get(value, value)
        try:
            moment = datetime.combine(date.min, time.fromisoformat(value)) if field.type == "time" else datetime.fromisoformat(value)
        except ValueError:
            return value
        return moment.strftime(shape)

    return write_value
