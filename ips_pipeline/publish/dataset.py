"""The files that make a release usable without this software: partitioned Parquet, and every description of what is in it.

Everything is written from ``measures.parquet`` of the release, which holds what disclosure control let through, from ``release.yaml``,
which says it in words, and from the registry of measures. The same release gives the same bytes.
"""

from __future__ import annotations

import csv
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ips_pipeline import __version__
from ips_pipeline.settings import Licence
from ips_pipeline.store import stages, steps
from ips_pipeline.store.duck import Connection, session, text_literal

STEPS = ("publish/release_row",)

PACKAGE, SUMS, README, LICENCE, PARTITIONS = "datapackage.json", "SHA256SUMS", "README.txt", "LICENCE.txt", "measures"
MEASURES = ("measures.csv", "measures.parquet")
DICTIONARY = ("dictionary/columns.csv", "dictionary/values.csv", "dictionary/measures.csv")

#: What a row without a provider is filed under; ODS codes have no hyphen.
ALL_PROVIDERS = "all-providers"

_PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"
_ARROW = {"string": pa.string(), "date": pa.date32(), "integer": pa.int64(), "decimal": pa.decimal128(18, 6)}
_TABLE_SCHEMA = {"decimal": "number"}
_CSVW = {"decimal": "double", "number": "double"}
#: Rows handed over at a time; a partition is usually smaller.
_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class About:
    """What is said of a release besides its numbers. ``period`` is the reporting month, yyyy-mm, and ``publisher`` the name of the site.

    ``measures`` are all measures of the registry (see ``registry.definitions``); ``notice`` stands at the head of what people read.
    """

    identity: str
    period: str
    publisher: str
    disclosure: Literal["local", "published"]
    licence: Licence | None
    measures: Sequence[Mapping[str, Any]]
    notice: str | None = None


def describe(release: Path, about: About) -> None:
    """Write into a release folder what describes its tables: the dictionary, ``datapackage.json``, ``README.txt`` and ``LICENCE.txt``.

    The folder holds ``measures.csv``, ``measures.parquet`` and, where there is one, ``publication/``. Raises OSError.
    """
    (release / "dictionary").mkdir(mode=0o700)
    tables: Mapping[str, Iterator[tuple[Any, ...]]] = {
        "dictionary/columns.csv": _columns(release),
        "dictionary/values.csv": _values(release),
        "dictionary/measures.csv": _measures(about.measures),
    }
    for name, rows in tables.items():
        _write_csv(release / name, [column["name"] for column in _words()[name]["columns"]], rows)
    _write_json(release / PACKAGE, _package(release, about))
    (release / LICENCE).write_text(_licence(about), encoding="utf-8")
    (release / README).write_text(_readme(release, about), encoding="utf-8")


def complete(release: Path, about: About, *, temporary: Path | None = None, memory_limit: str | None = None) -> None:
    """Write what pages need not link to: ``measures/period=…/provider=…/measures.parquet``, CSVW metadata beside each CSV, and last ``SHA256SUMS``.

    Raises OSError when a file cannot be written, and InputError when the measures of the release cannot be read.
    """
    with session(read=[release], temporary=temporary, memory_limit=memory_limit) as connection:
        connection.execute(f"CREATE VIEW released AS FROM read_parquet({text_literal(str((release / 'measures.parquet').resolve()))})")
        steps.run(connection, STEPS, {})
        _write_partitions(connection, release / PARTITIONS, about)
    for name in _csv_files(release):
        _write_json(release / f"{name}-metadata.json", _csvw(release, name, about))
    sums = [(path.relative_to(release).as_posix(), path) for path in release.rglob("*") if path.is_file()]
    lines = [f"{stages.file_hash(path)}  {name}\n" for name, path in sorted(sums)]
    (release / SUMS).write_text("".join(lines), encoding="utf-8")


def schema() -> pa.Schema:
    """The columns of a partitioned file: Arrow types, with description and unit as metadata of each field."""
    return pa.schema(
        [
            pa.field(
                column["name"],
                _ARROW[column["type"]],
                nullable=not column.get("required", False),
                metadata={key: column[key] for key in ("description", "unit") if key in column},
            )
            for column in _words()["measures"]["columns"]
        ]
    )


def _write_partitions(connection: Connection, home: Path, about: About) -> None:
    """One Parquet file per month and provider, with its rows in the order of the release."""
    sizes = connection.execute("SELECT period, provider, count(*) FROM release_row GROUP BY ALL ORDER BY ALL").fetchall()
    wanted = schema()
    known = {measure["id"]: measure for measure in about.measures}
    rows = _Rows(connection.sql("FROM release_row").to_arrow_reader(_ROWS))
    for period, provider, count in sizes:
        table = rows.take(count).select(wanted.names).cast(wanted)
        held = [known[name] for name in sorted(table.column("measure_id").unique().to_pylist()) if name in known]
        folder = home / f"period={period}" / f"provider={provider}"
        folder.mkdir(parents=True, mode=0o700)
        with (folder / "measures.parquet").open("wb") as handle, pq.ParquetWriter(handle, wanted, compression="zstd", version="2.6") as writer:
            writer.write_table(table)
            # Beside the Arrow schema and not in it, which would hold it a second time.
            writer.add_key_value_metadata(_metadata(held, about))


class _Rows:
    """Rows of a reader, so many at a time whatever the size of its batches."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._reader = reader
        self._left = pa.Table.from_batches([], schema=reader.schema)

    def take(self, count: int) -> pa.Table:
        """The next ``count`` rows."""
        parts = [self._left]
        held = self._left.num_rows
        while held < count:
            batch = self._reader.read_next_batch()
            parts.append(pa.Table.from_batches([batch]))
            held += batch.num_rows
        joined = pa.concat_tables(parts)
        self._left = joined.slice(count)
        return joined.slice(0, count)


def _metadata(measures: Sequence[Mapping[str, Any]], about: About) -> dict[str, str]:
    """Metadata of a Parquet file, as text under plain names: columns, the measures in it with their versions, release, licence, disclosure."""
    columns = {
        column["name"]: {key: column[key] for key in ("type", "unit", "description", "values") if key in column}
        for column in _words()["measures"]["columns"]
    }
    held = {measure["id"]: {key: measure[key] for key in ("title", "version", "unit", "kind")} for measure in measures}
    return {
        "title": _title(about),
        "release": about.identity,
        "publisher": about.publisher,
        "disclosure": _words()["disclosure"][about.disclosure],
        "licence": about.licence.path or about.licence.title if about.licence else "",
        "columns": _compact(columns),
        "measures": _compact(held),
    }


def _package(release: Path, about: About) -> dict[str, Any]:
    """The release as a Data Package (version 2 of the standard) with a Table Schema for each table."""
    words = _words()
    package: dict[str, Any] = {
        "$schema": _PROFILE,
        "name": f"ips-measures-{about.period}",
        "id": about.identity,
        "title": _title(about),
        "description": "\n\n".join(
            part for part in (about.notice, words["description"], words["parquet"], words["disclosure"][about.disclosure]) if part
        ),
        "version": f"{about.period}-{about.identity}",
        "keywords": words["keywords"],
        "sources": words["sources"],
        "contributors": [{"title": about.publisher, "roles": ["publisher"]}],
    }
    if about.licence:
        package["licenses"] = [{key: value for key, value in about.licence.model_dump(exclude={"attribution"}).items() if value}]
    # Of the CSV files alone: readers of Data Packages take an empty whole number of a Parquet file for a broken one, and it describes itself.
    package["resources"] = [_resource(release, name) for name in _csv_files(release)]
    return package


def _resource(release: Path, name: str) -> dict[str, Any]:
    path, described = release / name, _about_file(name)
    return {
        "name": _slug(name),
        "path": name,
        "title": described["title"],
        "description": described["description"],
        "type": "table",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "dialect": {"delimiter": ",", "lineTerminator": "\n", "quoteChar": '"', "doubleQuote": True, "header": True},
        "bytes": path.stat().st_size,
        "hash": f"sha256:{stages.file_hash(path)}",
        "schema": {
            "fields": [_field(column) for column in described["columns"]],
            "missingValues": [""],
            "primaryKey": _key(described),
        },
    }


def _field(column: Mapping[str, Any]) -> dict[str, Any]:
    field: dict[str, Any] = {
        "name": column["name"],
        "type": _TABLE_SCHEMA.get(column["type"], column["type"]),
        "title": column["title"],
        "description": _with_unit(column),
    }
    constraints: dict[str, Any] = {}
    if column.get("required"):
        constraints["required"] = True
    elif column.get("key"):
        # An empty level is a value: no level. Parts of a key may not be missing.
        field["missingValues"] = []
    if "values" in column:
        constraints["enum"] = list(column["values"])
    return field | ({"constraints": constraints} if constraints else {})


def _csvw(release: Path, name: str, about: About) -> dict[str, Any]:
    """CSVW metadata of a CSV file, to stand beside it."""
    described = _about_file(name)
    table: dict[str, Any] = {
        "@context": ["http://www.w3.org/ns/csvw", {"@language": "en"}],
        "url": quote((release / name).name),
        "dc:title": described["title"],
        "dc:description": described["description"],
        "dc:publisher": about.publisher,
        "dc:identifier": about.identity,
    }
    if about.licence and about.licence.path:
        table["dc:license"] = {"@id": about.licence.path}
    table["dialect"] = {"encoding": "utf-8", "delimiter": ",", "quoteChar": '"', "doubleQuote": True, "header": True, "lineTerminators": ["\n"]}
    table["tableSchema"] = {
        "columns": [
            {
                "name": column["name"],
                "titles": column["name"],
                "dc:description": _with_unit(column),
                "datatype": _CSVW.get(column["type"], column["type"]),
                "required": column.get("required", False),
            }
            for column in described["columns"]
        ],
        "primaryKey": _key(described),
    }
    return table


def _columns(release: Path) -> Iterator[tuple[Any, ...]]:
    """The rows of dictionary/columns.csv."""
    for position, key in enumerate(_words()["partitions"], 1):
        yield f"{PARTITIONS}/", position, key["name"], key["type"], None, "true", "true", key["description"]
    for name in (*MEASURES, *_publication(release), *DICTIONARY):
        for position, column in enumerate(_about_file(name)["columns"], 1):
            flags = ["true" if column.get(flag) else "false" for flag in ("required", "key")]
            yield name, position, column["name"], column["type"], column.get("unit"), *flags, column["description"]


def _values(release: Path) -> Iterator[tuple[Any, ...]]:
    """The rows of dictionary/values.csv."""
    for name in (*MEASURES, *_publication(release)):
        for column in _about_file(name)["columns"]:
            for value, meaning in column.get("values", {}).items():
                yield name, column["name"], value, meaning


def _measures(measures: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """The rows of dictionary/measures.csv."""
    for item in measures:
        yield (
            *(
                item[key]
                for key in ("id", "family", "family_title", "title", "version", "kind", "unit", "per", "definition", "numerator", "denominator")
            ),
            "\n".join(item["breakdowns"]),
            item["corrects"],
            item["source"],
            "\n".join(item["caveats"]),
        )


def _licence(about: About) -> str:
    """LICENCE.txt: under what terms the release may be used, and the disclosure statement."""
    terms = "No licence is stated for this release. Ask the publisher before you use it for anything but reading."
    if about.licence:
        terms = f"This release may be used under the {about.licence.title}" + (f":\n{about.licence.path}" if about.licence.path else ".")
        if about.licence.attribution:
            terms += f"\n\nWhen you use it, say: {about.licence.attribution}"
    return _paragraphs(_title(about), f"Published by {about.publisher}.", about.notice, terms, "Disclosure", _words()["disclosure"][about.disclosure])


def _readme(release: Path, about: About) -> str:
    """README.txt: what is in the folder and how to read it."""
    files = [
        ("index.html", "the release as pages, to open in a browser"),
        ("measures.parquet", "every measure, breakdown and period in one table"),
        ("measures.csv", "the same for spreadsheets"),
        (f"{PARTITIONS}/period=…/provider=…/", "the same rows as Parquet (zstd) by month and provider, typed, described in the files' own metadata"),
        *((name, _about_file(name)["title"]) for name in (*_publication(release), *DICTIONARY)),
        (PACKAGE, "every CSV described: Data Package 2.0 with Table Schema; beside each stands its CSVW metadata too"),
        (LICENCE, "the terms of use, and the disclosure statement"),
        (SUMS, f"checksums of all files; check them with: sha256sum -c {SUMS}"),
    ]
    width = 2 + max(len(name) for name, _ in files)
    read = [
        "DuckDB    FROM read_parquet('measures/**/*.parquet', hive_partitioning = true)",
        "pyarrow   pyarrow.dataset.dataset('measures', partitioning='hive')",
        "pandas    pandas.read_parquet('measures')",
        "Polars    polars.scan_parquet('measures/', hive_partitioning=True)",
        "Spark     spark.read.parquet('measures')",
        "R         arrow::open_dataset('measures')",
    ]
    return _paragraphs(
        _title(about),
        f"Published by {about.publisher}. Release {about.identity}, made with ips-pipeline {__version__}.",
        about.notice,
        _words()["description"],
        "\n".join(f"{name:<{width}}{what}" for name, what in files),
        "Reading the partitioned files, from the folder of the release:",
        "\n".join(read),
        f"Rows that are about no single provider are under provider={ALL_PROVIDERS}. CURRENT, in the folder above, names the release in force.",
        "Disclosure",
        _words()["disclosure"][about.disclosure],
    )


def _paragraphs(*parts: str | None) -> str:
    """Paragraphs wrapped for a terminal; one that has line breaks of its own is left as it is."""
    return "\n\n".join(part if "\n" in part else textwrap.fill(part, 100, break_long_words=False) for part in parts if part) + "\n"


def _title(about: About) -> str:
    title: str = _words()["title"].format(month=about.period)
    return title


def _with_unit(column: Mapping[str, Any]) -> str:
    """The description of a column, with the unit where that is the same for all its rows or is said by the row."""
    said: str = column["description"]
    return f"{said} Unit: {'that of the measure, see unit' if column['unit'] == 'unit' else column['unit']}." if "unit" in column else said


def _key(described: Mapping[str, Any]) -> list[str]:
    return [column["name"] for column in described["columns"] if column.get("key")]


def _about_file(name: str) -> Mapping[str, Any]:
    """What release.yaml says of a table of the release."""
    words = _words()
    found: Mapping[str, Any] = words["measures"] if name in MEASURES else words["publication"] if name.startswith("publication/") else words[name]
    return found


def _publication(release: Path) -> list[str]:
    return sorted(path.relative_to(release).as_posix() for path in release.glob("publication/*.csv"))


def _csv_files(release: Path) -> list[str]:
    return ["measures.csv", *_publication(release), *DICTIONARY]


def _slug(name: str) -> str:
    """A name of a resource: what Data Package allows, lower case with hyphens."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


@cache
def _words() -> Mapping[str, Any]:
    held: Mapping[str, Any] = yaml.safe_load((Path(__file__).with_name("release.yaml")).read_text(encoding="utf-8"))
    return held


def _write_csv(path: Path, header: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _compact(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
