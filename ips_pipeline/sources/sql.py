"""Read a trust's database through SQLAlchemy: by reference, read-only, one snapshot, streamed in batches.

Nothing a driver says is shown, since drivers quote values, statements and passwords; what happened is told in our own words.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import sqlalchemy as sa
from sqlalchemy import event, exc

from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError
from ips_pipeline.settings import Reference, Site, SqlSource
from ips_pipeline.sources import raw
from ips_pipeline.sources.mapping import BINDABLE, Input

#: Connection types of Airflow whose SQLAlchemy name differs.
_AIRFLOW_TYPES = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "oracle": "oracle+oracledb"}

#: SQLSTATE classes that may pass by themselves: connection, lock and deadlock, out of resources, shut-down, system error.
_PASSING = ("08", "40", "53", "55", "57", "58")

#: Faults that drivers tell in words or by SQLSTATE, at any time; the words are looked at and never shown.
_TOLD_FAULTS: tuple[tuple[re.Pattern[str], tuple[str, ...], type[IpsError], str], ...] = (
    (
        re.compile(r"authentication failed|access denied|login failed|no password supplied|ora-01017", re.IGNORECASE),
        ("28",),
        InputError,
        "the database refused the login; check the user and password that SITE.toml refers to",
    ),
    (
        re.compile(r"database .* does not exist|unknown database|cannot open database", re.IGNORECASE),
        ("3D",),
        InputError,
        "the server has no database of that name; check the url that SITE.toml refers to",
    ),
    (
        re.compile(r"attempt to write a readonly database|read-only transaction", re.IGNORECASE),
        ("25006",),
        InputError,
        "a query of the mapping tries to write; sources are only ever read",
    ),
    (
        re.compile(r"database( table)? is locked|deadlock|lock wait timeout", re.IGNORECASE),
        ("40P01", "55P03"),
        RetryableError,
        "the database is locked by another process; run again when it has finished",
    ),
)


def fetch(site: Site, name: str, inputs: Mapping[str, Input], *, bind: Mapping[str, Any], folder: Path) -> dict[str, raw.Fetched]:
    """Fetch every input from the database into ``folder``, all in one read-only transaction.

    ``name`` is the source's name in SITE.toml; ``bind`` holds the values of BINDABLE. Raises RetryableError when
    the database does not answer or drops out, InputError when it refuses the login or a query, UsageError for a bad URL or a
    missing driver.
    """
    source = _database(site, name)
    engine = _engine(site, name, source)
    try:
        with _connection(engine, name) as connection:
            fetched = {}
            for key, item in sorted(inputs.items()):
                with _faults(name, key):
                    result = connection.execute(_bound(item, bind), execution_options={"stream_results": True, "max_row_buffer": source.batch_rows})
                    fetched[key] = _write(result, f"Source {name}, input {key}", folder / f"{key}.parquet", source.batch_rows)
            return fetched
    finally:
        engine.dispose()


def driver(site: Site, name: str) -> str:
    """Dialect and driver of a source, such as postgresql+psycopg, once they could be imported; raises UsageError as ``fetch``."""
    url = _url(site, name, _database(site, name))
    try:
        url.get_dialect().import_dbapi()
    except (exc.NoSuchModuleError, ModuleNotFoundError):
        raise _no_driver(name, url) from None
    return url.drivername


def probe(site: Site, name: str) -> None:
    """Open the database read-only as ``fetch`` does, ask it for a constant and leave; raises as ``fetch``."""
    engine = _engine(site, name, _database(site, name))
    try:
        with _connection(engine, name) as connection, _faults(name, None):
            connection.execute(sa.select(1)).scalar_one()
    finally:
        engine.dispose()


def _database(site: Site, name: str) -> SqlSource:
    source = site.sources[name]
    if not isinstance(source, SqlSource):
        raise UsageError(f"Source {name} of {site.file} is not a database")
    return source


def statement(item: Input) -> sa.Executable:
    """What is run for an input: its query with the parameters it binds, or everything of its table (with or without its schema)."""
    if item.query is not None:
        return sa.text(item.query.strip().rstrip(";"))
    schema, _, table = (item.table or "").rpartition(".")
    return sa.select(sa.text("*")).select_from(sa.table(table, schema=schema or None))


def _bound(item: Input, bind: Mapping[str, Any]) -> sa.Executable:
    """The statement with the parameters it binds, typed, so that each driver sends a date as a date."""
    command = statement(item)
    if isinstance(command, sa.TextClause):
        command = command.bindparams(**{parameter: bind[parameter] for parameter in BINDABLE if parameter in command.compile().params})
    return command


def _write(result: sa.CursorResult[Any], where: str, path: Path, batch_rows: int) -> raw.Fetched:
    columns = list(result.keys())
    if len({column.lower() for column in columns}) < len(columns):
        raise InputError(f"{where}: the query gives two columns of the same name; give each its own with AS")
    return raw.write(path, columns, (list(zip(*rows, strict=True)) for rows in result.partitions(batch_rows)))


def _engine(site: Site, name: str, source: SqlSource) -> sa.Engine:
    url = _url(site, name, source)
    try:
        if url.get_backend_name() == "sqlite":
            return sa.create_engine(_read_only_sqlite(site, name, url))
        if url.get_backend_name() == "postgresql":
            # One snapshot for all inputs, and a server that refuses to write whatever the login may do.
            engine = sa.create_engine(url, isolation_level="REPEATABLE READ", connect_args={"options": "-c default_transaction_read_only=on"})
        else:
            engine = sa.create_engine(url)
    except (exc.NoSuchModuleError, ModuleNotFoundError):
        raise _no_driver(name, url) from None
    except exc.ArgumentError:
        raise UsageError(f"Source {name}: the URL is not complete; write it as dialect+driver://user@host/database") from None
    if url.get_backend_name() in ("mysql", "mariadb"):
        event.listen(engine, "connect", _read_only_mysql)
    return engine


def _no_driver(name: str, url: sa.URL) -> UsageError:
    return UsageError(f"Source {name}: there is no driver for {url.drivername} here; install the extra that brings it")


def _read_only_mysql(connection: Any, _record: Any) -> None:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _read_only_sqlite(site: Site, name: str, url: sa.URL) -> sa.URL:
    """The URL that opens the file read-only; a relative path is relative to SITE.toml."""
    path = site.file.parent / (url.database or "")
    if not path.is_file():
        raise InputError(f"Source {name}: there is no database file {path}; correct the url in {site.file}")
    return sa.URL.create(url.drivername, database=f"file:{path}", query={**url.query, "mode": "ro", "uri": "true"})


def _url(site: Site, name: str, source: SqlSource) -> sa.URL:
    """The URL with its password, from wherever the settings refer to."""
    written = source.url if isinstance(source.url, str) else site.secret(source.url).get_secret_value()
    try:
        from_airflow = isinstance(source.url, Reference) and source.url.airflow is not None
        url = _from_airflow(written) if from_airflow else sa.make_url(written)
    except (exc.ArgumentError, ValueError, KeyError, AttributeError, TypeError):
        raise UsageError(f"Source {name}: the URL cannot be read; write it as dialect+driver://user@host/database") from None
    return url if source.password is None else url.set(password=site.secret(source.password).get_secret_value())


def _from_airflow(connection: str) -> sa.URL:
    """The URL of an Airflow connection, written as its URI or its JSON."""
    if connection.startswith("{"):
        held = json.loads(connection)
        kind, options = str(held["conn_type"]), held.get("extra") or {}
        options = json.loads(options) if isinstance(options, str) else options
        url = sa.URL.create(kind, held.get("login"), held.get("password"), held.get("host"), held.get("port"), held.get("schema"))
    else:
        # Airflow lets a URI start with any connection type; SQLAlchemy's parser takes only names of dialects.
        kind, _, rest = connection.partition("://")
        address, _, query = rest.partition("?")
        options = dict(parse_qsl(query))
        url = sa.make_url(f"placeholder://{address}")
    options = {str(key): str(value) for key, value in options.items() if not str(key).startswith("__")}
    return url.set(drivername=_AIRFLOW_TYPES.get(kind, kind.replace("-", "+")), query=options)


@contextlib.contextmanager
def _connection(engine: sa.Engine, name: str) -> Iterator[sa.Connection]:
    """An open transaction that ends in a rollback: nothing is ever to be kept."""
    with _faults(name, None):
        connection = engine.connect()
    try:
        yield connection
    finally:
        with contextlib.suppress(exc.SQLAlchemyError):
            connection.close()


@contextlib.contextmanager
def _faults(name: str, key: str | None) -> Iterator[None]:
    """Turn what the driver raises into an error that is safe to show; ``key`` is the input, None while connecting."""
    try:
        yield
    except ModuleNotFoundError:
        raise UsageError(f"Source {name}: the driver of this database is not installed; install the extra that brings it") from None
    except exc.DBAPIError as error:
        raise _safe(error, name, key) from None
    except ValueError:
        raise InputError(
            f"Source {name}{f', input {key}' if key else ''}: a value is not text in the database's encoding; correct it there"
        ) from None
    except exc.SQLAlchemyError as error:
        raise InputError(f"Source {name}: the database could not be read ({type(error).__name__}); check the url and the mapping") from None


def _safe(error: exc.DBAPIError, name: str, key: str | None) -> IpsError:
    text = str(error.orig)
    state = str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or "")
    for words, states, kind, advice in _TOLD_FAULTS:
        if words.search(text) or state.startswith(states):
            return kind(f"Source {name}: {advice}")
    if key is None:
        return RetryableError(f"Source {name}: the database does not answer; check that it is running and can be reached, then run again")
    if error.connection_invalidated or state.startswith(_PASSING):
        return RetryableError(f"Source {name}, input {key}: the database ended the connection; run again")
    if state == "42501":
        return InputError(f"Source {name}, input {key}: the login may not read a table of the query; ask for SELECT on it")
    return InputError(
        f"Source {name}, input {key}: the database does not accept the query ({type(error).__name__}); check its tables and columns in the mapping"
    )
