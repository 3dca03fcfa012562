"""A release as data: filed by month and provider, described in every format, the same bytes each time, readable without this software."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from ips_pipeline.measures import registry
from ips_pipeline.publish import dataset
from ips_pipeline.settings import Licence
from ips_pipeline.store import duck

Make = Callable[[str], Path]
OGL = Licence(
    title="Open Government Licence v3.0",
    name="OGL-UK-3.0",
    path="https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/",
    attribution="Contains information from Northshire",
)


def about(licence: Licence | None = None) -> dataset.About:
    return dataset.About("0123456789abcdef", "2026-02", "Northshire", "local", licence, registry.definitions())


def publish(folder: Path, licence: Licence | None = None) -> Path:
    dataset.describe(folder, about(licence))
    dataset.complete(folder, about(licence))
    return folder


@pytest.fixture
def release(released: Make) -> Path:
    return publish(released("release"), OGL)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_rows_are_filed_by_month_and_by_the_provider_they_are_about(release: Path) -> None:
    parts = {
        path.parent.relative_to(release / "measures").as_posix(): pq.read_table(path).to_pylist() for path in release.rglob("measures/**/*.parquet")
    }
    assert {place: [row["level"] for row in rows] for place, rows in parts.items()} == {
        "period=2026-01/provider=RXA": ["RXA"],
        "period=2026-01/provider=V9Z9Z": ["V9Z9Z"],
        "period=2026-01/provider=all-providers": ["England"],
        "period=2026-02/provider=RXA": ["RXA", "RXA|T-1"],
        "period=2026-02/provider=V9Z9Z": ["V9Z9Z Unknown"],
        "period=2026-02/provider=all-providers": ["England", "England", None],
    }


def test_columns_are_typed_and_described(release: Path) -> None:
    held = pq.read_schema(release / "measures/period=2026-02/provider=RXA/measures.parquet")
    assert (held.field("period_end").type, held.field("numerator").type) == (pa.date32(), pa.int64())
    assert (held.field("value").type, held.field("level").type) == (pa.decimal128(18, 6), pa.string())
    for field in held:
        assert field.metadata[b"description"].decode().endswith((".", "one.")), field.name
    assert held.field("numerator").metadata[b"unit"] == b"unit"


def test_a_file_says_what_its_columns_and_measures_mean(release: Path) -> None:
    said = pq.read_metadata(release / "measures/period=2026-02/provider=all-providers/measures.parquet").metadata
    measures = json.loads(said[b"measures"])
    assert set(measures) == {"MHS116", "MHS116a"}
    known = {measure.id: measure for measure in registry.load().measures}
    assert measures["MHS116a"]["version"] == known["MHS116a"].version
    assert measures["MHS116a"]["unit"] == known["MHS116a"].unit
    assert json.loads(said[b"columns"])["disclosure"]["values"]["suppressed"]
    assert said[b"release"] == b"0123456789abcdef"
    assert said[b"licence"].decode() == OGL.path


def test_the_partitioned_files_hold_what_the_long_table_holds(release: Path) -> None:
    """Read by three readers that know nothing of this software."""
    pattern = str(release / "measures" / "**" / "*.parquet")
    with duck.session(read=[release]) as connection:
        rows = "SELECT measure_id, period_end, breakdown, level, published, disclosure"
        query = (
            f"({rows} FROM read_parquet('{pattern}', hive_partitioning = true) EXCEPT ALL {rows} FROM read_parquet('{release / 'measures.parquet'}'))"
        )
        assert connection.execute(query).fetchall() == []
        total = connection.execute(f"SELECT count(*), count(DISTINCT provider), max(period) FROM read_parquet('{pattern}', hive_partitioning = true)")
        assert total.fetchone() == (9, 3, "2026-02")
    table = ds.dataset(release / "measures", partitioning="hive").to_table(filter=ds.field("provider") == "RXA")
    assert table.column("numerator").to_pylist() == [70, 75, 5]
    frame = pd.read_parquet(release / "measures")
    assert len(frame) == 9
    (rate,) = frame.loc[frame.measure_id.eq("MHS116a") & frame.value.notna(), "value"]
    assert rate == Decimal("2.600000")


def test_the_same_release_gives_the_same_bytes(released: Make) -> None:
    assert files(publish(released("one"), OGL)) == files(publish(released("two"), OGL))


def test_the_checksums_are_of_all_files_and_right(release: Path) -> None:
    held = files(release)
    listed = dict(reversed(line.split("  ", 1)) for line in held.pop("SHA256SUMS").decode().splitlines())
    assert listed == {name: hashlib.sha256(content).hexdigest() for name, content in held.items()}


def test_a_large_partition_is_read_in_several_parts(released: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = files(publish(released("whole")))
    monkeypatch.setattr(dataset, "_ROWS", 2)
    assert files(publish(released("parts"))) == whole


def package(release: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads((release / "datapackage.json").read_text(encoding="utf-8"))
    return held


def test_the_data_package_describes_every_csv(release: Path) -> None:
    held = package(release)
    assert held["$schema"] == "https://datapackage.org/profiles/2.0/datapackage.json"
    assert re.fullmatch(r"[a-z0-9._/-]+", held["name"])
    assert held["licenses"] == [{"name": "OGL-UK-3.0", "title": OGL.title, "path": OGL.path}]
    assert all(source["title"] for source in held["sources"])
    tables = {path.relative_to(release).as_posix() for path in release.rglob("*.csv")}
    assert {resource["path"] for resource in held["resources"]} == tables
    for resource in held["resources"]:
        content = (release / resource["path"]).read_bytes()
        assert (resource["bytes"], resource["hash"]) == (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
        assert re.fullmatch(r"[a-z0-9._-]+", resource["name"])


def test_every_csv_keeps_its_table_schema(release: Path) -> None:
    for resource in package(release)["resources"]:
        with (release / resource["path"]).open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            rows = list(reader)
        schema = resource["schema"]
        assert reader.fieldnames == [field["name"] for field in schema["fields"]], resource["path"]
        assert rows
        for field in schema["fields"]:
            rule = field.get("constraints", {})
            for row in rows:
                value = row[field["name"]]
                assert value or not rule.get("required"), (resource["path"], field["name"])
                assert not value or "enum" not in rule or value in rule["enum"], (resource["path"], field["name"], value)
        keys = [tuple(row[name] for name in schema["primaryKey"]) for row in rows]
        assert len(set(keys)) == len(keys), resource["path"]
        required = {field["name"] for field in schema["fields"] if field.get("constraints", {}).get("required") or field.get("missingValues") == []}
        assert set(schema["primaryKey"]) <= required, "a part of a key may not be missing"


def test_every_csv_has_csvw_metadata_beside_it(release: Path) -> None:
    tables = list(release.rglob("*.csv"))
    assert len(tables) == 5
    for path in tables:
        held = json.loads(path.with_name(f"{path.name}-metadata.json").read_text(encoding="utf-8"))
        assert held["@context"][0] == "http://www.w3.org/ns/csvw"
        assert unquote(held["url"]) == path.name and " " not in held["url"]
        header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
        columns = held["tableSchema"]["columns"]
        assert [column["titles"] for column in columns] == header
        assert {column["datatype"] for column in columns} <= {"string", "date", "integer", "double", "boolean"}
        assert set(held["tableSchema"]["primaryKey"]) <= set(header)
        assert held["dc:license"] == {"@id": OGL.path}


def test_the_dictionary_has_every_column_and_every_measure(release: Path) -> None:
    def read(name: str) -> list[dict[str, str]]:
        with (release / "dictionary" / name).open(encoding="utf-8", newline="") as handle:
            return list(csv.DictReader(handle))

    columns = {(row["file"], row["column"]) for row in read("columns.csv")}
    for path in release.rglob("*.csv"):
        name = path.relative_to(release).as_posix()
        assert {(name, column) for column in path.read_text(encoding="utf-8").splitlines()[0].split(",")} <= columns
    assert {("measures/", "period"), ("measures/", "provider"), ("measures.parquet", "value")} <= columns
    measures = {row["measure_id"]: row for row in read("measures.csv")}
    assert list(measures) == [measure.id for measure in registry.load().measures]
    assert all(row["definition"] and row["source"] and row["definition_version"] for row in measures.values())
    meanings = {(row["column"], row["value"]) for row in read("values.csv") if row["file"] == "measures.csv"}
    assert ("disclosure", "not submitted") in meanings


def test_the_terms_of_use_are_those_of_the_site(release: Path, released: Make) -> None:
    text = (release / "LICENCE.txt").read_text(encoding="utf-8")
    assert OGL.path and OGL.path in text and "Contains information from Northshire" in text
    assert "Counts of 1 to 4 are hidden" in text
    silent = publish(released("silent"))
    assert "No licence is stated" in (silent / "LICENCE.txt").read_text(encoding="utf-8")
    assert "licenses" not in package(silent)


def test_breakdowns_of_a_provider_are_named_after_it() -> None:
    """The rows are filed by the name of their breakdown; what is within a breakdown by provider is about that provider."""
    known = registry.load().breakdowns

    def of_provider(key: str | None) -> bool:
        return key is not None and (known[key].name == "Provider" or of_provider(known[key].within))

    for key, breakdown in known.items():
        assert of_provider(key) == (breakdown.name == "Provider" or breakdown.name.startswith("Provider; ")), key
