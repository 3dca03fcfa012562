"""The worked mappings of databases on real servers: what lands is what lands from the file of the example, byte for byte.

The tables are made by the definitions of the example, with the names that a server has for their types, and hold what the example's file holds.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from benchmarks.servers import Kind, Server
from ips_pipeline import settings, worked_sites
from ips_pipeline.settings import Reference, Site, SqlSource
from ips_pipeline.sources import mapping as mappings
from ips_pipeline.sources.extract import extract
from ips_pipeline.sources.madeup import shapes
from ips_pipeline.store import stages

EXAMPLES = worked_sites.root() / "mappings"
NAMES = ("rio-like", "systmone-like", "carenotes-like", "mhsds-staging")
#: A month whose first and last nights are in other months in UTC, and where moments have a zone one with a change of the clocks.
MONTHS = {**dict.fromkeys(NAMES, ("2026-08",)), "systmone-like": ("2026-03", "2026-08")}
PASSWORD = "hunter2"  # noqa: S105 - the test's own

#: What a server calls the types of the examples, where it does not know them by that name.
TYPES: dict[Kind, dict[str, str]] = {"postgresql": {}, "mariadb": {"TIMESTAMP WITH TIME ZONE": "DATETIME", "TIMESTAMP": "DATETIME"}}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Site]:
    """The made-up trust in the file of each shape."""
    folder = tmp_path_factory.mktemp("shapes")
    return {name: settings.load(shapes.write_site(EXAMPLES / name, folder / name)) for name in NAMES}


@pytest.fixture(scope="module")
def landings(sites: dict[str, Site]) -> dict[tuple[str, str], stages.Stage]:
    return {(name, period): extract(site, "MUM", period) for name, site in sites.items() for period in MONTHS[name]}


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with an empty database ``shape``, and a login that owns it; PostgreSQL gives moments as clocks in London show them."""
    running: Server = request.getfixturevalue(request.param)
    if running.kind == "postgresql":
        running.run("DROP DATABASE IF EXISTS shape WITH (FORCE)", "postgres")
        running.run(f"DROP ROLE IF EXISTS shaper; CREATE ROLE shaper LOGIN PASSWORD '{PASSWORD}'", "postgres")
        running.run("CREATE DATABASE shape OWNER shaper", "postgres")
        running.run("ALTER DATABASE shape SET timezone = 'Europe/London'", "postgres")
    else:
        running.run("DROP DATABASE IF EXISTS shape; CREATE DATABASE shape; DROP USER IF EXISTS shaper;", "mysql")
        running.run(f"CREATE USER shaper IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON shape.* TO shaper", "mysql")
    yield running


def on(server: Server, site: Site, data: Path) -> Site:
    """The site with its source on a server, and a data root of its own."""
    site.secrets.mkdir(exist_ok=True, mode=0o700)
    (site.secrets / server.kind).write_text(server.url("shaper", PASSWORD, "shape"))
    return site.model_copy(update={"data": data, "sources": {"trust": SqlSource(kind="sql", url=Reference(file=server.kind))}})


def fill(server: Server, example: Path, held: Path) -> None:
    """Make the tables of an example and copy what its file holds; what is blank where a server wants a date is NULL."""
    definitions = (example / "schema.sql").read_text(encoding="utf-8")
    for known, called in TYPES[server.kind].items():
        definitions = re.sub(rf"\b{known}\b", called, definitions)
    engine = sa.create_engine(server.url("shaper", PASSWORD, "shape"), poolclass=sa.NullPool)
    with contextlib.closing(sqlite3.connect(held)) as file, engine.begin() as connection:
        if server.kind == "mariadb":
            connection.exec_driver_sql("SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')")
        for definition in re.sub("--[^\n]*", "", definitions).split(";"):
            if definition.strip():
                connection.exec_driver_sql(definition)
        for (table,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [(name, kind) for _, name, kind, *_ in file.execute(f"PRAGMA table_info({table})").fetchall()]
            rows = [
                tuple(_kept(value, kind, server.kind) for value, (_, kind) in zip(row, columns, strict=True))
                for row in file.execute(f"SELECT * FROM {table}").fetchall()
            ]
            names = ", ".join(f'"{name}"' if name == "Procedure" else name for name, _ in columns)
            if rows:
                connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({', '.join('%s' for _ in columns)})", rows)


def _kept(value: Any, kind: str, server: Kind) -> Any:
    if not isinstance(value, str) or kind == "TEXT" or kind.startswith("CHAR"):
        return value
    # MariaDB's DATETIME knows no zone; the examples' moments are in UTC.
    return (value.strip() or None) if server == "postgresql" else (value.strip().removesuffix("Z") or None)


@pytest.mark.parametrize("name", NAMES)
def test_a_shape_lands_from_a_server_what_it_lands_from_its_file(
    name: str, server: Server, sites: dict[str, Site], landings: dict[tuple[str, str], stages.Stage], tmp_path: Path
) -> None:
    site = sites[name]
    fill(server, EXAMPLES / name, site.file.parent / "source/trust.sqlite")
    for period in MONTHS[name]:
        landed, expected = extract(on(server, site, tmp_path), "MUM", period), landings[name, period]
        assert landed.manifest["facts"]["tables"] == expected.manifest["facts"]["tables"]
        for table in expected.manifest["facts"]["tables"]:
            if table != "MHS000Header":
                one, other = (pq.read_table(stage.path / f"{table}.parquet").to_pylist() for stage in (landed, expected))
                assert one == other, (name, server.kind, period, table)
        assert landed.identity == expected.identity


@pytest.mark.parametrize("name", NAMES)
def test_the_queries_of_a_shape_use_only_what_databases_have_in_common(name: str) -> None:
    """SQL Server and Oracle, of which none runs here, know these functions and keywords; what they do not is said in the example's page."""
    for key, item in mappings.load(EXAMPLES / name / "mapping.yaml").inputs.items():
        query = re.sub(r"'[^']*'", "''", item.query or "")
        called = {word.lower() for word in re.findall(r"\b(\w+)\s*\(", query)} - {"in", "and", "as", "survivor"}
        assert called <= {"max", "coalesce"}, (key, called)
        # Oracle wants no AS before the other name of a table, and neither it nor SQL Server knows || for NULL, LIMIT, or another quote.
        assert not re.search(r"\b(FROM|JOIN)\s+\w+\s+AS\b|\|\||\bLIMIT\b|\bUSING\b|[`\"]", query, re.IGNORECASE), key
        assert "RECURSIVE" not in query.upper() or (name, key) == ("rio-like", "known")
