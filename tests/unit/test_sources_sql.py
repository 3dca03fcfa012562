"""The SQL adapter on SQLite: streaming, read-only, URLs by reference, and words for what goes wrong."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError
from ips_pipeline.settings import Provider, Reference, Site, SqlSource
from ips_pipeline.sources import raw, sql
from ips_pipeline.sources.mapping import Input

BIND = {"period_start": date(2026, 8, 1), "period_end": date(2026, 8, 31), "provider": "RXX"}


def site(folder: Path, source: SqlSource) -> Site:
    return Site(
        file=folder / "SITE.toml",
        name="A site",
        data=folder / "data",
        reference=folder,
        secrets=folder / "secrets",
        providers=(Provider(code="RXX", name="A trust", source="epr", mapping=folder / "map.yaml"),),
        sources={"epr": source},
    )


def fetch(folder: Path, source: SqlSource, **inputs: Input) -> dict[str, raw.Fetched]:
    target = folder / "fetched"
    target.mkdir(exist_ok=True)
    return sql.fetch(site(folder, source), "epr", inputs, bind=BIND, folder=target)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqlSource]:
    with closing(sqlite3.connect(tmp_path / "epr.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE visit (no, seen, mins, note)")
        rows = [(f"V{number}", f"2026-{7 + number % 3:02d}-15", number, None) for number in range(1000)]
        connection.executemany("INSERT INTO visit VALUES (?, ?, ?, ?)", rows)
    yield SqlSource(kind="sql", url="sqlite:///epr.sqlite", batch_rows=100)


def test_rows_come_as_text_in_batches_within_the_month(tmp_path: Path, database: SqlSource) -> None:
    query = "SELECT no, seen, mins, note FROM visit WHERE seen >= :period_start AND seen <= :period_end ORDER BY no"
    fetched = fetch(tmp_path, database, visit=Input(query=query))["visit"]
    table = pq.read_table(fetched.path)
    assert fetched.rows == table.num_rows == 333
    assert {str(field.type) for field in table.schema} == {"string"}
    assert table.slice(0, 1).to_pylist() == [{"no": "V1", "seen": "2026-08-15", "mins": "1", "note": None}]
    assert pq.ParquetFile(fetched.path).num_row_groups == 4
    assert fetched.path.stat().st_mode & 0o077 == 0


def test_the_days_around_the_month_may_be_bound_too(tmp_path: Path, database: SqlSource) -> None:
    query = "SELECT :day_before AS one, :day_after AS other, count(*) AS held FROM visit WHERE seen > :day_before AND seen < :day_after"
    fetched = fetch(tmp_path, database, visit=Input(query=query))["visit"]
    assert pq.read_table(fetched.path).to_pylist() == [{"one": "2026-07-31", "other": "2026-09-01", "held": "333"}]


def test_a_table_is_read_whole(tmp_path: Path, database: SqlSource) -> None:
    assert fetch(tmp_path, database, visit=Input(table="visit"))["visit"].rows == 1000


def test_no_rows_give_an_empty_file_with_the_columns(tmp_path: Path, database: SqlSource) -> None:
    fetched = fetch(tmp_path, database, visit=Input(query="SELECT no, mins FROM visit WHERE no = 'none'"))["visit"]
    assert (fetched.rows, pq.read_schema(fetched.path).names) == (0, ["no", "mins"])


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, database: SqlSource) -> None:
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT i, 'some text of a visit' AS note FROM n"

    def peak(rows: int) -> int:
        tracemalloc.start()
        assert fetch(tmp_path, database, visit=Input(query=many.format(rows=rows)))["visit"].rows == rows
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1_000)
    assert peak(60_000) < peak(3_000) + 1_000_000


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM visit", "WITH gone AS (SELECT 1) DELETE FROM visit", "WITH new AS (SELECT 1) INSERT INTO visit SELECT 1, 2, 3, 4"],
)
def test_the_database_itself_refuses_a_write(tmp_path: Path, database: SqlSource, statement: str) -> None:
    with pytest.raises(IpsError) as caught:
        fetch(tmp_path, database, visit=Input.model_construct(query=statement, table=None, file=None))
    assert caught.value.exit_code == InputError.exit_code
    assert "Source epr" in str(caught.value)
    assert fetch(tmp_path, database, visit=Input(table="visit"))["visit"].rows == 1000


def test_a_file_that_is_not_there_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no database file"):
        fetch(tmp_path, SqlSource(kind="sql", url="sqlite:///none.sqlite"), visit=Input(table="visit"))
    assert not (tmp_path / "none.sqlite").exists()


@pytest.mark.parametrize("query", ["SELECT nothing FROM visit", "SELECT * FROM nowhere", "SELECT FROM"])
def test_a_query_the_database_refuses_is_told_without_its_words(tmp_path: Path, database: SqlSource, query: str) -> None:
    with pytest.raises(InputError) as caught:
        fetch(tmp_path, database, visit=Input(query=query))
    assert str(caught.value).startswith("Source epr, input visit: the database does not accept the query")
    assert "nothing" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_two_columns_of_one_name_are_refused(tmp_path: Path, database: SqlSource) -> None:
    with pytest.raises(InputError, match="two columns of the same name"):
        fetch(tmp_path, database, visit=Input(query="SELECT no, mins AS No FROM visit"))


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "epr.sqlite").write_text("this is no database, it is a note about Canary Person" * 50)
    with pytest.raises(InputError) as caught:
        fetch(tmp_path, SqlSource(kind="sql", url="sqlite:///epr.sqlite"), visit=Input(table="visit"))
    assert "Canary" not in str(caught.value)


def test_text_that_is_no_text_is_told_without_it(tmp_path: Path, database: SqlSource) -> None:
    with pytest.raises(InputError) as caught:
        fetch(tmp_path, database, visit=Input(query="SELECT CAST(x'43616e617279ff' AS TEXT) AS name"))
    assert "Canary" not in str(caught.value)


def test_a_locked_database_is_worth_a_retry(tmp_path: Path, database: SqlSource) -> None:
    database = SqlSource(kind="sql", url="sqlite:///epr.sqlite?timeout=0.01")
    with closing(sqlite3.connect(tmp_path / "epr.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RetryableError, match="locked"):
            fetch(tmp_path, database, visit=Input(table="visit"))
    assert RetryableError.exit_code == 20


class TestUrls:
    """A URL is found by reference and is never repeated."""

    def test_by_environment_variable(self, tmp_path: Path, database: SqlSource, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EPR_URL", f"sqlite:///{tmp_path / 'epr.sqlite'}")
        assert fetch(tmp_path, SqlSource(kind="sql", url=Reference(env="EPR_URL")), visit=Input(table="visit"))["visit"].rows == 1000

    def test_by_airflow_connection(self, tmp_path: Path, database: SqlSource, monkeypatch: pytest.MonkeyPatch) -> None:
        source = SqlSource(kind="sql", url=Reference(airflow="epr"))
        monkeypatch.setenv("AIRFLOW_CONN_EPR", f"sqlite:///{tmp_path / 'epr.sqlite'}")
        assert fetch(tmp_path, source, visit=Input(table="visit"))["visit"].rows == 1000

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("postgres://reader:a%40b@db.example:5433/epr?sslmode=require", "postgresql+psycopg://reader:a%40b@db.example:5433/epr?sslmode=require"),
            (
                '{"conn_type": "postgres", "login": "reader", "password": "a@b", "host": "db.example", "port": 5433, "schema": "epr",'
                ' "extra": {"sslmode": "require", "__extra__": "x"}}',
                "postgresql+psycopg://reader:a%40b@db.example:5433/epr?sslmode=require",
            ),
            ("mysql://reader:x@db/epr", "mysql+pymysql://reader:x@db/epr"),
            ("mssql://reader:x@db/epr?Encrypt=strict", "mssql+mssqlpython://reader:x@db/epr?Encrypt=strict"),
            ("oracle://reader:x@db?service_name=epr", "oracle+oracledb://reader:x@db?service_name=epr"),
        ],
    )
    def test_an_airflow_connection_becomes_a_url(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, expected: str) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_EPR", written)
        source = SqlSource(kind="sql", url=Reference(airflow="epr"))
        assert sql._url(site(tmp_path, source), "epr", source) == sa.make_url(expected)

    def test_a_url_without_a_driver_gets_the_one_of_its_extra(self, tmp_path: Path) -> None:
        for written, expected in (
            ("postgresql://reader@db/epr", "postgresql+psycopg"),
            ("mariadb://reader@db/epr", "mariadb+pymysql"),
            ("mssql://reader@db/epr", "mssql+mssqlpython"),
        ):
            source = SqlSource(kind="sql", url=written)
            assert sql._url(site(tmp_path, source), "epr", source).drivername == expected
            assert sql.driver(site(tmp_path, source), "epr") == expected

    def test_a_password_from_its_own_file(self, tmp_path: Path) -> None:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets/epr_password").write_text("p@ss:word\n")
        source = SqlSource(kind="sql", url="postgresql+psycopg://reader@db/epr", password=Reference(file="epr_password"))
        url = sql._url(site(tmp_path, source), "epr", source)
        assert url.password == "p@ss:word"  # noqa: S105 - the test's own
        assert "p@ss" not in str(url)

    @pytest.mark.parametrize("written", ["hunter2", "nosuch://reader:hunter2@db/epr", "postgresql+nosuch://reader:hunter2@db/epr"])
    def test_a_url_that_cannot_be_used_is_not_repeated(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
        monkeypatch.setenv("EPR_URL", written)
        with pytest.raises(UsageError) as caught:
            fetch(tmp_path, SqlSource(kind="sql", url=Reference(env="EPR_URL")), visit=Input(table="visit"))
        assert str(caught.value).startswith("Source epr: ")
        assert "hunter2" not in str(caught.value)


class _DriverError(Exception):
    """Stands for what a driver raises."""

    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("text", "state", "key", "kind", "words"),
    [
        ("connection refused: host db password hunter2", None, None, RetryableError, "does not answer"),
        ('password authentication failed for user "hunter2"', None, None, InputError, "refused the login"),
        ('database "hunter2" does not exist', None, None, InputError, "no database of that name"),
        ("terminating connection due to administrator command", "57P01", "visit", RetryableError, "ended the connection"),
        ("deadlock detected, hunter2", "40P01", "visit", RetryableError, "locked"),
        ("cannot execute DELETE in a read-only transaction, hunter2", "25006", "visit", InputError, "tries to write"),
        ("permission denied for table hunter2", "42501", "visit", InputError, "ask for SELECT"),
        ("column hunter2 does not exist", "42703", "visit", InputError, "does not accept the query"),
    ],
)
def test_what_a_driver_says_is_told_in_our_own_words(text: str, state: str | None, key: str | None, kind: type[IpsError], words: str) -> None:
    error = sql._safe(_DriverError(text, state), "epr", key, lost=False)
    assert type(error) is kind
    assert words in str(error)
    assert "hunter2" not in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", ""),
        ("0012", "0012"),
        (12, "12"),
        (True, "true"),
        (1e20, "100000000000000000000"),
        (2.5, "2.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1.50"), "1.50"),
        (date(2026, 8, 1), "2026-08-01"),
        (datetime(2026, 8, 1, 9, 30, 15, 999), "2026-08-01T09:30:15"),
        (time(9, 5), "09:05:00"),
        (timedelta(hours=25, minutes=1), "25:01:00"),
        (b"\x00\xff", "00ff"),
    ],
)
def test_every_value_becomes_text_in_one_way(value: Any, text: str | None) -> None:
    assert raw.as_text(value) == text


SEVERAL: list[list[Any]] = [
    [1, None, -3],
    [2**70, 1, None],
    [True, False, None],
    [date(1, 1, 1), None, date(9999, 12, 31)],
    [datetime(1899, 12, 31, 23, 59, 59, 999_999), None, datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 1)],
    [datetime(2026, 8, 1, 9, tzinfo=UTC), datetime(2026, 8, 1, 9), None],
    [time(23, 59, 59, 999_999), time(0, 0), None],
    [time(9, 5, tzinfo=UTC), time(9, 5)],
    [Decimal("1E+3"), Decimal("1.50"), Decimal("-0"), Decimal("NaN"), None],
    [1, 2.5, "x", b"y", None, date(2026, 8, 1), datetime(2026, 8, 1)],
    [1, True],
    [date(2026, 8, 1), datetime(2026, 8, 1, 9)],
    ["a", None, ""],
    [None, None],
    [],
]


@pytest.mark.parametrize("values", SEVERAL, ids=range(len(SEVERAL)))
def test_a_whole_column_becomes_the_text_that_each_of_its_values_becomes(values: list[Any]) -> None:
    assert raw._texts(tuple(values)).to_pylist() == [raw.as_text(value) for value in values]
